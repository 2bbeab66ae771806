// A rate over the last minute, as a number and a tiny line.

interface Props {
  readonly label: string;
  readonly rates: readonly number[];
  readonly format: (rate: number) => string;
}

const WIDTH = 120;
const HEIGHT = 34;
const SECONDS = 60;

export function Rate({ label, rates, format }: Props) {
  const now = rates.at(-1);
  return (
    <div className="card tile">
      <span className="tile-label">{label}</span>
      <strong className="tile-value">{now === undefined ? '–' : format(now)}</strong>
      <svg className="sparkline" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true">
        {rates.length > 1 && (
          <>
            <path
              className="sparkline-area"
              d={`${line(rates)} L${WIDTH} ${HEIGHT} L${x(0, rates.length)} ${HEIGHT} Z`}
            />
            <path className="sparkline-line" d={line(rates)} />
          </>
        )}
      </svg>
    </div>
  );
}

function x(index: number, length: number): number {
  return WIDTH - ((length - 1 - index) / (SECONDS - 1)) * WIDTH;
}

function line(rates: readonly number[]): string {
  const top = Math.max(...rates, 1e-9);
  return rates
    .map((rate, index) => {
      const y = HEIGHT - 2 - (rate / top) * (HEIGHT - 5);
      return `${index === 0 ? 'M' : 'L'}${x(index, rates.length).toFixed(1)} ${y.toFixed(1)}`;
    })
    .join(' ');
}
