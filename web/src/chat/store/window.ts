// A part of a talk's history without holes, oldest first, and how pages and live changes become one with it.
// Whatever comes twice, or late, changes nothing: of two states of a message the later one stands.

import { type Message, momentOf } from './rows';

export interface Window {
  readonly messages: readonly Message[];
  /** There may be messages before the first, and after the last. */
  readonly older: boolean;
  readonly newer: boolean;
}

export interface Changed {
  readonly op: 'insert' | 'update' | 'delete';
  readonly id: number;
  readonly row: Partial<Message>;
}

export const NOTHING: Window = { messages: [], older: true, newer: true };

/** `full`: the page held as many as were asked for, so that there may be more. */
export function withOlder(window: Window, page: readonly Message[], full: boolean): Window {
  return { ...window, messages: merged(window.messages, page), older: full };
}

export function withNewer(window: Window, page: readonly Message[], full: boolean): Window {
  return { ...window, messages: merged(window.messages, page), newer: full };
}

/** The newest page, read again: joined where it reaches what is held, else in its place. */
export function withNewest(window: Window, page: readonly Message[], full: boolean): Window {
  const last = window.messages.at(-1)?.id;
  const first = Math.min(...page.map(({ id }) => id));
  const joins = last !== undefined && !window.newer && (!full || first <= last);
  if (joins) return { messages: merged(window.messages, page), older: window.older, newer: false };
  return { messages: merged([], page), older: full, newer: false };
}

export function changed(window: Window, change: Changed): Window {
  const { messages } = window;
  const at = placeOf(messages, change.id);
  const held = messages[at];
  if (held?.id === change.id) {
    if (change.op === 'delete') return { ...window, messages: messages.toSpliced(at, 1) };
    const next = later(held, { ...held, ...change.row });
    return next === held ? window : { ...window, messages: messages.with(at, next) };
  }
  if (change.op === 'delete' || !isWhole(change.row) || !covers(window, change.id)) return window;
  return { ...window, messages: messages.toSpliced(at, 0, change.row) };
}

/** Whether a message with this id belongs into the window if it exists. */
function covers({ messages, older, newer }: Window, id: number): boolean {
  const [first, last] = [messages[0]?.id, messages.at(-1)?.id];
  if (first === undefined || last === undefined) return !older && !newer;
  return (id > first || !older) && (id < last || !newer);
}

function merged(held: readonly Message[], page: readonly Message[]): readonly Message[] {
  const byId = new Map(held.map((message) => [message.id, message]));
  for (const message of page) {
    const known = byId.get(message.id);
    byId.set(message.id, known === undefined ? message : later(known, message));
  }
  return [...byId.values()].sort((a, b) => a.id - b.id);
}

/** The later of two states of one message. */
export function later(held: Message, other: Message): Message {
  const [a, b] = [ageOf(held), ageOf(other)];
  if (a > b) return held;
  return a === b && same(held, other) ? held : other;
}

function ageOf({ edited_at, deleted_at }: Message): number {
  if (deleted_at !== null) return Number.POSITIVE_INFINITY;
  return edited_at === null ? 0 : momentOf(edited_at);
}

function same(a: Message, b: Message): boolean {
  return a.body === b.body && a.file === b.file && a.edited_at === b.edited_at && a.reply_to === b.reply_to;
}

/** Whether a change carries the whole message. */
export function isWhole(row: Partial<Message>): row is Message {
  return row.id !== undefined && row.body !== undefined && row.sender !== undefined && row.room !== undefined;
}

/** Where `id` is, or would be. */
export function placeOf(messages: readonly Message[], id: number): number {
  let [low, high] = [0, messages.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((messages[middle]?.id ?? 0) < id) low = middle + 1;
    else high = middle;
  }
  return low;
}
