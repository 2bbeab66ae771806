/**
 * `connect`: one connection for each server, and everything that a program asks of it.
 */
import { RowcastError } from './error.ts';
import { Feed } from './feed.ts';
import { baseUrl, getJson, type Http, http, problemOf, type Query, readJson } from './http.ts';
import { Live, type LiveSettings } from './live.ts';
import { ChannelPresence } from './presence.ts';
import type { InsertedMessage, WrittenMessage } from './protocol.ts';
import { Room } from './room.ts';
import { Runtime } from './runtime.ts';
import { nextFrame } from './schedule.ts';
import { sseCarrier } from './sse.ts';
import type { Problem } from './subscription.ts';
import { authorized, Tokens } from './tokens.ts';
import type {
  AnyRow,
  Change,
  Changed,
  ChangesOptions,
  ChannelOptions,
  Connection,
  ConnectOptions,
  Inserted,
  LiveTable,
  Presence,
  QueryOptions,
  RequestOptions,
  RoomChannel,
  Row,
  Rowcast,
  Rows,
  Series,
  SeriesOptions,
  Table,
  TableOptions,
  TokenSource,
  WebSocketClass,
  WhichRows,
  Write,
  Written,
} from './types.ts';
import { type Refusal, webSocketCarrier } from './websocket.ts';
import { toJson } from './wire.ts';

const CONNECT_MS = 10_000;
const PROBE_MS = 5_000;

/** Open ones, so that the same address and options share a connection. */
const shared: { readonly url: string; readonly options: ConnectOptions; readonly db: Rowcast }[] = [];

/** A server. Connects when something needs it; the same address and options give the same object until it is closed. */
export function connect(url: string, options: ConnectOptions = {}): Rowcast {
  const base = baseUrl(url);
  const known = shared.find((other) => other.url === base && sameOptions(other.options, options));
  if (known !== undefined) {
    return known.db;
  }
  const db = new Db(base, options, () => {
    shared.splice(
      shared.findIndex((other) => other.db === db),
      1,
    );
  });
  shared.push({ url: base, options, db });
  return db;
}

function sameOptions(a: ConnectOptions, b: ConnectOptions): boolean {
  const { backoff: backoffA, ...restA } = a;
  const { backoff: backoffB, ...restB } = b;
  return sameFields(backoffA ?? {}, backoffB ?? {}) && sameFields(restA, restB);
}

function sameFields(a: object, b: object): boolean {
  const left: Record<string, unknown> = { ...a };
  const right: Record<string, unknown> = { ...b };
  return Object.keys({ ...left, ...right }).every((name) => left[name] === right[name]);
}

class Db implements Rowcast {
  readonly url: string;
  readonly connection: Connection;
  readonly #runtime: Runtime;
  readonly #http: Http;
  readonly #timeoutMs: number;
  readonly #live: LiveSettings;
  readonly #tables = new Weakly<Live>();
  readonly #rooms = new Weakly<Room>();
  readonly #presences = new Weakly<ChannelPresence>();
  readonly #forget: () => void;
  #closed = false;

