/** A machine with a clock that stands still until told. */
import { type Effect, type Event, initial, type Settings, type State, step } from '../src/machine.ts';
import type { ServerMessage } from '../src/protocol.ts';
import type { ConnectionState } from '../src/types.ts';

export const SETTINGS: Settings = {
  transport: 'websocket',
  backoffBaseMs: 1_000,
  backoffCapMs: 30_000,
  connectMs: 10_000,
  probeMs: 5_000,
  idleMs: 4_000,
  auth: false,
};

export const HELLO: ServerMessage & { type: 'hello' } = {
  type: 'hello',
  protocol: 1,
  server: 'test',
  session: 'a',
  position: '1-0',
  heartbeat_ms: 10_000,
  limits: { frame_bytes: 1_000, subscriptions: 10 },
};

/** What the clock on the wall shows when the other begins. */
export const CLOCK = 1_700_000_000_000;

export class Driver {
  state: State;
  at = 1_000_000;
  random = 0.5;
  effects: readonly Effect[] = [];
  readonly all: Effect[] = [];

  constructor(settings: Partial<Settings> = {}) {
    this.state = initial({ ...SETTINGS, ...settings });
  }

  do(event: Event): this {
    [this.state, this.effects] = step(this.state, event, { at: this.at, time: CLOCK + this.at, random: this.random });
    this.all.push(...this.effects);
    return this;
  }

  track(handle = 1, state: object = {}): this {
    return this.do({ type: 'track', handle, channel: 'room:a', wish: { state, user: undefined } });
  }

  /** The program's answer to the newest question for a token. */
  token(token = 'a'): this {
    return this.do({ type: 'token', question: this.state.showing.question, token });
  }

  want(handle = 1, spec: object = {}): this {
    return this.do({ type: 'subscribe', handle, id: `s${handle}`, spec: { channel: 'table:t', ...spec } });
  }

  unwant(handle = 1): this {
    return this.do({ type: 'unsubscribe', handle });
  }

  ask(ref = 'r1', { mayWait = true, bytes = 10, timeoutMs = 20_000 } = {}): this {
    const message = { type: 'insert' as const, table: 't', rows: [], ref };
    return this.do({ type: 'request', ref, message, text: '{}', bytes, timeoutMs, mayWait });
  }

  hear(message: ServerMessage, carrier = this.state.carrier): this {
    return this.do({ type: 'message', carrier, message });
  }

  /** The server does not take this client. */
  refuse(): this {
    return this.hear({ type: 'error', code: 'unauthenticated', message: 'who are you?' });
  }

  lose(carrier = this.state.carrier): this {
    return this.do({ type: 'lost', carrier, problem: { code: 'connection_lost', message: 'lost' } });
  }

  after(ms: number): this {
    this.at += ms;
    return this.do({ type: 'tick' });
  }

  open(): this {
    return this.want().hear(HELLO);
  }

  live(handle = 1, position = '1-5'): this {
    return this.hear({ type: 'subscribed', id: `s${handle}`, position, resumed: false });
  }

  /** In short what the last event did: `connect`, `send subscribe`, `deliver failed`… */
  get did(): string[] {
    return this.effects.map(brief);
  }
}

export function brief(effect: Effect): string {
  switch (effect.do) {
    case 'send':
      return `send ${effect.message.type}`;
    case 'deliver':
      return `deliver ${effect.delivery.type}`;
    case 'answer':
      return effect.answer.type === 'done' ? 'answer' : `answer ${effect.answer.problem.code}`;
    case 'report':
      return `report ${effect.problem.code}`;
    default:
      return effect.do;
  }
}

/** A machine in each phase, with one subscription (none in `idle` and `closed`). */
export const IN: Record<ConnectionState, () => Driver> = {
  idle: () => new Driver(),
  connecting: () => new Driver().want(),
  open: () => new Driver().open(),
  waiting: () => new Driver().want().lose(),
  offline: () => new Driver().want().do({ type: 'offline' }).lose(),
  unauthenticated: () => new Driver().want().lose().do({ type: 'retry' }).refuse(),
  closed: () => new Driver().do({ type: 'close' }),
};
