// The rows that came last, whatever their time: a point that lies outside of the window is seen here.

import type { Arrival, Feed } from '../../chart/feed';
import { formatGroup, formatNumber, formatShortTime } from '../../chart/format';
import type { LineName } from '../../chart/plot';
import { usePulse } from './pulse';

interface Props {
  readonly feed: Feed;
  readonly lines: readonly LineName[];
  /** Only for screen readers. */
  readonly quiet: boolean;
}

export function Latest({ feed, lines, quiet }: Props) {
  usePulse(feed);
  const { values, group } = feed.query;
  return (
    <section className={quiet ? 'visually-hidden' : 'card latest'} aria-label="Latest points">
      <table>
        <caption>Latest points</caption>
        <thead>
          <tr>
            <th scope="col">{feed.query.time}</th>
            {group !== null && <th scope="col">{group}</th>}
            {values.map((name) => (
              <th key={name} scope="col" className="number">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {feed.arrivals.map((arrival) => (
            <LatestRow key={arrival.serial} arrival={arrival} feed={feed} lines={lines} />
          ))}
        </tbody>
      </table>
      {feed.arrivals.length === 0 && <p className="quiet">Points appear here as they arrive.</p>}
    </section>
  );
}

function LatestRow({ arrival, feed, lines }: { arrival: Arrival; feed: Feed; lines: readonly LineName[] }) {
  const { unit, group } = feed.query;
  const color = lines.find((line) => line.group === arrival.group)?.color;
  return (
    <tr className={arrival.live ? 'arrived' : undefined}>
      <td>{formatShortTime(arrival.time, unit)}</td>
      {group !== null && (
        <td>
          <span className="swatch" style={{ background: color }} aria-hidden="true" />
          {formatGroup(arrival.group)}
        </td>
      )}
      {feed.query.values.map((name, column) => (
        <td key={name} className="number">
          {formatNumber(arrival.values[column] ?? Number.NaN)}
        </td>
      ))}
    </tr>
  );
}