  constructor(url: string, options: ConnectOptions, forget: () => void) {
    this.url = url;
    const plain = http(url, options.fetch);
    const tokens = new Tokens(options.auth);
    this.#http = authorized(plain, tokens);
    this.#runtime = runtimeFor(options, plain, tokens);
    this.#timeoutMs = options.timeoutMs ?? 10_000;
    this.#live = { lingerMs: options.lingerMs ?? 2_000, schedule: options.schedule ?? nextFrame };
    this.#forget = forget;
    this.connection = connectionOf(this.#runtime);
  }

  readonly table = <R extends AnyRow = Row>(table: string, options: TableOptions = {}): LiveTable<R> => {
    const { where, columns, orderBy, limit, old, deliver = 'strict' } = options;
    const how = [orderBy?.trim() || null, limit, old === true, deliver];
    const key = JSON.stringify([table, where?.trim() || null, columns, ...how]);
    // Rows are what the server says; their type is the caller's word.
    const live: unknown = this.#tables.get(key, () => new Live(this.#runtime, table, options, this.#live));
    return live as LiveTable<R>;
  };

  readonly changes: Rowcast['changes'] = <R extends AnyRow = Row>(
    table: string,
    options: ChangesOptions<R> = {},
    onChange?: (change: Change<R>) => void,
  ) => {
    const feed: unknown = new Feed(this.#runtime, table, options as unknown as ChangesOptions, onChange as never);
    return feed as ReturnType<typeof this.changes<R>>;
  };

  readonly channel = (name: string, options?: ChannelOptions): RoomChannel => {
    const settings = { lingerMs: this.#live.lingerMs, timeoutMs: this.#timeoutMs };
    const make = () => new Room(this.#runtime, name, options ?? {}, settings);
    return options === undefined ? this.#rooms.get(name, make) : make();
  };

  readonly presence = <S>(channel: string): Presence<S> => {
    const make = () => new ChannelPresence(this.#runtime, channel, this.#live.lingerMs);
    // What users say of themselves; its type is the caller's word.
    const presence: unknown = this.#presences.get(channel, make);
    return presence as Presence<S>;
  };

  readonly authenticate = (auth: TokenSource): void => this.#runtime.authenticate(auth);

  readonly insert = async (
    table: string,
    rows: object | readonly object[],
    options: RequestOptions = {},
  ): Promise<Inserted> => {
    const list: readonly object[] = Array.isArray(rows) ? rows : [rows];
    const { timeoutMs = this.#timeoutMs, whenDisconnected } = options;
    const mayWait = whenDisconnected !== 'reject';
    try {
      const answer = await this.#runtime.request({ type: 'insert', table, rows: list }, { timeoutMs, mayWait });
      return insertedOf(answer as InsertedMessage);
    } catch (thrown) {
      if (thrown instanceof RowcastError && thrown.code === 'too_large' && !thrown.uncertain) {
        return this.#post(table, list);
      }
      throw thrown;
    }
  };

  readonly update = async (table: string, set: object, which: WhichRows): Promise<Changed> => {
    const { where, rows, ...options } = which;
    return changedOf(
      await this.write([{ update: table, set, where, ...(rows === undefined ? {} : { rows }) }], options),
    );
  };

  readonly delete = async (table: string, which: WhichRows): Promise<Changed> => {
    const { where, rows, ...options } = which;
    return changedOf(await this.write([{ delete: table, where, ...(rows === undefined ? {} : { rows }) }], options));
  };

  readonly write = async (writes: readonly Write[], options: RequestOptions = {}): Promise<Written> => {
    const { timeoutMs = this.#timeoutMs, whenDisconnected } = options;
    const mayWait = whenDisconnected !== 'reject';
    try {
      const answer = await this.#runtime.request({ type: 'write', writes }, { timeoutMs, mayWait });
      return writtenOf(answer as WrittenMessage);
    } catch (thrown) {
      if (thrown instanceof RowcastError && thrown.code === 'too_large' && !thrown.uncertain) {
        const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body: toJson({ writes }) };
        const [answer] = await getJson<PostedWrites>(this.#http, this.#http.url('v1/write'), init);
        return writtenOf({ ...answer, counts: answer.written });
      }
      throw thrown;
    }
  };

  readonly query = async <R extends AnyRow = Row>(table: string, options: QueryOptions = {}): Promise<Rows<R>> => {
    const { where, columns, orderBy, limit, offset, signal } = options;
    const query = {
      where: where || undefined,
      columns: listOf(columns),
      order_by: orderBy || undefined,
      limit,
      offset,
    };
    const [rows, response] = await this.#get<R[]>(`v1/tables/${encodeURIComponent(table)}`, query, signal);
    const position = response.headers.get('rowcast-position') ?? undefined;
    // Not a field that a loop or a comparison would meet.
    return Object.defineProperty(rows, 'position', { value: position });
  };

  readonly series = async (table: string, options: SeriesOptions): Promise<Series> => {
    const { time, value, groupBy, where, from, to, buckets, exact, signal } = options;
    const values = listOf(typeof value === 'string' ? [value] : value);
    const query = { time, value: values, group_by: groupBy, where: where || undefined, from, to, buckets, exact };
    const [series] = await this.#get<Series>(`v1/tables/${encodeURIComponent(table)}/series`, query, signal);
    return series;
  };

  readonly tables = async (options?: { readonly signal?: AbortSignal }): Promise<readonly Table[]> =>
    (await this.#get<readonly Table[]>('v1/tables', {}, options?.signal))[0];

  readonly status = async <S>(options?: { readonly signal?: AbortSignal }): Promise<S> =>
    (await this.#get<S>('v1/status', {}, options?.signal))[0];

  readonly close = (): void => {
    if (!this.#closed) {
      this.#closed = true;
      this.#forget();
      this.#runtime.close();
    }
  };

  #get<T>(path: string, query: Query, signal: AbortSignal | undefined): Promise<[T, Response]> {
    return getJson<T>(this.#http, this.#http.url(path, query), signal === undefined ? undefined : { signal });
  }

  /** For rows that do not fit into one message. */
  async #post(table: string, rows: readonly object[]): Promise<Inserted> {
    const url = this.#http.url(`v1/tables/${encodeURIComponent(table)}`);
    const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body: toJson(rows) };
    // Every row refused is an answer too, with a status of its own.
    const accept: Http = { ...this.#http, fetch: async (...args) => acceptRefusal(await this.#http.fetch(...args)) };
    const [answer] = await getJson<InsertedMessage>(accept, url, init);
    return insertedOf(answer);
  }
}

async function acceptRefusal(response: Response): Promise<Response> {
  if (response.status !== 422) {
    return response;
  }
  const text = await response.text();
  const isAnswer = text.includes('"rejected"');
  return new Response(text, { status: isAnswer ? 200 : 422 });
}

interface PostedWrites {
  readonly written: readonly number[];
  readonly position?: string;
}

function writtenOf({ counts, position }: Pick<WrittenMessage, 'counts' | 'position'>): Written {
  return { counts, ...(position === undefined ? {} : { position }) };
}

function changedOf({ counts, position }: Written): Changed {
  return { count: counts[0] ?? 0, ...(position === undefined ? {} : { position }) };
}

function insertedOf({ count, position, rejected }: InsertedMessage): Inserted {
  return { count, rejected, ...(position == null ? {} : { position }) };
}

/** Names with a comma or a quote in SQL's quotes, the others as they are. */
function listOf(names: readonly string[] | undefined): string | undefined {
  return names?.map((name) => (/[",]/.test(name) ? `"${name.replaceAll('"', '""')}"` : name)).join(',');
}

function runtimeFor(options: ConnectOptions, http: Http, tokens: Tokens): Runtime {
  const WebSocket = options.webSocket ?? (globalThis.WebSocket as WebSocketClass | undefined);
  const wanted = options.transport ?? 'auto';
  const settings = {
    transport: wanted === 'auto' && WebSocket === undefined ? 'sse' : wanted,
    backoffBaseMs: options.backoff?.baseMs ?? 500,
    backoffCapMs: options.backoff?.capMs ?? 30_000,
    connectMs: CONNECT_MS,
    probeMs: PROBE_MS,
    idleMs: options.idleMs ?? 5_000,
    auth: tokens.wanted,
  } as const;
  // A token is shown on the connection itself, so that only a cookie can be what was refused.
  const refusal: Refusal = () => (tokens.wanted ? Promise.resolve(undefined) : askWhoIAm(http));
  const carriers = {
    websocket: webSocketCarrier(http.url('v1/ws').replace(/^http/, 'ws'), WebSocket, refusal),
    sse: sseCarrier(http),
  };
  return new Runtime({ settings, carriers, tokens, onError: options.onError, onFrame: options.onFrame });
}

async function askWhoIAm(http: Http): Promise<Problem | undefined> {
  const response = await http.fetch(http.url('v1/whoami'), { cache: 'no-store' });
  const problem = problemOf(response, await readJson(response));
  return response.status === 401 && problem.code === 'unauthenticated' ? problem : undefined;
}

function connectionOf(runtime: Runtime): Connection {
  const now = () => runtime.getSnapshot();
  return {
    get state() {
      return now().state;
    },
    get transport() {
      return now().transport;
    },
    get attempt() {
      return now().attempt;
    },
    get retryAt() {
      return now().retryAt;
    },
    get error() {
      return now().error;
    },
    get session() {
      return now().session;
    },
    get server() {
      return now().server;
    },
    get user() {
      return now().user;
    },
    get expiresAt() {
      return now().expiresAt;
    },
    get retryInMs() {
      const at = now().retryAt;
      return at === undefined ? undefined : Math.max(0, at - Date.now());
    },
    getSnapshot: runtime.getSnapshot,
    subscribe: runtime.listen,
    retry: runtime.retry,
  };
}

/** Objects by key for as long as somebody holds them. */
class Weakly<T extends object> {
  readonly #refs = new Map<string, WeakRef<T>>();
  readonly #registry = new FinalizationRegistry<string>((key) => {
    if (this.#refs.get(key)?.deref() === undefined) {
      this.#refs.delete(key);
    }
  });

  get(key: string, make: () => T): T {
    const known = this.#refs.get(key)?.deref();
    if (known !== undefined) {
      return known;
    }
    const made = make();
    this.#refs.set(key, new WeakRef(made));
    this.#registry.register(made, key);
    return made;
  }
}
