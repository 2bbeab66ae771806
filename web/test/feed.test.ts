// History and live rows together, against a table in memory that answers as the server does.

import type {
  Change,
  ChangeFeed,
  ChangesOptions,
  QueryOptions,
  Row,
  Rowcast,
  Series,
  SeriesOptions,
} from '@rowcast/client';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Feed } from '../src/chart/feed';
import type { FeedQuery, Span } from '../src/chart/row';

type Options = ChangesOptions<Row>;
type Listener = (change: Change) => void;

/** One table with its log; a position is `e-` and the number of changes before it. */
class Table {
  readonly rows = new Map<number, Row>();
  readonly log: Change[] = [];
  readonly asked: SeriesOptions[] = [];
  exact = true;
  /** Whether rows are told as buckets only. */
  many = false;
  private readonly listeners = new Set<Listener>();

  get position(): string {
    return `e-${this.log.length}`;
  }

  insert(id: number, time: number, speed: number | null): void {
    const row = { id, time, speed };
    this.rows.set(id, row);
    this.tell('insert', row, id);
  }

  update(id: number, part: Row): void {
    const old = this.rows.get(id) ?? {};
    const row = { ...old, ...part };
    this.rows.set(id, row);
    this.tell('update', part, id, old);
  }

  delete(id: number): void {
    const row = this.rows.get(id) ?? {};
    this.rows.delete(id);
    this.tell('delete', row, id);
  }

  private tell(op: Change['op'], row: Row, id: number, old?: Row): void {
    const position = `e-${this.log.length + 1}`;
    const tx = this.log.length;
    const change: Change = { op, row, key: [id], position, tx, last: true, time: 0, ...(old && { old }) };
    this.log.push(change);
    for (const listener of this.listeners) listener(change);
  }

  private within({ from, to }: SeriesOptions): Row[] {
    const time = (row: Row) => Number(row.time);
    return [...this.rows.values()]
      .filter(
        (row) => (from === undefined || time(row) >= Number(from)) && (to === undefined || time(row) < Number(to)),
      )
      .sort((a, b) => time(a) - time(b));
  }

  series = async (_: string, options: SeriesOptions): Promise<Series> => {
    this.asked.push(options);
    const rows = this.within(options);
    const speeds = rows.map((row) => (row.speed === null ? null : Number(row.speed)));
    const count = rows.map(() => (this.many ? 5000 : 1));
    const group = {
      group: null,
      time: rows.map((row) => Number(row.time)),
      count,
      min: [speeds],
      max: [speeds],
      avg: [speeds],
      last: [speeds],
    };
    const times = group.time;
    return {
      from: times[0] ?? 0,
      to: (times.at(-1) ?? 0) + 1,
      width: 1,
      exact: options.exact === true || this.exact,
      position: this.position,
      groups: rows.length === 0 ? [] : [group],
    };
  };

  query = async (_: string, options: QueryOptions): Promise<readonly Row[]> => {
    const from = /time >= (\S+)/.exec(options.where ?? '')?.[1];
    const rows = this.within({ time: 'time', value: 'speed', from });
    return Object.assign(rows, { position: this.position });
  };

  changes = (_: string, options: Options, listener: Listener): ChangeFeed => {
    const since = Number(options.since?.slice(2));
    for (const change of this.log.slice(since)) listener(change);
    this.listeners.add(listener);
    return { close: () => this.listeners.delete(listener) } as unknown as ChangeFeed;
  };

  get db(): Rowcast {
    return this as unknown as Rowcast;
  }
}

const NOW = 1_718_000_000_000;
let table: Table;
let feed: Feed;

const start = async (span: Span = { kind: 'last', ms: 60_000, end: null }, part: Partial<FeedQuery> = {}) => {
  feed = new Feed(table.db, {
    table: 'readings',
    time: 'time',
    unit: 'ms',
    values: ['speed'],
    group: null,
    where: '',
    key: ['id'],
    span,
    ...part,
  });
  await vi.advanceTimersByTimeAsync(0);
};

const drawn = () => {
  const track = feed.tracks.byGroup.get('null');
  return Array.from(track?.avg[0]?.subarray(0, track.length) ?? []);
};

beforeEach(() => {
  vi.useFakeTimers({ now: NOW });
  table = new Table();
});

afterEach(() => {
  feed.close();
  vi.useRealTimers();
});

