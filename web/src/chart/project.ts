// What is drawn: all tracks on one common axis, with no more points than the screen has room for.

import type { Track } from './track';

/** A value, "no value here" (`undefined`, the line goes on) or "no value" (`null`, the line breaks). */
export type Drawn = number | null | undefined;

export interface Line {
  avg: Drawn[];
  min: Drawn[];
  max: Drawn[];
  /** Whether some point stands for several rows, so that a band is worth drawing. */
  banded: boolean;
}

export interface Projection {
  x: number[];
  /** Track by track, and in each its value columns. */
  lines: Line[];
}

/** Everything from `from` to `to` and one point beyond at each side, in at most about `2 × cells` positions. */
export function project(tracks: readonly Track[], from: number, to: number, cells: number): Projection {
  const ranges = tracks.map((track) => visible(track, from, to));
  const points = ranges.reduce((sum, range) => sum + range.end - range.start, 0);
  return points <= cells * 2 ? union(ranges) : grid(ranges, (to - from) / cells);
}

interface Range {
  track: Track;
  start: number;
  end: number;
}

function visible(track: Track, from: number, to: number): Range {
  const start = Math.max(0, track.lower(from) - 1);
  const end = Math.min(track.length, track.upper(to) + 1);
  return { track, start, end };
}

function union(ranges: readonly Range[]): Projection {
  const times = new Set<number>();
  for (const { track, start, end } of ranges) {
    for (let i = start; i < end; i += 1) times.add(track.at(i));
  }
  const x = Float64Array.from(times).sort();
  return collect(ranges, Array.from(x), (time, cursor) => {
    while ((x[cursor] ?? 0) < time) cursor += 1;
    return cursor;
  });
}

/** Cells lie at multiples of their width, so that a sliding window does not make the line shimmer. */
function grid(ranges: readonly Range[], width: number): Projection {
  const cells = new Set<number>();
  for (const { track, start, end } of ranges) {
    for (let i = start; i < end; i += 1) cells.add(Math.floor(track.at(i) / width));
  }
  const sorted = Float64Array.from(cells).sort();
  const x = Array.from(sorted, (cell) => (cell + 0.5) * width);
  return collect(ranges, x, (time, cursor) => {
    const cell = Math.floor(time / width);
    while ((sorted[cursor] ?? 0) < cell) cursor += 1;
    return cursor;
  });
}

/** Sums up each track's points at the position that `place` gives for their time, searching on from the last one. */
function collect(ranges: readonly Range[], x: number[], place: (time: number, cursor: number) => number): Projection {
  const lines = ranges.flatMap((range) => range.track.avg.map((_, column) => line(range, column, x.length, place)));
  return { x, lines };
}

function line(
  { track, start, end }: Range,
  column: number,
  length: number,
  place: (time: number, cursor: number) => number,
): Line {
  const avg = new Array<Drawn>(length).fill(undefined);
  const min = avg.slice();
  const max = avg.slice();
  const weight = new Float64Array(length);
  let banded = false;
  let cursor = 0;
  for (let i = start; i < end; i += 1) {
    cursor = place(track.at(i), cursor);
    const value = track.avg[column]?.[i] ?? Number.NaN;
    if (Number.isNaN(value)) {
      if (avg[cursor] === undefined) avg[cursor] = min[cursor] = max[cursor] = null;
      continue;
    }
    const count = track.count[i] ?? 1;
    const before = weight[cursor] ?? 0;
    const low = track.min[column]?.[i] ?? value;
    const high = track.max[column]?.[i] ?? value;
    weight[cursor] = before + count;
    avg[cursor] = before === 0 ? value : ((avg[cursor] ?? 0) * before + value * count) / (before + count);
    min[cursor] = before === 0 ? low : Math.min(min[cursor] ?? low, low);
    max[cursor] = before === 0 ? high : Math.max(max[cursor] ?? high, high);
    banded ||= before + count > 1;
  }
  return { avg, min, max, banded };
}
