// A dial from 0 to 60.

const MOST = 60;
const RADIUS = 96;
/** Degrees from straight up, at 0 and at the most. */
const [FIRST, LAST] = [-120, 120];
const TICKS = [0, 10, 20, 30, 40, 50, 60];

const angle = (speed) => FIRST + (Math.min(Math.max(speed, 0), MOST) / MOST) * (LAST - FIRST);

function at(degrees, radius) {
  const radians = (degrees * Math.PI) / 180;
  return [120 + radius * Math.sin(radians), 120 - radius * Math.cos(radians)];
}

function arc(to) {
  const [from, end] = [at(FIRST, RADIUS), at(to, RADIUS)];
  return `M ${from.join(' ')} A ${RADIUS} ${RADIUS} 0 ${to - FIRST > 180 ? 1 : 0} 1 ${end.join(' ')}`;
}

function Tick({ speed }) {
  const [[x1, y1], [x2, y2], [x, y]] = [84, 78, 64].map((radius) => at(angle(speed), radius));
  return (
    <g className="tick">
      <line {...{ x1, y1, x2, y2 }} />
      <text {...{ x, y }}>{speed}</text>
    </g>
  );
}

/** @param {{ speed: number | null }} props */
export function Speedometer({ speed }) {
  const degrees = angle(speed ?? 0);
  return (
    <svg viewBox="0 0 240 210" role="img" aria-label={speed === null ? 'no speed yet' : `${speed} km/h`}>
      <path className="scale" d={arc(LAST)} />
      <path className="swept" d={arc(degrees)} />
      {TICKS.map((tick) => (
        <Tick key={tick} speed={tick} />
      ))}
      <line className="needle" x1="120" y1="120" x2="120" y2="46" style={{ transform: `rotate(${degrees}deg)` }} />
      <circle className="hub" cx="120" cy="120" r="7" />
      <text className="speed" x="120" y="172">
        {speed ?? '–'}
      </text>
      <text className="unit" x="120" y="196">
        km/h
      </text>
    </svg>
  );
}
