// Who reacted to which message with what.

import type { Reaction } from './rows';

export type Reactions = ReadonlyMap<number, readonly Reaction[]>;

export interface Pill {
  readonly emoji: string;
  readonly users: readonly string[];
}

export function withReactions(held: Reactions, rows: readonly Reaction[]): Reactions {
  const next = new Map(held);
  for (const row of rows) {
    const list = next.get(row.message) ?? [];
    if (!list.some((other) => isSame(other, row))) next.set(row.message, [...list, row]);
  }
  return next;
}

export function withoutReaction(held: Reactions, gone: Omit<Reaction, 'room'>): Reactions {
  const list = held.get(gone.message);
  if (list === undefined) return held;
  const rest = list.filter((other) => !isSame(other, gone));
  const next = new Map(held);
  if (rest.length === 0) next.delete(gone.message);
  else next.set(gone.message, rest);
  return next;
}

/** In the order in which each was first given. */
export function pillsOf(list: readonly Reaction[]): readonly Pill[] {
  const users = new Map<string, string[]>();
  for (const { emoji, user_id } of list) users.set(emoji, [...(users.get(emoji) ?? []), user_id]);
  return [...users].map(([emoji, who]) => ({ emoji, users: who }));
}

function isSame(a: Omit<Reaction, 'room'>, b: Omit<Reaction, 'room'>): boolean {
  return a.message === b.message && a.user_id === b.user_id && a.emoji === b.emoji;
}
