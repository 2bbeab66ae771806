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
  return points <= cells * 2 ? union(ranges) : grid(ranges, from, to, Math.max(1, Math.round(cells)));
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

/**
 * Cells lie at multiples of their width, so that a sliding window does not make the line shimmer. The points beyond the edges
 * keep their own times, so that the line reaches the edge at its own slope.
 */
function grid(ranges: readonly Range[], from: number, to: number, cells: number): Projection {
  const width = (to - from) / cells;
  const first = Math.floor(from / width);
  const count = Math.floor(to / width) - first + 3;
  const x = Array.from({ length: count }, (_, i) => (first + i - 0.5) * width);
  const filled = ranges.filter(({ start, end }) => start < end);
  x[0] = Math.min(x[0] ?? from, ...filled.map(({ track, start }) => track.at(start)));
  x[count - 1] = Math.max(x[count - 1] ?? to, ...filled.map(({ track, end }) => track.at(end - 1)));
  const place = (time: number) => Math.min(count - 1, Math.max(0, Math.floor(time / width) - first + 1));
  return collect(ranges, x, place);
}

/** Sums up each track's points at the position that `place` gives for their time, searching on from the last one. */
function collect(ranges: readonly Range[], x: number[], place: Place): Projection {
  const lines = ranges.flatMap((range) => range.track.avg.map((_, column) => line(range, column, x.length, place)));
  return { x, lines };
}

type Place = (time: number, cursor: number) => number;

function line({ track, start, end }: Range, column: number, length: number, place: Place): Line {
  const { time, count } = track;
  const [avgs, mins, maxs] = [track.avg[column], track.min[column], track.max[column]];
  const avg = new Array<Drawn>(length).fill(undefined);
  const min = avg.slice();
  const max = avg.slice();
  let banded = false;
  let cursor = 0;
  // Points come in the order of time, so one position is summed up after the other.
  for (let i = start; i < end; ) {
    cursor = place(time[i] ?? 0, cursor);
    let [weight, sum, low, high] = [0, 0, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
    do {
      const value = avgs?.[i] ?? Number.NaN;
      if (!Number.isNaN(value)) {
        weight += count[i] ?? 1;
        sum += value * (count[i] ?? 1);
        low = Math.min(low, mins?.[i] ?? value);
        high = Math.max(high, maxs?.[i] ?? value);
      }
      i += 1;
    } while (i < end && place(time[i] ?? 0, cursor) === cursor);
    banded ||= weight > 1;
    const some = weight > 0;
    avg[cursor] = some ? sum / weight : null;
    min[cursor] = some ? low : null;
    max[cursor] = some ? high : null;
  }
  return { avg, min, max, banded };
}
