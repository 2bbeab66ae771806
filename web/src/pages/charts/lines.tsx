// The line chart: its canvas, what is under the cursor, the legend, and the same in words for those who do not see it.

import { type KeyboardEvent, useEffect, useId, useMemo, useRef, useState } from 'react';
import type { Feed } from '../../chart/feed';
import { formatGlance, formatNumber, formatShortTime, formatTime } from '../../chart/format';
import { type LineName, Plot, type Reading } from '../../chart/plot';
import { type FullView, windowMs } from '../../chart/view';
import { Empty } from '../../ui/empty';
import { newest, newestDrawn } from './newest';
import type { Change } from './page';
import { computedColor } from './picture';
import { usePulse } from './pulse';

interface Props {
  readonly feed: Feed;
  readonly lines: readonly LineName[];
  readonly view: FullView;
  readonly change: Change;
}

export function Lines({ feed, lines, view, change }: Props) {
  const [reading, setReading] = useState<Reading | null>(null);
  const [spoken, setSpoken] = useState('');
  const host = useRef<HTMLDivElement>(null);
  const plot = usePlot(host, { feed, lines, view, change, onRead: setReading });
  const summary = useId();
  const onKeyDown = (event: KeyboardEvent) => {
    if (!steer(event, plot.current, change, view)) return;
    event.preventDefault();
    requestAnimationFrame(() => setSpoken(plot.current === null ? '' : (host.current?.dataset.reading ?? '')));
  };
  const { unit } = feed.query;
  return (
    <figure className="card chart" aria-describedby={summary}>
      <Legend feed={feed} lines={lines} view={view} change={change} />
      {/* biome-ignore lint/a11y/useSemanticElements: a group of drawing and reading, not of form fields */}
      <div
        className="plot"
        role="group"
        aria-roledescription="chart"
        aria-label="Chart. Left and right read the values, plus and minus zoom, Escape resets."
        // biome-ignore lint/a11y/noNoninteractiveTabindex: the cursor moves by keys, too
        tabIndex={0}
        onKeyDown={onKeyDown}
        onBlur={() => plot.current?.leave()}
      >
        <div className="plot-host" ref={host} data-reading={reading === null ? '' : readingText(reading, unit)} />
        {reading !== null && <Tooltip reading={reading} feed={feed} />}
        <Nothing feed={feed} view={view} change={change} />
      </div>
      <figcaption id={summary} className="visually-hidden">
        <Summary feed={feed} lines={lines} view={view} />
      </figcaption>
      <span className="visually-hidden" aria-live="polite">
        {spoken}
      </span>
    </figure>
  );
}

interface PlotProps extends Props {
  readonly onRead: (reading: Reading | null) => void;
}

