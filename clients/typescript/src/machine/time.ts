/**
 * What time, sleep and the network bring.
 */
import { expire } from '../requests.ts';
import type { Problem } from '../subscription.ts';
import { comeIn, renew } from './auth.ts';
import { giveUp, STABLE_MS } from './down.ts';
import { wakeLeaving } from './leaving.ts';
import { hidden } from './showing.ts';
import { chain, hasCarrier, isWanted, type Moment, NONE, type State, type Step, send, silenceAt } from './state.ts';
import { wakeTracks } from './tracks.ts';
import { askFor, connect } from './up.ts';

/** Nothing is tried, wanted or not. */
const RESTS: ReadonlySet<string> = new Set(['idle', 'unauthenticated', 'closed']);
/** A silence that is noticed this much too late was the machine's sleep, not the server's. */
const LATE_MS = 2_000;

export function tick(state: State, moment: Moment): Step {
  const [requests, late] = expire(state.requests, moment.at);
  const next: State = requests === state.requests ? state : { ...state, requests };
  return chain(
    chain([next, late], (now) => tickConnection(now, moment)),
    (now) => wakeRested(now, moment),
  );
}

function tickConnection(state: State, moment: Moment): Step {
  const { connect: connectAt, retry, probe: probeAt, renew: renewAt } = state.deadlines;
  const { at } = moment;
  if (retry !== undefined && at >= retry) {
    return connect(state, moment);
  }
  if (connectAt !== undefined && at >= connectAt) {
    return giveUp(state, { code: 'timeout', message: lateness(state) }, moment);
  }
  if (probeAt !== undefined && at >= probeAt) {
    return reconnectNow(state, { code: 'timeout', message: 'the server does not answer pings' }, moment);
  }
  if (at >= silenceAt(state)) {
    return at - silenceAt(state) > LATE_MS && probeAt === undefined
      ? probe(state, moment)
      : reconnectNow(state, { code: 'timeout', message: 'the server has gone silent' }, moment);
  }
  if (renewAt !== undefined && at >= renewAt) {
    const { renew: _, ...deadlines } = state.deadlines;
    return renew({ ...state, deadlines }, moment);
  }
  return [state, NONE];
}

function lateness({ showing }: State): string {
  return showing.phase === 'asked' ? 'no token came in time' : 'the server did not answer in time';
}

function wakeRested(state: State, moment: Moment): Step {
  if (state.phase !== 'open') {
    return [state, NONE];
  }
  let result = chain(wakeTracks(state, moment), (next) => wakeLeaving(next, moment));
  for (const [handle, { restUntil }] of state.subscriptions) {
    if (restUntil !== undefined && moment.at >= restUntil) {
      result = chain(result, (next) => askFor(next, handle));
    }
  }
  return result;
}

/** A dead connection that stood well is replaced at once; one that keeps dying waits. */
function reconnectNow(state: State, problem: Problem, moment: Moment): Step {
  const stable = moment.at - state.openedAt >= STABLE_MS;
  return chain(giveUp(state, problem, moment), (next) =>
    stable && next.phase === 'waiting' && isWanted(next) ? connect(next, moment) : [next, NONE],
  );
}

/** Asks for a sign of life, unless one is awaited. */
export function probe(state: State, moment: Moment): Step {
  if (state.deadlines.probe !== undefined) {
    return [state, NONE];
  }
  const deadlines = { ...state.deadlines, probe: moment.at + state.settings.probeMs };
  return [{ ...state, deadlines }, [send(state, { type: 'ping' })]];
}

/** The program wants it tried now. */
export function retry(state: State, moment: Moment): Step {
  return state.phase === 'unauthenticated' ? comeIn(state, moment) : hurry(state, moment);
}

/** There is reason to believe that it works now. */
export function hurry(state: State, moment: Moment): Step {
  return state.phase === 'waiting' || state.phase === 'offline' ? connect(state, moment) : [state, NONE];
}

export function online(state: State, moment: Moment): Step {
  return state.phase === 'open' ? probe(state, moment) : hurry(state, moment);
}

/** The word of the browser is a hint: a server on this machine is there without a network. */
export function offline(state: State, moment: Moment): Step {
  if (state.phase === 'open') {
    return probe(state, moment);
  }
  if (state.phase !== 'waiting') {
    return [state, NONE];
  }
  const retry = moment.at + state.settings.backoffCapMs;
  return [{ ...state, phase: 'offline', deadlines: { retry } }, NONE];
}

/** An unused connection ends after a while; unused waiting ends at once. */
export function rethinkIdle(state: State, moment: Moment): Step {
  const { idle, ...deadlines } = state.deadlines;
  if (isWanted(state)) {
    return [idle === undefined ? state : { ...state, deadlines }, NONE];
  }
  if (!hasCarrier(state)) {
    return RESTS.has(state.phase) ? [state, NONE] : [rested(state), NONE];
  }
  if (idle === undefined) {
    return [{ ...state, deadlines: { ...deadlines, idle: moment.at + state.settings.idleMs } }, NONE];
  }
  return moment.at < idle ? [state, NONE] : [rested(state), [{ do: 'disconnect', carrier: state.carrier }]];
}

function rested(state: State): State {
  const showing = hidden(state.showing);
  return { ...state, phase: 'idle', deadlines: {}, hello: undefined, leaving: new Map(), attempt: 0, showing };
}
