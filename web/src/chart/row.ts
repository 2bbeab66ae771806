// From a row to a point of the chart.

import type { Row } from '@rowcast/client';
import { type TimeUnit, toAxis, toNumber } from './time';
import type { RowPoint } from './tracks';

/** Which columns make a point, and which part of the axis is wanted. */
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

/** Which part of the axis is wanted: the newest (up to `end`, or to now), everything, or a fixed piece. */
export type Span =
  | { readonly kind: 'last'; readonly ms: number; readonly end: number | null }
  | { readonly kind: 'all' }
  | { readonly kind: 'range'; readonly from: number; readonly to: number };

/** Every column that a point needs, each once. */
export function columnsOf({ time, values, group, key }: FeedQuery): string[] {
  return [...new Set([time, ...values, ...(group === null ? [] : [group]), ...key])];
}

/** A row's key as text, the same for a row that was read and for one that changed; `null` without a key. */
export function keyText(key: readonly unknown[] | null): string | null {
  return key === null || key.length === 0 ? null : JSON.stringify(key);
}

/**
 * The point of a row; `null` when it has no usable time. What the row leaves out did not change and is taken from `held`.
 */
export function pointOf(
  query: FeedQuery,
  row: Partial<Row>,
  key: string | null,
  held: RowPoint | null = null,
): RowPoint | null {
  const { time, unit, values, group } = query;
  const at = row[time] === undefined ? (held?.time ?? null) : toAxis(row[time], unit);
  if (at === null) return null;
  return {
    key,
    time: at,
    group: groupOf(row, group, held),
    values: values.map((name, column) =>
      row[name] === undefined ? (held?.values[column] ?? Number.NaN) : (toNumber(row[name]) ?? Number.NaN),
    ),
  };
}

function groupOf(row: Partial<Row>, group: string | null, held: RowPoint | null): string {
  if (group === null) return 'null';
  const value = row[group];
  return value === undefined ? (held?.group ?? 'null') : JSON.stringify(value);
}
