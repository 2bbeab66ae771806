// How a column counts time: its unit, and its values on the chart's axis.
//
// Leaves the choice of the column to `column` and the writing of times to `format`.

/** How a column counts time. `number`: it does not; the axis is a plain number's. */
export type TimeUnit = 's' | 'ms' | 'us' | 'ns' | 'text' | 'number';

const MS_PER: Record<Exclude<TimeUnit, 'text'>, number> = {
  s: 1000,
  ms: 1,
  us: 1e-3,
  ns: 1e-6,
  number: 1,
};

/** The axis value (milliseconds since 1970, or the plain number) of a row's time; `null` when it has none. */
export function toAxis(value: unknown, unit: TimeUnit): number | null {
  if (unit === 'text') {
    return typeof value === 'string' ? parseText(value) : null;
  }
  const number = toNumber(value);
  return number === null ? null : number * MS_PER[unit];
}

/** What the server calls an axis value: text columns are asked for in milliseconds. */
export function fromAxis(axis: number, unit: TimeUnit): number {
  return unit === 'text' ? axis : axis / MS_PER[unit];
}

/** A history's time, which the server gives in the column's own unit. */
export function historyToAxis(time: number, unit: TimeUnit): number {
  return unit === 'text' ? time : time * MS_PER[unit];
}

/** A finite number, also from a string that is one. */
export function toNumber(value: unknown): number | null {
  if (typeof value === 'number') {
    return Number.isFinite(value) ? value : null;
  }
  if (typeof value === 'boolean') {
    return Number(value);
  }
  if (typeof value !== 'string' || !/^\s*[-+]?(\d|\.\d)/.test(value)) {
    return null;
  }
  const number = Number(value);
  return Number.isFinite(number) ? number : null;
}

const TEXT_TIME =
  /^(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?)?\s*(Z|[-+]\d\d(?::?\d\d)?)?$/i;

/** Milliseconds since 1970 of a date, with or without a time. Without a zone it is UTC, as databases read it. */
export function parseText(text: string): number | null {
  const parts = TEXT_TIME.exec(text.trim());
  if (parts === null) {
    return null;
  }
  const at = (index: number) => Number(parts[index] ?? 0);
  const fraction = Number(`0.${parts[7] ?? '0'}`) * 1000;
  const utc = Date.UTC(at(1), at(2) - 1, at(3), at(4), at(5), at(6));
  return utc + fraction - zoneMs(parts[8]);
}

function zoneMs(zone: string | undefined): number {
  if (zone === undefined || /^z$/i.test(zone)) {
    return 0;
  }
  const sign = zone.startsWith('-') ? -1 : 1;
  const digits = zone.slice(1).replace(':', '').padEnd(4, '0');
  return sign * (Number(digits.slice(0, 2)) * 60 + Number(digits.slice(2))) * 60_000;
}

/** The unit that most of the values speak; `null` when there is no value to judge by. */
export function detectUnit(values: readonly unknown[]): TimeUnit | null {
  const votes = new Map<TimeUnit, number>();
  for (const value of values) {
    const unit = unitOf(value);
    if (unit !== null) {
      votes.set(unit, (votes.get(unit) ?? 0) + 1);
    }
  }
  let best: TimeUnit | null = null;
  for (const [unit, count] of votes) {
    if (best === null || count > (votes.get(best) ?? 0)) {
      best = unit;
    }
  }
  return best;
}

function unitOf(value: unknown): TimeUnit | null {
  if (typeof value === 'string' && parseText(value) !== null) {
    return 'text';
  }
  const number = toNumber(value);
  if (number === null) {
    return null;
  }
  // From 1973 to 5138 each unit has its own range of magnitudes.
  const size = Math.abs(number);
  if (size < 1e8) return 'number';
  if (size < 1e11) return 's';
  if (size < 1e14) return 'ms';
  return size < 1e17 ? 'us' : 'ns';
}
