/**
 * React hooks over the client's stores. They only subscribe; everything else is the client's.
 */
import {
  createContext,
  createElement,
  type ReactNode,
  useCallback,
  useContext,
  useEffect,
  useMemo,
  useRef,
  useSyncExternalStore,
} from 'react';
import type {
  AnyRow,
  ConnectionSnapshot,
  LiveSnapshot,
  PresenceSnapshot,
  Published,
  PublishOptions,
  RoomMessage,
  RoomSnapshot,
  Row,
  Rowcast,
  TableOptions,
  TokenSource,
  Value,
} from './types.ts';

const Context = createContext<Rowcast | undefined>(undefined);

/** Gives the hooks below it their server. */
export function RowcastProvider({ db, children }: { readonly db: Rowcast; readonly children?: ReactNode }): ReactNode {
  return createElement(Context, { value: db }, children);
}

/** The server of the nearest `RowcastProvider`. */
export function useRowcast(): Rowcast {
  const db = useContext(Context);
  if (db === undefined) {
    throw new Error('no Rowcast server: put a <RowcastProvider db={…}> above, or give the server to the hook');
  }
  return db;
}

/** What `useRows` gives. */
export interface UseRows<R extends AnyRow = Row> extends LiveSnapshot<R> {
  /** Reads everything again, after an error for example. */
  readonly refresh: () => void;
}

/**
 * The live rows of a table. Options may be written in place: only their values matter. Without a table nothing is followed.
 */
export function useRows<R extends AnyRow = Row>(table: string | null | undefined, options?: TableOptions): UseRows<R>;
export function useRows<R extends AnyRow = Row>(
  db: Rowcast,
  table: string | null | undefined,
  options?: TableOptions,
): UseRows<R>;
export function useRows<R extends AnyRow = Row>(...args: readonly [unknown?, unknown?, unknown?]): UseRows<R> {
  const context = useContext(Context);
  const explicit = typeof args[0] === 'object' && args[0] !== null;
  const [table, options] = (explicit ? args.slice(1) : args) as [string | null | undefined, TableOptions | undefined];
  const db = explicit ? (args[0] as Rowcast) : context;
  const values = JSON.stringify(options ?? {});
  // Equal options are the same object from here on, so that nothing subscribes anew when a parent renders.
  const live = useMemo(() => {
    if (table === null || table === undefined) {
      return undefined;
    }
    return needed(db).table<R>(table, JSON.parse(values) as TableOptions);
  }, [db, table, values]);
  const getSnapshot = live?.getSnapshot ?? nothing<R>;
  const snapshot = useSyncExternalStore(live?.subscribe ?? never, getSnapshot, getSnapshot);
  return useMemo(() => withRefresh(snapshot, live?.refresh ?? ignore), [snapshot, live]);
}

/** What `useChannel` gives. */
export interface UseChannel extends RoomSnapshot {
  readonly publish: (event: string, data: unknown, options?: PublishOptions) => Promise<Published>;
}

type OnMessage<D> = (data: D, message: RoomMessage<D>) => void;

/**
 * A room: `listener` hears `event` (`*`: every event) while the component is there; the latest one is called, and a new one
 * does not join anew.
 */
export function useChannel<D = Value>(name: string, event?: string, listener?: OnMessage<D>): UseChannel;
export function useChannel<D = Value>(db: Rowcast, name: string, event?: string, listener?: OnMessage<D>): UseChannel;
export function useChannel<D = Value>(...args: readonly [unknown?, unknown?, unknown?, unknown?]): UseChannel {
  const context = useContext(Context);
  const explicit = typeof args[0] === 'object' && args[0] !== null;
  const [name, event = '*', listener] = (explicit ? args.slice(1) : args) as [string, string?, OnMessage<D>?];
  const db = explicit ? (args[0] as Rowcast) : context;
  const room = useMemo(() => needed(db).channel(name), [db, name]);
  const latest = useRef(listener);
  useEffect(() => {
    latest.current = listener;
  });
  const listens = listener !== undefined;
  useEffect(() => {
    if (!listens) {
      return undefined;
    }
    return room.on<D>(event, (data, message) => latest.current?.(data, message));
  }, [room, event, listens]);
  const { status, error } = useSyncExternalStore(room.subscribe, room.getSnapshot, room.getSnapshot);
  return useMemo(() => ({ status, error, publish: room.publish }), [status, error, room]);
}

