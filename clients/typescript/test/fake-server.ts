/**
 * The server's half of the protocol over one table in memory, with every delay and loss under the test's control.
 *
 * Columns are `id`, `g` and `v`; the only filter is `g = 1`. Messages move when the test says so.
 */
import type { Carrier, CarrierListener, OpenCarrier } from '../src/carrier.ts';
import { compareValues, parseOrderBy } from '../src/order.ts';
import type { ChangeMessage, ClientMessage, PresenceMessage, PresentMessage, ServerMessage } from '../src/protocol.ts';
import type { Op, Row, Value, Write } from '../src/types.ts';
import { HELLO } from './machine.ts';

export type Item = { readonly id: number; readonly g: number; readonly v: number };
type Logged = { readonly offset: number; readonly tx: number; readonly old?: Item; readonly new?: Item };
type Subscription = ClientMessage & { readonly type: 'subscribe' };
/** A change of a result before it has its subscription's name. */
export type Told = Omit<ChangeMessage, 'id' | 'type' | 'last'>;

const COLUMNS = ['id', 'g', 'v'].map((name) => ({ name, type: 'INTEGER' }));

export class FakeServer {
  readonly rows = new Map<number, Item>();
  log: Logged[] = [];
  epoch = 1;
  head = 0;
  /** Everything up to here has left the log. */
  forgotten = 0;
  tx = 0;
  readonly sessions = new Set<FakeSession>();
  onCommit = () => {};
  /** Users by token, where one is needed. */
  tokens: Map<string, string> | undefined;
  readonly presence = new FakePresence();
  readonly keyless: boolean;

  constructor(keyless = false) {
    this.keyless = keyless;
  }

  readonly open: OpenCarrier = (listener) => new FakeSession(this, listener);

  get position(): string {
    return `${this.epoch}-${this.head}`;
  }

  /** One transaction; each edit sets or deletes a row. `marked: false`: its end comes as `commit`. */
  commit(edits: readonly { readonly id: number; readonly to?: Item | undefined }[], marked: boolean): void {
    this.tx++;
    const from = this.log.length;
    for (const { id, to } of edits) {
      const old = this.rows.get(id);
      if (old === undefined && to === undefined) {
        continue;
      }
      if (to !== undefined && to.id !== id && this.rows.has(to.id)) {
        continue;
      }
      this.rows.delete(id);
      if (to !== undefined) {
        this.rows.set(to.id, to);
      }
      this.log.push({ offset: ++this.head, tx: this.tx, ...(old ? { old } : {}), ...(to ? { new: to } : {}) });
    }
    this.onCommit();
    for (const session of this.sessions) {
      session.tell(this.log.slice(from), marked);
    }
  }

  /** Rows that are no items are rejected. */
  insert(rows: readonly object[]) {
    const items = rows.filter((row): row is Item => 'id' in row);
    const rejected = rows.flatMap((row, index) => ('id' in row ? [] : [{ line: index + 1, reason: 'no id' }]));
    this.commit(
      items.map((to) => ({ id: to.id, to })),
      true,
    );
    return { count: items.length, rejected, ...(items.length > 0 ? { position: this.position } : {}) };
  }

  /** Knows `id = 1` and `true`. All of it, or why not. */
  write(writes: readonly Write[]) {
    const rows = new Map(this.rows);
    const changes: { id: number; to?: Item }[] = [];
    const counts: number[] = [];
    for (const write of writes) {
      const where = 'where' in write ? write.where : 'false';
      const found = [...rows.values()].filter(({ id }) => where === 'true' || where === `id = ${id}`);
      const count = 'insert' in write ? 1 : found.length;
      const wanted = 'rows' in write ? write.rows : undefined;
      if (wanted === undefined ? 'require' in write && count === 0 : wanted !== count) {
        return { error: { code: 'conflict', message: `there are ${count} such rows` } };
      }
      counts.push(count);
      const made = 'insert' in write ? [write.row as Item] : [];
      const set = 'update' in write ? found.map((row) => ({ ...row, ...write.set })) : [];
      const gone = 'delete' in write ? found.map(({ id }) => ({ id })) : [];
      for (const change of [...[...made, ...set].map((to) => ({ id: to.id, to })), ...gone] as typeof changes) {
        changes.push(change);
        rows.delete(change.id);
        if (change.to !== undefined) {
          rows.set(change.id, change.to);
        }
      }
    }
    this.commit(changes, true);
    return { counts, position: this.position };
  }

