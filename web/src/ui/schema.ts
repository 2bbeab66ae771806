// The tables of the database, and some rows of one, read again when the connection comes back.

import type { Row, RowcastErrorLike, Table } from '@rowcast/client';
import { useConnection, useRowcast } from '@rowcast/client/react';
import { useEffect, useState } from 'react';
import { quoteName } from './sql';

export interface Loaded<T> {
  readonly value: T | null;
  readonly error: RowcastErrorLike | null;
}

const NOTHING = { value: null, error: null };
const AGAIN_MS = 3_000;
const NEWS_MS = 15_000;
const SAMPLE_ROWS = 50;

/** Every table, asked for again now and then: somebody may make one, or alter it. */
export function useTables(): Loaded<readonly Table[]> {
  const db = useRowcast();
  const { state } = useConnection();
  const [loaded, setLoaded] = useState<Loaded<readonly Table[]>>(NOTHING);
  useEffect(() => {
    const stop = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const load = async () => {
      let wait = AGAIN_MS;
      try {
        const tables = await db.tables({ signal: stop.signal });
        setLoaded((old) => (isSame(old, tables) ? old : { value: tables, error: null }));
        if (tables.length > 0) wait = NEWS_MS;
      } catch (error) {
        if (stop.signal.aborted) return;
        setLoaded(({ value }) => ({ value, error: error as RowcastErrorLike }));
      }
      if (!stop.signal.aborted) timer = setTimeout(load, wait);
    };
    if (state !== 'waiting') void load();
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [db, state]);
  return loaded;
}

function isSame({ value, error }: Loaded<readonly Table[]>, tables: readonly Table[]): boolean {
  return error === null && JSON.stringify(value) === JSON.stringify(tables);
}

export interface Sample {
  readonly table: string;
  readonly rows: readonly Row[];
}

/** The newest rows of a table by key, to judge its columns by. An empty table is looked at again when a row arrives. */
export function useSample(table: Table | null): Loaded<Sample> {
  const db = useRowcast();
  const [loaded, setLoaded] = useState<Loaded<Sample>>(NOTHING);
  const [round, setRound] = useState(0);
  const { name, key } = table ?? { name: null, key: [] };
  const orderBy = key.map((column) => `${quoteName(column)} desc`).join(', ');
  // biome-ignore lint/correctness/useExhaustiveDependencies: `round` asks for another look
  useEffect(() => {
    if (name === null) return;
    const stop = new AbortController();
    const options = { orderBy: orderBy || undefined, limit: SAMPLE_ROWS, signal: stop.signal };
    db.query(name, options)
      .then((rows) => setLoaded({ value: { table: name, rows }, error: null }))
      .catch((error: RowcastErrorLike) => {
        if (!stop.signal.aborted) setLoaded({ value: { table: name, rows: [] }, error });
      });
    return () => stop.abort();
  }, [db, name, orderBy, round]);
  const sample = loaded.value?.table === name ? loaded.value : null;
  const isEmpty = sample !== null && sample.rows.length === 0;
  useEffect(() => {
    if (!isEmpty || name === null) return;
    const changes = db.changes(name, { onError: () => undefined }, () => setRound((old) => old + 1));
    return () => changes.close();
  }, [db, isEmpty, name]);
  return sample === null ? NOTHING : loaded;
}
