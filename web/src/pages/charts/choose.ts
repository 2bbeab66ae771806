// What is drawn when the address leaves it open: the table, its time column, its values.

import type { Table } from '@rowcast/client';
import { guessTimeColumn, guessValues, numericColumns } from '../../chart/column';
import type { FeedQuery, Span } from '../../chart/row';
import { detectUnit, type TimeUnit, toAxis } from '../../chart/time';
import { type ChartView, type FullView, guessWindow, windowMs } from '../../chart/view';
import type { Sample } from '../../ui/schema';

/** The table of the address, else the demo's, else the first that has something like a time. */
export function chooseTable(tables: readonly Table[], wanted: string | null): Table | null {
  if (wanted !== null) return tables.find((table) => table.name === wanted) ?? null;
  return (
    tables.find((table) => table.name === 'readings') ??
    tables.find((table) => guessTimeColumn(table.columns, []) !== null) ??
    tables[0] ??
    null
  );
}

export interface Choice {
  readonly time: string | null;
  readonly unit: TimeUnit;
  readonly values: readonly string[];
  readonly numeric: readonly string[];
  readonly group: string | null;
}

/** The address's columns where the table has them; guesses for the rest. */
export function chooseColumns(view: ChartView, table: Table, sample: Sample): Choice {
  const names = table.columns.map((column) => column.name);
  const known = (name: string | null) => (name !== null && names.includes(name) ? name : null);
  const time = known(view.time) ?? guessTimeColumn(table.columns, sample.rows);
  const wanted = view.values.filter((name) => names.includes(name));
  const values = wanted.length > 0 ? wanted : guessValues(table.columns, table.key, time, sample.rows);
  const unit = time === null ? null : detectUnit(sample.rows.map((row) => row[time]));
  const numeric = numericColumns(table.columns, sample.rows).filter((name) => name !== time);
  return { time, unit: unit ?? 'ms', values, numeric, group: known(view.group) };
}

/** The view with every guess spelled out. */
export function fullView(view: ChartView, table: Table, choice: Choice, sample: Sample): FullView {
  const { time, unit, values, group } = choice;
  const times = sample.rows.map((row) => (time === null ? null : toAxis(row[time], unit)));
  const window = view.window ?? guessWindow(times.filter((at) => at !== null));
  return { ...view, table: table.name, time, values: [...values], group, window };
}

export function feedQuery(view: FullView, table: Table, choice: Choice, pausedHere: number | null): FeedQuery | null {
  const { time, unit, values, group } = choice;
  if (time === null || values.length === 0) return null;
  const span = spanOf(view, unit, pausedHere);
  return { table: table.name, time, unit, values, group, where: view.where, key: table.key, span };
}

/** A pause that came with the address is history; one that was made here keeps what is already on the page. */
function spanOf(view: FullView, unit: TimeUnit, pausedHere: number | null): Span {
  if (view.range !== null) return { kind: 'range', from: view.range[0], to: view.range[1] };
  const ms = windowMs(view.window);
  if (ms === null || unit === 'number') return { kind: 'all' };
  return { kind: 'last', ms, end: view.at === pausedHere ? null : view.at };
}
