// Times in the words of whoever reads: a clock for today, a day for this week, a date before.

import { dayOf } from './lines';

const DAY_MS = 86_400_000;

const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const weekday = new Intl.DateTimeFormat(undefined, { weekday: 'long' });
const date = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'long' });
const dateYear = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'long', year: 'numeric' });
const short = new Intl.DateTimeFormat(undefined, { day: '2-digit', month: '2-digit', year: '2-digit' });
const whole = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'short' });

export const clockOf = (at: number): string => formatted(clock, at);
export const wholeOf = (at: number): string => formatted(whole, at);

/** Of the line between two days. */
export function dayName(at: number, now = Date.now()): string {
  const near = nearDay(at, now);
  if (near !== null) return near;
  const isThisYear = new Date(at).getFullYear() === new Date(now).getFullYear();
  return formatted(isThisYear ? date : dateYear, at);
}

/** Of a talk in the list. */
export function shortTime(at: number, now = Date.now()): string {
  if (dayOf(at) === dayOf(now)) return clockOf(at);
  return nearDay(at, now) ?? formatted(short, at);
}

/** "last seen …" */
export function lastSeen(at: number, now = Date.now()): string {
  const minutes = Math.floor((now - at) / 60_000);
  if (minutes < 2) return 'last seen just now';
  if (minutes < 60) return `last seen ${minutes} minutes ago`;
  if (dayOf(at) === dayOf(now)) return `last seen today at ${clockOf(at)}`;
  if (dayOf(at) === dayOf(now - DAY_MS)) return `last seen yesterday at ${clockOf(at)}`;
  return `last seen on ${dayName(at, now)}`;
}

function nearDay(at: number, now: number): string | null {
  if (dayOf(at) === dayOf(now)) return 'Today';
  if (dayOf(at) === dayOf(now - DAY_MS)) return 'Yesterday';
  return at < now && now - at < 6 * DAY_MS ? formatted(weekday, at) : null;
}

function formatted(format: Intl.DateTimeFormat, at: number): string {
  return Number.isFinite(at) ? format.format(at) : '';
}
