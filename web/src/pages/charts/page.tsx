// Charts: rows as lines and as a speedometer, history first and then live. Everything chosen here is in the address.

import type { RowcastErrorLike, Table } from '@rowcast/client';
import { useRowcast } from '@rowcast/client/react';
import { useEffect, useMemo, useState, useSyncExternalStore } from 'react';
import { useIsPerson } from '../../access/store';
import { guessTimeColumn } from '../../chart/column';
import { isFinal } from '../../chart/feed';
import type { FeedQuery } from '../../chart/row';
import { FeedSwitch, type Feeds } from '../../chart/switch';
import { type ChartView, type FullView, formatView, parseView } from '../../chart/view';
import { navigate, useAddress } from '../../shell/router';
import { Command, Empty, Skeleton } from '../../ui/empty';
import { NothingForYou, Refused } from '../../ui/refused';
import { type Sample, useSample, useTables } from '../../ui/schema';
import { SourceBar, ViewBar } from './bars';
import { type Choice, chooseColumns, chooseTable, feedQuery, fullView } from './choose';
import { Picture } from './picture';

export type Change = (part: Partial<ChartView>, how?: 'push' | 'replace') => void;

export default function ChartsPage() {
  const { search } = useAddress();
  const view = useMemo(() => parseView(search), [search]);
  const tables = useTables();
  const table = useMemo(
    () => (tables.value === null ? null : chooseTable(tables.value, view.table)),
    [tables.value, view.table],
  );
  const sample = useSample(table);
  if (tables.value === null) return <Loading error={tables.error} />;
  if (tables.value.length === 0) return <NoTables />;
  if (table === null) return <NoTable name={view.table ?? ''} tables={tables.value} />;
  if (sample.value === null) return <Loading error={null} />;
  return <Chart view={view} tables={tables.value} table={table} sample={sample.value} />;
}

interface ChartProps {
  readonly view: ChartView;
  readonly tables: readonly Table[];
  readonly table: Table;
  readonly sample: Sample;
}

function Chart({ view: asked, tables, table, sample }: ChartProps) {
  const [pausedHere, setPausedHere] = useState<number | null>(null);
  const choice = useMemo(() => chooseColumns(asked, table, sample), [asked, table, sample]);
  const view = useMemo(() => fullView(asked, table, choice, sample), [asked, table, choice, sample]);
  useResolved(view);
  const query = useMemo(() => feedQuery(view, table, choice, pausedHere), [view, table, choice, pausedHere]);
  const { shown, wanted } = useFeeds(query);
  const error = useFeedError(wanted);
  const change: Change = (part, how = 'push') => {
    if (part.at !== undefined) setPausedHere(part.at);
    navigate(`/charts${formatView({ ...view, ...part })}`, how);
  };
  const isFilterError = error !== null && (error.at !== undefined || error.code === 'bad_filter' || view.where !== '');
  return (
    <>
      <h1 className="visually-hidden">Charts</h1>
      <SourceBar
        view={view}
        tables={tables}
        table={table}
        choice={choice}
        filterError={isFilterError ? error : null}
        change={change}
      />
      <ViewBar view={view} choice={choice} feed={shown} change={change} loading={shown !== wanted && error === null} />
      <Body
        table={table}
        view={view}
        choice={choice}
        sample={sample}
        shown={shown}
        error={isFilterError ? null : error}
        filterWrong={isFilterError}
        change={change}
      />
    </>
  );
}

interface BodyProps {
  readonly table: Table;
  readonly view: FullView;
  readonly choice: Choice;
  readonly sample: Sample;
  readonly shown: Feeds['shown'];
  readonly error: RowcastErrorLike | null;
  readonly filterWrong: boolean;
  readonly change: Change;
}

function Body({ table, view, choice, sample, shown, error, filterWrong, change }: BodyProps) {
  if (choice.time === null) return <NoTime table={table} />;
  if (choice.values.length === 0) return <NoNumbers table={table} />;
  if (sample.rows.length === 0) return <NoRows table={table} />;
  if (shown === null && filterWrong) return <BadFilter />;
  const isRefused = shown === null && error !== null && isFinal(error);
  if (isRefused) return <Refused error={error} otherwise="This chart cannot be drawn" />;
  if (shown === null) return <Loading error={error} />;
  return <Picture feed={shown} view={view} choice={choice} change={change} />;
}

