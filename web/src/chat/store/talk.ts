// One talk's history as far as it is read: pages in both directions, live changes between them, reactions and quoted messages.
//
// A change that comes while a page is on its way is done again once the page is there, so that none falls between the two.

import type { Rowcast } from '@rowcast/client';
import { Cell } from './cell';
import { type Reactions, withoutReaction, withReactions } from './reactions';
import { type Message, quoted, type Reaction } from './rows';
import {
  type Changed,
  changed,
  isWhole,
  later,
  NOTHING,
  type Window,
  withNewer,
  withNewest,
  withOlder,
} from './window';

const PAGE = 50;
/** Who pages back goes on doing so. */
const OLDER = 100;
/** Of a window that is read again in one piece. */
const WINDOW_MAX = 900;
const REACTIONS_MAX = 5_000;

type Late = { readonly message: Changed } | { readonly reaction: Reaction; readonly on: boolean };
type Reading = 'start' | 'older' | 'newer';

export interface Shown {
  readonly window: Window;
  readonly reactions: Reactions;
  /** Messages that others answer and that are not in the window. `null`: there is no such message. */
  readonly quotes: ReadonlyMap<number, Message | null>;
  readonly reading: Reading | null;
  readonly problem: string | null;
}

export class TalkHistory {
  readonly cell = new Cell<Shown>({
    window: NOTHING,
    reactions: new Map(),
    quotes: new Map(),
    reading: null,
    problem: null,
  });
  #reads = 0;
  #late: Late[] = [];
  /** Answers to questions from before this are thrown away. */
  #era = 0;

  constructor(
    private readonly db: Rowcast,
    readonly room: string,
  ) {}

  get shown(): Shown {
    return this.cell.get();
  }

  get isRead(): boolean {
    return this.shown.window !== NOTHING;
  }

  /** Reads the newest page; or around `id`, so that it and what follows it can be seen. */
  async open(id: number | null = null): Promise<void> {
    const { messages, newer } = this.shown.window;
    if (id === null ? !newer : messages.some((message) => message.id === id)) return;
    this.#era++;
    await this.#read('start', async () => {
      if (id === null) return this.#newest();
      const [before, after] = await Promise.all([this.#page(`id < ${id}`, 'desc'), this.#page(`id >= ${id}`, 'asc')]);
      const window = withOlder(NOTHING, before, before.length === PAGE);
      await this.#decorate([...before, ...after]);
      return () => withNewer(window, after, after.length === PAGE);
    });
  }

