// The chart itself: the lines, the gauges, the legend and the latest points, as the view asks for them.

import { useMemo } from 'react';
import type { Feed } from '../../chart/feed';
import { formatGroup } from '../../chart/format';
import type { LineName } from '../../chart/plot';
import type { FullView } from '../../chart/view';
import { useTheme } from '../../shell/theme';
import { defaultShape } from './bars';
import type { Choice } from './choose';
import { Gauges } from './gauges';
import { Latest } from './latest';
import { Lines } from './lines';
import type { Change } from './page';
import { usePulse } from './pulse';

interface Props {
  readonly feed: Feed;
  readonly view: FullView;
  readonly choice: Choice;
  readonly change: Change;
}

export const SERIES_COLORS = 8;

export function Picture({ feed, view, choice, change }: Props) {
  usePulse(feed);
  const lines = useLines(feed);
  const shape = view.shape ?? defaultShape(choice);
  const several = lines.length > 1;
  return (
    <div className="picture" data-shape={shape} data-several={several || undefined}>
      {shape !== 'gauge' && <Lines feed={feed} lines={lines} view={view} change={change} />}
      {shape !== 'line' && <Gauges feed={feed} lines={lines} hidden={view.hidden} />}
      <Latest feed={feed} lines={lines} quiet={shape === 'line'} />
    </div>
  );
}

/** The feed's lines with their names and colours; the same array until a line comes or goes, or the theme changes. */
function useLines(feed: Feed): readonly LineName[] {
  const { dark } = useTheme();
  const groups = feed.order.filter((group) => feed.tracks.byGroup.has(group));
  const shown = groups.length === 0 && feed.query.group === null ? ['null'] : groups;
  const key = JSON.stringify(shown);
  return useMemo(() => {
    const colors = seriesColors(dark);
    const { values, group: groupBy } = feed.query;
    return (JSON.parse(key) as string[]).flatMap((group) =>
      values.map((value, column): LineName => {
        const place = Math.max(0, feed.order.indexOf(group)) * values.length + column;
        const color = colors[place % colors.length] ?? '';
        return { name: lineName(groupBy === null ? null : group, value, values.length), group, column, color };
      }),
    );
  }, [feed, key, dark]);
}

function lineName(group: string | null, value: string, values: number): string {
  if (group === null) return value;
  return values > 1 ? `${formatGroup(group)} · ${value}` : formatGroup(group);
}

/** The canvas needs colours as they are, not as custom properties. `dark` only says when to look again. */
function seriesColors(_dark: boolean): string[] {
  return Array.from({ length: SERIES_COLORS }, (_, i) => computedColor(`--series-${i + 1}`));
}

export function computedColor(property: string): string {
  const probe = document.createElement('span');
  probe.style.color = `var(${property})`;
  document.body.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}
