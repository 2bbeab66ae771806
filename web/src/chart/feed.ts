// A chart's rows: history first, then every change from exactly the position where the history ended.
//
// Holds the points outside of React. Leaves drawing to `plot` and choosing what to show to the page.

import type { Change, ChangeFeed, Row, Rowcast, RowcastErrorLike } from '@rowcast/client';
import { AHEAD_MAX_MS, type History, readHistory } from './history';
import { columnsOf, type FeedQuery, keyText, pointOf } from './row';
import { type RowPoint, Tracks } from './tracks';

/** A row that arrived, for the gauge and the list of latest points. */
export interface Arrival {
  readonly group: string;
  readonly time: number;
  readonly values: readonly number[];
  readonly live: boolean;
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

const ARRIVALS_MAX = 12;
const POSITIONS_MAX = 4000;
const TRANSACTION_MAX = 10_000;
const REFRESH_FIRST_MS = 300;
const REFRESH_MAX_MS = 15_000;
const RETRY_MS = 2_000;
const TRIM_MS = 10_000;
const FINAL: ReadonlySet<string> = new Set([
  'bad_filter',
  'unknown_column',
  'unknown_table',
  'bad_message',
  'too_large',
  'forbidden',
]);

/** Whether the question is wrong, and not the moment. */
export function isFinal(error: RowcastErrorLike): boolean {
  return FINAL.has(error.code);
}

export class Feed {
  tracks: Tracks;
  /** Newest first. */
  arrivals: readonly Arrival[] = [];
  /** Counts everything that changes the picture. */
  version = 0;
  /** Changes received. */
  received = 0;
  /** Groups in the order of their first appearance, and then of their names, which is the order of their colours. */
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
  /** The transaction that has begun to arrive; applied with its last change. */
  private transaction: Change[] = [];
  /** The last changes counted. A history read again is older than the last of them, and brings them once more. */
  private readonly counted = new Set<string>();
  /** How far the data's clock is ahead of ours. */
  private aheadMs = 0;
  /** End of the window when the data is of another time than now. */
  private anchor: number | null = null;
  private readonly trimTimer: ReturnType<typeof setInterval>;

  constructor(
    private readonly db: Rowcast,
    readonly query: FeedQuery,
  ) {
    this.tracks = new Tracks(query.values.length);
    void this.load(false);
    // A quiet table, too, slides out of its window.
    this.trimTimer = setInterval(() => this.trim(), TRIM_MS);
  }

  close(): void {
    this.closed = true;
    this.loading?.abort();
    this.changes?.close();
    clearTimeout(this.timer);
    clearInterval(this.trimTimer);
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
      const end = span.end ?? this.anchor ?? now + this.aheadMs;
      return [end - span.ms, end];
    }
    const extent = this.tracks.extent() ?? [now - 60_000, now];
    return extent[0] < extent[1] ? extent : [extent[0] - 1, extent[1] + 1];
  }

  /** Whether the window moves with the clock. */
  get follows(): boolean {
    const { span } = this.query;
    return span.kind === 'last' && span.end === null && this.anchor === null;
  }

  /** The end of the window when the newest data is older than the window is long. */
  get stale(): number | null {
    return this.anchor;
  }

  private async load(exact: boolean): Promise<void> {
    this.loading?.abort();
    const loading = new AbortController();
    this.loading = loading;
    const { signal } = loading;
    try {
      const history = await readHistory(this.db, this.query, { exact, now: Date.now() + this.aheadMs, signal });
      if (signal.aborted) return;
      this.begin(history);
      if (history.sampled && !exact) void this.load(true);
    } catch (error) {
      // What is shown stays good, only sampled, when the exact history cannot be had.
      if (!signal.aborted && !exact) this.fail(error as RowcastErrorLike);
    }
  }

  /** Takes over a history and follows what comes after it. */
  private begin(history: History): void {
    const tracks = new Tracks(this.query.values.length);
    for (const group of history.buckets) tracks.load(group);
    for (const row of history.rows) tracks.insert(row);
    this.changes?.close();
    this.transaction = [];
    this.tracks = tracks;
    this.anchor = history.anchor;
    if (this.received === 0) {
      this.arrivals = history.latest.map((row, index) => ({ ...row, live: false, serial: -index }));
    }
    this.follow(history.position);
    this.tell({ phase: 'live', error: null, sampled: history.sampled, omitted: tracks.omitted.size });
  }

