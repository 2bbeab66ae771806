/**
 * The connection: what to do next, given what is and what just happened.
 *
 * A pure function of state, event and moment; `runtime` carries out the effects and alone touches sockets and clocks.
 *
 * What each event does in each phase (— : nothing changes; the wishes are kept in every phase but `closed`):
 *
 * | event          | idle     | connecting      | open            | waiting          | offline          | unauthenticated | closed |
 * |----------------|----------|-----------------|-----------------|------------------|------------------|-----------------|--------|
 * | `subscribe`    | connect  | keep            | send            | keep             | keep             | keep, tell why  | refuse |
 * | `unsubscribe`  | —        | drop it         | send            | drop it, or idle | drop it, or idle | drop it         | —      |
 * | `track`        | connect  | keep            | send            | keep             | keep             | keep            | refuse |
 * | `untrack`      | —        | drop it         | send            | drop it, or idle | drop it, or idle | drop it         | —      |
 * | `request`      | connect¹ | keep¹           | send            | keep¹            | keep¹            | refuse          | refuse |
 * | `message`      | —        | hello: open, or | deliver,        | —                | —                | —               | —      |
 * |                |          | token⁴; close,  | answer;         |                  |                  |                 |        |
 * |                |          | error: wait⁵    | close: wait⁵    |                  |                  |                 |        |
 * | `token`⁴       | —        | show            | show            | —                | —                | —               | —      |
 * | `no_token`⁴    | —        | wait⁵           | report          | —                | —                | —               | —      |
 * | `authenticate` | —        | token, if late  | token           | connect          | connect          | connect, or     | —      |
 * |                |          |                 |                 |                  |                  | idle            |        |
 * | `lost`²        | —        | wait⁵           | wait            | —                | —                | —               | —      |
 * | `tick`³        | —        | late: wait;     | silent: wait;   | due: connect     | due: connect     | —               | —      |
 * |                |          | unused: idle    | unused: idle    |                  |                  |                 |        |
 * | `woke`         | —        | —               | ping            | connect          | connect          | —               | —      |
 * | `online`       | —        | —               | ping            | connect          | connect          | —               | —      |
 * | `offline`      | —        | —               | ping            | offline          | —                | —               | —      |
 * | `retry`        | —        | —               | —               | connect          | connect          | connect, or     | —      |
 * |                |          |                 |                 |                  |                  | idle            |        |
 * | `close`        | closed   | closed          | closed          | closed           | closed           | closed          | closed |
 *
 * ¹ refused if it must not wait. ² and `message`: of an older carrier nothing changes. ³ ends requests that are late, in every
 * phase. ⁴ where there is a token to show: it is asked for after `hello`, and once more when it is refused. ⁵ `unauthenticated`
 * where the server, or the program, says that this client may not come in. `wait` is `offline` while there is no network, and `idle`
 * where nobody waits for anything.
 */
import { authenticate, disowned, noToken, show } from './machine/auth.ts';
import { close, lose, stop, stopped } from './machine/down.ts';
import { leave } from './machine/leaving.ts';
import { message } from './machine/messages.ts';
import {
  chain,
  type Event,
  hasCarrier,
  type Moment,
  NONE,
  type State,
  type Step,
  withoutSubscription,
  withSubscription,
} from './machine/state.ts';
import { hurry, offline, online, probe, rethinkIdle, retry, tick } from './machine/time.ts';
import { track, untrack } from './machine/tracks.ts';
import { askFor, connect, sendWaiting } from './machine/up.ts';
import { add } from './requests.ts';
import { begin } from './subscription.ts';

export {
  type Effect,
  type Event,
  type Incoming,
  initial,
  type Moment,
  nextDeadline,
  type Settings,
  type State,
  type Transport,
} from './machine/state.ts';

const NOT_LET_IN = { code: 'unauthenticated', message: 'the server does not take this client' };

/** One event. */
export function step(state: State, event: Event, moment: Moment): Step {
  if (state.phase === 'closed') {
    return refuse(state, event);
  }
  return chain(handle(state, event, moment), (next) => rethinkIdle(next, moment));
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
      return event.carrier === state.carrier ? lost(state, event, moment) : [state, NONE];
    case 'track':
      return chain(track(state, event), (next) => (next.phase === 'idle' ? connect(next, moment) : [next, NONE]));
    case 'untrack':
      return untrack(state, event.handle);
    case 'token':
      return show(state, event, moment);
    case 'no_token':
      return noToken(state, event, moment);
    case 'authenticate':
      return authenticate(state, moment);
    case 'tick':
      return tick(state, moment);
    case 'woke':
      return state.phase === 'open' ? probe(state, moment) : hurry(state, moment);
    case 'retry':
      return retry(state, moment);
    case 'online':
      return online({ ...state, network: true }, moment);
    case 'offline':
      return offline({ ...state, network: false }, moment);
    case 'close':
      return close(state);
  }
}

function lost(state: State, { problem }: Event & { type: 'lost' }, moment: Moment): Step {
  if (!hasCarrier(state)) {
    return [state, NONE];
  }
  switch (problem.code) {
    case 'unauthenticated':
      return disowned(state, problem, moment);
    case 'revoked':
      return stop(state, problem, moment);
    default:
      return lose(state, problem, moment);
  }
}

function subscribe(state: State, event: Event & { type: 'subscribe' }, moment: Moment): Step {
  const { handle, id, spec } = event;
  const next: State = {
    ...withSubscription(state, handle, begin(id, spec)),
    handles: new Map(state.handles).set(id, handle),
  };
  if (next.phase === 'open') {
    return askFor(next, handle);
  }
  if (next.phase === 'unauthenticated') {
    return [next, [{ do: 'deliver', handle, delivery: stopped(next.problem ?? NOT_LET_IN) }]];
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
  return leave(next, subscription.id);
}

function request(state: State, event: Event & { type: 'request' }, moment: Moment): Step {
  if (state.phase === 'unauthenticated') {
    const problem = state.problem ?? NOT_LET_IN;
    return [state, [{ do: 'answer', ref: event.ref, answer: { type: 'refused', problem } }]];
  }
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

function refuse(state: State, event: Event): Step {
  const problem = { code: 'closed', message: 'the connection was closed by the program' };
  switch (event.type) {
    case 'subscribe':
    case 'track':
      return [state, [{ do: 'deliver', handle: event.handle, delivery: { type: 'failed', problem } }]];
    case 'request':
      return [state, [{ do: 'answer', ref: event.ref, answer: { type: 'refused', problem } }]];
    default:
      return [state, NONE];
  }
}
