/**
 * Carries out what `machine` decides, and tells it what happens. The only file that owns sockets, timers and listeners.
 */
import type { Carrier, OpenCarrier } from './carrier.ts';
import type { RowcastError } from './error.ts';
import { errorOf } from './http.ts';
import type { TrackWish } from './machine/track.ts';
import {
  type Effect,
  type Event,
  type Incoming,
  initial,
  type Moment,
  nextDeadline,
  type Settings,
  type State,
  step,
  type Transport,
} from './machine.ts';
import type { Tracking } from './presence.ts';
import type { DoneMessage, Malformed, RequestMessage, Subscribe } from './protocol.ts';
import { guard, Listeners } from './schedule.ts';
import type { Delivery, Problem } from './subscription.ts';
import { type Tokens, tokenProblem } from './tokens.ts';
import type { ConnectionSnapshot, RowcastErrorLike, TokenSource } from './types.ts';
import { toJson } from './wire.ts';

/** The longest that `setTimeout` understands. */
const TIMER_MAX_MS = 2 ** 31 - 1;
/** How often the clock is looked at, and how far it must have jumped for a sleep. */
const WATCH_MS = 5_000;
const SLEPT_MS = 3_000;
/** Who looks at frames does not see tokens. */
const HIDDEN = '{"type":"auth","token":"…"}';

export interface RuntimeOptions {
  readonly settings: Settings;
  readonly tokens: Tokens;
  readonly carriers: { readonly [T in Transport]: OpenCarrier };
  readonly onError: ((error: RowcastErrorLike) => void) | undefined;
  readonly onFrame: ((frame: { readonly direction: 'in' | 'out'; readonly text: string }) => void) | undefined;
}

interface Waiting {
  readonly resolve: (message: DoneMessage) => void;
  readonly reject: (error: RowcastError) => void;
}

export class Runtime {
  readonly #options: RuntimeOptions;
  #state: State;
  #snapshot: ConnectionSnapshot;
  readonly #listeners = new Listeners();
  readonly #queue: Event[] = [];
  #running = false;
  #carrier: Carrier | undefined;
  readonly #consumers = new Map<number, (delivery: Delivery) => void>();
  readonly #waiting = new Map<string, Waiting>();
  readonly #reported = new Set<string>();
  #names = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #timerAt = Infinity;
  #watch: ReturnType<typeof setInterval> | undefined;
  #stopListening: (() => void) | undefined;

  constructor(options: RuntimeOptions) {
    this.#options = options;
    const network = typeof navigator !== 'object' || navigator === null || navigator.onLine !== false;
    this.#state = initial(options.settings, network);
    this.#snapshot = snapshotOf(this.#state);
  }

  readonly getSnapshot = (): ConnectionSnapshot => this.#snapshot;
  readonly listen = (listener: () => void): (() => void) => this.#listeners.add(listener);

  /** Follows a channel until the returned function is called, which ends all deliveries. */
  subscribe(spec: Subscribe, consumer: (delivery: Delivery) => void): () => void {
    const handle = ++this.#names;
    this.#consumers.set(handle, consumer);
    this.#happen({ type: 'subscribe', handle, id: `s${handle}`, spec });
    return () => {
      if (this.#consumers.delete(handle)) {
        this.#happen({ type: 'unsubscribe', handle });
      }
    };
  }

  /** Is seen on a channel until it ends. */
  track(channel: string, wish: TrackWish, consumer: (delivery: Delivery) => void): Tracking {
    const handle = ++this.#names;
    this.#consumers.set(handle, consumer);
    this.#happen({ type: 'track', handle, channel, wish });
    return {
      update: (newer) => this.#happen({ type: 'track', handle, channel, wish: newer }),
      end: () => {
        if (this.#consumers.delete(handle)) {
          this.#happen({ type: 'untrack', handle });
        }
      },
    };
  }

