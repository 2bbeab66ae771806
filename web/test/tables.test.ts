import type { LiveSnapshot, Row } from '@rowcast/client';
import { describe, expect, it } from 'vitest';
import { FLASH_MS, Flashes } from '../src/pages/tables/flash';
import { fullValue, kindOf, shortValue } from '../src/pages/tables/value';

const snapshot = (
  rows: readonly (readonly [string, Row])[],
  status: LiveSnapshot['status'] = 'live',
): LiveSnapshot => ({
  rows: rows.map(([, row]) => row),
  keys: rows.map(([key]) => key),
  status,
  error: undefined,
  columns: [],
  key: ['id'],
  position: undefined,
  revoked: undefined,
});

const a = { id: 1, v: 1 };
const b = { id: 2, v: 2 };

describe('flashes', () => {
  it('are for news, not for the first picture', () => {
    const flashes = new Flashes();
    flashes.next(snapshot([], 'loading'), 0);
    flashes.next(snapshot([['1', a]]), 0);
    expect(flashes.display(0).rows).toEqual([{ key: '1', row: a, flash: undefined }]);
  });

  it('say what came, what changed and what is gone', () => {
    const flashes = new Flashes();
    flashes.next(
      snapshot([
        ['1', a],
        ['2', b],
      ]),
      0,
    );
    flashes.next(
      snapshot([
        ['2', { id: 2, v: 9 }],
        ['3', { id: 3, v: 3 }],
      ]),
      10,
    );
    const { rows } = flashes.display(10);
    expect(rows.map(({ key, flash }) => [key, flash?.op])).toEqual([
      ['1', 'delete'],
      ['2', 'update'],
      ['3', 'insert'],
    ]);
    expect([...(rows[1]?.flash?.columns ?? [])]).toEqual(['v']);
    expect(flashes.display(10 + FLASH_MS).rows.map(({ key, flash }) => [key, flash])).toEqual([
      ['2', undefined],
      ['3', undefined],
    ]);
  });

  it('begin again with each change of a row', () => {
    const flashes = new Flashes();
    flashes.next(snapshot([['1', a]]), 0);
    flashes.next(snapshot([['1', { id: 1, v: 2 }]]), 1);
    const first = flashes.display(1).rows[0]?.flash?.serial;
    flashes.next(snapshot([['1', { id: 1, v: 3 }]]), 2);
    expect(flashes.display(2).rows[0]?.flash?.serial).not.toBe(first);
  });

  it('take back a row that returns while it fades', () => {
    const flashes = new Flashes();
    flashes.next(snapshot([['1', a]]), 0);
    flashes.next(snapshot([]), 1);
    flashes.next(snapshot([['1', a]]), 2);
    expect(flashes.display(2).rows.map(({ key, flash }) => [key, flash?.op])).toEqual([['1', 'insert']]);
  });

  it('are not for another result', () => {
    const many = (from: number) => Array.from({ length: 500 }, (_, i) => [`${from + i}`, { id: from + i }] as const);
    const flashes = new Flashes();
    flashes.next(snapshot(many(0)), 0);
    flashes.next(snapshot(many(1000)), 1);
    expect(flashes.display(1).rows.length).toBe(500);
    expect(flashes.display(1).until).toBeNull();
  });
});

describe('a value', () => {
  it('is never mistaken for another kind', () => {
    expect(kindOf(null, 'TEXT')).toBe('null');
    expect(kindOf('NULL', 'TEXT')).toBe('text');
    expect(kindOf('9223372036854775807', 'BIGINT')).toBe('number');
    expect(kindOf('9223372036854775807', 'TEXT')).toBe('text');
    expect(kindOf('\\x00ff', 'BLOB')).toBe('bytes');
    expect(kindOf('\\x00ff', 'TEXT')).toBe('text');
    expect(kindOf({ a: 1 }, 'JSON')).toBe('json');
    expect(kindOf(undefined, 'TEXT')).toBe('absent');
  });

  it('is short in a cell and whole beside it', () => {
    const long = `${'x'.repeat(400)}\nend`;
    expect(shortValue(long, 'TEXT').text).toHaveLength(161);
    expect(fullValue(long)).toBe(long);
    expect(shortValue('one\ntwo', 'TEXT').text).toBe('one ↵ two');
    expect(shortValue(`\\x${'ab'.repeat(20)}`, 'BLOB').text).toBe('20 bytes abababababababab…');
  });
});
