import { describe, expect, it } from 'vitest';
import { type Point, Track } from '../src/chart/track';

const point = (time: number, value: number, key: string | null = null): Point => ({
  time,
  count: 1,
  avg: [value],
  min: [value],
  max: [value],
  key,
});

const times = (track: Track) => Array.from(track.time.subarray(0, track.length));
const values = (track: Track) => Array.from(track.avg[0]?.subarray(0, track.length) ?? []);

describe('a track', () => {
  it('keeps points in the order of time, equal times in the order of arrival', () => {
    const track = new Track(1);
    for (const [time, value] of [
      [5, 1],
      [1, 2],
      [3, 3],
      [5, 4],
      [0, 5],
      [3, 6],
    ] as const)
      track.add(point(time, value));
    expect(times(track)).toEqual([0, 1, 3, 3, 5, 5]);
    expect(values(track)).toEqual([5, 2, 3, 6, 1, 4]);
  });

  it('finds and removes a row among others of the same time', () => {
    const track = new Track(1);
    track.add(point(1, 1, 'a'));
    track.add(point(1, 2, 'b'));
    track.add(point(1, 3, 'c'));
    track.removeAt(track.find(1, 'b'));
    expect(values(track)).toEqual([1, 3]);
    expect(track.keys).toEqual(['a', 'c']);
    expect(track.find(1, 'b')).toBe(-1);
    expect(track.find(2, 'a')).toBe(-1);
  });

  it('keeps one point before the window when it is trimmed, and names the rows that went', () => {
    const track = new Track(1);
    for (let time = 0; time < 10; time += 1) track.add(point(time, time, `k${time}`));
    expect(track.trim(5)).toEqual(['k0', 'k1', 'k2', 'k3']);
    expect(times(track)).toEqual([4, 5, 6, 7, 8, 9]);
    expect(track.trim(5)).toEqual([]);
  });

  it('grows over any number of points', () => {
    const track = new Track(1);
    for (let time = 0; time < 5000; time += 1) track.add(point(time, time * 2));
    expect(track.length).toBe(5000);
    expect(track.avg[0]?.[4999]).toBe(9998);
  });

  it('stays bounded for ever and loses no extreme', () => {
    const track = new Track(1, 2000);
    let longest = 0;
    let low = Number.POSITIVE_INFINITY;
    let high = Number.NEGATIVE_INFINITY;
    for (let time = 0; time < 60_000; time += 1) {
      const value = Math.sin(time * 12.9898) * 43_758.5453;
      low = Math.min(low, value);
      high = Math.max(high, value);
      track.add(point(time, value));
      track.thin(200);
      longest = Math.max(longest, track.length);
    }
    expect(longest).toBeLessThanOrEqual(2001);
    expect(track.time.length).toBeLessThanOrEqual(4096);
    expect(Math.min(...(track.min[0]?.subarray(0, track.length) ?? []))).toBe(low);
    expect(Math.max(...(track.max[0]?.subarray(0, track.length) ?? []))).toBe(high);
    expect(track.count.subarray(0, track.length).reduce((a, b) => a + b, 0)).toBe(60_000);
  });

  it('thins to the weighted average and names the rows that were joined', () => {
    const track = new Track(1, 4);
    for (let time = 0; time < 6; time += 1) track.add(point(time, time, `k${time}`));
    const lost = track.thin(0);
    expect(lost.length).toBeGreaterThan(0);
    expect(track.length).toBeLessThanOrEqual(4);
    const sum = Array.from(track.count.subarray(0, track.length)).reduce(
      (all, count, i) => all + count * (track.avg[0]?.[i] ?? 0),
      0,
    );
    expect(sum).toBeCloseTo(15);
  });

  it('keeps a value when it is joined with none', () => {
    const track = new Track(1, 1);
    track.add(point(0, Number.NaN));
    track.add(point(1, 7));
    track.thin(0);
    expect(values(track)).toEqual([7]);
  });
});
