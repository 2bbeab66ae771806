// Which columns of a table a chart would draw, and over which, judged by names, types and some rows.

import { detectUnit, toNumber } from './time';

/** A column of a table, as the server lists it. */
export interface Column {
  readonly name: string;
  readonly type: string;
}

export function isNumericType(type: string): boolean {
  return /int|real|floa|doub|num|dec|serial|money/i.test(type) && !/point|interval/i.test(type);
}

export function isTextType(type: string): boolean {
  return /char|text|clob|uuid|json|string/i.test(type);
}

/** Columns that hold numbers, by their type or, where that says nothing, by the rows. */
export function numericColumns(columns: readonly Column[], sample: readonly Record<string, unknown>[]): string[] {
  return columns.filter((column) => isNumeric(column, sample)).map((column) => column.name);
}

function isNumeric(column: Column, sample: readonly Record<string, unknown>[]): boolean {
  const values = sample.map((row) => row[column.name]).filter((value) => value !== null);
  if (values.length === 0 || isNumericType(column.type)) {
    return isNumericType(column.type);
  }
  return detectUnit(values) !== 'text' && values.every((value) => toNumber(value) !== null);
}

/** The columns to draw when nobody has chosen: the first number that is a measurement, not an identity. */
export function guessValues(
  columns: readonly Column[],
  key: readonly string[],
  time: string | null,
  sample: readonly Record<string, unknown>[],
): string[] {
  const numeric = numericColumns(columns, sample).filter((name) => name !== time);
  const isIdentity = (name: string) => key.includes(name) || /(^|_)id$|Id$/.test(name);
  const measured = numeric.filter((name) => !isIdentity(name));
  return measured.length > 0 ? measured.slice(0, 1) : numeric.slice(0, 1);
}

const NAMES = [
  /^(time|ts|timestamp|datetime)$/i,
  /^(created|inserted|recorded|measured|event|occurred)_?(at|on|time)$/i,
  /^(at|date|when|day)$/i,
  /(_|^)(time|ts|timestamp|datetime)(_|$)/i,
  /(_at|At|_on|_date|Date|Time|time|Timestamp)$/,
];

/** The column that most looks like the time of a row, judged by name, type and some rows. */
export function guessTimeColumn(columns: readonly Column[], sample: readonly Record<string, unknown>[]): string | null {
  let best: { name: string; score: number } | null = null;
  for (const column of columns) {
    const score = timeScore(column, sample);
    if (score > (best?.score ?? 0)) {
      best = { name: column.name, score };
    }
  }
  return best?.name ?? null;
}

function timeScore(column: Column, sample: readonly Record<string, unknown>[]): number {
  const rank = NAMES.findIndex((pattern) => pattern.test(column.name));
  const byName = rank < 0 ? 0 : NAMES.length - rank;
  const byType = /date|time/i.test(column.type) ? 3 : 0;
  const unit = detectUnit(sample.map((row) => row[column.name]));
  if (unit === null) {
    return sample.length > 0 && isTextType(column.type) ? 0 : byName + byType;
  }
  if (unit === 'number') {
    return byName + byType > 0 ? byName : 0;
  }
  return byName + byType + (byName > 0 || unit === 'text' || unit === 'ms' || unit === 's' ? 4 : 0);
}
