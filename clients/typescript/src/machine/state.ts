/**
 * What the machine knows, hears and says, and small steps that all its parts take.
 */
import type { ClientMessage, Hello, RequestMessage, ServerMessage, Subscribe } from '../protocol.ts';
import { type Answer, nextExpiry, type Request, settle } from '../requests.ts';
import type { Delivery, Problem, Subscription } from '../subscription.ts';
import type { ConnectionState, Position } from '../types.ts';
import type { Leaving } from './leaving.ts';
import { nothingShown, type Showing } from './showing.ts';
import type { Track, TrackWish } from './track.ts';

/** What carries the messages. */
export type Transport = 'websocket' | 'sse';

/** A message, or a carrier's word that one subscription has reached a position (an idle event stream). */
export type Incoming = ServerMessage | { readonly type: 'reached'; readonly id: string; readonly position: Position };

/** The same for the whole life of a connection. */
export interface Settings {
  readonly transport: Transport | 'auto';
  readonly backoffBaseMs: number;
  readonly backoffCapMs: number;
  /** No `hello` after this long: the try has failed. */
  readonly connectMs: number;
  /** No answer to a ping after this long: the connection is dead. */
  readonly probeMs: number;
  /** An unused connection is kept this long. */
  readonly idleMs: number;
  /** Whether there is a token to show. */
  readonly auth: boolean;
}

export interface State {
  readonly phase: ConnectionState;
  readonly settings: Settings;
  /** What the browser last said. */
  readonly network: boolean;
  /** The number of the newest carrier; what others say is of the past. */
  readonly carrier: number;
  readonly transport: Transport;
  /** Transports that have brought a `hello`. */
  readonly proven: { readonly [T in Transport]: boolean };
  /** Failed tries in a row. */
  readonly attempt: number;
  readonly hello: Hello | undefined;
  readonly openedAt: number;
  readonly heardAt: number;
  readonly problem: Problem | undefined;
  readonly deadlines: Deadlines;
  readonly subscriptions: ReadonlyMap<number, Subscription>;
  /** Handles by id on the wire. */
  readonly handles: ReadonlyMap<string, number>;
  /** Ids that were given up on this connection; what still comes for them is dropped. */
  readonly leaving: ReadonlyMap<string, Leaving>;
  readonly requests: ReadonlyMap<string, Request>;
  readonly tracks: ReadonlyMap<number, Track>;
  readonly showing: Showing;
}

/** Moments, in the milliseconds of {@link Moment}. */
interface Deadlines {
  readonly connect?: number;
  readonly retry?: number;
  readonly probe?: number;
  readonly idle?: number;
  readonly renew?: number;
}

export type Event =
  | { readonly type: 'subscribe'; readonly handle: number; readonly id: string; readonly spec: Subscribe }
  | { readonly type: 'unsubscribe'; readonly handle: number }
  | {
      readonly type: 'request';
      readonly ref: string;
      readonly message: RequestMessage;
      /** The message as it will be sent, and its length in UTF-8. */
      readonly text: string;
      readonly bytes: number;
      readonly timeoutMs: number;
      readonly mayWait: boolean;
    }
  | { readonly type: 'track'; readonly handle: number; readonly channel: string; readonly wish: TrackWish }
  | { readonly type: 'untrack'; readonly handle: number }
  /** The program's answer to a `token` effect. */
  | { readonly type: 'token'; readonly question: number; readonly token: string }
  | { readonly type: 'no_token'; readonly question: number; readonly problem: Problem }
  /** There is another token, or another way to one. */
  | { readonly type: 'authenticate' }
  | { readonly type: 'message'; readonly carrier: number; readonly message: Incoming }
  | { readonly type: 'lost'; readonly carrier: number; readonly problem: Problem }
  | { readonly type: 'tick' }
  | { readonly type: 'woke' }
  | { readonly type: 'online' }
  | { readonly type: 'offline' }
  | { readonly type: 'retry' }
  | { readonly type: 'close' };

export type Effect =
  | { readonly do: 'connect'; readonly carrier: number; readonly transport: Transport }
  /** Nothing that this carrier says counts any more. */
  | { readonly do: 'disconnect'; readonly carrier: number }
  | { readonly do: 'send'; readonly carrier: number; readonly message: ClientMessage; readonly text?: string }
  /** Ask the program for a token. */
  | { readonly do: 'token'; readonly question: number }
  | { readonly do: 'deliver'; readonly handle: number; readonly delivery: Delivery }
  | { readonly do: 'answer'; readonly ref: string; readonly answer: Answer }
  | { readonly do: 'report'; readonly problem: Problem };

