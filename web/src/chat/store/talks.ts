// All talks of whoever is logged in, by one live feed: the newest message of each, what is unread, and the histories that were opened.

import type { Change, Gap, Rowcast } from '@rowcast/client';
import { api } from '../api';
import { Cell } from './cell';
import type { Message, Reaction, Receipt } from './rows';
import { TalkHistory } from './talk';
import { arrived, gone, NONE, readUpTo, recounted, type Unread } from './unread';
import { type Changed, isWhole, later } from './window';

const RECOUNT_MS = 400;
const AGAIN_MS = 3_000;
/** Histories that are kept beside the open one. */
const KEPT_MAX = 12;

export class Talks {
  readonly latest = new Cell<ReadonlyMap<string, Message>>(new Map());
  readonly unread = new Cell<ReadonlyMap<string, Unread>>(new Map());
  /** How often following has begun anew. What is read after that has no hole; 0: not yet. */
  readonly followed = new Cell(0);
  /** Called with each message of others that has just come. */
  readonly heard = new Set<(message: Message) => void>();
  readonly #histories = new Map<string, TalkHistory>();
  #ends: (() => void)[] = [];
  #read: ReadonlyMap<string, number> = new Map();
  #recount: ReturnType<typeof setTimeout> | undefined;
  #counting = false;

  constructor(
    private readonly db: Rowcast,
    private readonly me: string,
  ) {}

  start(): () => void {
    const messages = this.db.changes<Message>(
      'chat_messages',
      {
        onSubscribed: ({ resumed }) => {
          if (!resumed) this.#readAgain();
        },
        onGap: (gap) => this.#onGap(gap),
      },
      (change) => this.#onMessage(change),
    );
    const reactions = this.db.changes<Reaction>('chat_reactions', { onGap: () => {} }, (change) =>
      this.#onReaction(change),
    );
    this.#ends = [messages.close, reactions.close];
    return () => this.stop();
  }

