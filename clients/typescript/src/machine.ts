/**
 * The connection: what to do next, given what is and what just happened.
 *
 * A pure function of state, event and moment; `runtime` carries out the effects and alone touches sockets and clocks.
 *
 * What each event does in each phase (— : nothing changes; the wishes are kept in every phase but `closed`):
 *
 * | event         | idle      | connecting      | open                | waiting          | offline          | closed |
 * |---------------|-----------|-----------------|---------------------|------------------|------------------|--------|
 * | `subscribe`   | connect   | keep            | send                | keep             | keep             | refuse |
 * | `unsubscribe` | —         | drop it         | send                | drop it, or idle | drop it, or idle | —      |
 * | `request`     | connect¹  | keep¹           | send                | keep¹            | keep¹            | refuse |
 * | `message`     | —         | hello: open;    | deliver, answer;    | —                | —                | —      |
 * |               |           | close, error:   | close: wait         |                  |                  |        |
 * |               |           | wait            |                     |                  |                  |        |
 * | `lost`²       | —         | wait            | wait                | —                | —                | —      |
 * | `tick`³       | —         | late: wait;     | silent: wait;       | due: connect     | due: connect     | —      |
 * |               |           | unused: idle    | unused: idle        |                  |                  |        |
 * | `woke`        | —         | —               | ping                | connect          | connect          | —      |
 * | `online`      | —         | —               | ping                | connect          | connect          | —      |
 * | `offline`     | —         | —               | ping                | offline          | —                | —      |
 * | `retry`       | —         | —               | —                   | connect          | connect          | —      |
 * | `close`       | closed    | closed          | closed              | closed           | closed           | —      |
 *
 * ¹ refused if it must not wait. ² and `message`: of an older carrier nothing changes. ³ ends requests that are late, in every
 * phase. `wait` is `offline` while there is no network, and `idle` where nobody waits for anything.
 */
import type { ClientMessage, Hello, RequestMessage, ServerMessage, Subscribe } from './protocol.ts';
import { type Answer, add, expire, loseSent, nextExpiry, type Request, settle, takeUnsent } from './requests.ts';
import {
  ask,
  begin,
  type Delivery,
  type Problem,
  reach,
  receive,
  rest,
  type Subscription,
  suspend,
} from './subscription.ts';
import type { ConnectionState, Position } from './types.ts';

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
  readonly leaving: ReadonlySet<string>;
  readonly requests: ReadonlyMap<string, Request>;
}

/** Moments, in the milliseconds of {@link Moment}. */
interface Deadlines {
  readonly connect?: number;
  readonly retry?: number;
  readonly probe?: number;
  readonly idle?: number;
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
  | { readonly do: 'deliver'; readonly handle: number; readonly delivery: Delivery }
  | { readonly do: 'answer'; readonly ref: string; readonly answer: Answer }
  | { readonly do: 'report'; readonly problem: Problem };

/** The clock and the dice, so that the machine needs neither. `random` is at least 0 and below 1. */
export interface Moment {
  readonly at: number;
  readonly random: number;
}

type Step = readonly [State, readonly Effect[]];

/** A connection that stood this long was a good one: the waiting begins anew. */
const STABLE_MS = 5_000;
/** Waiting for the server longer than it says itself makes no sense; longer than this, neither. */
const COME_BACK_MAX_MS = 300_000;
/** A silence that is noticed this much too late was the machine's sleep, not the server's. */
const LATE_MS = 2_000;
const HEARTBEATS = 2.5;
const WORKS_LATER: ReadonlySet<string> = new Set(['unavailable']);
const NONE: readonly Effect[] = [];

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
    leaving: new Set(),
    requests: new Map(),
  };
}

/** One event. */
export function step(state: State, event: Event, moment: Moment): Step {
  if (state.phase === 'closed') {
    return refuse(state, event);
  }
  return chain(handle(state, event, moment), (next) => rethinkIdle(next, moment));
}

/** When `tick` has something to do. */
export function nextDeadline(state: State): number {
  const { connect, retry, probe, idle } = state.deadlines;
  let next = Math.min(connect ?? Infinity, retry ?? Infinity, probe ?? Infinity, idle ?? Infinity);
  next = Math.min(next, silenceAt(state), nextExpiry(state.requests));
  for (const subscription of state.subscriptions.values()) {
    next = Math.min(next, subscription.restUntil ?? Infinity);
  }
  return next;
}

