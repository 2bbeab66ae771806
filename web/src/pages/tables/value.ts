// A column's value as a cell shows it: short, on one line, and never mistaken for another kind of value.

import type { Value } from '@rowcast/client';
import { isNumericType } from '../../chart/column';
import { formatCount } from '../../chart/format';

export type Kind = 'null' | 'number' | 'text' | 'bytes' | 'json' | 'absent';

export interface Shown {
  readonly kind: Kind;
  readonly text: string;
}

const SHORT = 160;
const SHORT_BYTES = 16;

/** What kind of value it is. Integers that JSON cannot carry come as strings and are numbers all the same. */
export function kindOf(value: Value | undefined, type: string): Kind {
  if (value === undefined) return 'absent';
  if (value === null) return 'null';
  if (typeof value === 'number') return 'number';
  if (typeof value === 'boolean') return 'text';
  if (typeof value === 'object') return 'json';
  if (isBytes(value, type)) return 'bytes';
  return isNumericType(type) && /^-?(\d+(\.\d+)?|Infinity|NaN)$/.test(value) ? 'number' : 'text';
}

function isBytes(text: string, type: string): boolean {
  return text.startsWith('\\x') && /^(?:[0-9a-f]{2})*$/.test(text.slice(2)) && !/char|text|clob/i.test(type);
}

/** For a cell. */
export function shortValue(value: Value | undefined, type: string): Shown {
  const kind = kindOf(value, type);
  if (kind === 'bytes' && typeof value === 'string') return { kind, text: shortBytes(value) };
  const text = fullValue(value);
  const line = text.slice(0, SHORT + 1).replaceAll(/\r\n|\r|\n/g, ' ↵ ');
  return { kind, text: text.length > SHORT ? `${line.slice(0, SHORT)}…` : line };
}

/** All of it, for the side panel and the clipboard. */
export function fullValue(value: Value | undefined): string {
  if (value === undefined) return '(not sent)';
  if (value === null) return 'NULL';
  return typeof value === 'object' ? JSON.stringify(value, null, 2) : String(value);
}

function shortBytes(text: string): string {
  const bytes = (text.length - 2) / 2;
  const start = text.slice(2, 2 + SHORT_BYTES);
  const more = text.length - 2 > SHORT_BYTES ? '…' : '';
  return `${formatCount(bytes)} ${bytes === 1 ? 'byte' : 'bytes'} ${start}${more}`.trim();
}
