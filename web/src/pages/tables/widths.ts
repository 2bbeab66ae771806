// How wide a grid's columns are, from their names and the first rows.

import type { Column, Row } from '@rowcast/client';
import { shortValue } from './value';

const CHARACTER = 7.4;
const PADDING = 30;
const WIDEST = 40;
const ROWS = 60;

export function columnWidths(columns: readonly Column[], rows: readonly Row[]): number[] {
  return columns.map(({ name, type }) => {
    const lengths = rows.slice(0, ROWS).map((row) => shortValue(row[name], type).text.length);
    const longest = Math.max(name.length + 3, type.length, 6, ...lengths);
    return Math.round(Math.min(longest, WIDEST) * CHARACTER + PADDING);
  });
}
