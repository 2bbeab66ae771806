import { describe, expect, it } from 'vitest';
import { guessTimeColumn, guessValues, numericColumns } from '../src/chart/column';
import { detectUnit, fromAxis, parseText, toAxis, toNumber } from '../src/chart/time';

describe('units of time', () => {
  it('are told apart by the size of most values', () => {
    expect(detectUnit([1_718_000_000])).toBe('s');
    expect(detectUnit([1_718_000_000.25, 1_718_000_001.5])).toBe('s');
    expect(detectUnit([1_718_000_000_123, 1])).toBe('ms');
    expect(detectUnit([1_718_000_000_123_456])).toBe('us');
    expect(detectUnit(['1718000000123456789'])).toBe('ns');
    expect(detectUnit(['2024-06-10 06:13:20'])).toBe('text');
    expect(detectUnit([1, 2, 3])).toBe('number');
  });

  it('are unknown without a value', () => {
    expect(detectUnit([])).toBeNull();
    expect(detectUnit([null, 'soon', {}])).toBeNull();
  });

  it('lead to the axis and back', () => {
    for (const unit of ['s', 'ms', 'us', 'ns'] as const) {
      const raw = fromAxis(1_718_000_000_123, unit);
      expect(toAxis(raw, unit)).toBeCloseTo(1_718_000_000_123, 0);
    }
    expect(toAxis('1718000000123', 'ms')).toBe(1_718_000_000_123);
    expect(toAxis(7, 'number')).toBe(7);
    expect(toAxis(null, 'ms')).toBeNull();
    expect(toAxis('NaN', 'ms')).toBeNull();
  });
});

describe('times as text', () => {
  it('are UTC unless they say otherwise', () => {
    expect(parseText('2024-06-10 06:13:20')).toBe(1_718_000_000_000);
    expect(parseText('2024-06-10T06:13:20.123Z')).toBe(1_718_000_000_123);
    expect(parseText('2024-06-10T08:13:20+02:00')).toBe(1_718_000_000_000);
    expect(parseText('2024-06-10 01:43:20 -0430')).toBe(1_718_000_000_000);
    expect(parseText('2024-06-10 06:13')).toBe(1_717_999_980_000);
    expect(parseText('2024-06-10')).toBe(1_717_977_600_000);
  });

  it('are nothing else', () => {
    for (const text of ['', 'now', '06:13:20', '2024', '10.06.2024', '2024-06-10x']) {
      expect(parseText(text)).toBeNull();
    }
  });
});

describe('numbers', () => {
  it('may be written as text, and nothing else becomes one', () => {
    expect(toNumber('37')).toBe(37);
    expect(toNumber(' -1.5e3')).toBe(-1500);
    expect(toNumber(true)).toBe(1);
    for (const value of ['', ' ', 'NaN', 'Infinity', '12 km', null, undefined, [], Number.NaN]) {
      expect(toNumber(value)).toBeNull();
    }
  });
});

describe('the time column', () => {
  const columns = (...names: string[]) => names.map((name) => ({ name, type: 'INTEGER' }));

  it('is found by name', () => {
    expect(guessTimeColumn(columns('id', 'time', 'speed'), [])).toBe('time');
    expect(guessTimeColumn(columns('id', 'created_at', 'amount'), [])).toBe('created_at');
    expect(guessTimeColumn(columns('id', 'createdAt', 'ts'), [])).toBe('ts');
    expect(guessTimeColumn(columns('id', 'value'), [])).toBeNull();
  });

  it('is found by values like times', () => {
    const rows = [{ id: 1, stamp: 1_718_000_000_000, value: 4 }];
    expect(guessTimeColumn(columns('id', 'stamp', 'value'), rows)).toBe('stamp');
  });

  it('is preferred when its values are times', () => {
    const rows = [{ id: 1, time: 'noon', measured_at: '2024-06-10 06:13:20' }];
    const typed = [
      { name: 'id', type: 'INTEGER' },
      { name: 'time', type: 'TEXT' },
      { name: 'measured_at', type: 'TEXT' },
    ];
    expect(guessTimeColumn(typed, rows)).toBe('measured_at');
  });
});

describe('the values', () => {
  const columns = [
    { name: 'id', type: 'INTEGER' },
    { name: 'time', type: 'INTEGER' },
    { name: 'user_id', type: 'INTEGER' },
    { name: 'city', type: 'TEXT' },
    { name: 'speed', type: '' },
  ];
  const rows = [{ id: 1, time: 1_718_000_000_000, user_id: 3, city: 'Oslo', speed: '37' }];

  it('are measurements before identities', () => {
    expect(guessValues(columns, ['id'], 'time', rows)).toEqual(['speed']);
    expect(guessValues(columns.slice(0, 3), ['id'], 'time', rows)).toEqual(['id']);
  });

  it('can be any numeric column, also one without a type', () => {
    expect(numericColumns(columns, rows)).toEqual(['id', 'time', 'user_id', 'speed']);
  });
});
