// The lines of a chart: one track for each group, filled by history and then by changes of rows.
//
// Pure: knows nothing of connections, clocks or drawing.

import { type Point, Track } from './track';

/** What a changed row says, already on the chart's axis. */
export interface RowPoint {
  /** JSON of the group-by column; `"null"` without one. */
  readonly group: string;
  readonly key: string | null;
  readonly time: number;
  readonly values: readonly number[];
}

/** One group of the server's history, on the chart's axis. */
export interface HistoryGroup {
  readonly group: string;
  readonly time: readonly number[];
  readonly count: readonly number[];
  readonly min: readonly (readonly (number | null)[])[];
  readonly max: readonly (readonly (number | null)[])[];
  readonly avg: readonly (readonly (number | null)[])[];
}

const GROUPS_MAX = 24;

export class Tracks {
  readonly byGroup = new Map<string, Track>();
  /** Groups that were left out, because more than `groupsMax` lines cannot be told apart. */
  readonly omitted = new Set<string>();
  /** Rows held as single points, by key, so that an update or delete finds its point. */
  private readonly places = new Map<string, { group: string; time: number }>();

  constructor(
    readonly columns: number,
    readonly limit = 20_000,
    readonly groupsMax = GROUPS_MAX,
  ) {}

  /** Adds a group's history. */
  load(history: HistoryGroup): void {
    const track = this.track(history.group);
    if (track === null) return;
    const pick = (values: readonly (readonly (number | null)[])[], at: number) =>
      values.map((column) => column[at] ?? Number.NaN);
    history.time.forEach((time, at) => {
      track.add({
        time,
        count: history.count[at] ?? 1,
        avg: pick(history.avg, at),
        min: pick(history.min, at),
        max: pick(history.max, at),
        key: null,
      });
    });
  }

  /** Adds a row that was inserted. */
  insert(row: RowPoint): void {
    const track = this.track(row.group);
    if (track === null) return;
    track.add(single(row));
    if (row.key !== null) this.places.set(row.key, { group: row.group, time: row.time });
    this.forget(track.thin());
  }

  /** The values now drawn for a row; `null` when it is not held as a point of its own. */
  held(key: string): RowPoint | null {
    const found = this.find(key);
    if (found === null) return null;
    const { track, index, place } = found;
    return { ...place, key, values: track.avg.map((column) => column[index] ?? Number.NaN) };
  }

  /** Takes out a row. `false`: it is part of a point of several rows (or unknown), and only the database knows the rest. */
  remove(key: string): boolean {
    const found = this.find(key);
    if (found === null) return false;
    found.track.removeAt(found.index);
    this.places.delete(key);
    return true;
  }

  /** Takes out a row of a table without a key, known by its time and values. */
  removeEqual(row: RowPoint): boolean {
    const track = this.byGroup.get(row.group);
    if (track === undefined) return false;
    for (let i = track.lower(row.time); i < track.length && track.at(i) === row.time; i += 1) {
      const same = row.values.every((value, column) => Object.is(track.avg[column]?.[i], value));
      if (same && track.count[i] === 1) {
        track.removeAt(i);
        return true;
      }
    }
    return false;
  }

  /** Drops what is before `time`; a group with nothing left goes too. */
  trim(time: number): void {
    for (const [group, track] of this.byGroup) {
      this.forget(track.trim(time));
      if (track.length === 1 && track.at(0) < time && this.byGroup.size > 1) {
        this.forget(track.keys.filter((key) => key !== null));
        this.byGroup.delete(group);
      }
    }
  }

  /** The first and the last time of all; `null` when there is no point. */
  extent(): [number, number] | null {
    let first = Number.POSITIVE_INFINITY;
    let last = Number.NEGATIVE_INFINITY;
    for (const track of this.byGroup.values()) {
      if (track.length === 0) continue;
      first = Math.min(first, track.at(0));
      last = Math.max(last, track.at(track.length - 1));
    }
    return first <= last ? [first, last] : null;
  }

  /** Points held, over all groups. */
  get size(): number {
    let size = 0;
    for (const track of this.byGroup.values()) size += track.length;
    return size;
  }

  private find(key: string) {
    const place = this.places.get(key);
    const track = place && this.byGroup.get(place.group);
    if (place === undefined || track === undefined) return null;
    const index = track.find(place.time, key);
    return index < 0 ? null : { track, index, place };
  }

  private track(group: string): Track | null {
    const known = this.byGroup.get(group);
    if (known !== undefined) return known;
    if (this.byGroup.size >= this.groupsMax) {
      if (this.omitted.size < 1000) this.omitted.add(group);
      return null;
    }
    const track = new Track(this.columns, this.limit);
    this.byGroup.set(group, track);
    return track;
  }

  private forget(keys: readonly string[]): void {
    for (const key of keys) this.places.delete(key);
  }
}

function single(row: RowPoint): Point {
  const { time, values, key } = row;
  return { time, count: 1, avg: values, min: values, max: values, key };
}
