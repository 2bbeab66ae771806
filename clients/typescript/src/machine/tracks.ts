/**
 * Where this client is seen: told when the connection is there, once for each channel.
 */
import type { ClientMessage } from '../protocol.ts';
import type { Problem } from '../subscription.ts';
import { chain, type Event, laterAt, type Moment, NONE, type State, type Step, send } from './state.ts';
import { beginTrack, handleOf, say, type Track, trackRef, unsaid } from './track.ts';

/** The server can take these later, and is told again. Event streams never can; the next connection may be another. */
const WORKS_LATER: ReadonlySet<string> = new Set(['unavailable', 'rate_limited']);
const NOT_HERE = 'no_websocket';

export function track(state: State, { handle, channel, wish }: Event & { type: 'track' }): Step {
  const known = state.tracks.get(handle);
  if (known !== undefined && known.phase !== 'standing') {
    return [withTrack(state, handle, { ...known, wish, changed: known.phase === 'sent' }), NONE];
  }
  const next = withTrack(state, handle, known === undefined ? beginTrack(channel, wish) : { ...known, wish });
  return next.phase === 'open' ? tellTrack(next, handle) : [next, NONE];
}

export function untrack(state: State, handle: number): Step {
  const known = state.tracks.get(handle);
  if (known === undefined) {
    return [state, NONE];
  }
  const next = withoutTrack(state, handle);
  const told = state.phase === 'open' && (known.phase === 'sent' || known.phase === 'standing');
  const message: ClientMessage = { type: 'untrack', channel: known.channel, ref: trackRef(handle) };
  return [next, told ? [send(state, message)] : NONE];
}

/** The connection is open. */
export function tellTracks(state: State): Step {
  let result: Step = [state, NONE];
  for (const handle of state.tracks.keys()) {
    result = chain(result, (next) => tellTrack(next, handle));
  }
  return result;
}

export function loseTracks(state: State): State {
  const tracks = new Map([...state.tracks].map(([handle, one]) => [handle, unsaid(one)]));
  return { ...state, tracks };
}

export function tracked(state: State, ref: string | undefined): Step {
  const handle = handleOf(ref);
  const known = handle === undefined ? undefined : state.tracks.get(handle);
  if (handle === undefined || known?.phase !== 'sent') {
    return [state, NONE];
  }
  const standing = withTrack(state, handle, { ...known, phase: 'standing', rests: 0 });
  const said: Step = [standing, [{ do: 'deliver', handle, delivery: { type: 'tracked' } }]];
  return known.changed ? chain(said, (next) => tellTrack(next, handle)) : said;
}

/** `undefined` where the answer is to something else. */
export function trackRefused(
  state: State,
  ref: string | undefined,
  problem: Problem,
  moment: Moment,
): Step | undefined {
  const handle = handleOf(ref);
  const known = handle === undefined ? undefined : state.tracks.get(handle);
  if (handle === undefined || known === undefined) {
    return handle === undefined ? undefined : [state, NONE];
  }
  if (problem.code === NOT_HERE || WORKS_LATER.has(problem.code)) {
    const rests = known.rests + 1;
    const restUntil = problem.code === NOT_HERE ? undefined : laterAt(state, problem, rests, moment);
    const resting: Track = { ...known, phase: 'resting', changed: false, rests, restUntil };
    return [withTrack(state, handle, resting), NONE];
  }
  return [withoutTrack(state, handle), [{ do: 'deliver', handle, delivery: { type: 'failed', problem } }]];
}

export function wakeTracks(state: State, moment: Moment): Step {
  let result: Step = [state, NONE];
  for (const [handle, { restUntil }] of state.tracks) {
    if (restUntil !== undefined && moment.at >= restUntil) {
      result = chain(result, (next) => tellTrack(next, handle));
    }
  }
  return result;
}

function tellTrack(state: State, handle: number): Step {
  const known = state.tracks.get(handle);
  if (known === undefined) {
    return [state, NONE];
  }
  const [sent, message] = say(known, handle);
  return [withTrack(state, handle, sent), [send(state, message)]];
}

function withTrack(state: State, handle: number, one: Track): State {
  return { ...state, tracks: new Map(state.tracks).set(handle, one) };
}

function withoutTrack(state: State, handle: number): State {
  const tracks = new Map(state.tracks);
  tracks.delete(handle);
  return { ...state, tracks };
}
