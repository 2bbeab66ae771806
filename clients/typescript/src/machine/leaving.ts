/**
 * Subscriptions that are over for the program, and not yet for the server: what still comes of them is nobody's, and no fault.
 */
import type { Problem } from '../subscription.ts';
import { chain, laterAt, type Moment, NONE, type State, type Step, send } from './state.ts';

/** One that was told to end. */
export interface Leaving {
  /** How often in a row the server could not listen. */
  readonly rests: number;
  /** It is told again then: the server has refused to listen, and goes on. */
  readonly restUntil: number | undefined;
}

export function leave(state: State, id: string): Step {
  return tellOf(state, id, { rests: 0, restUntil: undefined });
}

/** The server has ended it. */
export function left(state: State, id: string): State {
  const leaving = new Map(state.leaving);
  leaving.delete(id);
  return { ...state, leaving };
}

/** The server could not listen, or could not do what was asked before that. */
export function leaveLater(state: State, id: string, problem: Problem, moment: Moment): State {
  const known = state.leaving.get(id);
  if (known === undefined) {
    return state;
  }
  const rests = known.rests + 1;
  return withLeaving(state, id, { rests, restUntil: laterAt(state, problem, rests, moment) });
}

export function wakeLeaving(state: State, moment: Moment): Step {
  let result: Step = [state, NONE];
  for (const [id, one] of state.leaving) {
    if (one.restUntil !== undefined && moment.at >= one.restUntil) {
      result = chain(result, (next) => tellOf(next, id, { ...one, restUntil: undefined }));
    }
  }
  return result;
}

function tellOf(state: State, id: string, one: Leaving): Step {
  return [withLeaving(state, id, one), [send(state, { type: 'unsubscribe', id })]];
}

function withLeaving(state: State, id: string, one: Leaving): State {
  return { ...state, leaving: new Map(state.leaving).set(id, one) };
}
