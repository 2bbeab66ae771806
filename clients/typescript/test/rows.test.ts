/** Sorted and limited rows, against sorting everything. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { compareIn, parseOrderBy } from '../src/order.ts';
import type { ChangeMessage } from '../src/protocol.ts';
import { ResultRows, type Shape, withSlack } from '../src/rows.ts';
import type { Op, Row, Value } from '../src/types.ts';
import { runs } from './runs.ts';

const COLUMNS = [
  { name: 'id', type: 'INTEGER' },
  { name: 'v', type: 'REAL' },
  { name: 't', type: 'TEXT' },
];

function shape({ orderBy = 'v desc', limit, ...more }: Partial<Shape> & { orderBy?: string } = {}): Shape {
  return { columns: COLUMNS, key: ['id'], order: parseOrderBy(orderBy), limit, shown: undefined, ...more };
}

function change(op: Op, row: Row, more: Partial<ChangeMessage> = {}): ChangeMessage {
  const key = 'id' in row ? [row.id as Value] : null;
  return { type: 'change', id: 's', op, row, key, position: '1-1', tx: 1, last: true, time: 0, ...more };
}

function filled(shape: Shape, rows: readonly Row[]): ResultRows {
  const result = new ResultRows(shape);
  result.fill(rows);
  result.filled();
  return result;
}

/** The table itself, which answers by sorting everything. */
class Table {
  readonly rows = new Map<number, Row>();

  select(shape: Shape, limit = shape.limit): Row[] {
    const compare = (a: Row, b: Row) => {
      for (const { column, descending } of shape.order) {
        const type = COLUMNS.find(({ name }) => name === column);
        const result = compareIn(type)(a[column], b[column]);
        if (result !== 0) {
          return descending ? -result : result;
        }
      }
      const ties = Number(a.id) - Number(b.id);
      return shape.order.at(-1)?.descending ? -ties : ties;
    };
    return [...this.rows.values()].sort(compare).slice(0, limit);
  }
}

const value = fc.oneof(fc.integer({ min: 0, max: 9 }), fc.constant(null), fc.double({ noNaN: true }));
const text = fc.constantFrom('a', 'B', 'ä', '\u{10000}', '\uffff', '', null);
const edit = fc.record({
  op: fc.constantFrom<Op>('insert', 'insert', 'update', 'update', 'delete'),
  id: fc.integer({ min: 1, max: 60 }),
  to: fc.option(fc.integer({ min: 1, max: 60 }), { freq: 6 }),
  v: value,
  t: text,
  partial: fc.boolean(),
  settle: fc.boolean(),
});
type Edit = typeof edit extends fc.Arbitrary<infer E> ? E : never;

/** Does the edit to the table, and says what the server would say. */
function perform({ rows }: Table, { op, id, to, v, t, partial }: Edit): ChangeMessage | undefined {
  const before = rows.get(id);
  if (before === undefined ? op !== 'insert' : op === 'insert') {
    return undefined;
  }
  if (op === 'delete' && before !== undefined) {
    rows.delete(id);
    return change('delete', before);
  }
  const target = op === 'update' && to !== null && !rows.has(to) ? to : id;
  const row: Row = { id: target, v, t: op === 'update' && partial ? (before?.t ?? null) : t };
  rows.delete(id);
  rows.set(target, row);
  const { t: _, ...some } = row;
  const moved = target === id ? {} : { old_key: [id] };
  return change(op, op === 'update' && partial ? some : row, moved);
}

describe('against the table', () => {
  const orders = fc.constantFrom('v desc', 'v', 't, v desc', 't desc', '');
  const limits = fc.option(fc.integer({ min: 1, max: 12 }), { nil: undefined });
  const history = fc.array(edit, { maxLength: 120, size: 'max' });

  test('rows are the rows of the query, after any history', () => {
    fc.assert(
      fc.property(history, history, orders, limits, (before, after, orderBy, limit) => {
        const wanted = shape({ orderBy, limit });
        const table = new Table();
        for (const one of before) {
          perform(table, { ...one, op: 'insert' });
        }
        const read = () => filled(wanted, table.select(wanted, limit === undefined ? undefined : withSlack(limit)));
        let result = read();
        for (const one of after) {
          const said = perform(table, one);
          if (said !== undefined) {
            result.apply(said);
          }
          if (one.settle) {
            result.settle();
            if (result.stale) {
              result = read();
            }
            expect(result.view().rows).toEqual(table.select(wanted));
          }
        }
      }),
      runs(400),
    );
  });

  test('without a key, rows are told apart by their values', () => {
    const bag = fc.array(fc.tuple(fc.boolean(), fc.nat({ max: 4 }), fc.nat({ max: 4 })), { maxLength: 60 });
    fc.assert(
      fc.property(bag, (edits) => {
        const result = filled(shape({ key: [], orderBy: 'v', columns: COLUMNS.slice(1) }), []);
        const rows: { v: number; t: string }[] = [];
        for (const [adds, v, to] of edits) {
          const index = rows.findIndex((row) => row.v === v);
          const row = { v: adds ? v : to, t: 'x' };
          const old = rows[index];
          if (old === undefined || adds) {
            rows.push(row);
            result.apply(change('insert', row));
          } else if (to === 0) {
            rows.splice(index, 1);
            result.apply(change('delete', old));
          } else {
            rows[index] = row;
            result.apply(change('update', row, { old }));
          }
        }
        result.settle();
        expect(result.view().rows.map(({ v }) => v)).toEqual(rows.map(({ v }) => v).sort());
        expect(new Set(result.view().keys).size).toBe(rows.length);
        expect(result.stale).toBe(false);
      }),
    );
  });
});

