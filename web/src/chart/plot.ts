// Draws a feed's lines on a canvas: at most once in each animation frame, only when something moved, and never when hidden.

import uPlot from 'uplot';
import { alpha, axisWidth, fade, fitting, RIGHT, TIME_STEPS, yRange } from './axes';
import type { Feed } from './feed';
import { formatTick, formatTimeTicks } from './format';
import { type Line, project } from './project';
import type { Track } from './track';

/** One drawn line: a group's value column. */
export interface LineName {
  readonly name: string;
  readonly group: string;
  readonly column: number;
  readonly color: string;
}

export interface Reading {
  readonly x: number;
  /** Where it is, in CSS pixels of the host. */
  readonly left: number;
  /** Whether it is in the right half, where a note has its room on the left. */
  readonly flip: boolean;
  readonly values: readonly { line: LineName; avg: number; min: number; max: number }[];
}

export interface PlotEvents {
  readonly onZoom: (from: number, to: number) => void;
  readonly onReset: () => void;
  /** The values under the cursor; `null` when it has left. */
  readonly onRead: (reading: Reading | null) => void;
}

export interface PlotColors {
  readonly text: string;
  readonly grid: string;
  readonly surface: string;
  readonly font: string;
}

const reducedMotion = () => matchMedia('(prefers-reduced-motion: reduce)').matches;

const FRAME_MS = 33;
/** Series of each line: the band's upper and lower edge, and the line itself. */
const PER_LINE = 3;

export class Plot {
  private chart: uPlot | null = null;
  private drawn: Line[] = [];
  private frame = 0;
  private wake: ReturnType<typeof setTimeout> | undefined;
  private soon: ReturnType<typeof setTimeout> | undefined;
  private drawnAt = 0;
  private dirty = true;
  private version = -1;
  private axis: [number, number] = [0, 0];
  /** Held still while the user drags over it. */
  private held: [number, number] | null = null;
  private frozen: [number, number] | null = null;
  private hidden: ReadonlySet<string> = new Set();
  private readonly unfollow: () => void;
  private readonly resize: ResizeObserver;

  constructor(
    private readonly host: HTMLElement,
    private readonly feed: Feed,
    private readonly lines: readonly LineName[],
    private readonly colors: PlotColors,
    private readonly events: PlotEvents,
  ) {
    this.unfollow = feed.subscribe(this.arrived);
    this.resize = new ResizeObserver(() => this.fit());
    this.resize.observe(host);
    document.addEventListener('visibilitychange', this.request);
    addEventListener('pointerup', this.release);
  }

  destroy(): void {
    this.unfollow();
    this.resize.disconnect();
    document.removeEventListener('visibilitychange', this.request);
    removeEventListener('pointerup', this.release);
    cancelAnimationFrame(this.frame);
    clearTimeout(this.wake);
    clearTimeout(this.soon);
    this.chart?.destroy();
  }

  /** Stands still at `axis`; moves again with `null`. */
  freeze(axis: [number, number] | null): void {
    this.frozen = axis;
    this.touch();
  }

  hide(names: ReadonlySet<string>): void {
    this.hidden = names;
    this.lines.forEach((line, index) => {
      for (let part = 1; part <= PER_LINE; part += 1) {
        this.chart?.setSeries(index * PER_LINE + part, { show: !names.has(line.name) });
      }
    });
    this.touch();
  }

  /** Moves the cursor by so many points; from nowhere, to the newest. */
  step(points: number): void {
    const { chart } = this;
    const xs = chart?.data[0];
    if (!chart || xs === undefined || xs.length === 0) return;
    const from = chart.cursor.idx ?? xs.length - 1 - Math.sign(points);
    this.moveTo(Math.min(xs.length - 1, Math.max(0, from + points)));
  }

  edge(end: 'first' | 'last'): void {
    const { length } = this.chart?.data[0] ?? [];
    if (length > 0) this.moveTo(end === 'first' ? 0 : length - 1);
  }

  leave(): void {
    this.chart?.setCursor({ left: -10, top: -10 });
    this.events.onRead(null);
  }

  /** Zooms around the cursor, or the middle. */
  zoom(factor: number): void {
    const [from, to] = this.axis;
    const { chart } = this;
    const left = chart?.cursor.left ?? -1;
    const center = chart && left >= 0 ? chart.posToVal(left, 'x') : (from + to) / 2;
    this.events.onZoom(center - (center - from) * factor, center + (to - center) * factor);
  }