  publish({ channel, event, data, ephemeral }: ClientMessage & { readonly type: 'publish' }) {
    const stored = ephemeral ? {} : { position: `${this.epoch}-${++this.head}` };
    for (const session of this.sessions) {
      session.say(channel, { event, data: data as Value, time: 0, ...stored });
    }
    return stored;
  }

  forget(): void {
    this.forgotten = this.head;
    this.log = [];
  }

  /** The log is lost; the rows are not. */
  beginAnew(): void {
    this.epoch++;
    this.head = 0;
    this.forget();
    for (const session of [...this.sessions]) {
      session.drop();
    }
  }

  select({ where, snapshot }: Pick<Subscription, 'where' | 'snapshot'>): Item[] {
    const { order_by, limit } = typeof snapshot === 'object' ? snapshot : {};
    const asked = parseOrderBy(order_by ?? '');
    const order = [...asked, { column: 'id', descending: asked.at(-1)?.descending ?? false }];
    const compare = (a: Row, b: Row) => {
      const results = order.map(
        ({ column, descending }) => compareValues(a[column], b[column]) * (descending ? -1 : 1),
      );
      return results.find((result) => result !== 0) ?? 0;
    };
    return [...this.rows.values()]
      .filter((row) => matches(where, row))
      .sort(compare)
      .slice(0, limit);
  }

  /** What became of a result through one logged change. */
  told(entry: Logged, { where, old: wantsOld }: Pick<Subscription, 'where' | 'old'>): Told | undefined {
    const before = matches(where, entry.old) ? entry.old : undefined;
    const after = matches(where, entry.new) ? entry.new : undefined;
    const row = after ?? before;
    if (row === undefined) {
      return undefined;
    }
    const did: Op = entry.old === undefined ? 'insert' : entry.new === undefined ? 'delete' : 'update';
    const op: Op = before === undefined ? 'insert' : after === undefined ? 'delete' : 'update';
    const { id, g, v } = row;
    // What did not change need not be said.
    const partial = op === 'update' && before?.g === g && !this.keyless ? { id, v } : { id, g, v };
    return {
      op,
      row: partial,
      key: this.keyless ? null : [id],
      position: `${this.epoch}-${entry.offset}`,
      tx: entry.tx,
      time: 0,
      ...(wantsOld && entry.old ? { old: entry.old } : {}),
      ...(op === 'update' && before?.id !== id && before && !this.keyless ? { old_key: [before.id] } : {}),
      ...(op === did ? {} : { cause: did }),
    };
  }
}

/** Who is where. Each session is a user of its own, or the one that it says it is. */
export class FakePresence {
  readonly channels = new Map<string, Map<FakeSession, PresentMessage>>();
  readonly watchers = new Set<{ readonly channel: string; readonly tell: (message: PresenceTold) => void }>();

  list(channel: string): PresentMessage[] {
    return [...(this.channels.get(channel)?.values() ?? [])];
  }

  track(session: FakeSession, channel: string, user: string, state: Value): void {
    const there = this.channels.get(channel) ?? new Map<FakeSession, PresentMessage>();
    this.channels.set(channel, there);
    const before = there.get(session);
    const one = { user, state, connections: 1, since: before?.since ?? there.size };
    there.set(session, one);
    this.#tell(channel, before === undefined ? { joins: [one] } : { updates: [{ user, state, connections: 1 }] });
  }

  untrack(session: FakeSession, channel?: string): void {
    for (const [name, there] of this.channels) {
      const one = there.get(session);
      if (one !== undefined && (channel ?? name) === name) {
        there.delete(session);
        this.#tell(name, { leaves: [one.user] });
      }
    }
  }

