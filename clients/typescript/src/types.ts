/**
 * The public types: what a program that uses the client sees.
 */

/** A column's value as JSON carries it. Integers beyond ±(2^53−1), long decimals and bytes (`\x…`) are strings. */
export type Value = string | number | boolean | null | readonly Value[] | { readonly [name: string]: Value };

/** A row: column name to value. */
export type Row = { readonly [column: string]: Value };

/** Any object type can stand for a row, interfaces too. */
export type AnyRow = object;

/** Where an event stands in the log. Compare for equality only; give it back to resume after it. */
export type Position = string;

/** A column of a table. `type` is the database's own word for it and may be empty. */
export interface Column {
  readonly name: string;
  readonly type: string;
}

/** A table that can be followed. */
export interface Table {
  readonly name: string;
  readonly columns: readonly Column[];
  /** Names of the primary key's columns, in key order; empty where the table has none. */
  readonly key: readonly string[];
}

/** What happened to a row of the result. */
export type Op = 'insert' | 'update' | 'delete';

/** One change of a result. */
export interface Change<R extends AnyRow = Row> {
  /** What happened to the result: the row is new in it, has changed, or has left it. */
  readonly op: Op;
  /** The new row (`delete`: the old one, as far as known). A column that is missing did not change. */
  readonly row: Partial<R>;
  /** The row before, if `old: true` was asked for and the database knows it. */
  readonly old?: Partial<R>;
  /** Values of the primary key, or `null` where the table has none. */
  readonly key: readonly Value[] | null;
  /** The key before, when an update changed it. */
  readonly oldKey?: readonly Value[];
  /**
   * What the database did, where that is not `op`: an UPDATE that made the row match or stop matching.
   */
  readonly cause?: Op;
  readonly position: Position;
  /** Equal for the changes of one transaction. */
  readonly tx: number;
  /** Whether this is the transaction's last change in this result. */
  readonly last: boolean;
  /** Milliseconds since 1970. */
  readonly time: number;
}

/**
 * What this client held could not be continued: changes are missing before the next one. `revoked`: some of it may not be seen any
 * more, and all of it has to be dropped.
 */
export interface Gap {
  readonly reason: 'retention' | 'epoch' | 'schema' | 'source' | 'granted' | 'revoked' | (string & {});
  readonly message: string;
}

/** A message in a room. */
export interface RoomMessage<D = Value> {
  readonly event: string;
  readonly data: D;
  /** Absent when the message was ephemeral. */
  readonly position?: Position;
  /** Milliseconds since 1970. */
  readonly time: number;
}

/** Conflated: of several changes of a row only what they come to is told. `everyMs`: no more often than that. */
export type DeliverConflated = 'strict' | 'latest' | { readonly everyMs: number };

/** How much of what happens is told. `strict`, the default: everything, in order. */
export type Deliver = DeliverConflated | { readonly sample: number | Sample };

/** For charts: of each bucket of time the rows with the least and the greatest value, and the newest. */
export interface Sample {
  /** Buckets of a second, at most 1,000; also 0.1 and such. */
  readonly perSecond: number;
  /** The columns whose values count. All that are shown and are not of the key unless given. */
  readonly value?: string | readonly string[] | undefined;
  /** A column that tells the lines of the chart apart. */
  readonly groupBy?: string | undefined;
}

/** Which rows of a table, and how. */
export interface TableOptions {
  /** SQL's WHERE syntax over the columns of one row: `speed > 50 and city in ('Oslo','Bergen')`. */
  readonly where?: string | undefined;
  /** The columns that are wanted; all unless given. */
  readonly columns?: readonly string[] | undefined;
  /** SQL's ORDER BY: `time desc, id`. By key unless given. Rows that tie are in the order of their key, in the last term's direction. */
  readonly orderBy?: string | undefined;
  /** At most so many rows. All unless given. */
  readonly limit?: number | undefined;
  /** Ask for the old rows too; they are needed only where rows are told apart by them. */
  readonly old?: boolean | undefined;
  /** How often the rows follow the table: `latest` and `everyMs` leave out what a newer change has made old. Default `strict`. */
  readonly deliver?: DeliverConflated | undefined;
}

