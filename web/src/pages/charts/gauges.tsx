// Speedometers: one for each line, with its newest value and when that was.

import { useRef } from 'react';
import type { Feed } from '../../chart/feed';
import { formatGlance, formatShortTime, formatTick } from '../../chart/format';
import { gaugeScale, gaugeTicks, needleAngle, type Scale, SWEEP } from '../../chart/gauge';
import type { LineName } from '../../chart/plot';
import { extremes } from './lines';
import { newest } from './newest';
import { usePulse } from './pulse';

interface Props {
  readonly feed: Feed;
  readonly lines: readonly LineName[];
  readonly hidden: readonly string[];
}

const GAUGES_MAX = 24;

export function Gauges({ feed, lines, hidden }: Props) {
  const shown = lines.filter((line) => !hidden.includes(line.name)).slice(0, GAUGES_MAX);
  return (
    <div className="gauges">
      {shown.map((line) => (
        <LiveGauge key={`${line.group} ${line.column}`} feed={feed} line={line} />
      ))}
    </div>
  );
}

function LiveGauge({ feed, line }: { feed: Feed; line: LineName }) {
  usePulse(feed, 60);
  const scale = useRef<Scale | null>(null);
  const { value, time } = newest(feed, line);
  const [low, high] = range(feed, line, value);
  scale.current = gaugeScale(low, high, scale.current);
  const text = value === null ? '–' : formatGlance(value);
  return (
    <figure className="card gauge">
      <Dial value={value} scale={scale.current} color={line.color} />
      <figcaption>
        <span className="gauge-name">{line.name}</span>
        <strong className="gauge-value" data-long={text.length > 8 || undefined}>
          {text}
        </strong>
        <span className="gauge-time">{time === null ? 'no point yet' : formatShortTime(time, feed.query.unit)}</span>
      </figcaption>
    </figure>
  );
}

function range(feed: Feed, line: LineName, value: number | null): [number, number] {
  const track = feed.tracks.byGroup.get(line.group);
  const [low, high] = extremes(track?.min[line.column], track?.max[line.column], track?.length ?? 0);
  return value === null ? [low, high] : [Math.min(low, value), Math.max(high, value)];
}

const CENTER = { x: 120, y: 112 };
const RADIUS = 96;

interface DialProps {
  readonly value: number | null;
  readonly scale: Scale;
  readonly color: string;
}

function Dial({ value, scale, color }: DialProps) {
  const angle = value === null ? -SWEEP / 2 : needleAngle(value, scale);
  const part = Math.min(1, Math.max(0, angle / SWEEP + 0.5));
  return (
    <svg className="dial" viewBox="0 0 240 168" aria-hidden="true">
      <path className="dial-track" d={arc(RADIUS)} />
      <path
        className="dial-arc"
        d={arc(RADIUS)}
        pathLength={100}
        style={{ stroke: color, strokeDashoffset: 100 - part * 100 }}
      />
      <Marks scale={scale} />
      <g className="dial-needle" style={{ transform: `rotate(${angle}deg)` }}>
        <path
          d={`M${CENTER.x - 2.6} ${CENTER.y + 10} L${CENTER.x - 1} ${CENTER.y - 76} h2 L${CENTER.x + 2.6} ${CENTER.y + 10} z`}
        />
      </g>
      <circle className="dial-hub" cx={CENTER.x} cy={CENTER.y} r="7" />
      <circle className="dial-pin" cx={CENTER.x} cy={CENTER.y} r="2.4" />
    </svg>
  );
}

const MINOR = 5;

function Marks({ scale }: { scale: Scale }) {
  const ticks = gaugeTicks(scale);
  const minors = (ticks.length - 1) * MINOR;
  const small = Array.from({ length: minors + 1 }, (_, i) => scale.low + ((scale.high - scale.low) * i) / minors);
  return (
    <g className="dial-marks">
      {small.map((value) => (
        <Mark key={value} angle={needleAngle(value, scale)} from={RADIUS - 13} to={RADIUS - 10} />
      ))}
      {ticks.map((value) => (
        <g key={value}>
          <Mark angle={needleAngle(value, scale)} from={RADIUS - 17} to={RADIUS - 10} />
          <text {...around(needleAngle(value, scale), RADIUS - 28)}>{formatTick(value)}</text>
        </g>
      ))}
    </g>
  );
}

function Mark({ angle, from, to }: { angle: number; from: number; to: number }) {
  const a = around(angle, from);
  const b = around(angle, to);
  return <line x1={a.x} y1={a.y} x2={b.x} y2={b.y} />;
}

/** The point at an angle (clockwise from up) and a distance from the dial's centre. */
function around(angle: number, radius: number): { x: number; y: number } {
  const radians = (angle * Math.PI) / 180;
  const at = (value: number) => Math.round(value * 100) / 100;
  return { x: at(CENTER.x + radius * Math.sin(radians)), y: at(CENTER.y - radius * Math.cos(radians)) };
}

function arc(radius: number): string {
  const from = around(-SWEEP / 2, radius);
  const to = around(SWEEP / 2, radius);
  return `M${from.x} ${from.y} A${radius} ${radius} 0 1 1 ${to.x} ${to.y}`;
}