  #tell(channel: string, diff: Omit<PresenceTold, 'full'>): void {
    for (const watcher of this.watchers) {
      if (watcher.channel === channel) {
        watcher.tell({ full: false, ...diff });
      }
    }
  }
}

type PresenceTold = Omit<PresenceMessage, 'id' | 'type'>;

export class FakeSession implements Carrier {
  readonly #server: FakeServer;
  readonly #listener: CarrierListener;
  readonly #subscriptions = new Map<string, Subscription>();
  /** On their way, in both directions. */
  inbox: ClientMessage[] = [];
  outbox: ServerMessage[] = [];
  #gone = false;
  /** What subscriptions that conflate have not been told. */
  readonly #pending = new Map<string, Logged[]>();
  readonly #watching = new Map<string, { readonly channel: string; readonly tell: (told: PresenceTold) => void }>();
  user: string | undefined;

  constructor(server: FakeServer, listener: CarrierListener) {
    this.#server = server;
    this.#listener = listener;
    server.sessions.add(this);
    this.outbox.push({ ...HELLO, position: server.position });
  }

  readonly send = (message: ClientMessage): void => {
    this.inbox.push(message);
  };

  readonly close = (): void => {
    this.#gone = true;
    this.#server.sessions.delete(this);
    this.#server.presence.untrack(this);
    for (const watcher of this.#watching.values()) {
      this.#server.presence.watchers.delete(watcher);
    }
  };

  /** What is on its way is lost. */
  drop(): void {
    if (!this.#gone) {
      this.close();
      this.#listener.lost({ code: 'connection_lost', message: 'dropped' });
    }
  }

  /** Takes the client's messages in. */
  read(count = Infinity): void {
    for (const message of this.inbox.splice(0, count)) {
      this.#read(message);
    }
  }

  /** Lets the client have some of what was sent. */
  write(count = Infinity): void {
    while (count-- > 0 && !this.#gone) {
      if (this.outbox.length === 0) {
        this.#flush();
      }
      const message = this.outbox.shift();
      if (message === undefined) {
        return;
      }
      // As text and back, so that nothing is shared.
      this.#listener.message(JSON.parse(JSON.stringify(message)), '');
    }
  }

  tell(entries: readonly Logged[], marked: boolean): void {
    for (const subscription of this.#subscriptions.values()) {
      if (/^(room|event):/.test(subscription.channel)) {
        continue;
      }
      this.#tell(subscription, entries, marked);
    }
  }

  say(channel: string, message: { readonly event: string; readonly data: Value; readonly time: number }): void {
    for (const subscription of this.#subscriptions.values()) {
      if (subscription.channel === channel) {
        this.outbox.push({ type: 'message', id: subscription.id, ...message });
      }
    }
  }

  idle(): void {
    this.#flush();
    this.outbox.push({ type: 'position', position: this.#server.position });
  }

  /** Everything that it sees is taken from it; what it may see follows. */
  revoke(message: string): void {
    for (const subscription of this.#subscriptions.values()) {
      const { id } = subscription;
      this.outbox.push({ type: 'revoked', id, message });
      this.#snapshot(subscription);
      const { position } = this.#server;
      this.outbox.push({ type: 'subscribed', id, position, resumed: false, ...this.#names() });
    }
  }

  expiring(): void {
    this.outbox.push({ type: 'expiring', expires_ms: Date.now() + 1_000 });
  }

  #isKnown(message: ClientMessage): boolean {
    if (this.#server.tokens === undefined || this.user !== undefined || message.type === 'auth') {
      return true;
    }
    const { id, ref } = message as { readonly id?: string; readonly ref?: string };
    const whose = id === undefined ? named(ref) : { id };
    this.outbox.push({ type: 'error', code: 'unauthenticated', message: 'who are you?', ...whose });
    return false;
  }

  #authenticate(token: string, ref: string | undefined): void {
    const user = this.#server.tokens === undefined ? undefined : this.#server.tokens.get(token);
    if (this.#server.tokens !== undefined && (user === undefined || user !== (this.user ?? user))) {
      this.outbox.push({ type: 'error', code: 'unauthenticated', message: 'no good token', ...named(ref) });
      return;
    }
    this.user = user;
    this.outbox.push({ type: 'authenticated', ...named(ref), ...(user === undefined ? {} : { user }) });
  }

  #watch(id: string, channel: string): void {
    const { presence, position } = this.#server;
    this.outbox.push({ type: 'subscribed', id, position, resumed: false });
    const all = presence.list(channel);
    this.outbox.push({ type: 'presence', id, full: true, users: all.slice(0, 2), more: true });
    this.outbox.push({ type: 'presence', id, full: false, users: all.slice(2) });
    const watcher = {
      channel,
      tell: (told: PresenceTold) => {
        this.outbox.push({ type: 'presence', id, ...told });
      },
    };
    this.#watching.set(id, watcher);
    presence.watchers.add(watcher);
  }

  #unwatch(id: string): void {
    const watcher = this.#watching.get(id);
    if (watcher !== undefined) {
      this.#server.presence.watchers.delete(watcher);
      this.#watching.delete(id);
    }
  }

