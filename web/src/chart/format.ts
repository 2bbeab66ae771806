// Numbers and times as people read them, in the browser's language and time zone.

import type { TimeUnit } from './time';

const plain = new Intl.NumberFormat(undefined, { maximumFractionDigits: 6 });
const compact = new Intl.NumberFormat(undefined, { notation: 'compact', maximumFractionDigits: 2 });

/** A value to read: all digits that matter, no more. */
export function formatNumber(value: number): string {
  if (!Number.isFinite(value)) return '–';
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-5 || size >= 1e15)) return value.toExponential(4);
  return plain.format(Number(value.toPrecision(9)));
}

/** A value at a glance: whole numbers as they are, others with as many digits as an eye takes in. */
export function formatGlance(value: number): string {
  return formatNumber(Number.isInteger(value) ? value : Number(value.toPrecision(6)));
}

/** A short number for an axis or a dial. */
export function formatTick(value: number): string {
  const size = Math.abs(value);
  if (size >= 1e15) return value.toExponential(1);
  if (size >= 10_000) return compact.format(value);
  if (size !== 0 && size < 1e-4) return value.toExponential(1);
  return plain.format(Number(value.toPrecision(6)));
}

/** A whole number, with separators. */
export function formatCount(value: number): string {
  return plain.format(Math.round(value));
}

export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  const power = bytes < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(bytes) / 3));
  const value = bytes / 1000 ** power;
  return `${value >= 100 || power === 0 ? Math.round(value) : value.toFixed(1)} ${units[power] ?? ''}`;
}

/** `3 d 4 h`, `5 min 2 s`: the two largest parts. */
export function formatDuration(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const parts: [number, string][] = [
    [Math.floor(seconds / 86_400), 'd'],
    [Math.floor(seconds / 3600) % 24, 'h'],
    [Math.floor(seconds / 60) % 60, 'min'],
    [seconds % 60, 's'],
  ];
  const first = parts.findIndex(([count]) => count > 0);
  if (first < 0) return '0 s';
  return parts
    .slice(first, first + 2)
    .filter(([count]) => count > 0)
    .map(([count, unit]) => `${count} ${unit}`)
    .join(' ');
}

const formats = new Map<string, Intl.DateTimeFormat>();

function timeFormat(options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const key = JSON.stringify(options);
  const known = formats.get(key);
  if (known !== undefined) return known;
  const made = new Intl.DateTimeFormat(undefined, { hourCycle: 'h23', ...options });
  formats.set(key, made);
  return made;
}

const HOUR_MINUTE = { hour: '2-digit', minute: '2-digit' } as const;
const CLOCK = { ...HOUR_MINUTE, second: '2-digit' } as const;
const DAY = { day: 'numeric', month: 'short' } as const;
const EPOCH_RANGE_MS = 8.64e15;

/** A point's time in full. */
export function formatTime(axis: number, unit: TimeUnit): string {
  if (unit === 'number') return formatNumber(axis);
  if (Math.abs(axis) > EPOCH_RANGE_MS) return `${formatNumber(axis)} ms`;
  const fraction = Math.round(axis) % 1000 === 0 ? {} : ({ fractionalSecondDigits: 3 } as const);
  return timeFormat({ ...DAY, year: 'numeric', ...CLOCK, ...fraction }).format(axis);
}

/** A point's time, leaving out the date when that is today's. */
export function formatShortTime(axis: number, unit: TimeUnit): string {
  if (unit === 'number' || Math.abs(axis) > EPOCH_RANGE_MS) return formatTime(axis, unit);
  const today = new Date(axis).toDateString() === new Date().toDateString();
  const fraction = Math.round(axis) % 1000 === 0 ? {} : ({ fractionalSecondDigits: 3 } as const);
  return today ? timeFormat({ ...CLOCK, ...fraction }).format(axis) : formatTime(axis, unit);
}

/** Labels of a time axis whose ticks are `step` milliseconds apart. The date stands where it changes. */
export function formatTimeTicks(ticks: readonly number[], step: number): string[] {
  let day = '';
  return ticks.map((tick, index) => {
    if (Math.abs(tick) > EPOCH_RANGE_MS) return formatTick(tick);
    const date = timeFormat(DAY).format(tick);
    const changed = date !== day;
    day = date;
    if (step >= 28 * 86_400_000) return timeFormat({ month: 'short', year: 'numeric' }).format(tick);
    if (step >= 86_400_000) return date;
    const clock = timeFormat(tickFormat(step)).format(tick);
    return changed && index > 0 ? `${date} ${clock}` : clock;
  });
}

function tickFormat(step: number): Intl.DateTimeFormatOptions {
  if (step < 1000) return { ...CLOCK, fractionalSecondDigits: 3 };
  return step < 60_000 ? CLOCK : HOUR_MINUTE;
}

/** A group's JSON as a name. */
export function formatGroup(json: string): string {
  const value: unknown = JSON.parse(json);
  if (value === null) return 'NULL';
  return typeof value === 'string' ? value || '(empty)' : json;
}
