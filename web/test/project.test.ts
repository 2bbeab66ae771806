import { describe, expect, it } from 'vitest';
import { project } from '../src/chart/project';
import { Track } from '../src/chart/track';

function track(points: readonly (readonly [number, number])[]): Track {
  const made = new Track(1);
  for (const [time, value] of points) {
    made.add({ time, count: 1, avg: [value], min: [value], max: [value], key: null });
  }
  return made;
}

describe('what is drawn', () => {
  it('is every point, and one beyond each edge, while there are few', () => {
    const line = track([
      [0, 1],
      [1, 2],
      [2, 3],
      [3, 4],
      [4, 5],
    ]);
    const { x, lines } = project([line], 1.5, 2.5, 100);
    expect(x).toEqual([1, 2, 3]);
    expect(lines[0]?.avg).toEqual([2, 3, 4]);
    expect(lines[0]?.banded).toBe(false);
  });

  it('has one axis for all tracks: where one has no point its line goes on, where it has no value its line breaks', () => {
    const { x, lines } = project(
      [
        track([
          [0, 1],
          [2, 3],
        ]),
        track([
          [1, Number.NaN],
          [2, 5],
        ]),
      ],
      0,
      2,
      100,
    );
    expect(x).toEqual([0, 1, 2]);
    expect(lines[0]?.avg).toEqual([1, undefined, 3]);
    expect(lines[1]?.avg).toEqual([undefined, null, 5]);
  });

  it('has no more positions than the screen, and every extreme', () => {
    const points = Array.from({ length: 50_000 }, (_, i) => [i, Math.sin(i) * (i === 31_337 ? 9 : 1)] as const);
    const { x, lines } = project([track(points)], 0, 50_000, 500);
    expect(x.length).toBeLessThanOrEqual(503);
    expect(x).toEqual([...x].sort((a, b) => a - b));
    const spike = points[31_337]?.[1] ?? 0;
    const ends = [...(lines[0]?.min ?? []), ...(lines[0]?.max ?? [])].filter((value) => value != null);
    const extreme = spike > 0 ? Math.max(...ends) : Math.min(...ends);
    expect(extreme).toBe(spike);
    expect(lines[0]?.banded).toBe(true);
  });

  it('has its cells at the same places while the window slides', () => {
    const line = track(Array.from({ length: 10_000 }, (_, i) => [i, i] as const));
    const before = project([line], 1000, 6000, 100).x;
    const after = project([line], 1013, 6013, 100).x;
    expect(after.slice(1, -2).every((time) => before.includes(time))).toBe(true);
  });

  it('survives a track without points', () => {
    const many = track(Array.from({ length: 1000 }, (_, i) => [i, i] as const));
    const { x, lines } = project([track([]), many], 0, 1000, 100);
    expect(x.every(Number.isFinite)).toBe(true);
    expect(lines[0]?.avg.every((value) => value === undefined)).toBe(true);
  });

  it('joins points of one time into a band', () => {
    const { x, lines } = project(
      [
        track([
          [1, 2],
          [1, 6],
        ]),
      ],
      0,
      2,
      100,
    );
    expect(x).toEqual([1]);
    expect(lines[0]).toEqual({ avg: [4], min: [2], max: [6], banded: true });
  });
});
