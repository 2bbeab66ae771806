// A chart's past: the rows themselves while they are few, buckets of them when they are many.
//
// Knows the server's questions. Leaves what comes after the answer's position to `feed`.

import type { Rowcast, Series } from '@rowcast/client';
import { quoteName } from '../ui/sql';
import { columnsOf, type FeedQuery, keyText, pointOf } from './row';
import { fromAxis, historyToAxis } from './time';
import type { HistoryGroup, RowPoint } from './tracks';

export interface History {
  /** Changes after it are not in the history. */
  readonly position: string;
  readonly buckets: readonly HistoryGroup[];
  readonly rows: readonly RowPoint[];
  /** The newest values, newest first, for the gauge and the list. */
  readonly latest: readonly RowPoint[];
  /** The table was too large to be read in a moment; `exact` reads all of it. */
  readonly sampled: boolean;
  /** The newest time, where the window up to now is empty and the one up to this time is given instead. */
  readonly anchor: number | null;
}

export interface Ask {
  readonly exact: boolean;
  /** The present, on the data's clock. */
  readonly now: number;
  readonly signal: AbortSignal;
}

/** How far ahead of this machine's clock a point may be and still be taken for "now". */
export const AHEAD_MAX_MS = 300_000;

const BUCKETS = 1200;
/** Up to so many rows are read one by one, so that their times are exact and updates find them. */
const ROWS_MAX = 3000;
const LATEST = 12;

type Ends = readonly [from: number | null, to: number | null];

export async function readHistory(db: Rowcast, query: FeedQuery, ask: Ask): Promise<History> {
  const { ends, series, anchor } = await findPart(db, query, ask);
  const rows = await readRows(db, query, ends, series, ask.signal);
  return rows === null ? ofSeries(query, series, anchor) : { ...rows, anchor };
}

/** The part of the axis to show, with its buckets. */
async function findPart(db: Rowcast, query: FeedQuery, ask: Ask) {
  const read = async (ends: Ends, anchor: number | null) => ({
    ends,
    anchor,
    series: await readSeries(db, query, ends, ask.exact, ask.signal),
  });
  const { span } = query;
  if (span.kind === 'range') return read([span.from, span.to], null);
  if (span.kind === 'all') return read([null, null], null);
  const end = span.end ?? ask.now;
  // One row of a far future must not stretch the buckets over the years until then.
  const recent = await read([end - span.ms, span.end ?? end + AHEAD_MAX_MS], null);
  if (span.end !== null || hasPoints(recent.series)) return recent;
  const all = await readSeries(db, query, [null, null], false, ask.signal);
  const newest = newestTime(all, query);
  return newest === null ? recent : read([newest - span.ms, null], newest);
}

function readSeries(
  db: Rowcast,
  query: FeedQuery,
  [from, to]: Ends,
  exact: boolean,
  signal: AbortSignal,
): Promise<Series> {
  return db.series(query.table, {
    time: query.time,
    value: [...query.values],
    groupBy: query.group ?? undefined,
    where: query.where || undefined,
    from: from === null ? undefined : fromAxis(from, query.unit),
    to: to === null ? undefined : fromAxis(to, query.unit),
    buckets: BUCKETS,
    exact,
    signal,
  });
}

/** The rows of the same part; `null` when they are too many, or cannot be asked for by time. */
async function readRows(
  db: Rowcast,
  query: FeedQuery,
  ends: Ends,
  series: Series,
  signal: AbortSignal,
): Promise<Omit<History, 'anchor'> | null> {
  const where = rowsWhere(query, ends);
  if (!series.exact || where === null || countOf(series) > ROWS_MAX) return null;
  const options = { where: where || undefined, columns: columnsOf(query), orderBy: quoteName(query.time), signal };
  // The buckets are there already, and good enough where the rows cannot be had.
  const rows = await db.query(query.table, { ...options, limit: ROWS_MAX * 2 }).catch(() => null);
  signal.throwIfAborted();
  if (rows === null || rows.position === undefined || rows.length === ROWS_MAX * 2) return null;
  const points = rows.flatMap((row) => {
    const key = query.key.map((name) => row[name]);
    return pointOf(query, row, keyText(key)) ?? [];
  });
  const latest = points.slice(-LATEST).reverse();
  return { position: rows.position, buckets: [], rows: points, latest, sampled: false };
}

/** The filter with the axis's ends; `null` for times that are text, which a comparison would not order by time. */
function rowsWhere({ where, time, unit }: FeedQuery, [from, to]: Ends): string | null {
  if (from === null && to === null) return where;
  if (unit === 'text') return null;
  const column = quoteName(time);
  // The line's end closes a comment that the filter may end with.
  const terms = where === '' ? [] : [`(${where}\n)`];
  if (from !== null) terms.push(`${column} >= ${fromAxis(from, unit)}`);
  if (to !== null) terms.push(`${column} < ${fromAxis(to, unit)}`);
  return terms.join(' and ');
}

function ofSeries(query: FeedQuery, series: Series, anchor: number | null): History {
  const buckets = series.groups.map(
    ({ group, time, ...rest }): HistoryGroup => ({
      ...rest,
      group: JSON.stringify(group),
      time: time.map((at) => historyToAxis(at, query.unit)),
    }),
  );
  const { position, exact } = series;
  return { position, buckets, rows: [], latest: latestOf(series, query), sampled: !exact, anchor };
}

function latestOf(series: Series, { unit }: FeedQuery): RowPoint[] {
  // A bucket's start says no more of its last row than the bucket is wide.
  const grain = unit !== 'number' && historyToAxis(series.width, unit) >= 1 ? 1000 : 0;
  const coarse = (time: number) => (grain === 0 ? time : Math.round(time / grain) * grain);
  const points = series.groups.flatMap(({ group, time, last }) =>
    time.slice(-LATEST).map((at, index, { length }): RowPoint => {
      const place = time.length - length + index;
      return {
        key: null,
        group: JSON.stringify(group),
        time: coarse(historyToAxis(at, unit)),
        values: last.map((column) => column[place] ?? Number.NaN),
      };
    }),
  );
  return points.sort((a, b) => b.time - a.time).slice(0, LATEST);
}

function hasPoints(series: Series): boolean {
  return series.groups.some((group) => group.time.length > 0);
}

function countOf(series: Series): number {
  return series.groups.reduce((sum, { count }) => sum + count.reduce((a, b) => a + b, 0), 0);
}

function newestTime(series: Series, { unit }: FeedQuery): number | null {
  const times = series.groups.map((group) => group.time.at(-1)).filter((time) => time !== undefined);
  if (times.length === 0) return null;
  return historyToAxis(Math.min(Math.max(...times) + series.width, series.to), unit);
}