function handle(state: State, event: Event, moment: Moment): Step {
  switch (event.type) {
    case 'subscribe':
      return subscribe(state, event, moment);
    case 'unsubscribe':
      return unsubscribe(state, event.handle);
    case 'request':
      return request(state, event, moment);
    case 'message':
      return event.carrier === state.carrier ? message(state, event.message, moment) : [state, NONE];
    case 'lost':
      return event.carrier === state.carrier ? lose(state, event.problem, moment) : [state, NONE];
    case 'tick':
      return tick(state, moment);
    case 'woke':
    case 'retry':
      return event.type === 'woke' && state.phase === 'open' ? probe(state, moment) : hurry(state, moment);
    case 'online':
      return online({ ...state, network: true }, moment);
    case 'offline':
      return offline({ ...state, network: false }, moment);
    case 'close':
      return close(state);
  }
}

// Wishes

function subscribe(state: State, event: Event & { type: 'subscribe' }, moment: Moment): Step {
  const { handle, id, spec } = event;
  const next: State = {
    ...withSubscription(state, handle, begin(id, spec)),
    handles: new Map(state.handles).set(id, handle),
  };
  if (next.phase === 'open') {
    return askFor(next, handle);
  }
  return next.phase === 'idle' ? connect(next, moment) : [next, NONE];
}

function unsubscribe(state: State, handle: number): Step {
  const subscription = state.subscriptions.get(handle);
  if (subscription === undefined) {
    return [state, NONE];
  }
  const next = withoutSubscription(state, handle, subscription);
  if (state.phase !== 'open' || subscription.phase === 'resting') {
    return [next, NONE];
  }
  const { id } = subscription;
  const leaving = new Set(next.leaving).add(id);
  return [{ ...next, leaving }, [send(state, { type: 'unsubscribe', id })]];
}

function request(state: State, event: Event & { type: 'request' }, moment: Moment): Step {
  const { requests, problem } = add(state.requests, event, moment.at, state.phase === 'open');
  if (problem !== undefined) {
    return [state, [{ do: 'answer', ref: event.ref, answer: { type: 'refused', problem } }]];
  }
  const next: State = { ...state, requests };
  if (next.phase === 'open') {
    return sendWaiting(next);
  }
  return next.phase === 'idle' ? connect(next, moment) : [next, NONE];
}

// Messages

function message(state: State, incoming: Incoming, moment: Moment): Step {
  if (state.phase === 'connecting') {
    return greet(state, incoming, moment);
  }
  if (state.phase !== 'open') {
    return [state, NONE];
  }
  const { probe: _, ...deadlines } = state.deadlines;
  const heard: State = { ...state, heardAt: moment.at, deadlines };
  switch (incoming.type) {
    case 'hello':
    case 'pong':
      return [heard, NONE];
    case 'position':
      return reachAll(heard, incoming.position);
    case 'unsubscribed':
      return [withoutLeaving(heard, incoming.id), NONE];
    case 'published':
    case 'inserted':
      return incoming.ref === undefined
        ? [heard, NONE]
        : answer(heard, incoming.ref, { type: 'done', message: incoming });
    case 'error':
      return error(heard, incoming, moment);
    case 'close':
      return comeBack(heard, incoming, moment);
    case 'reached':
      return update(heard, incoming.id, (subscription) => reach(subscription, incoming.position));
    default:
      return update(heard, incoming.id, (subscription) => receive(subscription, incoming));
  }
}

/** The first message must be `hello`, of a version that is understood. */
function greet(state: State, incoming: Incoming, moment: Moment): Step {
  if (incoming.type === 'close') {
    return comeBack(state, incoming, moment);
  }
  if (incoming.type === 'error') {
    return giveUp(state, problemOf(incoming), moment);
  }
  if (incoming.type !== 'hello') {
    return [state, NONE];
  }
  if (incoming.protocol !== 1) {
    const problem = {
      code: 'protocol_version',
      message: `the server speaks protocol ${incoming.protocol}, this client 1`,
    };
    return giveUp(state, problem, moment);
  }
  const opened: State = {
    ...state,
    phase: 'open',
    hello: incoming,
    openedAt: moment.at,
    heardAt: moment.at,
    problem: undefined,
    deadlines: {},
    proven: { ...state.proven, [state.transport]: true },
  };
  return chain(askForAll(opened), sendWaiting);
}

