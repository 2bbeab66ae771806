import { describe, expect, it } from 'vitest';
import { type ChartView, EMPTY_VIEW, formatView, guessWindow, parseView } from '../src/chart/view';
import { formatTableView, parseTableView } from '../src/pages/tables/address';
import { splitAt } from '../src/ui/span';
import { quoteName } from '../src/ui/sql';

const full: ChartView = {
  table: 'odd "name", é',
  time: 'created at',
  values: ['a,b', 'c&d', 'x=1'],
  group: 'city',
  where: "speed > 50 and city in ('Oslo', 'Bergen') -- 100%",
  window: '6h',
  shape: 'gauge',
  range: [1_718_000_000_000, 1_718_000_060_000.5],
  at: 1_718_000_000_000,
  hidden: ['Oslo · a,b'],
};

describe("a chart's address", () => {
  it('says everything that was chosen', () => {
    expect(parseView(formatView(full))).toEqual(full);
  });

  it('is empty for what is usual', () => {
    expect(formatView(EMPTY_VIEW)).toBe('');
    expect(parseView('')).toEqual(EMPTY_VIEW);
  });

  it('is taken for nothing where it makes no sense', () => {
    const view = parseView('?window=7y&view=pie&from=9&to=1&at=soon&table=&value=&unknown=1');
    expect(view).toEqual(EMPTY_VIEW);
  });
});

describe('the window', () => {
  const every = (ms: number) => Array.from({ length: 50 }, (_, i) => 1_718_000_000_000 + i * ms);

  it('is wide enough for some points, and not wider', () => {
    expect(guessWindow(every(1004))).toBe('1m');
    expect(guessWindow(every(4000))).toBe('5m');
    expect(guessWindow(every(60_000))).toBe('1h');
    expect(guessWindow(every(600_000))).toBe('24h');
    expect(guessWindow(every(86_400_000))).toBe('all');
  });

  it('is not led astray by one odd row, or by none', () => {
    expect(guessWindow([1, ...every(1000), 9e15])).toBe('1m');
    expect(guessWindow([])).toBe('1m');
  });
});

describe("a table's address", () => {
  it('says everything that was chosen', () => {
    const view = { table: 'a b', where: "x = '&'", sort: { column: 'é', descending: true }, limit: 2000 };
    expect(parseTableView(formatTableView(view))).toEqual(view);
  });

  it('keeps to the limits that are offered', () => {
    expect(parseTableView('?limit=1e9').limit).toBe(500);
  });
});

describe('a wrong part of a filter', () => {
  it('is counted in characters, not in UTF-16 units', () => {
    expect(splitAt('a = "😀" >> 1', { offset: 8, length: 2 })).toEqual(['a = "😀" ', '>>', ' 1']);
  });

  it('can be seen at the end, too', () => {
    expect(splitAt('speed >', { offset: 7, length: 0 })).toEqual(['speed >', '\u00a0', '']);
    expect(splitAt('speed >', { offset: 99, length: 5 })).toEqual(['speed >', '\u00a0', '']);
  });
});

describe('a name in SQL', () => {
  it('is quoted where it has to be', () => {
    expect(quoteName('speed')).toBe('speed');
    expect(quoteName('order')).toBe('"order"');
    expect(quoteName('a "b"')).toBe('"a ""b"""');
    expect(quoteName('1st')).toBe('"1st"');
  });
});