  private moveTo(index: number): void {
    const { chart } = this;
    const x = chart?.data[0][index];
    if (!chart || x === undefined) return;
    const left = Math.min(chart.over.clientWidth, Math.max(0, chart.valToPos(x, 'x')));
    chart.setCursor({ left, top: chart.over.clientHeight / 2 });
  }

  private readonly touch = (): void => {
    this.dirty = true;
    this.request();
  };

  /** Rows that pour in are drawn 30 times a second: an eye sees no more, and a battery does. */
  private readonly arrived = (): void => {
    if (this.soon !== undefined) return;
    const rest = this.drawnAt + FRAME_MS - performance.now();
    this.soon = setTimeout(this.request, Math.max(0, rest));
  };

  private readonly request = (): void => {
    if (this.frame === 0 && !document.hidden) this.frame = requestAnimationFrame(this.tick);
  };

  private readonly tick = (): void => {
    this.frame = 0;
    clearTimeout(this.wake);
    clearTimeout(this.soon);
    this.soon = undefined;
    const width = this.host.clientWidth;
    if (width < 40) return;
    const axis = this.held ?? this.frozen ?? this.feed.axis(Date.now());
    const pixel = (axis[1] - axis[0]) / (width * devicePixelRatio);
    const moved = axis[0] !== this.axis[0] || axis[1] !== this.axis[1];
    if (this.dirty || moved || this.version !== this.feed.version) {
      this.dirty = false;
      this.version = this.feed.version;
      this.axis = axis;
      this.drawnAt = performance.now();
      this.draw(axis, width);
    }
    if (this.feed.follows && this.frozen === null && this.held === null) {
      this.wake = setTimeout(this.request, reducedMotion() ? 1000 : Math.max(FRAME_MS, pixel));
    }
  };

  private draw(axis: [number, number], width: number): void {
    const tracks = this.lines.map((line) => this.feed.tracks.byGroup.get(line.group));
    const groups = [...new Set(tracks)].filter((track): track is Track => track !== undefined);
    const picture = project(groups, axis[0], axis[1], width);
    const empty: Line = { avg: [], min: [], max: [], banded: false };
    this.drawn = this.lines.map((line, index) => {
      const track = tracks[index];
      const at = track === undefined ? -1 : groups.indexOf(track);
      return picture.lines[at * this.feed.query.values.length + line.column] ?? empty;
    });
    const data: uPlot.AlignedData = [picture.x];
    for (const line of this.drawn) {
      data.push(line.banded ? line.max : [], line.banded ? line.min : [], line.avg);
    }
    this.chart ??= this.make(data, width);
    const { chart } = this;
    chart.batch(() => {
      chart.setData(data, false);
      chart.setScale('x', { min: axis[0], max: axis[1] });
    });
    this.read();
  }

  private fit(): void {
    const { clientWidth: width, clientHeight: height } = this.host;
    if (width > 40 && height > 40) this.chart?.setSize({ width, height });
    this.touch();
  }

  private readonly release = (): void => {
    if (this.held === null) return;
    this.held = null;
    this.touch();
  };

  private read(): void {
    const { chart } = this;
    const left = chart?.cursor.left ?? -1;
    if (!chart || left < 0) return;
    const indexes = this.lines.map((_, i) => chart.cursor.idxs?.[i * PER_LINE + PER_LINE] ?? null);
    const at = indexes.find((index) => index !== null) ?? null;
    const x = at === null ? undefined : chart.data[0][at];
    const values = this.lines.flatMap((line, i) => {
      const index = indexes[i] ?? null;
      const drawn = this.drawn[i];
      const avg = index === null ? null : drawn?.avg[index];
      if (index === null || avg == null || this.hidden.has(line.name)) return [];
      return [{ line, avg, min: drawn?.min[index] ?? avg, max: drawn?.max[index] ?? avg }];
    });
    const { offsetLeft, clientWidth } = chart.over;
    const nothing = x === undefined || values.length === 0;
    const reading = nothing ? null : { x, left: offsetLeft + left, flip: left > clientWidth / 2, values };
    this.events.onRead(reading);
  }

  /** The nearest position where this line has a value, no further than 24 pixels away. */
  private nearest(chart: uPlot, series: number, index: number): number | null {
    const xs = chart.data[0];
    const ys = chart.data[series];
    if (ys === undefined || ys[index] != null) return index;
    const here = chart.cursor.left ?? 0;
    const near = (at: number) => Math.abs(chart.valToPos(xs[at] ?? 0, 'x') - here);
    let best: number | null = null;
    for (const direction of [-1, 1]) {
      let at = index + direction;
      while (at >= 0 && at < xs.length && ys[at] == null && near(at) < 24) at += direction;
      if (ys[at] != null && near(at) < (best === null ? 24 : near(best))) best = at;
    }
    return best;
  }

