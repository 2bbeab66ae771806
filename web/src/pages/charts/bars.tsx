// The two rows above a chart: what is drawn, and how.

import type { RowcastErrorLike, Table } from '@rowcast/client';
import { useEffect, useState } from 'react';
import type { Feed } from '../../chart/feed';
import { formatCount, formatTime } from '../../chart/format';
import { type FullView, type Shape, WINDOWS, type WindowName } from '../../chart/view';
import { Segments, Select, Ticks } from '../../ui/choice';
import { copyText } from '../../ui/empty';
import { FilterBox } from '../../ui/filter-box';
import { Icon } from '../../ui/icon';
import { quoteName } from '../../ui/sql';
import type { Choice } from './choose';
import type { Change } from './page';
import { usePulse } from './pulse';

interface SourceProps {
  readonly view: FullView;
  readonly tables: readonly Table[];
  readonly table: Table;
  readonly choice: Choice;
  readonly filterError: RowcastErrorLike | null;
  readonly change: Change;
}

const named = (name: string) => ({ value: name, text: name });

export function SourceBar({ view, tables, table, choice, filterError, change }: SourceProps) {
  const names = table.columns.map((column) => column.name);
  const groups = names.filter((name) => name !== choice.time && !choice.values.includes(name));
  const again = { window: null, range: null, at: null, hidden: [] };
  return (
    <div className="bar source-bar">
      <Select
        label="Table"
        value={table.name}
        options={tables.map(({ name }) => named(name))}
        onChange={(name) =>
          change({ table: name, time: null, values: [], group: null, where: '', shape: null, ...again })
        }
      />
      <Select
        label="Time"
        value={choice.time ?? ''}
        options={choice.time === null ? [{ value: '', text: 'choose' }, ...names.map(named)] : names.map(named)}
        onChange={(time) => change({ time, values: choice.values.filter((name) => name !== time), ...again })}
      />
      <Ticks
        label="Values"
        values={choice.values}
        options={choice.numeric}
        onChange={(values) => change({ values, shape: null, hidden: [] })}
      />
      <Select
        label="Group by"
        value={choice.group ?? ''}
        options={[{ value: '', text: 'nothing' }, ...groups.map(named)]}
        onChange={(group) => change({ group: group || null, shape: null, hidden: [] })}
      />
      <FilterBox
        value={view.where}
        error={filterError}
        placeholder={`Filter, as in SQL: ${quoteName(choice.values[0] ?? names[0] ?? 'id')} > 40`}
        onChange={(where, how) => change({ where }, how)}
      />
    </div>
  );
}

interface ViewProps {
  readonly view: FullView;
  readonly choice: Choice;
  readonly feed: Feed | null;
  readonly loading: boolean;
  readonly change: Change;
}

const SHAPE_OPTIONS: readonly { value: Shape; text: string }[] = [
  { value: 'both', text: 'Both' },
  { value: 'line', text: 'Line' },
  { value: 'gauge', text: 'Gauge' },
];

const WINDOW_OPTIONS = WINDOWS.map((value) => ({ value, text: value === 'all' ? 'All' : value }));

export function ViewBar({ view, choice, feed, loading, change }: ViewProps) {
  const windowed = choice.unit !== 'number';
  const shape = view.shape ?? defaultShape(choice);
  return (
    <div className="bar view-bar">
      <Segments<WindowName>
        label="Window"
        value={view.range !== null ? null : windowed ? view.window : 'all'}
        options={windowed ? WINDOW_OPTIONS : WINDOW_OPTIONS.slice(-1)}
        onChange={(window) => change({ window, range: null, at: null })}
      />
      <Segments<Shape>
        label="View"
        value={shape}
        options={SHAPE_OPTIONS}
        onChange={(next) => change({ shape: next === defaultShape(choice) ? null : next })}
      />
      <div className="notes">
        {loading && <span className="note">Loading</span>}
        {feed !== null && <Notes feed={feed} view={view} change={change} />}
      </div>
      <div className="bar-actions">
        {view.range !== null && (
          <button type="button" className="button" onClick={() => change({ range: null })}>
            <Icon name="zoomOut" /> Reset zoom
          </button>
        )}
        <PauseButton view={view} change={change} />
        <CopyLink />
      </div>
    </div>
  );
}

/** A single line has a speedometer beside it; several are compared better without. */
export function defaultShape(choice: Choice): Shape {
  return choice.values.length === 1 && choice.group === null ? 'both' : 'line';
}

/** What a reader has to know to trust the picture. */
function Notes({ feed, view, change }: { feed: Feed; view: FullView; change: Change }) {
  usePulse(feed);
  const { sampled, outside, omitted, untimed, phase, error } = feed.getSnapshot();
  const { stale } = feed;
  return (
    <>
      {phase === 'failed' && error !== null && (
        <span className="note note-strong">Not up to date: {error.message}</span>
      )}
      {sampled && (
        <span className="note" title="The table is large: this is an even sample. The exact history is being read.">
          Sampled
        </span>
      )}
      {stale !== null && view.at === null && (
        <span className="note">Newest data: {formatTime(stale, feed.query.unit)}</span>
      )}
      {outside > 0 && feed.query.span.kind === 'last' && view.at === null && (
        <button type="button" className="note note-button" onClick={() => change({ window: 'all' })}>
          {formatCount(outside)} new outside of this window: show all
        </button>
      )}
      {omitted > 0 && <span className="note">{formatCount(omitted)} more groups not drawn</span>}
      {untimed > 0 && <span className="note">{formatCount(untimed)} rows without a time</span>}
      {view.at !== null && <PausedNote feed={feed} />}
    </>
  );
}

function PausedNote({ feed }: { feed: Feed }) {
  const [start] = useState(feed.received);
  const news = feed.received - start;
  return <span className="note note-strong">Paused{news > 0 && ` · ${formatCount(news)} new`}</span>;
}

function PauseButton({ view, change }: { view: FullView; change: Change }) {
  const paused = view.at !== null;
  return (
    <button
      type="button"
      className="button"
      aria-pressed={paused}
      onClick={() => change({ at: paused ? null : Date.now() })}
    >
      <Icon name={paused ? 'play' : 'pause'} /> {paused ? 'Resume' : 'Pause'}
    </button>
  );
}

function CopyLink() {
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(() => setCopied(false), 1500);
    return () => clearTimeout(timer);
  }, [copied]);
  return (
    <button type="button" className="button" onClick={async () => setCopied(await copyText(location.href))}>
      <Icon name={copied ? 'check' : 'link'} /> {copied ? 'Copied' : 'Copy link'}
    </button>
  );
}