describe('what is shown', () => {
  test('is in the order of arrival where there is neither key nor order', () => {
    const rows = ['b', 'c', 'a', 'c'].map((t, id) => ({ id, v: 0, t }));
    const result = filled(shape({ key: [], orderBy: '' }), rows);
    result.apply(change('insert', { id: 9, v: 0, t: 'a' }, { key: null }));
    result.apply(change('update', { id: 0, v: 0, t: 'z' }, { key: null, old: rows[0] as Row }));
    result.settle();
    expect(result.view().rows.map(({ t }) => t)).toEqual(['z', 'c', 'a', 'c', 'a']);
  });

  test('stays the same object until it changes, row by row', () => {
    const result = filled(shape({ limit: 2 }), [
      { id: 1, v: 3, t: '' },
      { id: 2, v: 2, t: '' },
      { id: 3, v: 1, t: '' },
    ]);
    const before = result.view();
    result.apply(change('update', { id: 3, v: 0 }));
    expect([result.settle(), result.view()]).toEqual([false, before]);
    expect(result.view()).toBe(before);
    result.apply(change('update', { id: 2, v: 2.5 }));
    expect(result.settle()).toBe(true);
    expect(result.view().rows[0]).toBe(before.rows[0]);
    expect(result.view().rows[1]).toEqual({ id: 2, v: 2.5, t: '' });
  });

  test('has the columns that were asked for, in that order', () => {
    const result = filled(shape({ shown: ['t', 'id'] }), [{ id: 1, v: 3, t: 'a' }]);
    expect(Object.entries(result.view().rows[0] ?? {})).toEqual([
      ['t', 'a'],
      ['id', 1],
    ]);
  });

  test('a column called like something of every object is a column', () => {
    const columns = [
      { name: '__proto__', type: '' },
      { name: 'id', type: '' },
    ];
    const row: Row = JSON.parse('{"id":1,"__proto__":"x"}');
    const result = filled({ ...shape({ orderBy: '' }), columns }, [row]);
    result.apply(change('update', JSON.parse('{"id":1,"__proto__":"y"}')));
    result.settle();
    expect(JSON.stringify(result.view().rows)).toBe('[{"id":1,"__proto__":"y"}]');
  });
});

describe('is stale', () => {
  const many = Array.from({ length: withSlack(2) }, (_, index) => ({ id: index, v: 100 - index, t: '' }));

  test('when deletes have eaten most of the slack of a snapshot that may not be all', () => {
    const result = filled(shape({ limit: 2 }), many);
    for (const row of many.slice(0, -5)) {
      result.apply(change('delete', row));
    }
    result.settle();
    expect(result.stale).toBe(false);
    result.apply(change('delete', many.at(-1) ?? {}));
    expect(result.settle()).toBe(false);
    expect([result.stale, result.view().rows]).toEqual([true, many.slice(-5, -3)]);
  });

  test('when all is gone at once, and shows what it last knew', () => {
    const result = filled(shape({ limit: 2 }), many);
    for (const row of many) {
      result.apply(change('delete', row));
    }
    expect([result.settle(), result.stale, result.view().rows]).toEqual([false, true, many.slice(0, 2)]);
  });

  test('when rows were given up to keep few, and are needed again', () => {
    const result = filled(shape({ limit: 2 }), []);
    const rows = Array.from({ length: 40 }, (_, index) => ({ id: index, v: index, t: '' }));
    for (const row of rows) {
      result.apply(change('insert', row));
    }
    result.settle();
    for (const row of rows.slice(-11)) {
      result.apply(change('delete', row));
    }
    result.settle();
    expect(result.stale).toBe(true);
  });

  test('not when the snapshot was all there is', () => {
    const result = filled(shape({ limit: 2 }), many.slice(1));
    for (const row of many.slice(1)) {
      result.apply(change('delete', row));
    }
    result.settle();
    expect([result.stale, result.view().rows]).toEqual([false, []]);
  });

  test('when a row comes into view of which columns are missing', () => {
    const result = filled(shape({ limit: 2 }), many);
    result.apply(change('update', { id: 999, v: 1_000 }));
    expect(result.stale).toBe(true);
  });

  test('not for what stays out of view', () => {
    const result = filled(shape({ limit: 2 }), many);
    result.apply(change('update', { id: 999, v: -1 }));
    result.apply(change('delete', { id: 998 }));
    result.settle();
    expect(result.stale).toBe(false);
  });

  test('when a row without a key cannot be found', () => {
    const result = filled(shape({ key: [] }), many);
    result.apply(change('update', { id: 5, v: 1, t: '' }, { key: null }));
    expect(result.stale).toBe(true);
  });
});

test('more rows than can be shown are not held', () => {
  const result = filled(shape({ limit: 10 }), []);
  for (let id = 0; id < 10_000; id++) {
    result.apply(change('insert', { id, v: id, t: '' }));
    result.settle();
  }
  expect(result.view().rows.map(({ v }) => v)).toEqual([9999, 9998, 9997, 9996, 9995, 9994, 9993, 9992, 9991, 9990]);
  expect(result.size).toBeLessThanOrEqual(30);
});
