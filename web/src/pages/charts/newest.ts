// A line's newest value, which the gauge and the legend both show.

import type { Arrival, Feed } from '../../chart/feed';
import type { LineName } from '../../chart/plot';

export interface Newest {
  readonly value: number | null;
  readonly time: number | null;
}

/** The row that came last, or where none came yet, the last of the history. */
export function newest(feed: Feed, line: LineName): Newest {
  const arrived = feed.arrivals.find((arrival) => hasValue(arrival, line));
  return arrived === undefined
    ? newestDrawn(feed, line)
    : { value: arrived.values[line.column] ?? null, time: arrived.time };
}

/** The line's last point, whatever came after the axis's end. */
export function newestDrawn(feed: Feed, line: LineName): Newest {
  const track = feed.tracks.byGroup.get(line.group);
  const value = track?.avg[line.column]?.[track.length - 1] ?? Number.NaN;
  return track === undefined || Number.isNaN(value)
    ? { value: null, time: null }
    : { value, time: track.at(track.length - 1) };
}

function hasValue({ group, values }: Arrival, line: LineName): boolean {
  return group === line.group && !Number.isNaN(values[line.column] ?? Number.NaN);
}
