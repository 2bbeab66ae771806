/**
 * Saying who this is: on each new connection, and again before the token expires.
 *
 * A refused token is asked for once more; a second refusal ends in `unauthenticated`, until the program has another.
 */
import type { AuthenticatedMessage, ServerMessage } from '../protocol.ts';
import { forget, type Problem } from '../subscription.ts';
import { giveUp, stop, tellAll } from './down.ts';
import { hidden, refOf } from './showing.ts';
import {
  backoffMs,
  chain,
  type Event,
  hasCarrier,
  isWanted,
  laterAt,
  type Moment,
  NONE,
  problemOf,
  type State,
  type Step,
  send,
  tell,
} from './state.ts';
import { connect, open } from './up.ts';

/** A newer token is asked for this long before the old one expires, and no sooner than this after it came. */
const RENEW_MS = 30_000;
/** The server may take the same token later. */
const WORKS_LATER: ReadonlySet<string> = new Set(['unavailable', 'rate_limited', 'internal']);

/** Asks the program for a token. */
export function askToken(state: State): Step {
  const question = state.showing.question + 1;
  const { renew: _, ...deadlines } = state.deadlines;
  const showing = { ...state.showing, phase: 'asked' as const, question };
  return [{ ...state, showing, deadlines }, [{ do: 'token', question }]];
}

/** The program has given a token. */
export function show(state: State, { question, token }: Event & { type: 'token' }, moment: Moment): Step {
  const { showing } = state;
  if (showing.question !== question || showing.phase !== 'asked') {
    return [state, NONE];
  }
  if (showing.refused && showing.token === token) {
    return stop(state, state.problem ?? { code: 'unauthenticated', message: 'the token was refused' }, moment);
  }
  const next: State = { ...state, showing: { ...showing, phase: 'shown', token } };
  return [next, [send(state, { type: 'auth', token, ref: refOf(showing) })]];
}

/** The program has none: it is not logged in, or could not ask whoever makes them. */
export function noToken(state: State, { question, problem }: Event & { type: 'no_token' }, moment: Moment): Step {
  const { showing } = state;
  if (showing.question !== question || showing.phase !== 'asked') {
    return [state, NONE];
  }
  const isLast = problem.code === 'unauthenticated';
  if (state.phase !== 'open') {
    return isLast ? stop(state, problem, moment) : giveUp(state, problem, moment);
  }
  // The old token is good for a while. What the server says when it is not any more decides.
  const failures = showing.failures + 1;
  const next: State = { ...state, showing: { ...showing, phase: 'none', failures } };
  const renew = moment.at + 1_000 + backoffMs(state.settings, failures, moment.random);
  const deadlines = isLast ? next.deadlines : { ...next.deadlines, renew };
  return [{ ...next, deadlines }, [{ do: 'report', problem }]];
}

/** The server has taken the token. */
export function authenticated(state: State, message: AuthenticatedMessage, moment: Moment): Step {
  const before = state.showing;
  const { user, claims, expires_ms: expiresAt } = message;
  const left = expiresAt === undefined ? 0 : expiresAt - moment.time;
  const { renew: _, ...deadlines } = state.deadlines;
  // A clock that says that the token is old already is wrong: then the server's warning has to do.
  const renew = left > 0 ? { renew: moment.at + Math.max(left - RENEW_MS, RENEW_MS) } : {};
  const shown = { phase: 'none' as const, refused: false, failures: 0, known: true };
  const showing = { ...before, ...shown, user, claims, expiresAt };
  const next: State = { ...state, showing, deadlines: { ...deadlines, ...renew } };
  const same: Step = before.known && before.user !== user ? forgetAll(next) : [next, NONE];
  return chain(same, (known) => (known.phase === 'connecting' ? open(known, moment) : [known, NONE]));
}

/** Whether it answers the `auth` that is under way, and not an older one. */
export function answersShown({ showing }: State, { ref }: AuthenticatedMessage): boolean {
  return showing.phase === 'shown' && (ref === undefined || ref === refOf(showing));
}

/** Whether an error answers the `auth` that is under way. */
export function answersAuth({ showing }: State, { ref, id }: ServerMessage & { type: 'error' }): boolean {
  return showing.phase === 'shown' && id === undefined && ref === refOf(showing);
}

/** The server has not taken the token. */
export function authRefused(state: State, message: ServerMessage & { type: 'error' }, moment: Moment): Step {
  const problem = problemOf(message);
  const { showing } = state;
  if (WORKS_LATER.has(problem.code)) {
    return tryLater(state, problem, moment);
  }
  if (showing.refused) {
    return stop(state, problem, moment);
  }
  const refused: State = { ...state, problem, showing: { ...showing, refused: true } };
  if (state.phase !== 'open') {
    return askToken(refused);
  }
  // It may be another user's, which only a new connection can be.
  return chain(giveUp(refused, problem, moment), (next) => connect(next, moment));
}

function tryLater(state: State, problem: Problem, moment: Moment): Step {
  if (state.phase !== 'open') {
    return giveUp(state, problem, moment, problem.retryMs);
  }
  const failures = state.showing.failures + 1;
  const renew = laterAt(state, problem, failures, moment);
  const showing = { ...state.showing, phase: 'none' as const, failures };
  return [{ ...state, showing, deadlines: { ...state.deadlines, renew } }, NONE];
}

/** The server does not know this client any more, or never did. */
export function disowned(state: State, problem: Problem, moment: Moment): Step {
  const { showing } = state;
  if (!showing.wanted || showing.refused) {
    return stop(state, problem, moment);
  }
  return giveUp({ ...state, showing: { ...showing, refused: true } }, problem, moment);
}

/** The token will expire soon. */
export function renew(state: State, moment: Moment): Step {
  const { showing } = state;
  if (state.phase !== 'open' || !showing.wanted || showing.phase !== 'none') {
    return [state, NONE];
  }
  if (state.transport === 'sse') {
    // What an event stream was opened with cannot be replaced in it.
    const problem = {
      code: 'expiring',
      message: 'the token expires soon; the streams are opened anew with a newer one',
    };
    return chain(giveUp(state, problem, moment), (next) => (isWanted(next) ? connect(next, moment) : [next, NONE]));
  }
  return askToken(state);
}

/** The program has another token. */
export function authenticate(state: State, moment: Moment): Step {
  const next: State = { ...state, showing: { ...state.showing, wanted: true, refused: false, failures: 0 } };
  if (next.phase === 'open' && next.transport === 'sse') {
    return renew({ ...next, showing: hidden(next.showing) }, moment);
  }
  if (hasCarrier(next)) {
    return next.hello === undefined ? [next, NONE] : askToken(next);
  }
  return comeIn(next, moment);
}

/** Ends `unauthenticated`, and any waiting. */
export function comeIn(state: State, moment: Moment): Step {
  switch (state.phase) {
    case 'waiting':
    case 'offline':
      return connect(state, moment);
    case 'unauthenticated': {
      const next: State = { ...state, problem: undefined, attempt: 0, showing: { ...state.showing, refused: false } };
      const told: Step = [next, tellAll(next, undefined)];
      return isWanted(next) ? chain(told, (now) => connect(now, moment)) : [{ ...next, phase: 'idle' }, NONE];
    }
    default:
      return [state, NONE];
  }
}

/** What was handed on was another user's. */
function forgetAll(state: State): Step {
  let result: Step = [state, NONE];
  for (const [handle, subscription] of state.subscriptions) {
    result = chain(result, (next) => tell(next, handle, forget(subscription, 'this is another user now')));
  }
  return result;
}
