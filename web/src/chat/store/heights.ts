// Where lines of unlike height stand: measured where they were shown, guessed where not.

export interface Layout {
  /** Where each line begins; one more for where the last one ends. */
  readonly tops: Float64Array;
  readonly total: number;
}

export interface Range {
  readonly start: number;
  /** Behind the last one. */
  readonly end: number;
}

export function layoutOf(heights: readonly number[]): Layout {
  const tops = new Float64Array(heights.length + 1);
  for (let i = 0; i < heights.length; i++) tops[i + 1] = (tops[i] ?? 0) + (heights[i] ?? 0);
  return { tops, total: tops[heights.length] ?? 0 };
}

/** The line that stands at `y`. */
export function lineAt({ tops }: Layout, y: number): number {
  let [low, high] = [0, Math.max(0, tops.length - 2)];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((tops[middle] ?? 0) <= y) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** The lines between `top - extra` and `bottom + extra`. */
export function rangeOf(layout: Layout, top: number, bottom: number, extra: number): Range {
  const count = layout.tops.length - 1;
  if (count <= 0) return { start: 0, end: 0 };
  return { start: lineAt(layout, top - extra), end: Math.min(count, lineAt(layout, bottom + extra) + 1) };
}
