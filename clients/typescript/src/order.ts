/**
 * The database's order of values, and ORDER BY as text.
 *
 * Pure. NULL is the smallest, numbers come before text, text is in the order of its code points.
 */
import type { Column, Value } from './types.ts';

/** One term of ORDER BY. */
export interface OrderTerm {
  readonly column: string;
  readonly descending: boolean;
}

export type Compare<T> = (a: T, b: T) => number;

/** Reads `time desc, "odd name"`. Throws a `SyntaxError` that names the term. */
export function parseOrderBy(text: string): OrderTerm[] {
  const term = /\s*(?:"((?:[^"]|"")+)"|([^\s",]+))(?:\s+(asc|desc))?\s*(,|$)/iy;
  const terms: OrderTerm[] = [];
  let more = text.trim() !== '';
  while (more) {
    const start = term.lastIndex;
    const match = term.exec(text);
    if (match === null) {
      throw new SyntaxError(`cannot read the order "${text.slice(start).trim()}"; write "time desc, id"`);
    }
    const [, quoted, plain, direction, end] = match;
    const column = quoted === undefined ? (plain ?? '') : quoted.replaceAll('""', '"');
    terms.push({ column, descending: direction?.toLowerCase() === 'desc' });
    more = end === ',';
  }
  return terms;
}

/** The column that a name means: exact spelling first, then ignoring ASCII case. */
export function findColumn(columns: readonly Column[], name: string): Column | undefined {
  const lower = asciiLower(name);
  return columns.find((column) => column.name === name) ?? columns.find((column) => asciiLower(column.name) === lower);
}

function asciiLower(text: string): string {
  return text.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
}

/** Whether a declared type makes a column of numbers, in which a long number arrives as a string. */
export function isNumeric(type: string): boolean {
  if (/int|serial/i.test(type)) {
    return true;
  }
  return (
    !/char|clob|text|blob|json|date|time|uuid|bytea|interval|inet|enum/i.test(type) &&
    /real|floa|doub|num|dec|money/i.test(type)
  );
}

/** How two values of a column are ordered. */
export function compareIn(column: Column | undefined): Compare<Value | undefined> {
  return column !== undefined && isNumeric(column.type) ? compareNumeric : compareValues;
}

/** NULL, then numbers and truth values, then text, then JSON documents. */
export function compareValues(a: Value | undefined, b: Value | undefined): number {
  if (typeof a === 'number' && typeof b === 'number') {
    return a - b;
  }
  const rank = rankOf(a) - rankOf(b);
  if (rank !== 0) {
    return rank;
  }
  if (typeof a === 'string' && typeof b === 'string') {
    return compareText(a, b);
  }
  if (a === null || a === undefined || b === null || b === undefined) {
    return 0;
  }
  return typeof a === 'object' ? compareText(JSON.stringify(a), JSON.stringify(b)) : Number(a) - Number(b);
}

/** As `compareValues`, in a column where strings of digits are numbers. */
export function compareNumeric(a: Value | undefined, b: Value | undefined): number {
  if (typeof a === 'number' && typeof b === 'number') {
    return a - b;
  }
  const left = numberOf(a);
  const right = numberOf(b);
  if (left === undefined || right === undefined) {
    const rank = (left === undefined ? rankOf(a) : 1) - (right === undefined ? rankOf(b) : 1);
    return rank !== 0 ? rank : compareValues(a, b);
  }
  // Rounding keeps the order, so only what rounds to the same double needs all its digits.
  return left < right ? -1 : left > right ? 1 : compareDigits(String(a), String(b));
}

/** Text by code point, which is also the order of its UTF-8 bytes. */
export function compareText(a: string, b: string): number {
  if (a === b) {
    return 0;
  }
  const length = Math.min(a.length, b.length);
  for (let index = 0; index < length; index++) {
    const left = a.charCodeAt(index);
    const right = b.charCodeAt(index);
    if (left !== right) {
      return aboveSurrogates(left) - aboveSurrogates(right);
    }
  }
  return a.length - b.length;
}

/** UTF-16 puts the halves of the highest code points below U+E000; here they are above U+FFFF. */
function aboveSurrogates(unit: number): number {
  return unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit;
}

function rankOf(value: Value | undefined): number {
  switch (typeof value) {
    case 'number':
    case 'boolean':
      return 1;
    case 'string':
      return 2;
    case 'object':
      return value === null ? 0 : 3;
    default:
      return 0;
  }
}

const DECIMAL = /^-?\d+(\.\d+)?$/;

function numberOf(value: Value | undefined): number | undefined {
  if (typeof value === 'number' || typeof value === 'boolean') {
    return Number(value);
  }
  if (typeof value !== 'string') {
    return undefined;
  }
  if (DECIMAL.test(value) || value === 'Infinity' || value === '-Infinity') {
    return Number(value);
  }
  // As in PostgreSQL, where NaN is greater than any number.
  return value === 'NaN' ? Infinity : undefined;
}

/** Two decimals that are the same double. */
function compareDigits(a: string, b: string): number {
  if (a === b) {
    return 0;
  }
  if (!DECIMAL.test(a) || !DECIMAL.test(b)) {
    return compareText(a, b);
  }
  const places = Math.max(placesOf(a), placesOf(b));
  const left = scaled(a, places);
  const right = scaled(b, places);
  return left < right ? -1 : left > right ? 1 : 0;
}

function placesOf(decimal: string): number {
  const point = decimal.indexOf('.');
  return point < 0 ? 0 : decimal.length - point - 1;
}

function scaled(decimal: string, places: number): bigint {
  return BigInt(decimal.replace('.', '') + '0'.repeat(places - placesOf(decimal)));
}
