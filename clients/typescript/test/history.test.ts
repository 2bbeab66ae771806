/** Random histories of writes, losses and delays against a server in memory; the table itself is the oracle. */
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Feed } from '../src/feed.ts';
import { Live } from '../src/live.ts';
import { Runtime } from '../src/runtime.ts';
import { Tokens } from '../src/tokens.ts';
import type { TableOptions } from '../src/types.ts';
import { FakeServer, type Told } from './fake-server.ts';
import { SETTINGS } from './machine.ts';
import { runs } from './runs.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const row = fc.record({
  id: fc.integer({ min: 1, max: 30 }),
  g: fc.integer({ min: 0, max: 1 }),
  v: fc.integer({ min: 0, max: 5 }),
});
const edit = fc.record({
  id: fc.integer({ min: 1, max: 30 }),
  to: fc.option(row, { nil: undefined, freq: 4 }),
});

type Act = (world: World) => void;

const act: fc.Arbitrary<Act> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.tuple(fc.array(edit, { minLength: 1, maxLength: 4 }), fc.boolean()).map(
      ([edits, marked]): Act =>
        ({ server }) =>
          server.commit(edits, marked),
    ),
  },
  {
    weight: 3,
    arbitrary: fc.integer({ min: 1, max: 6 }).map(
      (count): Act =>
        (world) =>
          world.move(count),
    ),
  },
  {
    weight: 3,
    arbitrary: fc.integer({ min: 1, max: 20_000 }).map(
      (ms): Act =>
        () =>
          void vi.advanceTimersByTime(ms),
    ),
  },
  { weight: 2, arbitrary: fc.constant<Act>((world) => world.drop()) },
  { weight: 1, arbitrary: fc.constant<Act>(({ server }) => server.sessions.forEach((session) => void session.idle())) },
  { weight: 1, arbitrary: fc.constant<Act>((world) => world.live.refresh()) },
  { weight: 1, arbitrary: fc.constant<Act>((world) => world.again()) },
);
const harm: fc.Arbitrary<Act> = fc.constantFrom<Act>(
  ({ server }) => server.forget(),
  ({ server }) => server.beginAnew(),
);

class World {
  readonly server: FakeServer;
  readonly runtime: Runtime;
  readonly live: Live;
  readonly feed: Feed;
  readonly heard: Told[] = [];
  readonly marks: ({ readonly at: number; readonly position: string } | { readonly at: number; readonly gap: true })[] =
    [];
  readonly problems: unknown[] = [];
  /** What the query's result has been. */
  readonly results = new Set<string>(['[]']);
  readonly query: Parameters<FakeServer['select']>[0];
  shownOnce = false;
  stop = () => {};

  constructor(keyless: boolean, options: TableOptions) {
    const { where, orderBy, limit } = options;
    const snapshot = { ...(orderBy ? { order_by: orderBy } : {}), ...(limit ? { limit } : {}) };
    this.query = { ...(where === undefined ? {} : { where }), snapshot };
    this.server = new FakeServer(keyless);
    this.server.onCommit = () => this.results.add(JSON.stringify(this.server.select(this.query)));
    const carriers = { websocket: this.server.open, sse: this.server.open };
    const onError = (error: Error) => this.problems.push(error);
    this.runtime = new Runtime({
      settings: SETTINGS,
      carriers,
      tokens: new Tokens(undefined),
      onError,
      onFrame: undefined,
    });
    this.live = new Live(this.runtime, 't', options, { lingerMs: 0, schedule: (flush) => setTimeout(flush, 1) });
    const all = Array.from({ length: 30 }, (_, index) => ({ id: index + 1, g: 1, v: index % 4 }));
    this.server.commit(
      all.map((to) => ({ id: to.id, to })),
      true,
    );
    this.again();
    this.feed = new Feed(
      this.runtime,
      't',
      {
        where,
        onSubscribed: ({ position, resumed }) => !resumed && this.marks.push({ at: this.heard.length, position }),
        onGap: () => this.marks.push({ at: this.heard.length, gap: true }),
      },
      ({ oldKey, last: _, ...change }) =>
        this.heard.push({ ...change, ...(oldKey ? { old_key: oldKey } : {}) } as unknown as Told),
    );
  }