/** The feeds of a query, ended with the page. */
function useFeeds(query: FeedQuery | null): Feeds {
  const db = useRowcast();
  const feeds = useMemo(() => new FeedSwitch(db), [db]);
  const wanted = query === null ? null : JSON.stringify(query);
  useEffect(() => {
    feeds.set(wanted === null ? null : (JSON.parse(wanted) as FeedQuery));
  }, [feeds, wanted]);
  useEffect(() => () => feeds.close(), [feeds]);
  return useSyncExternalStore(feeds.subscribe, feeds.getSnapshot);
}

const noSubscription = () => () => undefined;

function useFeedError(feed: Feeds['wanted']): RowcastErrorLike | null {
  return useSyncExternalStore(feed?.subscribe ?? noSubscription, () => feed?.getSnapshot().error ?? null);
}

/** Puts every guess into the address, so that a copied link says it all. */
function useResolved(view: FullView): void {
  const to = `/charts${formatView(view)}`;
  useEffect(() => {
    if (/^\/(charts\/?)?$/.test(location.pathname)) navigate(to, 'replace');
  }, [to]);
}

function Loading({ error }: { error: RowcastErrorLike | null }) {
  if (error === null) return <Skeleton lines={1} label="Loading the chart" />;
  return (
    <Refused error={error} otherwise="The server does not answer">
      <p>This page tries again by itself.</p>
    </Refused>
  );
}

function BadFilter() {
  return (
    <Empty title="The filter has a mistake">
      <p>It is marked above. The chart appears as soon as the filter can be read.</p>
    </Empty>
  );
}

function NoTables() {
  if (useIsPerson()) return <NothingForYou />;
  return (
    <Empty title="The database has no table yet">
      <p>Make one, and this page shows it by itself:</p>
      <Command text={`sqlite3 app.db "create table readings(id integer primary key, time integer, speed real)"`} />
    </Empty>
  );
}

function NoTable({ name, tables }: { name: string; tables: readonly Table[] }) {
  return (
    <Empty title={`There is no table “${name}”`}>
      <p>These are there:</p>
      <ul className="table-links">
        {tables.map((table) => (
          <li key={table.name}>
            <button
              type="button"
              className="link-button"
              onClick={() => navigate(`/charts?table=${encodeURIComponent(table.name)}`)}
            >
              {table.name}
            </button>
          </li>
        ))}
      </ul>
    </Empty>
  );
}

function NoTime({ table }: { table: Table }) {
  return (
    <Empty title={`No column of ${table.name} looks like a time`}>
      <p>
        Choose the time column above: seconds, milliseconds or microseconds since 1970, a date as text, or any number
        that grows.
      </p>
    </Empty>
  );
}

function NoNumbers({ table }: { table: Table }) {
  return (
    <Empty title={`No column of ${table.name} holds numbers`}>
      <p>A chart needs one besides the time. The rows themselves are under Tables.</p>
    </Empty>
  );
}

function NoRows({ table }: { table: Table }) {
  // The database numbers a single integer key by itself.
  const given = table.columns.filter(({ name, type }) => !(table.key.includes(name) && /int/i.test(type)));
  const columns = given.map((column) => `"${column.name}":${exampleValue(column)}`);
  const path = `/v1/tables/${encodeURIComponent(table.name)}`;
  return (
    <Empty title={`${table.name} has no row yet`}>
      <p>Insert one, with any program or with this command, and it is drawn at once:</p>
      <Command
        text={`curl -H 'content-type: application/json' -d '{${columns.join(',')}}' ${location.origin}${path}`}
      />
    </Empty>
  );
}

function exampleValue({ name, type }: { name: string; type: string }): string {
  const isText = /char|text|clob/i.test(type);
  if (guessTimeColumn([{ name, type }], []) === null) return isText ? '"text"' : '1';
  return isText ? `"${new Date().toISOString()}"` : String(Date.now());
}