  private follow(since: string): void {
    const { table, where } = this.query;
    const options = {
      where: where || undefined,
      columns: columnsOf(this.query),
      since,
      // A missing column "did not change", and the old row says where the point was.
      old: true,
      onGap: () => this.refresh(),
      onError: (error: RowcastErrorLike) => this.fail(error),
    };
    this.changes = this.db.changes<Row>(table, options, (change) => this.receive(change));
  }

  private receive(change: Change): void {
    this.transaction.push(change);
    if (!change.last && this.transaction.length < TRANSACTION_MAX) return;
    const changes = this.transaction;
    this.transaction = [];
    for (const one of changes) this.apply(one);
    this.trim();
    this.tell({ omitted: this.tracks.omitted.size });
  }

  private apply(change: Change): void {
    const key = keyText(change.key);
    const before = change.oldKey === undefined ? key : keyText(change.oldKey);
    const held = before === null ? null : this.tracks.held(before);
    if (change.op !== 'insert') this.takeOut(change, before);
    if (change.op === 'delete') return;
    const point = pointOf(this.query, { ...change.old, ...change.row }, key, held);
    this.count(change, point);
    if (point !== null && this.isWanted(point.time)) this.tracks.insert(point);
  }

  private takeOut(change: Change, key: string | null): void {
    if (key !== null && this.tracks.remove(key)) return;
    const row = change.op === 'delete' ? change.row : change.old;
    const point = row === undefined ? null : pointOf(this.query, row, key);
    // Where the point was is not drawn, or it was of a row without a time.
    if (row?.[this.query.time] !== undefined && (point === null || this.isOutside(point.time))) return;
    if (point !== null && key === null && this.tracks.removeEqual(point)) return;
    // The row is part of a bucket; only the database can say what the bucket is without it.
    this.refresh();
  }

  private count(change: Change, point: RowPoint | null): void {
    if (this.counted.has(change.position)) return;
    this.counted.add(change.position);
    const [first] = this.counted;
    if (this.counted.size > POSITIONS_MAX && first !== undefined) this.counted.delete(first);
    this.received += 1;
    if (point === null) this.state = { ...this.state, untimed: this.state.untimed + 1 };
    else this.arrived(point);
  }

  private arrived({ group, time, values }: RowPoint): void {
    const arrival: Arrival = { group, time, values, live: true, serial: this.received };
    this.arrivals = [arrival, ...this.arrivals.slice(0, ARRIVALS_MAX - 1)];
    this.readClock(time);
    if (this.isOutside(time)) this.state = { ...this.state, outside: this.state.outside + 1 };
  }

  /** Lets the window follow the data: a clock ahead of ours, a replay of another time, or data that is of now again. */
  private readClock(time: number): void {
    const { span } = this.query;
    if (span.kind !== 'last' || span.end !== null) return;
    const lead = time - Date.now();
    if (lead > this.aheadMs && lead < AHEAD_MAX_MS) this.aheadMs = lead;
    if (this.anchor === null) return;
    if (lead > -span.ms && lead < AHEAD_MAX_MS) this.anchor = null;
    else if (lead <= -span.ms) this.anchor = Math.max(this.anchor, time);
  }

  private isOutside(time: number): boolean {
    if (this.query.span.kind === 'all') return false;
    const [from, to] = this.axis(Date.now());
    return time < from || time > to + 1000;
  }

  /** Whether a point is or may come to be drawn; others would only grow. */
  private isWanted(time: number): boolean {
    const { span } = this.query;
    if (span.kind === 'all') return true;
    const [from, to] = this.axis(Date.now());
    if (!this.follows) return time >= from && (time < to || this.anchor !== null);
    return time >= Math.min(from, this.keepFrom ?? from) && time < to + AHEAD_MAX_MS;
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
    if (this.closed) return;
    this.tell({ phase: 'failed', error });
    if (!isFinal(error)) this.reloadIn(RETRY_MS);
  }

  private tell(part: Partial<FeedState>): void {
    const news = [...this.tracks.byGroup.keys()].filter((group) => !this.order.includes(group));
    if (news.length > 0) this.order.push(...news.sort(compare));
    this.version += 1;
    this.state = { ...this.state, ...part };
    for (const listener of this.listeners) listener();
  }
}

/** `h2` before `h10`. */
function compare(a: string, b: string): number {
  return a.localeCompare(b, undefined, { numeric: true });
}
