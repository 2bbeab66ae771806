/** Random events in any order: what must never happen, never happens. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Effect, type Event, nextDeadline } from '../src/machine.ts';
import type { ServerMessage } from '../src/protocol.ts';
import { Driver, HELLO } from './machine.ts';
import { runs } from './runs.ts';

/** What the machine's effects amount to, outside. */
class World {
  readonly driver: Driver;
  /** Carriers that exist. */
  readonly carriers = new Set<number>();
  /** Ids that the server knows on the newest carrier. */
  readonly wire = new Set<string>();
  readonly wanted = new Set<number>();
  readonly positions = new Set<string>();
  readonly sent = new Map<string, number>();
  readonly answered = new Map<string, number>();
  /** Channels on which the server sees this client. */
  readonly seen = new Set<string>();
  readonly tracked = new Set<number>();
  greeted = false;
  /** The server has taken a token on the newest carrier. */
  known = false;
  shown = '';
  closed = false;

  constructor(transport: 'auto' | 'websocket', auth: boolean) {
    this.driver = new Driver({ transport, auth });
  }

  do(event: Event): void {
    this.before(event);
    this.driver.do(event);
    for (const effect of this.driver.effects) {
      this.perform(effect);
    }
    this.check();
  }

  before(event: Event): void {
    if (event.type === 'lost' && event.carrier === this.driver.state.carrier) {
      this.end(event.carrier);
    }
    if (event.type === 'message' && event.carrier === this.driver.state.carrier && this.carriers.has(event.carrier)) {
      const { message } = event;
      this.greeted ||= message.type === 'hello';
      const without = message.type === 'hello' && !this.driver.state.showing.wanted;
      this.known ||= without || (message.type === 'authenticated' && message.ref === this.shown);
      if ('position' in message && message.position !== undefined) {
        this.positions.add(message.position);
      }
      if (message.type === 'error' && message.id !== undefined && !message.ref) {
        this.wire.delete(message.id);
        if (message.code === 'bad_filter') {
          this.wanted.delete(Number(message.id.slice(1)));
        }
      }
    }
    if (event.type === 'subscribe') {
      this.wanted.add(event.handle);
    } else if (event.type === 'unsubscribe') {
      this.wanted.delete(event.handle);
    } else if (event.type === 'track') {
      this.tracked.add(event.handle);
    } else if (event.type === 'untrack') {
      this.tracked.delete(event.handle);
    } else if (event.type === 'close') {
      this.closed = true;
      this.wanted.clear();
      this.tracked.clear();
    }
  }

  perform(effect: Effect): void {
    switch (effect.do) {
      case 'connect':
        this.carriers.add(effect.carrier);
        expect(this.carriers.size, 'carriers').toBe(1);
        break;
      case 'disconnect':
        expect(this.carriers.has(effect.carrier), 'disconnects what is there').toBe(true);
        this.end(effect.carrier);
        break;
      case 'send':
        expect(this.carriers.has(effect.carrier) && this.greeted, 'sends to an open carrier').toBe(true);
        this.send(effect.message);
        break;
      case 'answer':
        this.answered.set(effect.ref, (this.answered.get(effect.ref) ?? 0) + 1);
        break;
      case 'deliver':
        if (effect.delivery.type === 'failed') {
          this.wanted.delete(effect.handle);
          this.tracked.delete(effect.handle);
        }
    }
  }

  send(message: (Effect & { do: 'send' })['message']): void {
    if (message.type !== 'auth') {
      expect(this.known, 'says nothing else before the server knows it').toBe(true);
    }
    switch (message.type) {
      case 'auth':
        this.shown = message.ref ?? '';
        break;
      case 'track':
        this.seen.add(message.channel);
        break;
      case 'untrack':
        expect(this.seen.delete(message.channel), 'leaves where it is').toBe(true);
        break;
      case 'subscribe':
        expect(this.wire.has(message.id), 'subscribed once').toBe(false);
        expect(message.since === undefined || this.positions.has(message.since), 'a position of the server').toBe(true);
        this.wire.add(message.id);
        break;
      case 'unsubscribe':
        expect(this.wire.delete(message.id), 'unsubscribes what is there').toBe(true);
        break;
      case 'insert':
        this.sent.set(message.ref ?? '', (this.sent.get(message.ref ?? '') ?? 0) + 1);
    }
  }

  end(carrier: number): void {
    this.carriers.delete(carrier);
    this.wire.clear();
    this.seen.clear();
    this.greeted = false;
    this.known = false;
  }