function usePlot(host: React.RefObject<HTMLDivElement | null>, props: PlotProps) {
  const { feed, lines, view } = props;
  const plot = useRef<Plot | null>(null);
  const latest = useRef(props);
  latest.current = props;
  useEffect(() => {
    if (host.current === null) return;
    const font = getComputedStyle(host.current).fontFamily;
    const colors = {
      text: computedColor('--text-3'),
      grid: computedColor('--grid'),
      surface: computedColor('--surface'),
      font: `12px ${font}`,
    };
    const made = new Plot(host.current, feed, lines, colors, {
      onZoom: (from, to) => latest.current.change({ range: [rounded(from), rounded(to)] }),
      onReset: () => latest.current.change({ range: null }),
      onRead: (reading) => latest.current.onRead(reading),
    });
    plot.current = made;
    return () => {
      made.destroy();
      plot.current = null;
      latest.current.onRead(null);
    };
  }, [host, feed, lines]);
  const hidden = view.hidden.join('\n');
  // biome-ignore lint/correctness/useExhaustiveDependencies: a new plot, too, has to be told
  useEffect(() => {
    plot.current?.hide(new Set(hidden === '' ? [] : hidden.split('\n')));
  }, [hidden, feed, lines]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: a new plot, too, has to be told
  useEffect(() => {
    const axis = frozenAxis(feed, view);
    feed.keepFrom = axis?.[0] ?? null;
    plot.current?.freeze(axis);
  }, [feed, lines, view.at, view.window]);
  return plot;
}

function frozenAxis(feed: Feed, view: FullView): [number, number] | null {
  const { span } = feed.query;
  if (view.at === null || span.kind === 'range') return null;
  if (span.kind === 'all')
    return [feed.axis(view.at)[0], feed.query.unit === 'number' ? feed.axis(view.at)[1] : view.at];
  const end = feed.stale ?? view.at;
  return [end - (windowMs(view.window) ?? span.ms), end];
}

/** Whole milliseconds make a readable link. */
function rounded(axis: number): number {
  return Math.abs(axis) > 1e9 ? Math.round(axis) : Number(axis.toPrecision(6));
}

/** What a key does to the chart; whether it does anything. */
function steer(event: KeyboardEvent, plot: Plot | null, change: Change, view: FullView): boolean {
  if (event.ctrlKey || event.metaKey || event.altKey) return false;
  const size = event.shiftKey ? 10 : 1;
  switch (event.key) {
    case 'ArrowLeft':
      plot?.step(-size);
      return true;
    case 'ArrowRight':
      plot?.step(size);
      return true;
    case 'Home':
      plot?.edge('first');
      return true;
    case 'End':
      plot?.edge('last');
      return true;
    case '+':
    case '=':
      plot?.zoom(0.5);
      return true;
    case '-':
      plot?.zoom(2);
      return true;
    case ' ':
      change({ at: view.at === null ? Date.now() : null });
      return true;
    case 'Escape':
      plot?.leave();
      if (view.range !== null) change({ range: null });
      return true;
    default:
      return false;
  }
}

function readingText(reading: Reading, unit: Feed['query']['unit']): string {
  const values = reading.values.map(({ line, avg }) => `${line.name} ${formatNumber(avg)}`);
  return `${formatTime(reading.x, unit)}: ${values.join(', ')}`;
}

function Tooltip({ reading, feed }: { reading: Reading; feed: Feed }) {
  const averaged = reading.values.some(({ min, max }) => min !== max);
  const time = averaged && feed.query.unit !== 'number' ? Math.round(reading.x / 1000) * 1000 : reading.x;
  return (
    <div className="tooltip" data-flip={reading.flip || undefined} style={{ left: reading.left }} aria-hidden="true">
      <div className="tooltip-time">{formatTime(time, feed.query.unit)}</div>
      <table>
        <tbody>
          {reading.values.slice(0, 12).map(({ line, avg, min, max }) => (
            <tr key={line.name}>
              <th scope="row">
                <span className="swatch" style={{ background: line.color }} />
                {line.name}
              </th>
              <td>{formatNumber(min === max ? avg : Number(avg.toPrecision(5)))}</td>
              {(min !== avg || max !== avg) && (
                <td className="tooltip-band">
                  {formatNumber(min)} – {formatNumber(max)}
                </td>
              )}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Legend({ feed, lines, view, change }: Props) {
  usePulse(feed);
  const toggle = (name: string) => {
    const hidden = view.hidden.includes(name) ? view.hidden.filter((one) => one !== name) : [...view.hidden, name];
    change({ hidden }, 'replace');
  };
  return (
    <ul className="legend" aria-label="Lines">
      {lines.map((line) => {
        const { value } = feed.follows ? newest(feed, line) : newestDrawn(feed, line);
        return (
          <li key={line.name}>
            <button
              type="button"
              className="legend-item"
              aria-pressed={!view.hidden.includes(line.name)}
              onClick={() => toggle(line.name)}
            >
              <span className="swatch" style={{ background: line.color }} aria-hidden="true" />
              <span className="legend-name">{line.name}</span>
              <span className="legend-value">{value === null ? '' : formatGlance(value)}</span>
            </button>
          </li>
        );
      })}
      {lines.length === 1 && lines[0] !== undefined && <Spread feed={feed} line={lines[0]} />}
    </ul>
  );
}

/** A single line leaves room for what its points have in common. */
function Spread({ feed, line }: { feed: Feed; line: LineName }) {
  const track = feed.tracks.byGroup.get(line.group);
  if (track === undefined || track.length === 0) return null;
  const [low, high] = extremes(track.min[line.column], track.max[line.column], track.length);
  const figures: [string, number][] = [
    ['lowest', low],
    ['average', average(track.avg[line.column], track.count, track.length)],
    ['highest', high],
  ];
  return (
    <li className="spread">
      {figures.map(([name, value]) => (
        <span key={name}>
          {name} <strong>{formatNumber(Number(value.toPrecision(4)))}</strong>
        </span>
      ))}
    </li>
  );
}

/** Said over the empty axis: why nothing is drawn. */
function Nothing({ feed, view, change }: { feed: Feed; view: FullView; change: Change }) {
  usePulse(feed);
  if (feed.tracks.size > 0 || feed.getSnapshot().phase === 'loading') return null;
  return (
    <div className="plot-empty">
      <Empty title={view.where === '' ? 'No points in this window' : 'No row matches the filter in this window'}>
        {feed.query.span.kind !== 'all' && (
          <button type="button" className="button" onClick={() => change({ window: 'all', range: null, at: null })}>
            Show all times
          </button>
        )}
      </Empty>
    </div>
  );
}

function Summary({ feed, lines, view }: Omit<Props, 'change'>) {
  const version = usePulse(feed, 5000);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the feed's points are outside of React; `version` tells of them
  const texts = useMemo(() => lines.map((line) => describe(feed, line)), [feed, lines, version]);
  const window = view.range !== null ? 'zoomed in' : view.window === 'all' ? 'all times' : `the last ${view.window}`;
  return (
    <>
      Line chart of {feed.query.values.join(', ')} in {feed.query.table}, {window}. {texts.join(' ')}
    </>
  );
}

function describe(feed: Feed, line: LineName): string {
  const track = feed.tracks.byGroup.get(line.group);
  if (track === undefined || track.length === 0) return `${line.name}: no points.`;
  const [low, high] = extremes(track.min[line.column], track.max[line.column], track.length);
  const last = track.avg[line.column]?.[track.length - 1] ?? Number.NaN;
  const time = formatShortTime(track.at(track.length - 1), feed.query.unit);
  return `${line.name}: lowest ${formatNumber(low)}, highest ${formatNumber(high)}, latest ${formatNumber(last)} at ${time}.`;
}

/** The smallest and the largest of the first `length`, passing over NaN. */
export function extremes(
  mins: Float64Array | undefined,
  maxs: Float64Array | undefined,
  length: number,
): [number, number] {
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < length; i += 1) {
    const min = mins?.[i] ?? Number.NaN;
    const max = maxs?.[i] ?? Number.NaN;
    if (min < low) low = min;
    if (max > high) high = max;
  }
  return [low, high];
}

/** The average of all rows of the first `length` points, passing over NaN. */
function average(avgs: Float64Array | undefined, counts: Float64Array, length: number): number {
  let sum = 0;
  let weight = 0;
  for (let i = 0; i < length; i += 1) {
    const value = avgs?.[i] ?? Number.NaN;
    const count = counts[i] ?? 0;
    if (Number.isNaN(value)) continue;
    sum += value * count;
    weight += count;
  }
  return sum / weight;
}