  async older(): Promise<void> {
    const { messages, older } = this.shown.window;
    const first = messages[0]?.id;
    if (!older || first === undefined) return;
    await this.#read('older', async () => {
      const page = await this.#page(`id < ${first}`, 'desc', OLDER);
      await this.#decorate(page);
      return (window) => withOlder(window, page, page.length === OLDER);
    });
  }

  async newer(): Promise<void> {
    const { messages, newer } = this.shown.window;
    const last = messages.at(-1)?.id;
    if (!newer || last === undefined) return;
    await this.#read('newer', async () => {
      const page = await this.#page(`id > ${last}`, 'asc');
      await this.#decorate(page);
      return (window) => withNewer(window, page, page.length === PAGE);
    });
  }

  /** Changes may be missing: what is held is read again, and stays until it is there. */
  async again(): Promise<void> {
    const { messages, newer } = this.shown.window;
    this.#era++;
    if (!this.isRead) return;
    const first = messages.at(-WINDOW_MAX)?.id ?? messages[0]?.id;
    await this.#read('start', async () => {
      if (first === undefined) return this.#newest();
      const older = messages.length > WINDOW_MAX || this.shown.window.older;
      const rows = await this.#page(`id >= ${first}`, 'asc', WINDOW_MAX + PAGE);
      if (!newer && rows.length === WINDOW_MAX + PAGE) return this.#newest();
      await this.#decorate(rows, true);
      return () => ({ messages: rows, older, newer: rows.length === WINDOW_MAX + PAGE });
    });
  }

  /** Nothing of it may be kept. */
  drop(): void {
    this.#era++;
    this.#late = [];
    this.cell.set({ window: NOTHING, reactions: new Map(), quotes: new Map(), reading: null, problem: null });
  }

  apply(message: Changed): void {
    this.#do({ message });
  }

  react(reaction: Reaction, on: boolean): void {
    this.#do({ reaction, on });
  }

  /** Reads messages that are quoted and not held. */
  async quote(ids: readonly number[]): Promise<void> {
    const { window, quotes } = this.shown;
    const wanted = ids.filter((id) => !quotes.has(id) && !window.messages.some((message) => message.id === id));
    if (wanted.length === 0) return;
    const rows = await this.db.query<Message>('chat_messages', {
      where: `room = ${quoted(this.room)} and id in (${wanted.join(', ')})`,
      limit: wanted.length,
    });
    const next = new Map<number, Message | null>(this.shown.quotes);
    for (const id of wanted) next.set(id, null);
    for (const row of rows) next.set(row.id, row);
    this.#set({ quotes: next });
  }

  async #newest(): Promise<(window: Window) => Window> {
    const page = await this.#page(null, 'desc');
    await this.#decorate(page);
    return (window) => withNewest(window.newer ? NOTHING : window, page, page.length === PAGE);
  }

  #page(where: string | null, direction: 'asc' | 'desc', limit = PAGE): Promise<readonly Message[]> {
    const room = `room = ${quoted(this.room)}`;
    return this.db.query<Message>('chat_messages', {
      where: where === null ? room : `${room} and ${where}`,
      orderBy: `id ${direction}`,
      limit,
    });
  }

  /** The reactions and quotes that belong to a page. */
  async #decorate(page: readonly Message[], anew = false): Promise<void> {
    if (page.length === 0) return;
    const ids = page.map(({ id }) => id);
    const era = this.#era;
    const [reactions] = await Promise.all([
      this.db.query<Reaction>('chat_reactions', {
        where: `room = ${quoted(this.room)} and message >= ${Math.min(...ids)} and message <= ${Math.max(...ids)}`,
        limit: REACTIONS_MAX,
      }),
      this.quote([...new Set(page.flatMap(({ reply_to }) => reply_to ?? []))].filter((id) => !ids.includes(id))),
    ]);
    if (era !== this.#era) return;
    this.#set({ reactions: withReactions(anew ? new Map() : this.shown.reactions, reactions) });
  }

  async #read(reading: Reading, read: () => Promise<(window: Window) => Window>): Promise<void> {
    if (this.shown.reading !== null && reading !== 'start') return;
    const era = this.#era;
    this.#reads++;
    this.#set({ reading, problem: null });
    try {
      const join = await read();
      if (era === this.#era) {
        this.#set({ window: join(this.shown.window), reading: null });
        for (const late of this.#late) this.#perform(late);
      }
    } catch (thrown) {
      if (era === this.#era)
        this.#set({ reading: null, problem: thrown instanceof Error ? thrown.message : String(thrown) });
    } finally {
      this.#reads--;
      if (this.#reads === 0) this.#late = [];
    }
  }

  #do(late: Late): void {
    if (this.#reads > 0) this.#late.push(late);
    this.#perform(late);
  }

  #perform(late: Late): void {
    const { window, quotes, reactions } = this.shown;
    if ('reaction' in late) {
      const change = late.on ? withReactions(reactions, [late.reaction]) : withoutReaction(reactions, late.reaction);
      this.#set({ reactions: change });
      return;
    }
    const { message } = late;
    const next = changed(window, message);
    if (next !== window) this.#set({ window: next });
    const quote = quotes.get(message.id);
    if (quote === undefined) return;
    this.#set({ quotes: new Map(quotes).set(message.id, quoteAfter(quote, message)) });
  }

  #set(part: Partial<Shown>): void {
    this.cell.set({ ...this.shown, ...part });
  }
}

function quoteAfter(quote: Message | null, { op, row }: Changed): Message | null {
  if (op === 'delete') return null;
  if (quote !== null) return later(quote, { ...quote, ...row });
  return isWhole(row) ? row : null;
}
