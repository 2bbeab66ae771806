/**
 * What the server says.
 */
import type { Hello, ServerMessage } from '../protocol.ts';
import { type Delivery, reach, receive, rest, type Subscription } from '../subscription.ts';
import type { Position } from '../types.ts';
import { answersAuth, answersShown, askToken, authenticated, authRefused, disowned, renew } from './auth.ts';
import { comeBack, giveUp, stop } from './down.ts';
import { leaveLater, left } from './leaving.ts';
import {
  answer,
  type Effect,
  type Incoming,
  laterAt,
  type Moment,
  NONE,
  problemOf,
  type State,
  type Step,
  tell,
  withoutSubscription,
} from './state.ts';
import { tracked, trackRefused } from './tracks.ts';
import { open } from './up.ts';

/** The server can answer these later, and is asked again. */
const WORKS_LATER: ReadonlySet<string> = new Set(['unavailable', 'rate_limited']);

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
    case 'untracked':
      return [heard, NONE];
    case 'authenticated':
      return answersShown(heard, incoming) ? authenticated(heard, incoming, moment) : [heard, NONE];
    case 'expiring':
      return renew(heard, moment);
    case 'tracked':
      return tracked(heard, incoming.ref);
    case 'position':
      return reachAll(heard, incoming.position);
    case 'unsubscribed':
      return [left(heard, incoming.id), NONE];
    case 'published':
    case 'inserted':
    case 'written':
      return incoming.ref === undefined
        ? [heard, NONE]
        : answer(heard, incoming.ref, { type: 'done', message: incoming });
    case 'error':
      return error(heard, incoming, moment);
    case 'close':
      return sentAway(heard, incoming, moment);
    case 'reached':
      return update(heard, incoming.id, (subscription) => reach(subscription, incoming.position));
    case 'subscribed':
      return update(heard, incoming.id, (subscription) => receive(meantFor(subscription, heard), incoming));
    default:
      return update(heard, incoming.id, (subscription) => receive(subscription, incoming));
  }
}

/** What it holds from now on is for whom the server takes this client for. */
function meantFor(subscription: Subscription, { showing: { claims } }: State): Subscription {
  return { ...subscription, claims };
}

/** The first message must be `hello`, of a version that is understood; the second, where there is a token, the answer to it. */
function greet(state: State, incoming: Incoming, moment: Moment): Step {
  switch (incoming.type) {
    case 'close':
      return sentAway(state, incoming, moment);
    case 'error':
      return unwelcome(state, incoming, moment);
    case 'authenticated':
      return answersShown(state, incoming) ? authenticated(state, incoming, moment) : [state, NONE];
    case 'hello':
      return state.hello === undefined ? hello(state, incoming, moment) : [state, NONE];
    default:
      return [state, NONE];
  }
}

function unwelcome(state: State, message: ServerMessage & { type: 'error' }, moment: Moment): Step {
  if (answersAuth(state, message)) {
    return authRefused(state, message, moment);
  }
  const problem = problemOf(message);
  const isDisowned = problem.code === 'unauthenticated';
  return isDisowned ? disowned(state, problem, moment) : giveUp(state, problem, moment, problem.retryMs);
}

function hello(state: State, incoming: Hello, moment: Moment): Step {
  if (incoming.protocol !== 1) {
    const problem = {
      code: 'protocol_version',
      message: `the server speaks protocol ${incoming.protocol}, this client 1`,
    };
    return giveUp(state, problem, moment);
  }
  const greeted: State = {
    ...state,
    hello: incoming,
    deadlines: { connect: moment.at + state.settings.connectMs },
  };
  const { showing } = state;
  return showing.wanted
    ? askToken(greeted)
    : open({ ...greeted, showing: { ...showing, claims: incoming.claims } }, moment);
}

/** The server ends the connection: for a while, or because it does not want this client. */
function sentAway(state: State, message: ServerMessage & { type: 'close' }, moment: Moment): Step {
  const problem = { code: message.reason, message: message.message };
  switch (message.reason) {
    case 'revoked':
      return stop(state, problem, moment);
    case 'unauthenticated':
      return disowned(state, problem, moment);
    default:
      return comeBack(state, message, moment);
  }
}

function error(state: State, message: ServerMessage & { type: 'error' }, moment: Moment): Step {
  if (answersAuth(state, message)) {
    return authRefused(state, message, moment);
  }
  const problem = problemOf(message);
  if (message.ref !== undefined && state.requests.has(message.ref)) {
    return answer(state, message.ref, { type: 'refused', problem });
  }
  const aboutTrack = message.id === undefined ? trackRefused(state, message.ref, problem, moment) : undefined;
  if (aboutTrack !== undefined) {
    return aboutTrack;
  }
  if (message.id === undefined) {
    return [state, [{ do: 'report', problem }]];
  }
  const handle = state.handles.get(message.id);
  const subscription = handle === undefined ? undefined : state.subscriptions.get(handle);
  if (handle === undefined || subscription === undefined) {
    const next = WORKS_LATER.has(message.code)
      ? leaveLater(state, message.id, problem, moment)
      : left(state, message.id);
    return [next, NONE];
  }
  if (WORKS_LATER.has(message.code)) {
    const until = laterAt(state, problem, subscription.rests + 1, moment);
    return tell(state, handle, rest(subscription, until, problem));
  }
  if (message.code === 'unauthenticated') {
    return disowned(state, problem, moment);
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
