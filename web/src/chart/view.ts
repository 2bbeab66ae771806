// What a chart shows, as the address says it: every choice is in the query, so that a link shares it.

export const WINDOWS = ['1m', '5m', '15m', '1h', '6h', '24h', 'all'] as const;
export type WindowName = (typeof WINDOWS)[number];

export const SHAPES = ['both', 'line', 'gauge'] as const;
export type Shape = (typeof SHAPES)[number];

/** Empty or null where the address says nothing: the page chooses. */
export interface ChartView {
  table: string | null;
  time: string | null;
  values: string[];
  group: string | null;
  where: string;
  window: WindowName | null;
  shape: Shape | null;
  /** Zoomed in: the ends of the axis. */
  range: [number, number] | null;
  /** Paused: the end of the window. */
  at: number | null;
  /** Lines switched off in the legend, by name. */
  hidden: string[];
}

/** A view in which the page has chosen what the address leaves open. */
export interface FullView extends ChartView {
  window: WindowName;
}

export const EMPTY_VIEW: ChartView = {
  table: null,
  time: null,
  values: [],
  group: null,
  where: '',
  window: null,
  shape: null,
  range: null,
  at: null,
  hidden: [],
};

const WINDOW_MS: Record<Exclude<WindowName, 'all'>, number> = {
  '1m': 60_000,
  '5m': 300_000,
  '15m': 900_000,
  '1h': 3_600_000,
  '6h': 21_600_000,
  '24h': 86_400_000,
};

/** A window's length; `null` for all. */
export function windowMs(name: WindowName): number | null {
  return name === 'all' ? null : WINDOW_MS[name];
}

/** Points that a window should show at least, where rows come evenly. */
const POINTS = 45;

/** The smallest window with enough points, judged by the usual distance between the times of some neighbouring rows. */
export function guessWindow(times: readonly number[]): WindowName {
  const sorted = times.toSorted((a, b) => a - b);
  const gaps = sorted.slice(1).map((time, i) => time - (sorted[i] ?? time));
  const usual = gaps.sort((a, b) => a - b)[Math.floor(gaps.length / 2)] ?? 0;
  return WINDOWS.find((name) => (windowMs(name) ?? Number.POSITIVE_INFINITY) >= usual * POINTS) ?? 'all';
}

export function parseView(search: string): ChartView {
  const query = new URLSearchParams(search);
  return {
    table: query.get('table') || null,
    time: query.get('time') || null,
    values: query.getAll('value').filter((name) => name !== ''),
    group: query.get('group') || null,
    where: query.get('where') ?? '',
    window: oneOf(WINDOWS, query.get('window')),
    shape: oneOf(SHAPES, query.get('view')),
    range: parseRange(query.get('from'), query.get('to')),
    at: parseNumber(query.get('at')),
    hidden: query.getAll('hide'),
  };
}

/** The query with its `?`, or nothing; what is as usual is left out. */
export function formatView(view: ChartView): string {
  const query = new URLSearchParams();
  const put = (name: string, value: string | number | null) => {
    if (value !== null && value !== '') query.append(name, String(value));
  };
  put('table', view.table);
  put('time', view.time);
  for (const value of view.values) put('value', value);
  put('group', view.group);
  put('where', view.where);
  put('window', view.window);
  put('view', view.shape);
  if (view.range !== null) {
    put('from', view.range[0]);
    put('to', view.range[1]);
  }
  put('at', view.at);
  for (const name of view.hidden) put('hide', name);
  const text = query.toString();
  return text === '' ? '' : `?${text}`;
}

function oneOf<T extends string>(all: readonly T[], text: string | null): T | null {
  return all.find((one) => one === text) ?? null;
}

function parseNumber(text: string | null): number | null {
  const number = text === null || text.trim() === '' ? Number.NaN : Number(text);
  return Number.isFinite(number) ? number : null;
}

function parseRange(from: string | null, to: string | null): [number, number] | null {
  const low = parseNumber(from);
  const high = parseNumber(to);
  return low !== null && high !== null && low < high ? [low, high] : null;
}
