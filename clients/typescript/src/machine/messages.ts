/**
 * What the server says.
 */
import type { ServerMessage } from '../protocol.ts';
import { type Delivery, reach, receive, rest, type Subscription } from '../subscription.ts';
import type { Position } from '../types.ts';
import { comeBack, giveUp } from './down.ts';
import {
  answer,
  backoffMs,
  chain,
  type Effect,
  type Incoming,
  type Moment,
  NONE,
  problemOf,
  type State,
  type Step,
  tell,
  withoutLeaving,
  withoutSubscription,
} from './state.ts';
import { askForAll, sendWaiting } from './up.ts';

/** The server can answer these later, and is asked again. */
const WORKS_LATER: ReadonlySet<string> = new Set(['unavailable']);

export function message(state: State, incoming: Incoming, moment: Moment): Step {
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
