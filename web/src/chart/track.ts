// The points of one line in column arrays, in the order of time, bounded in number.
//
// A point is one row, or (from history, and after thinning) several rows near in time with their minimum, maximum and average.
// Leaves which rows belong here to `tracks`.

/** One row, or several, at one time. The arrays have one number for each value column; NaN is "no value". */
export interface Point {
  readonly time: number;
  readonly count: number;
  readonly avg: readonly number[];
  readonly min: readonly number[];
  readonly max: readonly number[];
  /** The row's key, when it is a single row that has one. */
  readonly key: string | null;
}

const FIRST_CAPACITY = 256;

export class Track {
  /** Points held. */
  length = 0;
  time = new Float64Array(FIRST_CAPACITY);
  count = new Float64Array(FIRST_CAPACITY);
  avg: Float64Array[];
  min: Float64Array[];
  max: Float64Array[];
  keys: (string | null)[] = [];

  constructor(
    readonly columns: number,
    readonly limit = 20_000,
  ) {
    const arrays = () => Array.from({ length: columns }, () => new Float64Array(FIRST_CAPACITY));
    this.avg = arrays();
    this.min = arrays();
    this.max = arrays();
  }

  /** Adds a point where its time belongs; after those of the same time. O(1) at the end. */
  add(point: Point): void {
    this.reserve(this.length + 1);
    const at = this.upper(point.time);
    if (at < this.length) {
      this.shift(at, at + 1);
      this.keys.splice(at, 0, point.key);
    } else {
      this.keys.push(point.key);
    }
    this.length += 1;
    this.write(at, point);
  }

  /** Takes out the point at `index`. */
  removeAt(index: number): void {
    this.shift(index + 1, index);
    this.keys.splice(index, 1);
    this.length -= 1;
  }

  /** Index of the single row with this key at this time, or -1. */
  find(time: number, key: string): number {
    for (let i = this.lower(time); i < this.length && this.time[i] === time; i += 1) {
      if (this.keys[i] === key) return i;
    }
    return -1;
  }

  /** Drops the points before `time` except the last of them, which the line needs at the window's edge. Returns their keys. */
  trim(time: number): string[] {
    const drop = this.lower(time) - 1;
    if (drop <= 0) return [];
    this.shift(drop, 0);
    this.length -= drop;
    return known(this.keys.splice(0, drop));
  }

  /**
   * Joins neighbours when there are more than `limit` points, keeping every minimum and maximum. Returns the keys of the rows
   * that are no longer single. The newest `recent` points stay as they are.
   */
  thin(recent = 1000): string[] {
    if (this.length <= this.limit) return [];
    const until = this.length - recent;
    const start = this.at(0);
    const width = (this.at(until - 1) - start) / (this.limit / 2) || 1;
    let out = 0;
    const lost: (string | null)[] = [];
    for (let i = 0; i < this.length; i += 1) {
      const cell = Math.floor((this.at(i) - start) / width);
      if (i > 0 && i < until && cell === Math.floor((this.at(out - 1) - start) / width)) {
        lost.push(this.keys[out - 1] ?? null, this.keys[i] ?? null);
        this.join(out - 1, i);
      } else {
        this.move(i, out);
        out += 1;
      }
    }
    this.keys.length = out;
    this.length = out;
    return known(lost);
  }

  /** The first index with a time at or after `time`. */
  lower(time: number): number {
    return this.search((t) => t < time);
  }

  /** The first index with a time after `time`. */
  upper(time: number): number {
    return this.search((t) => t <= time);
  }

  at(index: number): number {
    return this.time[index] ?? Number.NaN;
  }

  private search(before: (time: number) => boolean): number {
    // Nearly always the answer is the end: a new point is the newest.
    if (this.length === 0 || before(this.at(this.length - 1))) return this.length;
    let low = 0;
    let high = this.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (before(this.at(middle))) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  private *arrays(): Generator<Float64Array> {
    yield this.time;
    yield this.count;
    yield* this.avg;
    yield* this.min;
    yield* this.max;
  }

  private shift(from: number, to: number): void {
    for (const array of this.arrays()) array.copyWithin(to, from, this.length);
  }

  private move(from: number, to: number): void {
    if (from === to) return;
    for (const array of this.arrays()) array[to] = array[from] ?? Number.NaN;
    this.keys[to] = this.keys[from] ?? null;
  }

  private write(at: number, point: Point): void {
    this.time[at] = point.time;
    this.count[at] = point.count;
    for (let column = 0; column < this.columns; column += 1) {
      set(this.avg[column], at, point.avg[column]);
      set(this.min[column], at, point.min[column]);
      set(this.max[column], at, point.max[column]);
    }
  }

  private join(into: number, from: number): void {
    const a = this.count[into] ?? 0;
    const b = this.count[from] ?? 0;
    for (let column = 0; column < this.columns; column += 1) {
      joinValue(this.avg[column], into, from, (x, y) => (x * a + y * b) / (a + b));
      joinValue(this.min[column], into, from, Math.min);
      joinValue(this.max[column], into, from, Math.max);
    }
    this.count[into] = a + b;
    this.keys[into] = null;
  }

  private reserve(length: number): void {
    if (length <= this.time.length) return;
    const grow = (old: Float64Array) => {
      const array = new Float64Array(old.length * 2);
      array.set(old);
      return array;
    };
    this.time = grow(this.time);
    this.count = grow(this.count);
    this.avg = this.avg.map(grow);
    this.min = this.min.map(grow);
    this.max = this.max.map(grow);
  }
}

function set(array: Float64Array | undefined, at: number, value: number | undefined): void {
  if (array !== undefined) array[at] = value ?? Number.NaN;
}

function joinValue(
  array: Float64Array | undefined,
  into: number,
  from: number,
  join: (x: number, y: number) => number,
): void {
  if (array === undefined) return;
  const x = array[into] ?? Number.NaN;
  const y = array[from] ?? Number.NaN;
  array[into] = Number.isNaN(x) ? y : Number.isNaN(y) ? x : join(x, y);
}

function known(keys: (string | null)[]): string[] {
  return keys.filter((key) => key !== null);
}
