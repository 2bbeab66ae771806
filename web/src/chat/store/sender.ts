// Sends what was written, in order and from one tab at a time: the next letter goes when the one before it stands or was refused.

import { api, Refused } from '../api';
import { Cell } from './cell';
import { inOrder, type Letter, next, type Outcome, outcomeOf, timeAfter } from './outbox';
import type { Disk } from './outbox-disk';
import type { Message } from './rows';

/** What the sender asks of the page. */
export interface Ways {
  readonly send: (letter: Letter) => Promise<Message>;
  /** One tab at a time. */
  readonly alone: (work: () => Promise<void>) => Promise<void>;
  /** Tells the other tabs that the letters have changed. */
  readonly tell: () => void;
  /** Whether this page's user is still the one whose cookie is sent. */
  readonly isUser: () => boolean;
  readonly stands: (message: Message) => void;
}

const AGAIN_MS = 5_000;

export type Draft = Pick<Letter, 'room' | 'body' | 'reply_to' | 'file'>;

export class Sender {
  readonly letters = new Cell<readonly Letter[]>([]);
  #running = false;
  #again = false;
  #tries = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly disk: Promise<Disk>,
    private readonly user: string,
    private readonly ways: Ways,
  ) {}

  async post(draft: Draft): Promise<void> {
    const nonce = crypto.randomUUID();
    const at = timeAfter(this.letters.get(), Date.now());
    const letter: Letter = { ...draft, nonce, user: this.user, at, refused: null };
    this.letters.set([...this.letters.get(), letter]);
    await (await this.disk).put(letter);
    this.ways.tell();
    this.flush();
  }

  async discard(nonce: string): Promise<void> {
    await (await this.disk).remove(nonce);
    await this.#changed();
  }

  async tryAgain(letter: Letter): Promise<void> {
    await (await this.disk).put({ ...letter, refused: null });
    await this.#changed();
    this.flush();
  }

  /** What the disk holds, for another tab may have changed it. */
  async look(): Promise<void> {
    const all = await (await this.disk).all();
    this.letters.set(all.filter(({ user }) => user === this.user).sort(inOrder));
  }

  /** Sends all that waits, now. */
  readonly flush = (): void => {
    clearTimeout(this.#timer);
    if (this.#running) {
      this.#again = true;
      return;
    }
    this.#running = true;
    void this.ways
      .alone(() => this.#sendAll())
      // The disk or the lock; what is kept is kept.
      .catch(() => {
        this.#timer = setTimeout(this.flush, AGAIN_MS);
      })
      .finally(() => {
        this.#running = false;
        if (this.#again) {
          this.#again = false;
          this.flush();
        }
      });
  };

  stop(): void {
    clearTimeout(this.#timer);
  }

  async #sendAll(): Promise<void> {
    const disk = await this.disk;
    for (;;) {
      const letter = next(await disk.all(), this.user);
      if (letter === undefined || !this.ways.isUser()) return;
      const outcome = await this.#send(letter);
      if (outcome.kind === 'later') {
        if (outcome.afterMs !== null) this.#timer = setTimeout(this.flush, outcome.afterMs);
        return;
      }
      if (outcome.kind === 'refused') await disk.put({ ...letter, refused: outcome.why });
      else await disk.remove(letter.nonce);
      await this.#changed();
    }
  }

  async #send(letter: Letter): Promise<Outcome> {
    try {
      this.ways.stands(await this.ways.send(letter));
      this.#tries = 0;
      return { kind: 'sent' };
    } catch (thrown) {
      const answer = thrown instanceof Refused ? thrown : { status: 0 };
      const outcome = outcomeOf(answer, this.#tries);
      this.#tries = outcome.kind === 'later' ? this.#tries + 1 : 0;
      return outcome;
    }
  }

  async #changed(): Promise<void> {
    await this.look();
    this.ways.tell();
  }
}

export async function sendLetter({ room, nonce, body, reply_to, file }: Letter): Promise<Message> {
  const { message } = await api.send(room, {
    nonce,
    body,
    ...(reply_to === null ? {} : { reply_to }),
    ...(file === null ? {} : { file }),
  });
  return message;
}

/** Of all tabs of this browser one sends. Without locks the server's own memory of nonces has to do. */
export async function alone(work: () => Promise<void>): Promise<void> {
  if (navigator.locks === undefined) await work();
  else await navigator.locks.request('rowcast-chat-outbox', work);
}
