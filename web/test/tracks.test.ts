import { describe, expect, it } from 'vitest';
import { type RowPoint, Tracks } from '../src/chart/tracks';

const row = (key: string | null, time: number, value: number, group = 'null'): RowPoint => ({
  key,
  time,
  group,
  values: [value],
});

const drawn = (tracks: Tracks, group = 'null') => {
  const track = tracks.byGroup.get(group);
  return Array.from(track?.avg[0]?.subarray(0, track.length) ?? []);
};

describe('tracks', () => {
  it('join history and live rows in one line', () => {
    const tracks = new Tracks(1);
    tracks.load({
      group: 'null',
      time: [0, 10],
      count: [3, 1],
      min: [[1, 5]],
      max: [[3, 5]],
      avg: [[2, 5]],
    });
    tracks.insert(row('1', 20, 8));
    expect(drawn(tracks)).toEqual([2, 5, 8]);
    expect(tracks.extent()).toEqual([0, 20]);
    expect(tracks.size).toBe(3);
  });

  it('move a row that was updated', () => {
    const tracks = new Tracks(1);
    tracks.insert(row('a', 1, 1, '"x"'));
    tracks.insert(row('b', 2, 2, '"x"'));
    expect(tracks.held('a')).toEqual(row('a', 1, 1, '"x"'));
    expect(tracks.remove('a')).toBe(true);
    tracks.insert(row('a', 3, 9, '"y"'));
    expect(drawn(tracks, '"x"')).toEqual([2]);
    expect(drawn(tracks, '"y"')).toEqual([9]);
    expect(tracks.held('a')?.time).toBe(3);
  });

  it('say when a row is not a point of its own', () => {
    const tracks = new Tracks(1, 4);
    for (let i = 0; i < 4; i += 1) tracks.insert(row(`k${i}`, i, i));
    expect(tracks.remove('k9')).toBe(false);
    tracks.trim(3.5);
    expect(tracks.remove('k0')).toBe(false);
    expect(tracks.remove('k3')).toBe(true);
  });

  it('find a row without a key by what it says', () => {
    const tracks = new Tracks(1);
    tracks.insert(row(null, 1, 5));
    tracks.insert(row(null, 1, 6));
    expect(tracks.removeEqual(row(null, 1, 6))).toBe(true);
    expect(tracks.removeEqual(row(null, 1, 6))).toBe(false);
    expect(drawn(tracks)).toEqual([5]);
  });

  it('leave out groups beyond the number that can be told apart, and count them', () => {
    const tracks = new Tracks(1, 100, 2);
    for (const group of ['a', 'b', 'c', 'c', 'd']) tracks.insert(row(null, 1, 1, group));
    expect([...tracks.byGroup.keys()]).toEqual(['a', 'b']);
    expect(tracks.omitted.size).toBe(2);
  });

  it('forget a group that has left the window, and make room for another', () => {
    const tracks = new Tracks(1, 100, 2);
    tracks.insert(row('1', 1, 1, 'old'));
    tracks.insert(row('2', 50, 1, 'new'));
    tracks.trim(40);
    tracks.insert(row('3', 51, 1, 'newer'));
    expect([...tracks.byGroup.keys()]).toEqual(['new', 'newer']);
  });
});