function error(state: State, message: ServerMessage & { type: 'error' }, moment: Moment): Step {
  const problem = problemOf(message);
  if (message.ref !== undefined && state.requests.has(message.ref)) {
    return answer(state, message.ref, { type: 'refused', problem });
  }
  if (message.id === undefined) {
    return [state, [{ do: 'report', problem }]];
  }
  const handle = state.handles.get(message.id);
  const subscription = handle === undefined ? undefined : state.subscriptions.get(handle);
  if (handle === undefined || subscription === undefined) {
    return [withoutLeaving(state, message.id), NONE];
  }
  if (WORKS_LATER.has(message.code)) {
    const until = moment.at + backoffMs(state.settings, subscription.rests + 1, moment.random);
    return tell(state, handle, rest(subscription, until, problem));
  }
  const failed: Effect = { do: 'deliver', handle, delivery: { type: 'failed', problem } };
  return [withoutSubscription(state, handle, subscription), [failed]];
}

function update(
  state: State,
  id: string,
  change: (subscription: Subscription) => readonly [Subscription, readonly Delivery[]],
): Step {
  const handle = state.handles.get(id);
  const subscription = handle === undefined ? undefined : state.subscriptions.get(handle);
  if (handle !== undefined && subscription !== undefined) {
    return tell(state, handle, change(subscription));
  }
  if (state.leaving.has(id)) {
    return [state, NONE];
  }
  return [state, [{ do: 'report', problem: { code: 'malformed', message: 'a message for an unknown subscription' } }]];
}

function reachAll(state: State, position: Position): Step {
  let next = state;
  const effects: Effect[] = [];
  for (const [handle, subscription] of state.subscriptions) {
    const [told, more] = tell(next, handle, reach(subscription, position));
    next = told;
    effects.push(...more);
  }
  return [next, effects];
}

// The way up

function connect(state: State, moment: Moment): Step {
  const carrier = state.carrier + 1;
  const transport = chooseTransport(state);
  const next: State = {
    ...state,
    phase: 'connecting',
    carrier,
    transport,
    hello: undefined,
    deadlines: { connect: moment.at + state.settings.connectMs },
  };
  return [next, [{ do: 'connect', carrier, transport }]];
}

/** With `auto`, what has worked before; where nothing has, two tries of WebSocket, then both in turn. */
function chooseTransport({ settings, proven, attempt }: State): Transport {
  if (settings.transport !== 'auto') {
    return settings.transport;
  }
  if (proven.websocket) {
    return 'websocket';
  }
  if (proven.sse) {
    return attempt > 0 && attempt % 2 === 0 ? 'websocket' : 'sse';
  }
  return attempt >= 2 && attempt % 2 === 0 ? 'sse' : 'websocket';
}

function askForAll(state: State): Step {
  let result: Step = [state, NONE];
  for (const handle of state.subscriptions.keys()) {
    result = chain(result, (next) => askFor(next, handle));
  }
  return result;
}

function askFor(state: State, handle: number): Step {
  const subscription = state.subscriptions.get(handle);
  if (subscription === undefined) {
    return [state, NONE];
  }
  const [asked, message] = ask(subscription);
  return [withSubscription(state, handle, asked), [send(state, message)]];
}

function sendWaiting(state: State): Step {
  const [requests, ready, tooLarge] = takeUnsent(state.requests, state.hello?.limits.frame_bytes ?? 0);
  const sends = ready.map(({ message, text }): Effect => ({ do: 'send', carrier: state.carrier, message, text }));
  return [{ ...state, requests }, [...sends, ...tooLarge]];
}

// The way down

/** The carrier has ended by itself. */
function lose(state: State, problem: Problem, moment: Moment): Step {
  if (state.phase !== 'connecting' && state.phase !== 'open') {
    return [state, NONE];
  }
  return down(state, problem, moment, 0);
}

/** Ends a carrier that is of no use any more. */
function giveUp(state: State, problem: Problem, moment: Moment): Step {
  const disconnect: Effect = { do: 'disconnect', carrier: state.carrier };
  const [next, effects] = lose(state, problem, moment);
  return [next, [disconnect, ...effects]];
}

/** The server has said when to come back. */
function comeBack(state: State, message: ServerMessage & { type: 'close' }, moment: Moment): Step {
  const problem = { code: message.reason, message: message.message };
  const wait = Math.min(Math.max(0, message.retry_ms), COME_BACK_MAX_MS);
  const disconnect: Effect = { do: 'disconnect', carrier: state.carrier };
  const [next, effects] = down(state, problem, moment, wait);
  return [next, [disconnect, ...effects]];
}