  stop(): void {
    for (const end of this.#ends) end();
    clearTimeout(this.#recount);
    this.#ends = [];
  }

  history(room: string): TalkHistory {
    const known = this.#histories.get(room);
    const history = known ?? new TalkHistory(this.db, room);
    // The one that was used last is the last to go.
    this.#histories.delete(room);
    this.#histories.set(room, history);
    for (const old of this.#histories.keys()) {
      if (this.#histories.size <= KEPT_MAX) break;
      this.#histories.delete(old);
    }
    return history;
  }

  /** A message that this page has sent stands. */
  sent(message: Message): void {
    this.#take({ op: 'insert', id: message.id, row: message });
  }

  /** The newest messages of talks, by what their rooms say. */
  async readLatest(ids: ReadonlyMap<string, number>): Promise<void> {
    const held = this.latest.get();
    const wanted = [...ids].filter(([room, id]) => id > (held.get(room)?.id ?? 0)).map(([, id]) => id);
    for (let from = 0; from < wanted.length; from += 200) {
      const some = wanted.slice(from, from + 200);
      const rows = await this.db.query<Message>('chat_messages', {
        where: `id in (${some.join(', ')})`,
        limit: some.length,
      });
      this.#showLatest(rows);
    }
  }

  /** Where this user has read, on any device. */
  follow(receipts: readonly Receipt[]): void {
    const was = this.#read;
    this.#read = new Map(receipts.map(({ room, read }) => [room, read]));
    const next = new Map(this.unread.get());
    let isStale = false;
    for (const { room, read } of receipts) {
      const before = next.get(room);
      if (before === undefined) continue;
      const { unread, stale } = readUpTo(before, read);
      isStale ||= stale && (was.get(room) ?? 0) < read;
      if (unread !== before) next.set(room, unread);
    }
    this.#showUnread(next);
    if (isStale) this.#recountSoon();
  }

  #onGap({ reason }: Gap): void {
    // What may still be seen is good until it is read again.
    if (reason !== 'revoked') return;
    for (const history of this.#histories.values()) history.drop();
    this.latest.set(new Map());
    this.unread.set(new Map());
  }

  /** Changes may have been missed before this moment. */
  #readAgain(): void {
    for (const history of this.#histories.values()) void history.again();
    this.#recountSoon(0);
    this.followed.set(this.followed.get() + 1);
  }

  #onMessage(change: Change<Message>): void {
    const id = change.row.id ?? (change.key?.[0] as number | undefined);
    if (typeof id !== 'number') return;
    const isNew = this.#take({ op: change.op, id, row: change.row });
    if (isNew && isWhole(change.row) && change.row.sender !== this.me) {
      for (const hear of this.heard) hear(change.row);
    }
  }

  /** Whether it is a message that nobody here had seen. */
  #take(change: Changed): boolean {
    const { op, id, row } = change;
    const room = row.room ?? this.#roomOf(id);
    if (room === undefined) return false;
    this.#histories.get(room)?.apply(change);
    if (op !== 'delete' && isWhole(row)) this.#showLatest([row]);
    else this.#changeLatest(room, change);
    const unread = this.unread.get();
    const counted = unread.get(room) ?? NONE;
    if (op === 'insert' && isWhole(row) && row.kind === 'text' && row.sender !== this.me && row.deleted_at === null) {
      this.#showUnread(new Map(unread).set(room, arrived(counted, id, this.#read.get(room) ?? 0)));
      return id > (this.#read.get(room) ?? 0);
    }
    if (op === 'delete' || row.deleted_at != null) {
      const { unread: rest, stale } = gone(counted, id);
      if (rest !== counted) this.#showUnread(new Map(unread).set(room, rest));
      if (stale) this.#recountSoon();
    }
    return false;
  }

  #roomOf(id: number): string | undefined {
    for (const [room, history] of this.#histories) {
      if (history.shown.window.messages.some((message) => message.id === id)) return room;
    }
    return [...this.latest.get().values()].find((message) => message.id === id)?.room;
  }

  #onReaction({ op, row, key }: Change<Reaction>): void {
    const [message, user_id, emoji] = [row.message ?? key?.[0], row.user_id ?? key?.[1], row.emoji ?? key?.[2]];
    if (typeof message !== 'number' || typeof user_id !== 'string' || typeof emoji !== 'string') return;
    for (const [room, history] of this.#histories) {
      if (row.room === undefined || row.room === room)
        history.react({ message, user_id, emoji, room }, op !== 'delete');
    }
  }

  #showLatest(rows: readonly Message[]): void {
    const next = new Map(this.latest.get());
    for (const row of rows) {
      const held = next.get(row.room);
      if (held === undefined || row.id > held.id) next.set(row.room, row);
      else if (row.id === held.id) next.set(row.room, later(held, row));
    }
    this.latest.set(next);
  }

  #changeLatest(room: string, { op, id, row }: Changed): void {
    const held = this.latest.get().get(room);
    if (held?.id !== id) return;
    const next = new Map(this.latest.get());
    if (op === 'delete') next.delete(room);
    else next.set(room, later(held, { ...held, ...row }));
    this.latest.set(next);
  }

  #showUnread(next: ReadonlyMap<string, Unread>): void {
    const before = this.unread.get();
    const isSame = next.size === before.size && [...next].every(([room, unread]) => before.get(room) === unread);
    if (!isSame) this.unread.set(next);
  }

  #recountSoon(wait = RECOUNT_MS): void {
    clearTimeout(this.#recount);
    this.#recount = setTimeout(() => void this.#count(), wait);
  }

  async #count(): Promise<void> {
    if (this.#counting) return this.#recountSoon();
    this.#counting = true;
    try {
      const { rooms } = await api.unread();
      this.#showUnread(recounted(this.unread.get(), rooms));
    } catch {
      // No connection, mostly; the count that is shown stays.
      this.#recountSoon(AGAIN_MS);
    } finally {
      this.#counting = false;
    }
  }
}