/** What `usePresence` gives. */
export interface UsePresence<S = Value> extends PresenceSnapshot<S> {
  /** Says what is to be seen from now on, between renders (a cursor, say). */
  readonly track: (state?: object) => void;
}

/**
 * Who is on a channel. With a state this client is one of them while the component is there, and the others see it change with each
 * render; write it in place, only its value matters. One component for each channel should say that.
 */
export function usePresence<S = Value>(channel: string, state?: object): UsePresence<S>;
export function usePresence<S = Value>(db: Rowcast, channel: string, state?: object): UsePresence<S>;
export function usePresence<S = Value>(...args: readonly [unknown?, unknown?, unknown?]): UsePresence<S> {
  const context = useContext(Context);
  const explicit = typeof args[0] === 'object' && args[0] !== null;
  const [channel, state] = (explicit ? args.slice(1) : args) as [string, object?];
  const db = explicit ? (args[0] as Rowcast) : context;
  const presence = useMemo(() => needed(db).presence<S>(channel), [db, channel]);
  const value = state === undefined ? undefined : JSON.stringify(state);
  const tracks = value !== undefined;
  useEffect(() => {
    if (value !== undefined) {
      presence.track(JSON.parse(value) as object);
    }
  }, [presence, value]);
  useEffect(() => {
    if (!tracks) {
      return undefined;
    }
    return presence.untrack;
  }, [presence, tracks]);
  const snapshot = useSyncExternalStore(presence.subscribe, presence.getSnapshot, presence.getSnapshot);
  return useMemo(() => ({ ...snapshot, track: presence.track }), [snapshot, presence]);
}

/** What `useConnection` gives. */
export interface UseConnection extends ConnectionSnapshot {
  /** Tries now instead of at `retryAt`; or again after `unauthenticated`. */
  readonly retry: () => void;
  /** Another token, or another way to one. */
  readonly authenticate: (auth: TokenSource) => void;
}

/** The state of the connection, for a badge. */
export function useConnection(db?: Rowcast): UseConnection {
  const context = useContext(Context);
  const { connection, authenticate } = needed(db ?? context);
  const get = useCallback(() => connection.getSnapshot(), [connection]);
  const snapshot = useSyncExternalStore(connection.subscribe, get, get);
  return useMemo(() => ({ ...snapshot, retry: connection.retry, authenticate }), [snapshot, connection, authenticate]);
}

function needed(db: Rowcast | undefined): Rowcast {
  if (db === undefined) {
    throw new Error('no Rowcast server: put a <RowcastProvider db={…}> above, or give the server to the hook');
  }
  return db;
}

/** Not spread: `keys` is made only when somebody reads it. */
function withRefresh<R extends AnyRow>(snapshot: LiveSnapshot<R>, refresh: () => void): UseRows<R> {
  return {
    rows: snapshot.rows,
    get keys() {
      return snapshot.keys;
    },
    status: snapshot.status,
    error: snapshot.error,
    columns: snapshot.columns,
    key: snapshot.key,
    position: snapshot.position,
    revoked: snapshot.revoked,
    refresh,
  };
}

const NOTHING: LiveSnapshot<never> = {
  rows: [],
  keys: [],
  status: 'loading',
  error: undefined,
  columns: [],
  key: [],
  position: undefined,
  revoked: undefined,
};

function nothing<R extends AnyRow>(): LiveSnapshot<R> {
  return NOTHING;
}

function never(): () => void {
  return ignore;
}

function ignore(): void {}