  check(): void {
    const { state } = this.driver;
    const carried = state.phase === 'connecting' || state.phase === 'open';
    expect(this.carriers.size, 'a carrier where there should be one').toBe(carried ? 1 : 0);
    expect([...state.subscriptions.keys()].sort(), 'wishes').toEqual([...this.wanted].sort());
    expect([...state.tracks.keys()].sort(), 'tracks').toEqual([...this.tracked].sort());
    if (state.phase === 'open') {
      const asked = [...state.subscriptions.values()].filter(({ phase }) => phase !== 'resting').map(({ id }) => id);
      expect([...this.wire].sort(), 'every wish is on the wire').toEqual(asked.sort());
      const said = [...state.tracks.values()].filter(({ phase }) => phase !== 'resting').map(({ channel }) => channel);
      expect([...this.seen].sort(), 'every track is on the wire').toEqual(said.sort());
    }
    expect(
      [...this.sent.values(), ...this.answered.values()].every((count) => count === 1),
      'once',
    ).toBe(true);
    if (this.wanted.size > 0 && !this.closed && state.phase !== 'unauthenticated') {
      expect(state.phase).not.toBe('idle');
      expect(nextDeadline(state), 'something will happen').toBeLessThan(Infinity);
    }
    if (this.closed) {
      expect([state.phase, nextDeadline(state)]).toEqual(['closed', Infinity]);
    }
  }

  /** Time passes; whatever is due, happens, and comes to rest. */
  pass(ms: number): void {
    this.driver.at += ms;
    for (let ticks = 0; nextDeadline(this.driver.state) <= this.driver.at; ticks++) {
      expect(ticks, 'ticks come to an end').toBeLessThan(5);
      this.do({ type: 'tick' });
    }
  }
}

const handle = fc.integer({ min: 1, max: 4 });
const id = handle.map((number) => `s${number}`);
const position = fc.integer({ min: 1, max: 99 }).map((offset) => `1-${offset}`);
const tx = fc.integer({ min: 1, max: 3 });
const ref = fc.integer({ min: 1, max: 30 }).map((number) => `r${number}`);

const message: fc.Arbitrary<ServerMessage> = fc.oneof(
  { arbitrary: fc.constant(HELLO), weight: 6 },
  fc.record({ type: fc.constant('subscribed' as const), id, position, resumed: fc.boolean() }),
  fc.record({ type: fc.constant('snapshot' as const), id, rows: fc.constant([]), done: fc.boolean() }),
  fc.record({
    type: fc.constant('change' as const),
    id,
    op: fc.constant('insert' as const),
    row: fc.constant({}),
    key: fc.constant(null),
    position,
    tx,
    last: fc.boolean(),
    time: fc.constant(0),
  }),
  fc.record({ type: fc.constant('commit' as const), id, tx, position }),
  fc.record({ type: fc.constant('gap' as const), id, reason: fc.constant('retention'), message: fc.constant('') }),
  fc.record({ type: fc.constant('position' as const), position }),
  fc.record({ type: fc.constant('unsubscribed' as const), id }),
  fc.record({ type: fc.constant('inserted' as const), ref, count: fc.constant(1), rejected: fc.constant([]) }),
  fc.record({ type: fc.constant('pong' as const), position }),
  fc.record({
    type: fc.constant('error' as const),
    code: fc.constantFrom('bad_filter', 'unavailable', 'rate_limited', 'unauthenticated'),
    message: fc.constant(''),
    id,
  }),
  fc.record({ type: fc.constant('revoked' as const), id, message: fc.constant('') }),
  fc.record({ type: fc.constant('expiring' as const), expires_ms: fc.constant(0) }),
  fc.record({
    type: fc.constant('close' as const),
    reason: fc.constantFrom('restart', 'restart', 'revoked', 'unauthenticated'),
    message: fc.constant(''),
    retry_ms: fc.integer({ min: -5, max: 9_000 }),
  }),
);

type Act = (world: World, index: number) => void;