function attemptAfter(state: State, moment: Moment): number {
  const stood = state.phase === 'open' && moment.at - state.openedAt >= STABLE_MS;
  return stood ? 1 : state.attempt + 1;
}

function down(state: State, problem: Problem, moment: Moment, waitMs: number): Step {
  const attempt = attemptAfter(state, moment);
  const delay = waitMs + backoffMs(state.settings, attempt - 1, moment.random);
  const [suspended, deliveries] = suspendAll(state, problem);
  const [requests, answers] = loseSent(suspended.requests);
  const { phase, retry } = state.network
    ? { phase: 'waiting' as const, retry: moment.at + delay }
    : { phase: 'offline' as const, retry: moment.at + Math.max(delay, state.settings.backoffCapMs) };
  const next: State = {
    ...suspended,
    phase,
    attempt,
    problem,
    requests,
    hello: undefined,
    deadlines: { retry },
    leaving: new Set(),
  };
  return [next, [...deliveries, ...answers]];
}

function suspendAll(state: State, problem: Problem | undefined): Step {
  let result: Step = [state, NONE];
  for (const [handle, subscription] of state.subscriptions) {
    result = chain(result, (next) => tell(next, handle, suspend(subscription, problem)));
  }
  return result;
}

function close(state: State): Step {
  const problem = { code: 'closed', message: 'the connection was closed by the program' };
  const effects: Effect[] = hasCarrier(state) ? [{ do: 'disconnect', carrier: state.carrier }] : [];
  for (const handle of state.subscriptions.keys()) {
    effects.push({ do: 'deliver', handle, delivery: { type: 'failed', problem } });
  }
  for (const { ref, sent } of state.requests.values()) {
    effects.push({ do: 'answer', ref, answer: { type: 'refused', problem: { ...problem, uncertain: sent } } });
  }
  const { settings, network, carrier } = state;
  return [{ ...initial(settings, network), phase: 'closed', carrier }, effects];
}

function refuse(state: State, event: Event): Step {
  const problem = { code: 'closed', message: 'the connection was closed by the program' };
  switch (event.type) {
    case 'subscribe':
      return [state, [{ do: 'deliver', handle: event.handle, delivery: { type: 'failed', problem } }]];
    case 'request':
      return [state, [{ do: 'answer', ref: event.ref, answer: { type: 'refused', problem } }]];
    default:
      return [state, NONE];
  }
}

// Time and the network

function tick(state: State, moment: Moment): Step {
  const [requests, late] = expire(state.requests, moment.at);
  const next: State = requests === state.requests ? state : { ...state, requests };
  return chain(
    chain([next, late], (now) => tickConnection(now, moment)),
    (now) => wakeRested(now, moment),
  );
}

function tickConnection(state: State, moment: Moment): Step {
  const { connect: connectAt, retry, probe: probeAt } = state.deadlines;
  const { at } = moment;
  if (retry !== undefined && at >= retry) {
    return connect(state, moment);
  }
  if (connectAt !== undefined && at >= connectAt) {
    return giveUp(state, { code: 'timeout', message: 'the server did not answer in time' }, moment);
  }
  if (probeAt !== undefined && at >= probeAt) {
    return reconnectNow(state, { code: 'timeout', message: 'the server does not answer pings' }, moment);
  }
  if (at >= silenceAt(state)) {
    return at - silenceAt(state) > LATE_MS && probeAt === undefined
      ? probe(state, moment)
      : reconnectNow(state, { code: 'timeout', message: 'the server has gone silent' }, moment);
  }
  return [state, NONE];
}

function wakeRested(state: State, moment: Moment): Step {
  let result: Step = [state, NONE];
  if (state.phase !== 'open') {
    return result;
  }
  for (const [handle, { restUntil }] of state.subscriptions) {
    if (restUntil !== undefined && moment.at >= restUntil) {
      result = chain(result, (next) => askFor(next, handle));
    }
  }
  return result;
}

/** When a silent server counts as gone. */
function silenceAt({ phase, hello, heardAt, deadlines }: State): number {
  if (phase !== 'open' || hello === undefined || deadlines.probe !== undefined) {
    return Infinity;
  }
  const heartbeat = Math.min(Math.max(hello.heartbeat_ms, 1_000), 600_000);
  return heardAt + heartbeat * HEARTBEATS;
}

