// What `GET /v1/status` says, asked each second, and the rates between two answers.

import type { Rowcast, RowcastErrorLike } from '@rowcast/client';
import { useRowcast } from '@rowcast/client/react';
import { useEffect, useState } from 'react';

export interface Status {
  readonly version: string;
  readonly uptime_ms: number;
  readonly session_count: number;
  readonly subscriptions: number;
  readonly distinct_filters: number;
  readonly sources: readonly Source[];
  readonly log: { readonly head: string; readonly oldest: string; readonly events: number; readonly bytes: number };
  readonly totals: Totals;
  readonly sessions: readonly Session[];
  readonly ingest: readonly Ingest[];
  readonly errors: readonly { readonly time_ms: number; readonly message: string }[];
}

export interface Source {
  readonly name: string;
  readonly database: string;
  readonly status: {
    readonly mode: string;
    /** What may be relied on in this mode. */
    readonly guarantee: string;
    readonly place: string | null;
    readonly lag_events: number | null;
    readonly lag_bytes: number | null;
    /** What the database keeps for this source and nobody else needs. */
    readonly retained_bytes: number | null;
    readonly tables: readonly string[];
    readonly problem: string | null;
  };
}

export interface Session {
  readonly id: string;
  readonly transport: string;
  readonly subscriptions: number;
  readonly queued_bytes: number;
  readonly behind: boolean;
  readonly connected_ms: number;
  readonly remote: string | null;
}

export interface Ingest {
  readonly name: string;
  readonly url: string;
  readonly table: string;
  /** Milliseconds since 1970; `null` while there is no connection. */
  readonly connected_since: number | null;
  readonly rows: number;
  readonly rejected: number;
  readonly reconnects: number;
  readonly last_error: string | null;
  /** Rows stored a second, over the last ten. */
  readonly rate: number;
  readonly spool: Spool;
  /** Rows wait because the database does not take them. */
  readonly held_back: boolean;
  /** Oldest first. */
  readonly rejects: readonly Reject[];
}

/** What was read and waits for the database. */
export interface Spool {
  readonly records: number;
  readonly bytes: number;
  /** How long the oldest has waited; `null` when nothing waits. */
  readonly oldest_ms: number | null;
  /** Its source is held back. */
  readonly full: boolean;
}

export interface Reject {
  readonly time: number;
  readonly line: number;
  readonly reason: string;
  readonly raw: string;
}

export interface Totals {
  readonly events: number;
  readonly deliveries: number;
  readonly delivered_bytes: number;
  readonly rows_ingested: number;
  readonly rows_rejected: number;
}

export type Rates = Readonly<Record<keyof Totals, readonly number[]>>;

export interface Watched {
  readonly status: Status | null;
  /** For each second of the last minute, oldest first. */
  readonly rates: Rates;
  readonly error: RowcastErrorLike | null;
}

const EVERY_MS = 1000;
const KEPT = 60;
const NAMES = ['events', 'deliveries', 'delivered_bytes', 'rows_ingested', 'rows_rejected'] as const;

const NO_RATES: Rates = {
  events: [],
  deliveries: [],
  delivered_bytes: [],
  rows_ingested: [],
  rows_rejected: [],
};

interface Reading {
  readonly status: Status;
  readonly at: number;
}

export function useStatus(): Watched {
  const db = useRowcast();
  const [watched, setWatched] = useState<Watched>({
    status: null,
    rates: NO_RATES,
    error: null,
  });
  useEffect(() => watch(db, setWatched), [db]);
  return watched;
}

function watch(db: Rowcast, tell: (next: (old: Watched) => Watched) => void): () => void {
  const stop = new AbortController();
  let before: Reading | null = null;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const ask = async () => {
    try {
      if (!document.hidden) {
        const status = await db.status<Status>({ signal: stop.signal });
        const now: Reading = { status, at: performance.now() };
        const previous = before;
        before = now;
        tell((old) => advance(old, previous, now));
      }
    } catch (error) {
      if (stop.signal.aborted) return;
      tell((old) => ({ ...old, error: error as RowcastErrorLike }));
    }
    if (!stop.signal.aborted) timer = setTimeout(ask, EVERY_MS);
  };
  void ask();
  return () => {
    stop.abort();
    clearTimeout(timer);
  };
}

function advance(old: Watched, before: Reading | null, now: Reading): Watched {
  const { status } = now;
  // A server that started again counts from zero; that is no rate.
  if (before === null || status.uptime_ms < before.status.uptime_ms) {
    return { ...old, status, error: null };
  }
  const seconds = (now.at - before.at) / 1000;
  const rates = { ...old.rates };
  for (const name of NAMES) {
    const rate = Math.max(0, status.totals[name] - before.status.totals[name]) / seconds;
    rates[name] = [...old.rates[name], rate].slice(-KEPT);
  }
  return { status, rates, error: null };
}
