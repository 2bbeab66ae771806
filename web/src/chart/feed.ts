// A chart's rows: history first, then every change from exactly the position where the history ended.
//
// Holds the points outside of React. Leaves drawing to `plot` and choosing what to show to the page.

import type { Change, ChangeFeed, Row, Rowcast, RowcastErrorLike, Series } from '@rowcast/client';
import { fromAxis, historyToAxis, type TimeUnit, toAxis, toNumber } from './time';
import { type RowPoint, Tracks } from './tracks';

/** Which part of the axis is wanted: up to now, everything, or a fixed piece. */
export type Span =
  | { readonly kind: 'last'; readonly ms: number; readonly end: number | null }
  | { readonly kind: 'all' }
  | { readonly kind: 'range'; readonly from: number; readonly to: number };

export interface FeedQuery {
  readonly table: string;
  readonly time: string;
  readonly unit: TimeUnit;
  readonly values: readonly string[];
  readonly group: string | null;
  readonly where: string;
  readonly key: readonly string[];
  readonly span: Span;
}

/** A row that arrived, for the gauge and the list of latest points. */
export interface Arrival {
  readonly group: string;
  readonly time: number;
  readonly values: readonly number[];
  readonly op: 'history' | 'insert' | 'update';
  readonly serial: number;
}

/** What the page shows around the chart. A new object whenever anything changed. */
export interface FeedState {
  readonly phase: 'loading' | 'live' | 'failed';
  readonly error: RowcastErrorLike | null;
  /** The history was sampled; the exact one is on its way. */
  readonly sampled: boolean;
  /** Live rows outside of the axis, which would otherwise go unseen. */
  readonly outside: number;
  /** Groups that are not drawn. */
  readonly omitted: number;
  /** Changes with no usable time. */
  readonly untimed: number;
}

const BUCKETS = 1200;
const ARRIVALS_MAX = 12;
const REFRESH_FIRST_MS = 300;
const REFRESH_MAX_MS = 15_000;
const RETRY_MS = 2_000;
/** How far ahead of this machine's clock a live point may be and still be taken for "now". */
const AHEAD_MAX_MS = 300_000;

export class Feed {
  tracks: Tracks;
  /** Newest first. */
  arrivals: readonly Arrival[] = [];
  /** Counts everything that changes the picture. */
  version = 0;
  /** Groups in the order of their first appearance, which is the order of their colours. */
  readonly order: string[] = [];
  /** Points before this are kept although the window has passed them: somebody looks at them. */
  keepFrom: number | null = null;

  private state: FeedState = {
    phase: 'loading',
    error: null,
    sampled: false,
    outside: 0,
    omitted: 0,
    untimed: 0,
  };
  private readonly listeners = new Set<() => void>();
  private changes: ChangeFeed | null = null;
  private loading: AbortController | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private refreshMs = REFRESH_FIRST_MS;
  private refreshedAt = 0;
  private closed = false;
  private serial = 0;
  /** The transaction that has begun to arrive; applied with its last change. */
  private transaction: Change[] = [];
  /** How far the data's clock is ahead of ours. */
  private aheadMs = 0;
  /** End of the window when the data is of another time than now. */
  private anchor: number | null = null;
  private followTimer: ReturnType<typeof setInterval> | undefined;

  constructor(
    private readonly db: Rowcast,
    readonly query: FeedQuery,
  ) {
    this.tracks = new Tracks(query.values.length);
    void this.load(false);
    // A quiet table, too, slides out of its window.
    this.followTimer = setInterval(() => this.trim(), 10_000);
  }