/** What {@link Rowcast.query} reads. */
export interface QueryOptions {
  readonly where?: string | undefined;
  readonly columns?: readonly string[] | undefined;
  readonly orderBy?: string | undefined;
  /** The server's default is 1,000. */
  readonly limit?: number | undefined;
  readonly offset?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Rows as of one moment of the log. */
export type Rows<R extends AnyRow = Row> = readonly R[] & {
  /** Give it to `changes` as `since` to continue without a gap. */
  readonly position?: Position;
};

/** What a live table is doing. */
export type LiveStatus = 'loading' | 'live' | 'reconnecting' | 'error';

/** A live table at one moment. A new object whenever anything changed. */
export interface LiveSnapshot<R extends AnyRow = Row> {
  /** Sorted and limited. The same array as long as no row changed, and rows that did not change are the same objects. */
  readonly rows: readonly R[];
  /** For each row a text that tells it apart and stays the same over updates. */
  readonly keys: readonly string[];
  /** `loading` until the first rows are complete; `reconnecting` while rows may be out of date. */
  readonly status: LiveStatus;
  /** Why the status is `error`, or what is retried. */
  readonly error: RowcastErrorLike | undefined;
  /** The columns of `rows`, once known. */
  readonly columns: readonly Column[];
  /** Names of the primary key's columns, once known; empty where the table has none. */
  readonly key: readonly string[];
  /** Up to where the rows are up to date. */
  readonly position: Position | undefined;
  /** What the server said when it last took rows from this client that it may not see any more. They are gone from `rows`. */
  readonly revoked: string | undefined;
}

/** The fields of a `RowcastError`, so that this file needs no code. */
export interface RowcastErrorLike extends Error {
  readonly code: string;
  readonly hint?: string | undefined;
  readonly at?: FilterSpan | undefined;
  readonly uncertain: boolean;
  readonly retryMs?: number | undefined;
}

/** The wrong part of a filter, in characters (code points) from its start. */
export interface FilterSpan {
  readonly offset: number;
  readonly length: number;
}

/** The rows of a table that a filter keeps, kept up to date while somebody listens. */
export interface LiveTable<R extends AnyRow = Row> extends LiveSnapshot<R> {
  /** Calls `listener` after each change. The first listener starts the subscription; it stops soon after the last. */
  readonly subscribe: (listener: () => void) => () => void;
  /** The same object until something changes. */
  readonly getSnapshot: () => LiveSnapshot<R>;
  /** Resolves once the rows are complete, rejects if they are refused, or if the server does not take this client. Listens while it waits. */
  readonly ready: () => Promise<LiveSnapshot<R>>;
  /** Reads everything again, after an error for example. The old rows stay until the new ones are complete. */
  readonly refresh: () => void;
}

/** What {@link Rowcast.changes} follows, and who is told. */
export interface ChangesOptions<R extends AnyRow = Row> {
  readonly where?: string | undefined;
  readonly columns?: readonly string[] | undefined;
  /** Continue after this position. Without it: from now on. */
  readonly since?: Position | undefined;
  /** Ask for the rows first (and again after a gap). Default `false`. */
  readonly snapshot?: boolean | { readonly orderBy?: string; readonly limit?: number } | undefined;
  readonly old?: boolean | undefined;
  /** How much is told. Other than with `strict`, the default, `last` ends what was told at once, which may be many transactions. */
  readonly deliver?: Deliver | undefined;
  /** So many changes are not told one by one, because `deliver` says so. Called before those that are. */
  readonly onSkipped?: ((count: number) => void) | undefined;
  /** A whole transaction at a time, in addition to the single changes. */
  readonly onTransaction?: ((changes: readonly Change<R>[]) => void) | undefined;
  /** Rows of the snapshot, in one or more parts. `first` begins a snapshot, `done` ends it. */
  readonly onSnapshot?: ((rows: readonly R[], part: SnapshotPart) => void) | undefined;
  /** Following has begun, or begun again; `resumed: false` means that it does not continue what was received before. */
  readonly onSubscribed?: ((subscribed: Subscribed) => void) | undefined;
  /** Changes are missing. An async iterator without `onGap` throws instead. */
  readonly onGap?: ((gap: Gap) => void) | undefined;
  /** The server refused or ended the subscription. */
  readonly onError?: ((error: RowcastErrorLike) => void) | undefined;
  /** The connection was lost (`reconnecting`) or is back (`live`). */
  readonly onStatus?: ((status: LiveStatus) => void) | undefined;
  /** How many changes an async iterator holds before it pauses the subscription. Default 10,000. */
  readonly bufferMax?: number | undefined;
}

/** Where a part of a snapshot stands in it. */
export interface SnapshotPart {
  readonly first: boolean;
  readonly done: boolean;
  readonly columns: readonly Column[];
  readonly key: readonly string[];
}

/** The server's word that changes follow. */
export interface Subscribed {
  readonly position: Position;
  readonly resumed: boolean;
  readonly columns: readonly Column[];
  readonly key: readonly string[];
}

/** Changes as they are committed. Close it, or leave the loop over it. */
export interface ChangeFeed<R extends AnyRow = Row> extends AsyncIterable<Change<R>> {
  readonly close: () => void;
  /** Position of the last change that was handed out; store it to continue later. */
  readonly position: Position | undefined;
  readonly status: LiveStatus | 'closed';
}

/** How a request behaves. */
export interface RequestOptions {
  /** Give up after this long. Default: the connection's `timeoutMs`. */
  readonly timeoutMs?: number | undefined;
  /** While not connected: `wait` for the connection until the timeout, or `reject` at once. Default `wait`. */
  readonly whenDisconnected?: 'wait' | 'reject' | undefined;
}

/** A row that was refused. */
export interface Rejected {
  /** Which row, counted from 1. */
  readonly line: number;
  readonly reason: string;
  readonly column?: string;
}

/** What became of an insert. */
export interface Inserted {
  /** How many rows stand. */
  readonly count: number;
  /** Who has reached it has seen them all; absent where no row stands. */
  readonly position?: Position;
  readonly rejected: readonly Rejected[];
}

/** Which rows are changed or removed, and how many there have to be. */
export interface WhichRows extends RequestOptions {
  /** A filter; `true` is all rows. */
  readonly where: string;
  /** With any other number of rows nothing is written, and the promise is rejected with `conflict`. */
  readonly rows?: number | undefined;
}

/** One of several changes that stand together. */
export type Write =
  | { readonly insert: string; readonly row: object }
  | { readonly update: string; readonly set: object; readonly where: string; readonly rows?: number }
  | { readonly delete: string; readonly where: string; readonly rows?: number }
  /** Rows that have to be there: `rows` of them, or at least one. */
  | { readonly require: string; readonly where: string; readonly rows?: number };

/** What became of an update or a delete. */
export interface Changed {
  /** How many rows there were. */
  readonly count: number;
  /** Who has reached it has seen all of it; absent where the server's log is behind. */
  readonly position?: Position;
}

/** What became of several changes. */
export interface Written {
  /** For each of them, how many rows there were. */
  readonly counts: readonly number[];
  /** Who has reached it has seen all of it; absent where the server's log is behind. */
  readonly position?: Position;
}

/** What became of a publish. */
export interface Published {
  /** Absent when the message was ephemeral. */
  readonly position?: Position;
}

/** A chart's question. */
export interface SeriesOptions {
  /** The time column. */
  readonly time: string;
  /** One or more numeric columns. */
  readonly value: string | readonly string[];
  readonly groupBy?: string | undefined;
  readonly where?: string | undefined;
  readonly from?: number | string | undefined;
  readonly to?: number | string | undefined;
  /** Default 600. */
  readonly buckets?: number | undefined;
  /** Count every row, however long it takes. */
  readonly exact?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A chart's history. */
export interface Series {
  readonly from: number;
  readonly to: number;
  /** A bucket's width in the time column's unit. */
  readonly width: number;
  /** `false`: the table was sampled. */
  readonly exact: boolean;
  /** Give it to `changes` as `since` to continue. */
  readonly position: Position;
  readonly groups: readonly SeriesGroup[];
}

/** One line of a chart: arrays of equal length, one entry for each bucket that is not empty. */
export interface SeriesGroup {
  /** The value of the group-by column; `null` without one. */
  readonly group: Value;
  readonly time: readonly number[];
  readonly count: readonly number[];
  /** One inner array for each value column. */
  readonly min: readonly (readonly (number | null)[])[];
  readonly max: readonly (readonly (number | null)[])[];
  readonly avg: readonly (readonly (number | null)[])[];
  readonly last: readonly (readonly (number | null)[])[];
}

/** A room: messages that clients publish. Or an application's own event, `event:newData`. Or a NOTIFY channel of PostgreSQL: `notify` events with {@link Notification}. */
export interface RoomChannel {
  readonly name: string;
  /** Tells everyone in the room. At most once: a rejection with `uncertain` may have been delivered. */
  readonly publish: (event: string, data: unknown, options?: PublishOptions) => Promise<Published>;
  /** Listens for an event (`*`: for all). Returns what ends it. The first listener subscribes. */
  readonly on: <D = Value>(event: string, listener: (data: D, message: RoomMessage<D>) => void) => () => void;
  readonly status: LiveStatus;
  readonly error: RowcastErrorLike | undefined;
  /** Calls `listener` when `status` or `error` changes. Does not join the room. */
  readonly subscribe: (listener: () => void) => () => void;
  readonly getSnapshot: () => RoomSnapshot;
}

/** The data of a `notify` event. */
export interface Notification {
  readonly payload: string;
  /** The server process that notified; 0 where that is not known. */
  readonly process_id: number;
}

/** A room at one moment. */
export interface RoomSnapshot {
  readonly status: LiveStatus;
  readonly error: RowcastErrorLike | undefined;
}

/** How to follow a room. */
export interface ChannelOptions {
  /** Continue after this position. */
  readonly since?: Position | undefined;
  readonly onGap?: ((gap: Gap) => void) | undefined;
  /** How much of an application's own event (`event:newData`) is told. Default `strict`. */
  readonly deliver?: Deliver | undefined;
  /** Ephemeral messages were dropped because this client is slow, or messages are not told because `deliver` says so. */
  readonly onSkipped?: ((count: number) => void) | undefined;
}

/** How to publish. */
export interface PublishOptions extends RequestOptions {
  /** Only to those who listen now; never stored. */
  readonly ephemeral?: boolean | undefined;
}

/** Somebody on a channel. */
export interface PresentUser<S = Value> {
  readonly user: string;
  /** What the user's newest connection says of itself. */
  readonly state: S;
  /** How many connections the user has there. */
  readonly connections: number;
  /** Milliseconds since 1970. */
  readonly since: number;
}

/** Who is on a channel at one moment. */
export interface PresenceSnapshot<S = Value> {
  /** Who came first is first. The same array until something changes, and who did not change is the same object. */
  readonly users: readonly PresentUser<S>[];
  readonly status: LiveStatus;
  readonly error: RowcastErrorLike | undefined;
}

/** Who is on a channel, as a store, and being one of them. */
export interface Presence<S = Value> extends PresenceSnapshot<S> {
  readonly channel: string;
  /** Says "I am here", or that the state is another now. Said again on each new connection. A newer state replaces one that waits. */
  readonly track: (state?: object, options?: { readonly user?: string | undefined }) => void;
  /** Leaves. */
  readonly untrack: () => void;
  /** Calls `listener` after each change. The first listener starts watching; it stops soon after the last. */
  readonly subscribe: (listener: (users: readonly PresentUser<S>[]) => void) => () => void;
  readonly getSnapshot: () => PresenceSnapshot<S>;
}

/** What the connection is doing. */
export type ConnectionState = 'idle' | 'connecting' | 'open' | 'waiting' | 'offline' | 'unauthenticated' | 'closed';

/** The connection at one moment. A new object whenever anything changed. */
export interface ConnectionSnapshot {
  /**
   * `idle`: nobody needs it. `waiting`: until the next try. `offline`: the browser says there is no network. `unauthenticated`: the server
   * does not take the token, and nothing is tried until `authenticate` or `retry`.
   */
  readonly state: ConnectionState;
  readonly transport: 'websocket' | 'sse' | undefined;
  /** Failed tries in a row. */
  readonly attempt: number;
  /** When the next try begins, in milliseconds since 1970. */
  readonly retryAt: number | undefined;
  /** Why the connection was last lost, until it is open again. */
  readonly error: RowcastErrorLike | undefined;
  /** The server's name for this connection, and its version. */
  readonly session: string | undefined;
  readonly server: string | undefined;
  /** Who this is, as the server understood the token, and until when it is good (milliseconds since 1970). */
  readonly user: string | undefined;
  readonly expiresAt: number | undefined;
}

/** The connection, as a store. */
export interface Connection extends ConnectionSnapshot {
  /** Milliseconds until the next try, now. */
  readonly retryInMs: number | undefined;
  readonly subscribe: (listener: () => void) => () => void;
  readonly getSnapshot: () => ConnectionSnapshot;
  /** Tries now instead of at `retryAt`; or again, with the same source of tokens, after `unauthenticated`. */
  readonly retry: () => void;
}

/** A token, or what gives one whenever it is needed. An empty one, or a thrown error with `code` `unauthenticated`: there is none. */
export type TokenSource = string | (() => string | Promise<string>);

/** The part of a `WebSocket` class that is used; the browser's and the `ws` package's both fit. */
export interface WebSocketLike {
  binaryType: string;
  onopen: ((event: never) => void) | null;
  onmessage: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
  send(text: string): void;
  close(code?: number, reason?: string): void;
}

/** A `WebSocket` class. */
export type WebSocketClass = new (url: string) => WebSocketLike;

/** How to connect. */
export interface ConnectOptions {
  /** Default `auto`: WebSocket, and Server-Sent Events where there is none or where it does not come through. */
  readonly transport?: 'websocket' | 'sse' | 'auto' | undefined;
  /** The WebSocket class, where the global one is missing (Node 20) or should not be used. */
  readonly webSocket?: WebSocketClass | undefined;
  readonly fetch?: typeof fetch | undefined;
  /** Who this is. A function is asked on each connection, and again before its token expires. Cookies need nothing here. */
  readonly auth?: TokenSource | undefined;
  /** Waiting between tries: random between 0 and `min(capMs, baseMs · 2^n)`. Default 500 and 30,000. */
  readonly backoff?: { readonly baseMs?: number; readonly capMs?: number } | undefined;
  /** A request without an answer is given up after this long. Default 10,000. */
  readonly timeoutMs?: number | undefined;
  /** A subscription nobody listens to is kept this long. Default 2,000. */
  readonly lingerMs?: number | undefined;
  /** An unused connection is kept this long. Default 5,000. */
  readonly idleMs?: number | undefined;
  /** When listeners of live tables are called after changes. Default: the next animation frame. */
  readonly schedule?: ((flush: () => void) => void) | undefined;
  /** What the server sent and nobody can use. Default: `console.warn`, once for each kind. */
  readonly onError?: ((error: RowcastErrorLike) => void) | undefined;
  /** Every text frame, for a console. */
  readonly onFrame?: ((frame: { readonly direction: 'in' | 'out'; readonly text: string }) => void) | undefined;
}

/** A Rowcast server. */
export interface Rowcast {
  readonly url: string;
  readonly connection: Connection;
  /** Live rows. The same options give the same object while it is in use. */
  readonly table: <R extends AnyRow = Row>(table: string, options?: TableOptions) => LiveTable<R>;
  /** Changes as they are committed, to a function or to `for await`. */
  readonly changes: <R extends AnyRow = Row>(
    table: string,
    options?: ChangesOptions<R>,
    onChange?: (change: Change<R>) => void,
  ) => ChangeFeed<R>;
  /** A room, as `room:lobby`, an application's own event, as `event:newData`, or a NOTIFY channel of PostgreSQL, as `notify:jobs`. */
  readonly channel: (name: string, options?: ChannelOptions) => RoomChannel;
  /** Who is on a channel, as `room:lobby` or `table:orders`, and being one of them. */
  readonly presence: <S = Value>(channel: string) => Presence<S>;
  /** Another token, or another way to one. Ends the state `unauthenticated`; an open connection shows it at once. */
  readonly authenticate: (auth: TokenSource) => void;
  /** Stores rows. At most once: never repeated by itself; a rejection with `uncertain` may have been carried out. */
  readonly insert: (table: string, rows: object | readonly object[], options?: RequestOptions) => Promise<Inserted>;
  /** Sets columns of rows. At most once, as `insert`. */
  readonly update: (table: string, set: object, which: WhichRows) => Promise<Changed>;
  /** Removes rows. At most once, as `insert`. */
  readonly delete: (table: string, which: WhichRows) => Promise<Changed>;
  /** Changes of several tables, all of them or none. At most once, as `insert`. */
  readonly write: (writes: readonly Write[], options?: RequestOptions) => Promise<Written>;
  /** Rows of a table, once, over HTTP. */
  readonly query: <R extends AnyRow = Row>(table: string, options?: QueryOptions) => Promise<Rows<R>>;
  /** A chart's history, over HTTP. */
  readonly series: (table: string, options: SeriesOptions) => Promise<Series>;
  readonly tables: (options?: { readonly signal?: AbortSignal }) => Promise<readonly Table[]>;
  /** What the server tells of itself; its shape belongs to the server. */
  readonly status: <S = Value>(options?: { readonly signal?: AbortSignal }) => Promise<S>;
  /** Ends everything. Open requests are rejected. */
  readonly close: () => void;
}