const act: fc.Arbitrary<Act> = fc.oneof(
  {
    arbitrary: message.map(
      (sent): Act =>
        (world) =>
          say(world, sent, 0),
    ),
    weight: 24,
  },
  fc.tuple(message, fc.integer({ min: 1, max: 2 })).map(
    ([sent, age]): Act =>
      (world) =>
        say(world, sent, age),
  ),
  fc.constant<Act>((world, index) => {
    const fresh = index + 10;
    world.do({ type: 'subscribe', handle: fresh, id: `s${fresh}`, spec: { channel: 'table:t' } });
  }),
  handle.map(
    (number): Act =>
      (world) => {
        if (!world.driver.state.subscriptions.has(number) && !world.driver.state.leaving.has(`s${number}`)) {
          world.do({ type: 'subscribe', handle: number, id: `s${number}`, spec: { channel: 'table:t' } });
        }
      },
  ),
  handle.map(
    (number): Act =>
      (world) =>
        world.do({ type: 'unsubscribe', handle: number }),
  ),
  {
    arbitrary: fc.boolean().map(
      (good): Act =>
        (world) =>
          answerToken(world, good),
    ),
    weight: 6,
  },
  {
    arbitrary: fc.boolean().map(
      (good): Act =>
        (world) =>
          answerAuth(world, good),
    ),
    weight: 6,
  },
  fc.constant<Act>((world) => world.do({ type: 'authenticate' })),
  handle.map(
    (number): Act =>
      (world) => {
        const wish = { state: {}, user: undefined };
        world.do({ type: 'track', handle: 100 + number, channel: `room:${number}`, wish });
      },
  ),
  handle.map(
    (number): Act =>
      (world) =>
        world.do({ type: 'untrack', handle: 100 + number }),
  ),
  fc.tuple(handle, fc.constantFrom('tracked', 'forbidden', 'rate_limited')).map(
    ([number, what]): Act =>
      (world) =>
        answerTrack(world, 100 + number, what),
  ),
  fc.boolean().map(
    (mayWait): Act =>
      (world, index) => {
        const name = `r${index}`;
        const sent = { type: 'insert' as const, table: 't', rows: [], ref: name };
        world.do({ type: 'request', ref: name, message: sent, text: '', bytes: 5, timeoutMs: 9_000, mayWait });
      },
  ),
  fc.integer({ min: 0, max: 1 }).map(
    (age): Act =>
      (world) => {
        const carrier = world.driver.state.carrier - age;
        world.do({ type: 'lost', carrier, problem: { code: 'connection_lost', message: '' } });
      },
  ),
  fc.constantFrom('woke', 'online', 'offline', 'retry').map(
    (type): Act =>
      (world) =>
        world.do({ type }),
  ),
  fc.integer({ min: 0, max: 40_000 }).map(
    (ms): Act =>
      (world) =>
        world.pass(ms),
  ),
  { arbitrary: fc.constant<Act>((world) => world.do({ type: 'close' })), weight: 1 },
);

function say(world: World, sent: ServerMessage, age: number): void {
  const { phase, carrier } = world.driver.state;
  // A server says nothing but hello first, and nothing about what it does not know.
  const known = !('id' in sent) || sent.id === undefined || world.wire.has(sent.id);
  if (age > 0 || (known && (phase !== 'open' || sent.type !== 'hello'))) {
    world.do({ type: 'message', carrier: carrier - age, message: sent });
  }
}

function hear(world: World, sent: ServerMessage): void {
  world.do({ type: 'message', carrier: world.driver.state.carrier, message: sent });
}

/** The program answers the newest question, if there is one. */
function answerToken(world: World, good: boolean): void {
  const { question, phase } = world.driver.state.showing;
  if (phase === 'asked') {
    const problem = { code: 'no_token', message: '' };
    world.do(good ? { type: 'token', question, token: `${question}` } : { type: 'no_token', question, problem });
  }
}

function answerAuth(world: World, good: boolean): void {
  const { phase } = world.driver.state.showing;
  if (phase === 'shown') {
    const ref = world.shown;
    hear(
      world,
      good ? { type: 'authenticated', ref, user: 'ada' } : { type: 'error', ref, code: 'unauthenticated', message: '' },
    );
  }
}

/** The server answers about a channel, if it was told. */
function answerTrack(world: World, handle: number, what: string): void {
  const channel = `room:${handle - 100}`;
  if (world.driver.state.tracks.get(handle)?.phase === 'sent' && world.seen.has(channel)) {
    if (what !== 'tracked') {
      world.seen.delete(channel);
    }
    const ref = `t${handle}`;
    hear(world, what === 'tracked' ? { type: 'tracked', ref } : { type: 'error', ref, code: what, message: '' });
  }
}

test('random histories keep the promises', () => {
  const history = fc.array(act, { minLength: 1, maxLength: 80, size: 'max' });
  fc.assert(
    fc.property(
      history,
      fc.constantFrom('auto' as const, 'websocket' as const),
      fc.boolean(),
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      (acts, transport, auth, random) => {
        const world = new World(transport, auth);
        world.driver.random = random;
        for (const [index, run] of acts.entries()) {
          run(world, index);
        }
        world.do({ type: 'close' });
        expect(world.carriers.size).toBe(0);
      },
    ),
    runs(600),
  );
});

test('any message, sensible or not, leaves it able to go on', () => {
  fc.assert(
    fc.property(fc.array(message, { maxLength: 40 }), (messages) => {
      const driver = new Driver().want(1).want(2);
      for (const sent of messages) {
        driver.hear(sent);
      }
      driver.do({ type: 'close' });
      expect(nextDeadline(driver.state)).toBe(Infinity);
    }),
    runs(500),
  );
});
