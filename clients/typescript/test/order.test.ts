/** The order of values, against what SQLite and UTF-8 say. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { compareIn, compareNumeric, compareText, compareValues, isNumeric, parseOrderBy } from '../src/order.ts';
import type { Value } from '../src/types.ts';
import { runs } from './runs.ts';

const sorted = (values: readonly Value[], type = '') => [...values].sort(compareIn({ name: 'x', type }));

test('null is the smallest, numbers come before text', () => {
  expect(sorted(['b', 2, null, 'B', -1, '', 1.5, '10'])).toEqual([null, -1, 1.5, 2, '', '10', 'B', 'b']);
});

test('long integers are numbers in a column of integers, and text elsewhere', () => {
  const values = ['9223372036854775807', 5, '-9007199254740993', '9007199254740993', 9007199254740991, null];
  expect(sorted(values, 'INTEGER')).toEqual([
    null,
    '-9007199254740993',
    5,
    9007199254740991,
    '9007199254740993',
    '9223372036854775807',
  ]);
  expect(sorted(['10', 9, '9'], 'TEXT')).toEqual([9, '10', '9']);
});

test('integers that are the same double are told apart', () => {
  expect(compareNumeric('9007199254740993', '9007199254740992')).toBe(1);
  expect(compareNumeric('18446744073709551614', '18446744073709551615')).toBe(-1);
});

test('long decimals, the infinities and NaN are numbers', () => {
  const values = ['NaN', 'Infinity', '0.12345678901234567891', '0.12345678901234567892', 0.5, '-Infinity'];
  const inOrder = ['-Infinity', '0.12345678901234567891', '0.12345678901234567892', 0.5, 'Infinity', 'NaN'];
  expect(sorted(values, 'numeric(30,20)')).toEqual(inOrder);
  expect(sorted(['-Infinity', 1, 'Infinity'], 'REAL')).toEqual(['-Infinity', 1, 'Infinity']);
});

test('text is in the order of its bytes', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), (a, b) => {
      expect(Math.sign(compareText(a, b))).toBe(Buffer.compare(Buffer.from(a), Buffer.from(b)));
    }),
    runs(500),
  );
  expect(compareText('\u{10000}', '\u{ffff}')).toBeGreaterThan(0);
});

test('both orders are total', () => {
  const value = fc.oneof(
    fc.integer(),
    fc.double({ noNaN: true }),
    fc.constant(null),
    fc.boolean(),
    fc.string(),
    fc.bigInt({ min: -(2n ** 70n), max: 2n ** 70n }).map(String),
    fc.constantFrom('NaN', 'Infinity', '-Infinity', '1.50', '1.5', '0.1000000000000000055511151231257827'),
  ) as fc.Arbitrary<Value>;
  for (const compare of [compareValues, compareNumeric]) {
    fc.assert(
      fc.property(value, value, value, (a, b, c) => {
        expect(Math.sign(compare(a, b)) + Math.sign(compare(b, a))).toBe(0);
        if (compare(a, b) <= 0 && compare(b, c) <= 0) {
          expect(compare(a, c)).toBeLessThanOrEqual(0);
        }
      }),
      runs(1_000),
    );
  }
});

test('declared types that hold numbers are known', () => {
  for (const type of [
    'INTEGER',
    'bigint unsigned',
    'int8',
    'serial',
    'REAL',
    'double precision',
    'numeric(10,2)',
    'DECIMAL',
  ]) {
    expect(isNumeric(type), type).toBe(true);
  }
  for (const type of ['TEXT', 'varchar(255)', '', 'BLOB', 'timestamptz', 'uuid', 'jsonb']) {
    expect(isNumeric(type), type).toBe(false);
  }
});

test('ORDER BY is read as SQL writes it', () => {
  expect(parseOrderBy('time desc, id')).toEqual([
    { column: 'time', descending: true },
    { column: 'id', descending: false },
  ]);
  expect(parseOrderBy('"a, ""b""" DESC,c ASC')).toEqual([
    { column: 'a, "b"', descending: true },
    { column: 'c', descending: false },
  ]);
  expect(parseOrderBy('  ')).toEqual([]);
  for (const text of ['a b', 'a,', ',', 'a desc desc', '"a', 'a;b c']) {
    expect(() => parseOrderBy(text), text).toThrow(SyntaxError);
  }
});