describe('a feed', () => {
  it('goes on from the history without a hole and without a repeat', async () => {
    table.insert(1, NOW - 2000, 10);
    table.insert(2, NOW - 1000, 20);
    const { query } = table;
    // A row that is committed between the answer and the subscription.
    table.query = async (...all) => {
      const rows = await query(...all);
      table.insert(3, NOW, 30);
      return rows;
    };
    await start();
    table.insert(4, NOW + 1000, 40);
    expect(drawn()).toEqual([10, 20, 30, 40]);
    expect(feed.getSnapshot()).toMatchObject({ phase: 'live', sampled: false, outside: 0 });
    expect(feed.arrivals.map(({ values, live }) => [values[0], live])).toEqual([
      [40, true],
      [30, true],
      [20, false],
      [10, false],
    ]);
  });

  it('applies updates and deletes to the very points', async () => {
    table.insert(1, NOW - 2000, 10);
    table.insert(2, NOW - 1000, 20);
    await start();
    table.update(1, { speed: 11 });
    expect(drawn()).toEqual([11, 20]);
    table.update(1, { time: NOW });
    expect(drawn()).toEqual([20, 11]);
    table.delete(2);
    expect(drawn()).toEqual([11]);
    expect(table.asked).toHaveLength(1);
  });

  it('reads the history again when a row inside a bucket changes', async () => {
    table.many = true;
    table.insert(1, NOW - 2000, 10);
    table.insert(2, NOW - 1000, 20);
    await start();
    table.delete(1);
    await vi.advanceTimersByTimeAsync(1000);
    expect(drawn()).toEqual([20]);
    expect(table.asked).toHaveLength(2);
  });

  it('asks for the exact history when it was sampled, and counts no change twice', async () => {
    table.exact = false;
    table.insert(1, NOW - 2000, 10);
    const { series } = table;
    let answer: () => void = () => undefined;
    table.series = async (name, options) => {
      const result = await series(name, options);
      if (options.exact) await new Promise<void>((resolve) => (answer = resolve));
      return result;
    };
    await start();
    expect(feed.getSnapshot().sampled).toBe(true);
    table.insert(2, NOW, 20);
    answer();
    await vi.advanceTimersByTimeAsync(0);
    expect(feed.getSnapshot().sampled).toBe(false);
    expect(drawn()).toEqual([10, 20]);
    expect(feed.received).toBe(1);
  });

  it('shows the newest data when the window up to now is empty, and returns when data is of now', async () => {
    const past = NOW - 86_400_000;
    table.insert(1, past, 10);
    await start();
    expect(feed.stale).toBe(past + 1);
    expect(drawn()).toEqual([10]);
    table.insert(2, NOW, 20);
    expect(feed.stale).toBeNull();
    expect(feed.axis(NOW)).toEqual([NOW - 60_000, NOW]);
  });

  it('counts a live point outside of the window and lists it', async () => {
    table.insert(1, NOW - 1000, 10);
    await start();
    table.insert(2, 1, 42);
    expect(feed.getSnapshot().outside).toBe(1);
    expect(feed.arrivals[0]).toMatchObject({ time: 1, values: [42] });
    expect(feed.axis(NOW)).toEqual([NOW - 60_000, NOW]);
  });

  it('follows a clock that is ahead, but not into the far future', async () => {
    table.insert(1, NOW - 1000, 10);
    await start();
    table.insert(2, NOW + 3000, 20);
    expect(feed.axis(NOW)[1]).toBe(NOW + 3000);
    table.insert(3, NOW + 1e12, 30);
    expect(feed.axis(NOW)[1]).toBe(NOW + 3000);
  });

  it('holds a day of points in a flat memory', async () => {
    await start({ kind: 'all' });
    for (let i = 0; i < 86_400; i += 1) table.insert(i, NOW + i * 1000, i % 50);
    const track = feed.tracks.byGroup.get('null');
    expect(track?.length).toBeLessThanOrEqual(20_000);
    expect(track?.time.length).toBeLessThanOrEqual(32_768);
    expect(track?.count.subarray(0, track.length).reduce((a, b) => a + b, 0)).toBe(86_400);
  });

  it('counts rows that have no time', async () => {
    table.insert(1, NOW - 1000, 10);
    await start();
    table.insert(2, Number.NaN, 20);
    expect(feed.getSnapshot().untimed).toBe(1);
    expect(drawn()).toEqual([10]);
  });

  it('tries again after a failure, except where the question is wrong', async () => {
    const { series } = table;
    table.series = async () => Promise.reject({ code: 'unreachable', message: 'no answer' });
    await start();
    expect(feed.getSnapshot().phase).toBe('failed');
    table.series = series;
    await vi.advanceTimersByTimeAsync(3000);
    expect(feed.getSnapshot()).toMatchObject({ phase: 'live', error: null });
    feed.close();
    let asked = 0;
    table.series = async () => {
      asked += 1;
      return Promise.reject({ code: 'bad_filter', message: 'no' });
    };
    await start();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(asked).toBe(1);
  });
});