  close(): void {
    this.closed = true;
    this.loading?.abort();
    this.changes?.close();
    clearTimeout(this.timer);
    clearInterval(this.followTimer);
    this.listeners.clear();
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  readonly getSnapshot = (): FeedState => this.state;

  /** The ends of the axis at this moment. */
  axis(now: number): [number, number] {
    const { span } = this.query;
    if (span.kind === 'range') return [span.from, span.to];
    if (span.kind === 'last') {
      const end = this.end(now);
      return [end - span.ms, end];
    }
    const extent = this.tracks.extent() ?? [now - 60_000, now];
    return extent[0] < extent[1] ? extent : [extent[0] - 1, extent[1] + 1];
  }

  /** Changes received since the feed began. */
  get received(): number {
    return this.serial;
  }

  /** Whether the window moves with the clock. */
  get follows(): boolean {
    return this.query.span.kind === 'last' && this.anchor === null;
  }

  /** The end of the window when the newest data is older than the window is long. */
  get stale(): number | null {
    return this.query.span.kind === 'last' ? this.anchor : null;
  }

  private end(now: number): number {
    return this.anchor ?? now + this.aheadMs;
  }

  private async load(exact: boolean): Promise<void> {
    this.loading?.abort();
    const loading = new AbortController();
    this.loading = loading;
    try {
      const series = await this.history(exact, loading.signal);
      if (loading.signal.aborted) return;
      this.begin(series);
      if (!series.exact && !exact) void this.load(true);
    } catch (error) {
      if (loading.signal.aborted || this.closed) return;
      // What is shown stays good, only sampled, when the exact history cannot be had.
      if (!exact) this.fail(error as RowcastErrorLike);
    }
  }

  /** The history of the span; where a window up to now is empty, the window up to the newest row. */
  private async history(exact: boolean, signal: AbortSignal): Promise<Series> {
    const { span } = this.query;
    if (span.kind === 'range') return this.ask(span.from, span.to, exact, signal);
    if (span.kind === 'all') return this.ask(null, null, exact, signal);
    const now = Date.now() + this.aheadMs;
    const end = span.end ?? now;
    const recent = await this.ask(end - span.ms, span.end, exact, signal);
    if (span.end !== null || hasPoints(recent)) {
      this.anchor = span.end;
      return recent;
    }
    const all = await this.ask(null, null, false, signal);
    const newest = newestTime(all, this.query.unit);
    this.anchor = newest === null || newest > end - span.ms ? null : newest;
    return this.anchor === null ? recent : this.ask(this.anchor - span.ms, null, exact, signal);
  }

  private ask(from: number | null, to: number | null, exact: boolean, signal: AbortSignal): Promise<Series> {
    const { table, time, values, group, where, unit } = this.query;
    return this.db.series(table, {
      time,
      value: [...values],
      groupBy: group ?? undefined,
      where: where || undefined,
      from: from === null ? undefined : fromAxis(from, unit),
      to: to === null ? undefined : fromAxis(to, unit),
      buckets: BUCKETS,
      exact,
      signal,
    });
  }

  /** Takes over a history and follows what comes after it. */
  private begin(series: Series): void {
    const { unit, values } = this.query;
    const tracks = new Tracks(values.length);
    for (const { group, time, ...rest } of series.groups) {
      const onAxis = time.map((at) => historyToAxis(at, unit));
      tracks.load({ ...rest, group: JSON.stringify(group), time: onAxis });
    }
    this.changes?.close();
    this.transaction = [];
    this.tracks = tracks;
    if (this.arrivals.length === 0) this.arrivals = latest(series, unit);
    this.follow(series.position);
    this.tell({ phase: 'live', error: null, sampled: !series.exact, omitted: tracks.omitted.size });
  }

  private follow(since: string): void {
    const { table, time, values, group, where, key } = this.query;
    const columns = [...new Set([time, ...values, ...(group === null ? [] : [group]), ...key])];
    const options = {
      where: where || undefined,
      columns,
      since,
      // A missing column "did not change", and the old row says when the point was.
      old: true,
      onGap: () => this.refresh(),
      onError: (error: RowcastErrorLike) => this.fail(error),
    };
    this.changes = this.db.changes<Row>(table, options, (change) => this.receive(change));
  }

  private receive(change: Change): void {
    this.transaction.push(change);
    if (!change.last && this.transaction.length < 10_000) return;
    const changes = this.transaction;
    this.transaction = [];
    for (const one of changes) this.apply(one);
    this.trim();
    this.tell({ omitted: this.tracks.omitted.size });
  }

  private apply(change: Change): void {
    const key = change.key === null ? null : JSON.stringify(change.key);
    const before = change.oldKey === undefined ? key : JSON.stringify(change.oldKey);
    const held = before === null ? null : this.tracks.held(before);
    if (change.op !== 'insert') this.takeOut(change, before);
    if (change.op === 'delete') return;
    const point = this.point(change, key, held);
    if (point === null) {
      this.state = { ...this.state, untimed: this.state.untimed + 1 };
      return;
    }
    this.tracks.insert(point);
    this.arrived(point, change.op);
  }

  private takeOut(change: Change, key: string | null): void {
    if (key !== null && this.tracks.remove(key)) return;
    const row = change.op === 'delete' ? change.row : (change.old ?? null);
    const point = row === null ? null : this.point({ ...change, row }, key, null);
    if (point === null || this.outside(point.time)) return;
    if (key === null && this.tracks.removeEqual(point)) return;
    // The row is part of a bucket; only the database can say what the bucket is without it.
    this.refresh();
  }

  private point(change: Change, key: string | null, held: RowPoint | null): RowPoint | null {
    const { time, unit, values, group } = this.query;
    const row: Partial<Row> = { ...change.old, ...change.row };
    const at = row[time] === undefined ? (held?.time ?? null) : toAxis(row[time], unit);
    if (at === null) return null;
    const grouped = group === null ? 'null' : JSON.stringify(row[group] ?? null);
    return {
      key,
      time: at,
      group: group !== null && row[group] === undefined && held !== null ? held.group : grouped,
      values: values.map((name, column) =>
        row[name] === undefined ? (held?.values[column] ?? Number.NaN) : (toNumber(row[name]) ?? Number.NaN),
      ),
    };
  }

  private arrived(point: RowPoint, op: 'insert' | 'update'): void {
    this.serial += 1;
    const { group, time, values } = point;
    const arrival: Arrival = { group, time, values, op, serial: this.serial };
    this.arrivals = [arrival, ...this.arrivals.slice(0, ARRIVALS_MAX - 1)];
    this.clock(time);
    if (this.outside(time)) this.state = { ...this.state, outside: this.state.outside + 1 };
  }

  /** Lets the window follow the data: a clock ahead of ours, a replay of another time, or data that is of now again. */
  private clock(time: number): void {
    const { span } = this.query;
    if (span.kind !== 'last' || span.end !== null) return;
    const now = Date.now();
    const lead = time - now;
    if (lead > this.aheadMs && lead < AHEAD_MAX_MS) this.aheadMs = lead;
    if (this.anchor === null) return;
    if (lead > -span.ms && lead < AHEAD_MAX_MS) this.anchor = null;
    else if (lead <= -span.ms) this.anchor = Math.max(this.anchor, time);
  }

  private outside(time: number): boolean {
    if (this.query.span.kind === 'all') return false;
    const [from, to] = this.axis(Date.now());
    return time < from || time > to + 1000;
  }

  private trim(): void {
    const { span } = this.query;
    if (span.kind !== 'last' || span.end !== null) return;
    const from = this.axis(Date.now())[0] - span.ms * 0.05;
    this.tracks.trim(Math.min(from, this.keepFrom ?? from));
  }

  /** Reads the history again soon, less and less often while it is asked for again and again. */
  private refresh(): void {
    if (this.timer !== undefined || this.closed) return;
    const now = Date.now();
    const quiet = now - this.refreshedAt > this.refreshMs * 4;
    this.refreshMs = quiet ? REFRESH_FIRST_MS : Math.min(this.refreshMs * 2, REFRESH_MAX_MS);
    this.refreshedAt = now + this.refreshMs;
    this.reloadIn(this.refreshMs);
  }

  private reloadIn(delayMs: number): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.timer = undefined;
      void this.load(false);
    }, delayMs);
  }

  private fail(error: RowcastErrorLike): void {
    const own = ['bad_filter', 'unknown_column', 'unknown_table', 'bad_message'];
    this.tell({ phase: 'failed', error });
    if (!own.includes(error.code) && !this.closed) this.reloadIn(RETRY_MS);
  }

  private tell(part: Partial<FeedState>): void {
    for (const group of this.tracks.byGroup.keys()) {
      if (!this.order.includes(group)) this.order.push(group);
    }
    this.version += 1;
    this.state = { ...this.state, ...part };
    for (const listener of this.listeners) listener();
  }
}

function hasPoints(series: Series): boolean {
  return series.groups.some((group) => group.time.length > 0);
}

function newestTime(series: Series, unit: TimeUnit): number | null {
  const times = series.groups.map((group) => group.time.at(-1)).filter((time) => time !== undefined);
  if (times.length === 0) return null;
  return historyToAxis(Math.min(Math.max(...times) + series.width, series.to), unit);
}

/** The newest buckets as arrivals, so that the gauge has a value before the first change. */
function latest(series: Series, unit: TimeUnit): Arrival[] {
  const arrivals = series.groups.flatMap((group) =>
    group.time.slice(-ARRIVALS_MAX).map((time, index, { length }): Arrival => {
      const at = group.time.length - length + index;
      return {
        group: JSON.stringify(group.group),
        time: historyToAxis(time, unit),
        values: group.last.map((column) => column[at] ?? Number.NaN),
        op: 'history',
        serial: 0,
      };
    }),
  );
  return arrivals
    .sort((a, b) => b.time - a.time)
    .slice(0, ARRIVALS_MAX)
    .map((arrival, index) => ({ ...arrival, serial: -1 - index }));
}