  #read(message: ClientMessage): void {
    if (!this.#isKnown(message)) {
      return;
    }
    switch (message.type) {
      case 'auth':
        this.#authenticate(message.token, message.ref);
        break;
      case 'track':
        if (message.channel === 'room:closed') {
          this.outbox.push({ type: 'error', code: 'forbidden', message: 'not for you', ...named(message.ref) });
          break;
        }
        this.#server.presence.track(
          this,
          message.channel,
          this.user ?? message.user ?? 'guest',
          (message.state ?? {}) as Value,
        );
        this.outbox.push({ type: 'tracked', ...named(message.ref) });
        break;
      case 'untrack':
        this.#server.presence.untrack(this, message.channel);
        this.outbox.push({ type: 'untracked', ...named(message.ref) });
        break;
      case 'subscribe':
        this.#subscribe(message);
        break;
      case 'unsubscribe':
        this.#subscriptions.delete(message.id);
        this.#pending.delete(message.id);
        this.#unwatch(message.id);
        this.outbox.push({ type: 'unsubscribed', id: message.id });
        break;
      case 'ping':
        this.outbox.push({ type: 'pong', position: this.#server.position });
        break;
      case 'insert':
        this.outbox.push({ type: 'inserted', ...this.#server.insert(message.rows), ...named(message.ref) });
        break;
      case 'write': {
        const { error, ...done } = this.#server.write(message.writes);
        const answer =
          error === undefined ? { type: 'written' as const, ...done } : { type: 'error' as const, ...error };
        this.outbox.push({ ...answer, ...named(message.ref) } as ServerMessage);
        break;
      }
      case 'publish':
        this.outbox.push({ type: 'published', ...this.#server.publish(message), ...named(message.ref) });
    }
  }

  #subscribe(subscription: Subscription): void {
    if (this.#subscriptions.has(subscription.id)) {
      throw new Error(`${subscription.id} is subscribed already`);
    }
    const { id, since } = subscription;
    if (subscription.where === 'bad') {
      const at = { offset: 0, length: 3 };
      this.outbox.push({ type: 'error', id, code: 'bad_filter', message: 'there is no column `bad`', at });
      return;
    }
    if (subscription.channel.startsWith('presence:')) {
      this.#watch(id, subscription.channel.slice('presence:'.length));
      return;
    }
    this.#subscriptions.set(id, subscription);
    if (/^(room|event):/.test(subscription.channel)) {
      this.outbox.push({ type: 'subscribed', id, position: this.#server.position, resumed: false });
      return;
    }
    const [epoch, offset] = (since ?? '').split('-').map(Number);
    const server = this.#server;
    if (since !== undefined && epoch === server.epoch && (offset ?? 0) >= server.forgotten) {
      this.outbox.push({ type: 'subscribed', id, position: since, resumed: true, ...this.#names() });
      const missed = server.log.filter((entry) => entry.offset > (offset ?? 0));
      for (const tx of new Set(missed.map((entry) => entry.tx))) {
        this.#tell(
          subscription,
          missed.filter((entry) => entry.tx === tx),
          true,
        );
      }
      return;
    }
    if (since !== undefined) {
      this.outbox.push({ type: 'gap', id, reason: epoch === server.epoch ? 'retention' : 'epoch', message: 'gone' });
    }
    this.#snapshot(subscription);
    this.outbox.push({ type: 'subscribed', id, position: server.position, resumed: false, ...this.#names() });
  }

  #snapshot(subscription: Subscription): void {
    if (subscription.snapshot === false) {
      return;
    }
    const { id } = subscription;
    const rows = this.#server.select(subscription);
    const parts = Math.max(1, Math.ceil(rows.length / 3));
    for (let part = 0; part < parts; part++) {
      const some = rows.slice(part * 3, part * 3 + 3);
      const names = part === 0 ? this.#names() : {};
      this.outbox.push({ type: 'snapshot', id, rows: some, done: part === parts - 1, ...names });
    }
  }

  #tell(subscription: Subscription, entries: readonly Logged[], marked: boolean): void {
    if ((subscription.deliver ?? 'strict') !== 'strict') {
      this.#pending.set(subscription.id, [...(this.#pending.get(subscription.id) ?? []), ...entries]);
      return;
    }
    const told = entries.flatMap((entry) => this.#server.told(entry, subscription) ?? []);
    const { id } = subscription;
    for (const [index, change] of told.entries()) {
      const last = marked && index === told.length - 1;
      this.outbox.push({ type: 'change', id, ...change, last });
    }
    const end = entries.at(-1);
    if (!marked && told.length > 0 && end !== undefined) {
      this.outbox.push({ type: 'commit', id, tx: end.tx, position: `${this.#server.epoch}-${end.offset}` });
    }
  }

  /** Tells the newest of each key. */
  #flush(): void {
    for (const [id, entries] of this.#pending) {
      const subscription = this.#subscriptions.get(id);
      const [oldest, newest] = [entries[0], entries.at(-1)];
      this.#pending.delete(id);
      if (subscription === undefined || oldest === undefined || newest === undefined) {
        continue;
      }
      const server = this.#server;
      const strictly = entries.flatMap((entry) => server.told(entry, subscription) ?? []);
      const told = conflated(entries, this.#server.keyless).flatMap((entry) => server.told(entry, subscription) ?? []);
      if (told.length < strictly.length) {
        this.outbox.push({ type: 'skipped', id, count: strictly.length - told.length });
      }
      const [before, end] = [`${server.epoch}-${oldest.offset - 1}`, `${server.epoch}-${newest.offset}`];
      for (const [index, change] of told.entries()) {
        const last = index === told.length - 1;
        this.outbox.push({ type: 'change', id, ...change, last, tx: newest.tx, position: last ? end : before });
      }
      if (told.length === 0 && strictly.length > 0) {
        this.outbox.push({ type: 'commit', id, tx: newest.tx, position: end });
      }
    }
  }

  #names() {
    return { columns: COLUMNS, key: this.#server.keyless ? [] : ['id'] };
  }
}

/** What the entries come to, for each key; without keys all of them. */
function conflated(entries: readonly Logged[], keyless: boolean): readonly Logged[] {
  if (keyless) {
    return entries;
  }
  const rows = new Map<number, Logged>();
  const note = (entry: Logged, id: number, old: Item | undefined, now: Item | undefined) => {
    const first = rows.get(id)?.old ?? (rows.has(id) ? undefined : old);
    const { offset, tx } = entry;
    rows.set(id, { offset, tx, ...(first ? { old: first } : {}), ...(now ? { new: now } : {}) });
  };
  for (const entry of entries) {
    if (entry.old !== undefined && entry.old.id !== entry.new?.id) {
      note(entry, entry.old.id, entry.old, undefined);
    }
    if (entry.new !== undefined) {
      note(entry, entry.new.id, entry.old?.id === entry.new.id ? entry.old : undefined, entry.new);
    }
  }
  return [...rows.values()].filter((entry) => entry.old !== undefined || entry.new !== undefined);
}

function named(ref: string | undefined) {
  return ref === undefined ? {} : { ref };
}

function matches(where: string | undefined, row: Item | undefined): boolean {
  return row !== undefined && (where === undefined || row.g === 1);
}
