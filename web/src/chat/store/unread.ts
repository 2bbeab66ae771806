// How many messages of a talk nobody here has read: what the server counted, and what has come since.

export interface Unread {
  /** Counted by the server, up to the message `last`. */
  readonly counted: number;
  readonly last: number;
  /** Those that came after, by id. */
  readonly since: readonly number[];
}

export const NONE: Unread = { counted: 0, last: 0, since: [] };

export interface Count {
  readonly room: string;
  readonly unread: number;
  readonly last: number | null;
}

export function total({ counted, since }: Unread): number {
  return counted + since.length;
}

/** What the server counted anew. What came after its count stays. */
export function recounted(known: ReadonlyMap<string, Unread>, counts: readonly Count[]): ReadonlyMap<string, Unread> {
  const next = new Map<string, Unread>();
  for (const { room, unread, last } of counts) {
    const since = known.get(room)?.since ?? [];
    next.set(room, { counted: unread, last: last ?? 0, since: since.filter((id) => id > (last ?? 0)) });
  }
  for (const [room, { since }] of known) {
    if (!next.has(room) && since.length > 0) next.set(room, { ...NONE, since });
  }
  return next;
}

export function arrived(unread: Unread, id: number, read: number): Unread {
  if (id <= unread.last || id <= read || unread.since.includes(id)) return unread;
  return { ...unread, since: [...unread.since, id] };
}

/** A message is gone. `stale`: it may be one of those that the server counted. */
export function gone(unread: Unread, id: number): { unread: Unread; stale: boolean } {
  if (unread.since.includes(id)) return { unread: without(unread, id), stale: false };
  return { unread, stale: unread.counted > 0 && id <= unread.last };
}

function without(unread: Unread, gone: number): Unread {
  return { ...unread, since: unread.since.filter((id) => id !== gone) };
}

/** All up to `read` are read. `stale`: only the server knows how many of its count are left. */
export function readUpTo(unread: Unread, read: number): { unread: Unread; stale: boolean } {
  const since = unread.since.filter((id) => id > read);
  const counted = read >= unread.last ? 0 : unread.counted;
  const same = counted === unread.counted && since.length === unread.since.length;
  return { unread: same ? unread : { ...unread, counted, since }, stale: counted > 0 };
}
