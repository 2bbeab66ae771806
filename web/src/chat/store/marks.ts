// How far a message of one's own has come: what the receipts of the others say.

import type { Receipt } from './rows';

export type Mark = 'sent' | 'delivered' | 'read';

export interface Reach {
  /** Every other member has it, or has read it, up to these ids. */
  readonly delivered: number;
  readonly read: number;
}

/** How far all of the others are. A member without a receipt has nothing. */
export function reachOf(receipts: readonly Receipt[], others: readonly string[]): Reach {
  if (others.length === 0) return { delivered: 0, read: 0 };
  const of = new Map(receipts.map((receipt) => [receipt.user_id, receipt]));
  const least = (value: (receipt: Receipt) => number) =>
    Math.min(...others.map((user) => (of.has(user) ? value(of.get(user) as Receipt) : 0)));
  return { delivered: least((one) => Math.max(one.delivered, one.read)), read: least((one) => one.read) };
}

export function markOf(id: number, reach: Reach): Mark {
  if (id <= reach.read) return 'read';
  return id <= reach.delivered ? 'delivered' : 'sent';
}

/** Who has read it. */
export function readers(id: number, receipts: readonly Receipt[], others: readonly string[]): readonly string[] {
  const read = new Set(receipts.filter((receipt) => receipt.read >= id).map(({ user_id }) => user_id));
  return others.filter((user) => read.has(user));
}