  /** Sends a request once. Rejects with a `RowcastError`. */
  request(
    message: RequestMessage,
    { timeoutMs, mayWait }: { readonly timeoutMs: number; readonly mayWait: boolean },
  ): Promise<DoneMessage> {
    const ref = `r${++this.#names}`;
    const named = { ...message, ref };
    const text = toJson(named);
    const bytes = new TextEncoder().encode(text).length;
    return new Promise((resolve, reject) => {
      this.#waiting.set(ref, { resolve, reject });
      this.#happen({ type: 'request', ref, message: named, text, bytes, timeoutMs, mayWait });
    });
  }

  /** Tries to connect now, if it waits. */
  readonly retry = (): void => this.#happen({ type: 'retry' });

  readonly authenticate = (source: TokenSource): void => {
    this.#options.tokens.replace(source);
    this.#happen({ type: 'authenticate' });
  };

  close(): void {
    this.#happen({ type: 'close' });
  }

  /** One event after the other, also those that effects cause. */
  #happen(event: Event): void {
    this.#queue.push(event);
    if (this.#running) {
      return;
    }
    this.#running = true;
    try {
      for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
        const [state, effects] = step(this.#state, next, moment());
        this.#state = state;
        for (const effect of effects) {
          this.#perform(effect);
        }
      }
    } finally {
      this.#running = false;
    }
    this.#attend();
    this.#publish();
  }

  #perform(effect: Effect): void {
    switch (effect.do) {
      case 'connect':
        this.#connect(effect.carrier, effect.transport);
        break;
      case 'disconnect':
        this.#carrier?.close();
        this.#carrier = undefined;
        break;
      case 'send': {
        const text = effect.text ?? toJson(effect.message);
        this.#options.onFrame?.({ direction: 'out', text: effect.message.type === 'auth' ? HIDDEN : text });
        this.#carrier?.send(effect.message, text);
        break;
      }
      case 'token':
        void this.#ask(effect.question);
        break;
      case 'deliver':
        this.#deliver(effect.handle, effect.delivery);
        break;
      case 'answer':
        this.#answer(effect);
        break;
      case 'report':
        this.#report(effect.problem);
    }
  }

  #connect(carrier: number, transport: Transport): void {
    this.#carrier = this.#options.carriers[transport]({
      message: (message, text) => this.#receive(carrier, message, text),
      lost: (problem) => this.#happen({ type: 'lost', carrier, problem }),
    });
  }

  #receive(carrier: number, message: Incoming | Malformed, text: string): void {
    guard(() => this.#options.onFrame?.({ direction: 'in', text }));
    if (message.type === 'malformed') {
      this.#report({ code: 'malformed', message: `the server sent ${message.problem}; it was ignored` });
    } else {
      this.#happen({ type: 'message', carrier, message });
    }
  }

  async #ask(question: number): Promise<void> {
    try {
      const token = await this.#options.tokens.fresh();
      this.#happen({ type: 'token', question, token });
    } catch (thrown) {
      this.#happen({ type: 'no_token', question, problem: tokenProblem(thrown) });
    }
  }

  #deliver(handle: number, delivery: Delivery): void {
    const consumer = this.#consumers.get(handle);
    if (delivery.type === 'failed') {
      this.#consumers.delete(handle);
    }
    guard(() => consumer?.(delivery));
  }

  #answer({ ref, answer }: Effect & { do: 'answer' }): void {
    const waiting = this.#waiting.get(ref);
    this.#waiting.delete(ref);
    if (answer.type === 'done') {
      waiting?.resolve(answer.message);
    } else {
      waiting?.reject(errorOf(answer.problem));
    }
  }

  /** Once for each kind of problem. */
  #report(problem: Problem): void {
    const kind = `${problem.code} ${problem.message}`;
    if (this.#reported.has(kind) || this.#reported.size >= 100) {
      return;
    }
    this.#reported.add(kind);
    const { onError } = this.#options;
    guard(() => (onError ? onError(errorOf(problem)) : console.warn(`rowcast: ${problem.message}`)));
  }

  /** Keeps the timer at the next deadline. An earlier one may stay: a tick too many changes nothing. */
  #attend(): void {
    this.#watchOver(this.#state.phase !== 'idle' && this.#state.phase !== 'closed');
    const next = nextDeadline(this.#state);
    if (next === Infinity) {
      clearTimeout(this.#timer);
      this.#timerAt = Infinity;
    } else if (next < this.#timerAt) {
      clearTimeout(this.#timer);
      this.#timerAt = next;
      const wait = Math.min(Math.max(0, Math.ceil(next - performance.now())), TIMER_MAX_MS);
      this.#timer = setTimeout(() => {
        this.#timerAt = Infinity;
        this.#happen({ type: 'tick' });
      }, wait);
    }
  }

  /** Notices sleep, a page that is shown again, and the network's coming and going. */
  #watchOver(needed: boolean): void {
    if (needed === (this.#watch !== undefined)) {
      return;
    }
    clearInterval(this.#watch);
    this.#stopListening?.();
    this.#watch = undefined;
    this.#stopListening = undefined;
    if (needed) {
      this.#watch = watchClock(() => this.#happen({ type: 'woke' }));
      this.#stopListening = listenToPage((type) => this.#happen({ type }));
    }
  }

  #publish(): void {
    const next = snapshotOf(this.#state, this.#snapshot);
    if (next !== this.#snapshot) {
      this.#snapshot = next;
      this.#listeners.notify();
    }
  }
}