/** A dead connection that stood well is replaced at once; one that keeps dying waits. */
function reconnectNow(state: State, problem: Problem, moment: Moment): Step {
  const stable = moment.at - state.openedAt >= STABLE_MS;
  return chain(giveUp(state, problem, moment), (next) =>
    stable && next.phase === 'waiting' && isWanted(next) ? connect(next, moment) : [next, NONE],
  );
}

/** Asks for a sign of life, unless one is awaited. */
function probe(state: State, moment: Moment): Step {
  if (state.deadlines.probe !== undefined) {
    return [state, NONE];
  }
  const deadlines = { ...state.deadlines, probe: moment.at + state.settings.probeMs };
  return [{ ...state, deadlines }, [send(state, { type: 'ping' })]];
}

/** There is reason to believe that it works now. */
function hurry(state: State, moment: Moment): Step {
  return state.phase === 'waiting' || state.phase === 'offline' ? connect(state, moment) : [state, NONE];
}

function online(state: State, moment: Moment): Step {
  return state.phase === 'open' ? probe(state, moment) : hurry(state, moment);
}

/** The word of the browser is a hint: a server on this machine is there without a network. */
function offline(state: State, moment: Moment): Step {
  if (state.phase === 'open') {
    return probe(state, moment);
  }
  if (state.phase !== 'waiting') {
    return [state, NONE];
  }
  const retry = moment.at + state.settings.backoffCapMs;
  return [{ ...state, phase: 'offline', deadlines: { retry } }, NONE];
}

/** Full jitter: between nothing and twice as much with each try. */
function backoffMs({ backoffBaseMs, backoffCapMs }: Settings, exponent: number, random: number): number {
  return Math.floor(random * Math.min(backoffCapMs, backoffBaseMs * 2 ** Math.min(exponent, 30)));
}

/** An unused connection ends after a while; unused waiting ends at once. */
function rethinkIdle(state: State, moment: Moment): Step {
  const { idle, ...deadlines } = state.deadlines;
  if (isWanted(state)) {
    return [idle === undefined ? state : { ...state, deadlines }, NONE];
  }
  if (!hasCarrier(state)) {
    return state.phase === 'idle' || state.phase === 'closed' ? [state, NONE] : [rested(state), NONE];
  }
  if (idle === undefined) {
    return [{ ...state, deadlines: { ...deadlines, idle: moment.at + state.settings.idleMs } }, NONE];
  }
  return moment.at < idle ? [state, NONE] : [rested(state), [{ do: 'disconnect', carrier: state.carrier }]];
}

function rested(state: State): State {
  return { ...state, phase: 'idle', deadlines: {}, hello: undefined, leaving: new Set(), attempt: 0 };
}

// Small change

function isWanted(state: State): boolean {
  return state.subscriptions.size > 0 || state.requests.size > 0;
}

function hasCarrier({ phase }: State): boolean {
  return phase === 'connecting' || phase === 'open';
}

function send(state: State, message: ClientMessage): Effect {
  return { do: 'send', carrier: state.carrier, message };
}

function answer(state: State, ref: string, answer: Answer): Step {
  const requests = settle(state.requests, ref);
  return requests === state.requests ? [state, NONE] : [{ ...state, requests }, [{ do: 'answer', ref, answer }]];
}

function tell(
  state: State,
  handle: number,
  [subscription, deliveries]: readonly [Subscription, readonly Delivery[]],
): Step {
  const effects = deliveries.map((delivery): Effect => ({ do: 'deliver', handle, delivery }));
  return [withSubscription(state, handle, subscription), effects];
}

function withSubscription(state: State, handle: number, subscription: Subscription): State {
  return { ...state, subscriptions: new Map(state.subscriptions).set(handle, subscription) };
}

function withoutSubscription(state: State, handle: number, { id }: Subscription): State {
  const subscriptions = new Map(state.subscriptions);
  const handles = new Map(state.handles);
  subscriptions.delete(handle);
  handles.delete(id);
  return { ...state, subscriptions, handles };
}

function withoutLeaving(state: State, id: string): State {
  const leaving = new Set(state.leaving);
  leaving.delete(id);
  return { ...state, leaving };
}

function problemOf({ code, message, hint, at }: ServerMessage & { type: 'error' }): Problem {
  return { code, message, hint, at };
}

function chain([state, effects]: Step, then: (state: State) => Step): Step {
  const [next, more] = then(state);
  return [next, effects.length === 0 ? more : more.length === 0 ? effects : [...effects, ...more]];
}
