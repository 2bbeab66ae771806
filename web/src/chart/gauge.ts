// The speedometer's scale: where it begins and ends, its ticks, and the angle of a value.

export interface Scale {
  readonly low: number;
  readonly high: number;
  /** Distance between labelled ticks. */
  readonly step: number;
}

/** The dial's opening, in degrees: from lower left over the top to lower right. */
export const SWEEP = 240;

/**
 * A scale of round numbers around the values. Values within 0…60 get 0–60, the speedometer's own. `previous` is kept while the
 * values fit and are not lost in it, so that the dial does not change under the needle.
 */
export function gaugeScale(low: number, high: number, previous: Scale | null = null): Scale {
  if (!Number.isFinite(low) || !Number.isFinite(high)) {
    return previous ?? SPEEDOMETER;
  }
  const fresh = low >= 0 && high <= 60 && high > 1 ? SPEEDOMETER : round(Math.min(low, 0), Math.max(high, 0));
  const fits = previous !== null && low >= previous.low && high <= previous.high;
  return fits && span(previous) <= span(fresh) * FAR ? previous : fresh;
}

const SPEEDOMETER: Scale = { low: 0, high: 60, step: 10 };
/** A scale stays until it is so many times too large. */
const FAR = 3;

function span({ low, high }: Scale): number {
  return high - low;
}

function round(low: number, high: number): Scale {
  const step = niceStep((high - low || 1) / 6);
  return {
    low: Math.floor(low / step) * step,
    high: Math.max(Math.ceil(high / step), 1) * step,
    step,
  };
}

/** The smallest of 1, 2, 2.5, 5 × 10ⁿ that is at least `raw`. */
export function niceStep(raw: number): number {
  const power = 10 ** Math.floor(Math.log10(raw));
  const factor = [1, 2, 2.5, 5, 10].find((candidate) => candidate * power >= raw * (1 - 1e-9)) ?? 10;
  return factor * power;
}

/** Degrees clockwise from straight up; a value off the scale rests a little beyond its end. */
export function needleAngle(value: number, scale: Scale): number {
  const part = (value - scale.low) / (scale.high - scale.low);
  return (Math.min(1.02, Math.max(-0.02, part)) - 0.5) * SWEEP;
}

/** Labelled ticks, lowest first. */
export function gaugeTicks(scale: Scale): number[] {
  const count = Math.round((scale.high - scale.low) / scale.step);
  // Steps are multiplied, not added up, so that 0.1 × 3 stays printable after rounding.
  return Array.from({ length: count + 1 }, (_, i) => tidy(scale.low + i * scale.step));
}

function tidy(value: number): number {
  return Number(value.toPrecision(12));
}
