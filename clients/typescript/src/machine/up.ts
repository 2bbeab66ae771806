/**
 * The way up: a carrier, and asking for everything on it.
 */
import { takeUnsent } from '../requests.ts';
import { ask, forget } from '../subscription.ts';
import { chain, type Effect, type Moment, NONE, type State, type Step, send, type Transport, tell } from './state.ts';
import { tellTracks } from './tracks.ts';

export function connect(state: State, moment: Moment): Step {
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

/** The server knows this client as well as it needs to: everything is asked for. */
export function open(state: State, moment: Moment): Step {
  const { connect: _, ...deadlines } = state.deadlines;
  const opened: State = {
    ...state,
    phase: 'open',
    openedAt: moment.at,
    heardAt: moment.at,
    problem: undefined,
    deadlines,
    proven: { ...state.proven, [state.transport]: true },
  };
  return chain(chain(askForAll(opened), tellTracks), sendWaiting);
}

export function askForAll(state: State): Step {
  let result: Step = [state, NONE];
  for (const handle of state.subscriptions.keys()) {
    result = chain(result, (next) => askFor(next, handle));
  }
  return result;
}

export function askFor(state: State, handle: number): Step {
  const subscription = state.subscriptions.get(handle);
  if (subscription === undefined) {
    return [state, NONE];
  }
  // What it holds was allowed by what the token said then.
  const { claims } = state.showing;
  const differs = claims !== undefined && subscription.claims !== undefined && claims !== subscription.claims;
  const [known, told] = differs ? forget(subscription, 'what may be seen has changed') : [subscription, []];
  const [asked, message] = ask(known);
  const [next, effects] = tell(state, handle, [asked, told]);
  return [next, [...effects, send(next, message)]];
}

export function sendWaiting(state: State): Step {
  const [requests, ready, tooLarge] = takeUnsent(state.requests, state.hello?.limits.frame_bytes ?? 0);
  const sends = ready.map(({ message, text }): Effect => ({ do: 'send', carrier: state.carrier, message, text }));
  return [{ ...state, requests }, [...sends, ...tooLarge]];
}