/** The clocks and the dice, so that the machine needs none. `random` is at least 0 and below 1. */
export interface Moment {
  readonly at: number;
  /** Milliseconds since 1970. */
  readonly time: number;
  readonly random: number;
}

/** What is afterwards, and what is to be done. */
export type Step = readonly [State, readonly Effect[]];

export const NONE: readonly Effect[] = [];
const HEARTBEATS = 2.5;
/** Longer than this makes no sense to wait for a server that says so. */
export const RETRY_MAX_MS = 300_000;

export function initial(settings: Settings, network = true): State {
  return {
    phase: 'idle',
    settings,
    network,
    carrier: 0,
    transport: settings.transport === 'sse' ? 'sse' : 'websocket',
    proven: { websocket: false, sse: false },
    attempt: 0,
    hello: undefined,
    openedAt: 0,
    heardAt: 0,
    problem: undefined,
    deadlines: {},
    subscriptions: new Map(),
    handles: new Map(),
    leaving: new Map(),
    requests: new Map(),
    tracks: new Map(),
    showing: nothingShown(settings.auth),
  };
}

export function isWanted(state: State): boolean {
  return state.subscriptions.size > 0 || state.requests.size > 0 || state.tracks.size > 0;
}

export function hasCarrier({ phase }: State): boolean {
  return phase === 'connecting' || phase === 'open';
}

export function send(state: State, message: ClientMessage): Effect {
  return { do: 'send', carrier: state.carrier, message };
}

export function withSubscription(state: State, handle: number, subscription: Subscription): State {
  return { ...state, subscriptions: new Map(state.subscriptions).set(handle, subscription) };
}

export function withoutSubscription(state: State, handle: number, { id }: Subscription): State {
  const subscriptions = new Map(state.subscriptions);
  const handles = new Map(state.handles);
  subscriptions.delete(handle);
  handles.delete(id);
  return { ...state, subscriptions, handles };
}

export function tell(
  state: State,
  handle: number,
  [subscription, deliveries]: readonly [Subscription, readonly Delivery[]],
): Step {
  const effects = deliveries.map((delivery): Effect => ({ do: 'deliver', handle, delivery }));
  return [withSubscription(state, handle, subscription), effects];
}

export function chain([state, effects]: Step, then: (state: State) => Step): Step {
  const [next, more] = then(state);
  return [next, effects.length === 0 ? more : more.length === 0 ? effects : [...effects, ...more]];
}

/** Full jitter: between nothing and twice as much with each try. */
export function backoffMs({ backoffBaseMs, backoffCapMs }: Settings, exponent: number, random: number): number {
  return Math.floor(random * Math.min(backoffCapMs, backoffBaseMs * 2 ** Math.min(exponent, 30)));
}

/** When a silent server counts as gone. */
export function silenceAt({ phase, hello, heardAt, deadlines }: State): number {
  if (phase !== 'open' || hello === undefined || deadlines.probe !== undefined) {
    return Infinity;
  }
  const heartbeat = Math.min(Math.max(hello.heartbeat_ms, 1_000), 600_000);
  return heardAt + heartbeat * HEARTBEATS;
}

/** When `tick` has something to do. */
export function nextDeadline(state: State): number {
  const { connect, retry, probe, idle, renew } = state.deadlines;
  let next = Math.min(connect ?? Infinity, retry ?? Infinity, probe ?? Infinity, idle ?? Infinity, renew ?? Infinity);
  next = Math.min(next, silenceAt(state), nextExpiry(state.requests));
  for (const subscription of state.subscriptions.values()) {
    next = Math.min(next, subscription.restUntil ?? Infinity);
  }
  for (const { restUntil } of [...state.tracks.values(), ...state.leaving.values()]) {
    next = Math.min(next, restUntil ?? Infinity);
  }
  return next;
}

export function problemOf({ code, message, hint, at, retry_ms }: ServerMessage & { type: 'error' }): Problem {
  return { code, message, hint, at, ...(retry_ms === undefined ? {} : { retryMs: retry_ms }) };
}

/** When what the server cannot do now is asked for again: not before it says itself. */
export function laterAt({ settings }: State, { retryMs }: Problem, tries: number, { at, random }: Moment): number {
  const wait = Math.min(Math.max(0, retryMs ?? 0), RETRY_MAX_MS);
  return at + wait + backoffMs(settings, tries, random);
}

export function answer(state: State, ref: string, answer: Answer): Step {
  const requests = settle(state.requests, ref);
  return requests === state.requests ? [state, NONE] : [{ ...state, requests }, [{ do: 'answer', ref, answer }]];
}
