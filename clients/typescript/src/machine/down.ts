/**
 * The way down: a carrier is gone, and when the next one is tried.
 */
import type { ServerMessage } from '../protocol.ts';
import { loseSent, refuseAll } from '../requests.ts';
import { type Delivery, type Problem, suspend } from '../subscription.ts';
import { hidden } from './showing.ts';
import {
  backoffMs,
  chain,
  type Effect,
  hasCarrier,
  initial,
  type Moment,
  NONE,
  RETRY_MAX_MS,
  type State,
  type Step,
  tell,
} from './state.ts';
import { loseTracks } from './tracks.ts';

/** A connection that stood this long was a good one: the waiting begins anew. */
export const STABLE_MS = 5_000;

/** The carrier has ended by itself. */
export function lose(state: State, problem: Problem, moment: Moment): Step {
  if (state.phase !== 'connecting' && state.phase !== 'open') {
    return [state, NONE];
  }
  return down(state, problem, moment, 0);
}

/** Ends a carrier that is of no use any more. */
export function giveUp(state: State, problem: Problem, moment: Moment, waitMs = 0): Step {
  if (!hasCarrier(state)) {
    return [state, NONE];
  }
  const disconnect: Effect = { do: 'disconnect', carrier: state.carrier };
  const [next, effects] = down(state, problem, moment, Math.min(Math.max(0, waitMs), RETRY_MAX_MS));
  return [next, [disconnect, ...effects]];
}

/** The server does not want this client: nothing is tried until the program has another token. */
export function stop(state: State, problem: Problem, moment: Moment): Step {
  const disconnect: readonly Effect[] = hasCarrier(state) ? [{ do: 'disconnect', carrier: state.carrier }] : NONE;
  const [lost, effects] = down(state, problem, moment, 0);
  const [requests, refused] = refuseAll(lost.requests, problem);
  const next: State = { ...lost, phase: 'unauthenticated', attempt: 0, deadlines: {}, requests };
  const answers = effects.filter((effect) => effect.do === 'answer');
  return [next, [...disconnect, ...tellAll(next, problem), ...answers, ...refused]];
}

/** All hear that nothing is tried, and why; or, without a problem, that something is tried again. */
export function tellAll(state: State, problem: Problem | undefined): readonly Effect[] {
  return [...state.subscriptions.keys()].map((handle) => ({ do: 'deliver', handle, delivery: stopped(problem) }));
}

export function stopped(problem: Problem | undefined): Delivery {
  return problem === undefined ? { type: 'suspended', problem } : { type: 'suspended', problem, stopped: true };
}

/** The server has said when to come back. */
export function comeBack(state: State, message: ServerMessage & { type: 'close' }, moment: Moment): Step {
  const problem = { code: message.reason, message: message.message };
  return giveUp(state, problem, moment, message.retry_ms);
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
    ...loseTracks(suspended),
    phase,
    attempt,
    problem,
    requests,
    hello: undefined,
    deadlines: { retry },
    leaving: new Map(),
    showing: hidden(suspended.showing),
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

/** The program has ended it, for good. */
export function close(state: State): Step {
  const problem = { code: 'closed', message: 'the connection was closed by the program' };
  const effects: Effect[] = hasCarrier(state) ? [{ do: 'disconnect', carrier: state.carrier }] : [];
  for (const handle of state.subscriptions.keys()) {
    effects.push({ do: 'deliver', handle, delivery: { type: 'failed', problem } });
  }
  for (const handle of state.tracks.keys()) {
    effects.push({ do: 'deliver', handle, delivery: { type: 'failed', problem } });
  }
  for (const { ref, sent } of state.requests.values()) {
    effects.push({ do: 'answer', ref, answer: { type: 'refused', problem: { ...problem, uncertain: sent } } });
  }
  const { settings, network, carrier } = state;
  return [{ ...initial(settings, network), phase: 'closed', carrier }, effects];
}
