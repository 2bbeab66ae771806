// Tables: the rows of any table as they are now, and as they change.

import type { RowcastErrorLike, Table } from '@rowcast/client';
import { useRowcast } from '@rowcast/client/react';
import { useMemo, useState, useSyncExternalStore } from 'react';
import { useIsPerson } from '../../access/store';
import { formatCount } from '../../chart/format';
import { navigate, useAddress, useLink } from '../../shell/router';
import { Select } from '../../ui/choice';
import { Command, Empty, Skeleton } from '../../ui/empty';
import { FilterBox } from '../../ui/filter-box';
import { NothingForYou, Refused } from '../../ui/refused';
import { useTables } from '../../ui/schema';
import { quoteName } from '../../ui/sql';
import { formatTableView, LIMITS, parseTableView, type TableView } from './address';
import { Grid } from './grid';

export default function TablesPage() {
  const { search } = useAddress();
  const view = useMemo(() => parseTableView(search), [search]);
  const tables = useTables();
  if (tables.value === null) return <Waiting error={tables.error} />;
  const table =
    tables.value.find(({ name }) => name === view.table) ?? (view.table === null ? tables.value[0] : undefined);
  if (tables.value.length === 0) return <NoTables />;
  return (
    <>
      <h1 className="visually-hidden">Tables</h1>
      <TableList tables={tables.value} current={table?.name} />
      {table === undefined ? (
        <Empty title={`There is no table “${view.table}”`}>
          <p>Choose one of the list.</p>
        </Empty>
      ) : (
        <Rows key={table.name} table={table} view={view} tables={tables.value} />
      )}
    </>
  );
}

function TableList({ tables, current }: { tables: readonly Table[]; current: string | undefined }) {
  const follow = useLink();
  return (
    <nav className="table-list card" aria-label="Tables">
      <h2>Tables</h2>
      <ul>
        {tables.map(({ name }) => (
          <li key={name}>
            <a
              href={`/tables?table=${encodeURIComponent(name)}`}
              onClick={follow}
              aria-current={name === current ? 'page' : undefined}
            >
              <span className="table-name">{name}</span>
            </a>
          </li>
        ))}
      </ul>
    </nav>
  );
}

interface RowsProps {
  readonly table: Table;
  readonly tables: readonly Table[];
  readonly view: TableView;
}

function Rows({ table, tables, view }: RowsProps) {
  const db = useRowcast();
  const sort = view.sort ?? usualSort(table);
  const orderBy = orderText(sort, table);
  const { where, limit } = view;
  const [round, setRound] = useState(0);
  // biome-ignore lint/correctness/useExhaustiveDependencies: `round` asks for a new one
  const live = useMemo(
    () => db.table(table.name, { where: where || undefined, orderBy, limit }),
    [db, table.name, where, orderBy, limit, round],
  );
  const snapshot = useSyncExternalStore(live.subscribe, live.getSnapshot);
  const change = (part: Partial<TableView>, how: 'push' | 'replace' = 'push') =>
    navigate(`/tables${formatTableView({ ...view, table: table.name, ...part })}`, how);
  const { error } = snapshot;
  const isFilterError = error !== undefined && snapshot.status === 'error' && where !== '';
  const columns = snapshot.columns.length > 0 ? snapshot.columns : table.columns;
  return (
    <section className="rows" aria-label={`Rows of ${table.name}`}>
      <div className="bar rows-bar">
        <Select
          label="Table"
          value={table.name}
          options={tables.map(({ name }) => ({ value: name, text: name }))}
          onChange={(name) => navigate(`/tables?table=${encodeURIComponent(name)}`)}
        />
        <FilterBox
          value={where}
          error={isFilterError ? (error ?? null) : null}
          placeholder={`Filter, as in SQL: ${quoteName(columns[0]?.name ?? 'id')} > 100`}
          onChange={(text, how) => change({ where: text }, how)}
        />
        <Select
          label="At most"
          value={String(limit)}
          options={LIMITS.map((one) => ({ value: String(one), text: `${formatCount(one)} rows` }))}
          onChange={(text) => change({ limit: Number(text) })}
        />
        <Count rows={snapshot.rows.length} limit={limit} status={snapshot.status} />
      </div>
      {snapshot.status === 'error' && error !== undefined && !isFilterError ? (
        <Refused error={error} otherwise={`The rows of ${table.name} cannot be followed`}>
          <button
            type="button"
            className="button"
            onClick={() => {
              live.refresh();
              setRound(round + 1);
            }}
          >
            Try again
          </button>
        </Refused>
      ) : (
        <Grid
          key={`${where} ${orderBy} ${limit}`}
          table={table}
          columns={columns}
          snapshot={snapshot}
          sort={sort}
          onSort={(next) => change({ sort: next })}
          empty={<NoRows table={table} filtered={where !== ''} />}
        />
      )}
    </section>
  );
}

/** The newest row first, where the key tells which that is, so that an insert is seen. */
function usualSort(table: Table): TableView['sort'] {
  const [first, ...more] = table.key;
  return first === undefined || more.length > 0 ? null : { column: first, descending: true };
}

function orderText(sort: TableView['sort'], table: Table): string | undefined {
  if (sort === null || !table.columns.some(({ name }) => name === sort.column)) return undefined;
  return `${quoteName(sort.column)}${sort.descending ? ' desc' : ''}`;
}

function Count({ rows, limit, status }: { rows: number; limit: number; status: string }) {
  if (status === 'loading') return <span className="row-count">Reading rows</span>;
  return (
    <span className="row-count">
      {rows >= limit && 'First'} <strong>{formatCount(rows)}</strong> {rows === 1 ? 'row' : 'rows'}
      {status === 'reconnecting' && <span className="note note-strong">not up to date</span>}
    </span>
  );
}

function NoRows({ table, filtered }: { table: Table; filtered: boolean }) {
  if (filtered) {
    return (
      <Empty title="No row matches the filter">
        <p>A row that begins to match appears here by itself.</p>
      </Empty>
    );
  }
  const first = table.columns.find(({ name }) => !table.key.includes(name))?.name ?? 'column';
  return (
    <Empty title={`${table.name} has no row`}>
      <p>Insert one, and it appears here by itself:</p>
      <Command
        text={`curl -H 'content-type: application/json' -d '{"${first}":1}' ${location.origin}/v1/tables/${encodeURIComponent(table.name)}`}
      />
    </Empty>
  );
}

function NoTables() {
  if (useIsPerson()) return <NothingForYou />;
  return (
    <Empty title="The database has no table yet">
      <p>Make one with any program; this page finds it by itself.</p>
      <Command text={`sqlite3 app.db "create table notes(id integer primary key, text)"`} />
    </Empty>
  );
}

function Waiting({ error }: { error: RowcastErrorLike | null }) {
  if (error === null) return <Skeleton label="Loading the tables" />;
  return (
    <Refused error={error} otherwise="The server does not answer">
      <p>This page tries again by itself.</p>
    </Refused>
  );
}