  /** Stops listening and begins again. */
  again(): void {
    this.stop();
    this.stop = this.live.subscribe(() => this.look());
  }

  /** What is shown has been the result at some moment, never something between or nothing. */
  look(): void {
    const { rows, status } = this.live;
    if (status === 'loading' ? this.shownOnce : !this.server.keyless && !this.results.has(JSON.stringify(rows))) {
      this.problems.push({ status, rows });
    }
    this.shownOnce ||= status === 'live';
  }

  move(count: number): void {
    for (const session of [...this.server.sessions]) {
      session.read(count);
      session.write(count);
    }
  }

  drop(): void {
    for (const session of [...this.server.sessions]) {
      session.drop();
    }
  }

  quiet(): void {
    for (let rounds = 0; rounds < 12; rounds++) {
      this.move(Infinity);
      vi.advanceTimersByTime(6_000);
      for (const session of this.server.sessions) {
        session.idle();
      }
    }
  }
}

const options = fc.record({
  where: fc.constantFrom(undefined, 'g = 1'),
  orderBy: fc.constantFrom(undefined, 'v desc', 'g, v'),
  limit: fc.constantFrom(undefined, 1, 3),
  deliver: fc.constantFrom<TableOptions['deliver']>(undefined, 'latest', { everyMs: 250 }),
});

function check(acts: readonly Act[], keyless: boolean, options: TableOptions, strict: boolean): void {
  vi.clearAllTimers();
  const world = new World(keyless, options);
  for (const run of acts) {
    run(world);
  }
  world.quiet();
  const { server, live, heard, marks } = world;
  const { snapshot: _, ...filter } = world.query;
  expect(live.status).toBe('live');
  const rows = server.select(world.query);
  if (keyless) {
    const values = options.orderBy?.split(/[ ,]+/).filter((name) => name.length === 1) ?? [];
    const pick = (row: object) => values.map((name) => (row as Record<string, unknown>)[name]);
    expect(live.rows.map(pick)).toEqual(rows.map(pick));
    for (const row of live.rows) {
      expect(server.select(filter)).toContainEqual(row);
    }
  } else {
    expect(live.rows).toEqual(rows);
  }
  expect(world.problems).toEqual([]);
  if (strict) {
    const from = Number(marks.find((mark) => 'position' in mark)?.position.split('-')[1]);
    const told = server.log.filter(({ offset }) => offset > from).flatMap((entry) => server.told(entry, filter) ?? []);
    expect(heard).toEqual(told);
  }
  expect(new Set(heard.map(({ position }) => position)).size, 'once').toBe(heard.length);
  world.runtime.close();
  vi.advanceTimersByTime(1);
  expect(vi.getTimerCount(), 'timers are given back').toBe(0);
}

test('rows are the table and each change is heard exactly once, over any losses', () => {
  fc.assert(
    fc.property(fc.array(act, { maxLength: 60, size: 'max' }), options, (acts, options) => {
      check(acts, false, options, true);
    }),
    runs(250),
  );
});

test('rows are the table though the log forgets and begins anew', () => {
  const acts = fc.array(fc.oneof({ weight: 10, arbitrary: act }, { weight: 1, arbitrary: harm }), {
    maxLength: 60,
    size: 'max',
  });
  fc.assert(
    fc.property(acts, options, (acts, options) => {
      check(acts, false, options, false);
    }),
    runs(250),
  );
});

test('rows of a table without a key are the table', () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof({ weight: 10, arbitrary: act }, { weight: 1, arbitrary: harm }), {
        maxLength: 40,
        size: 'max',
      }),
      options,
      (acts, options) => {
        check(acts, true, options, false);
      },
    ),
    runs(150),
  );
});