  private make(data: uPlot.AlignedData, width: number): uPlot {
    const isTime = this.feed.query.unit !== 'number';
    const chart = new uPlot(
      {
        width,
        height: Math.max(this.host.clientHeight, 120),
        ms: 1,
        padding: [12, RIGHT, 0, 0],
        legend: { show: false },
        scales: {
          x: { time: isTime, auto: false, range: (_, min, max) => [min, max] },
          y: { range: (_, min, max) => yRange(min, max) },
        },
        axes: this.axes(isTime),
        series: [{}, ...this.lines.flatMap((line) => this.series(line))],
        bands: this.lines.map((line, i) => ({
          series: [i * PER_LINE + 1, i * PER_LINE + 2],
          fill: alpha(line.color, 0.2),
        })),
        cursor: {
          y: false,
          points: { size: 9, width: 2, stroke: this.colors.surface, fill: (_, i) => this.colorOf(i) },
          drag: { x: true, y: false, setScale: false },
          dataIdx: (u, series, index) => (series === 0 ? index : this.nearest(u, series, index)),
          bind: { dblclick: () => this.doubleClick },
        },
        hooks: {
          setCursor: [(u) => ((u.cursor.left ?? -1) < 0 ? this.events.onRead(null) : this.read())],
          setSelect: [(u) => this.selected(u)],
          draw: [(u) => this.newest(u)],
        },
      },
      data,
      this.host,
    );
    chart.over.addEventListener('pointerdown', () => {
      this.held = this.axis;
    });
    return chart;
  }

  private axes(isTime: boolean): uPlot.Axis[] {
    const { text, grid, font } = this.colors;
    const shared = { stroke: text, font, ticks: { show: false }, border: { show: false } };
    return [
      {
        ...shared,
        space: 80,
        ...(isTime ? { incrs: TIME_STEPS } : {}),
        size: 34,
        grid: { show: false },
        values: (u, ticks, _, __, step) =>
          fitting(u, ticks, isTime ? formatTimeTicks(ticks, step) : ticks.map(formatTick)),
      },
      {
        ...shared,
        space: 52,
        gap: 8,
        size: (u, labels) => axisWidth(u, labels, font),
        grid: { stroke: grid, width: 1 },
        values: (_, ticks) => ticks.map(formatTick),
      },
    ];
  }

  private series(line: LineName): uPlot.Series[] {
    const show = !this.hidden.has(line.name);
    const edge = { show, stroke: 'transparent', width: 0, points: { show: false } };
    const only = this.lines.length === 1;
    return [
      edge,
      { ...edge },
      {
        show,
        label: line.name,
        stroke: line.color,
        width: 1.75,
        points: { size: 5, fill: line.color, stroke: line.color },
        ...(only ? { fill: (u: uPlot) => fade(u, line.color) } : {}),
      },
    ];
  }

  private colorOf(series: number): string {
    const part = series % PER_LINE;
    return part === 0 ? (this.lines[series / PER_LINE - 1]?.color ?? '') : 'transparent';
  }

  private readonly doubleClick = (): null => {
    this.events.onReset();
    return null;
  };

  private selected(u: uPlot): void {
    const { left, width } = u.select;
    if (width < 4) return;
    u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    this.events.onZoom(u.posToVal(left, 'x'), u.posToVal(left + width, 'x'));
  }

  /** A dot on each line's newest point, the place to look at. */
  private newest(u: uPlot): void {
    const { ctx } = u;
    const ratio = devicePixelRatio;
    this.lines.forEach((line) => {
      const track = this.feed.tracks.byGroup.get(line.group);
      const last = track === undefined ? -1 : track.length - 1;
      const y = track?.avg[line.column]?.[last] ?? Number.NaN;
      const time = track?.at(last) ?? Number.NaN;
      if (Number.isNaN(y) || this.hidden.has(line.name) || time < this.axis[0] || time > this.axis[1]) return;
      const cx = u.valToPos(time, 'x', true);
      const cy = u.valToPos(y, 'y', true);
      for (const [radius, fill] of [
        [7, alpha(line.color, 0.22)],
        [3.5, line.color],
      ] as const) {
        ctx.beginPath();
        ctx.arc(cx, cy, radius * ratio, 0, Math.PI * 2);
        ctx.fillStyle = fill;
        ctx.fill();
      }
    });
  }
}