function moment(): Moment {
  return { at: performance.now(), time: Date.now(), random: Math.random() };
}

/** The same object when nothing that it shows has changed. */
function snapshotOf(state: State, before?: ConnectionSnapshot): ConnectionSnapshot {
  const { phase, deadlines, problem, hello, transport, attempt, showing } = state;
  const carried = phase === 'connecting' || phase === 'open';
  const same = before?.error !== undefined && problem !== undefined && before.error.message === problem.message;
  const next: ConnectionSnapshot = {
    state: phase,
    transport: carried ? transport : undefined,
    attempt: phase === 'open' ? 0 : attempt,
    retryAt: deadlines.retry === undefined ? undefined : Math.round(Date.now() + deadlines.retry - performance.now()),
    error: problem === undefined ? undefined : same ? before.error : errorOf(problem),
    session: hello?.session || undefined,
    server: hello?.server || undefined,
    user: showing.user,
    expiresAt: showing.expiresAt,
  };
  if (before === undefined) {
    return next;
  }
  const names = Object.keys(next) as (keyof ConnectionSnapshot)[];
  // The two clocks that `retryAt` is made of do not tick together.
  const differs = (name: keyof ConnectionSnapshot) =>
    name === 'retryAt' && next.retryAt !== undefined && before.retryAt !== undefined
      ? Math.abs(next.retryAt - before.retryAt) > 50
      : next[name] !== before[name];
  return names.some(differs) ? next : before;
}

/** Timers stand still while the machine sleeps; the time of day does not. */
function watchClock(woke: () => void): ReturnType<typeof setInterval> {
  let last = Date.now();
  return setInterval(() => {
    const now = Date.now();
    const slept = now - last > WATCH_MS + SLEPT_MS;
    last = now;
    if (slept) {
      woke();
    }
  }, WATCH_MS);
}

function listenToPage(tell: (type: 'woke' | 'online' | 'offline') => void): (() => void) | undefined {
  if (typeof window !== 'object' || typeof document !== 'object') {
    return undefined;
  }
  const controller = new AbortController();
  const { signal } = controller;
  window.addEventListener('online', () => tell('online'), { signal });
  window.addEventListener('offline', () => tell('offline'), { signal });
  window.addEventListener('pageshow', (event) => event.persisted && tell('woke'), { signal });
  // It may have come or gone while nobody listened.
  tell(navigator.onLine === false ? 'offline' : 'online');
  document.addEventListener('visibilitychange', () => document.visibilityState === 'visible' && tell('woke'), {
    signal,
  });
  return () => controller.abort();
}
