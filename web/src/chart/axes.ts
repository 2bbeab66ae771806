// The axes of a plot: their ends, distances and labels, and the colours that depend on where they lie.

import type uPlot from 'uplot';

/** Room at the right, for half a label and the newest point. */
export const RIGHT = 28;
/** The width of a digit of the axis, about. */
const DIGIT = 7;

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const steps = (unit: number, counts: number[]) => counts.map((count) => count * unit);

/** Distances of ticks on a time axis, in milliseconds. */
export const TIME_STEPS = [
  ...steps(1, [1, 2, 5, 10, 20, 50, 100, 200, 500]),
  ...steps(SECOND, [1, 2, 5, 10, 15, 30]),
  ...steps(MINUTE, [1, 2, 5, 10, 15, 30]),
  ...steps(HOUR, [1, 2, 3, 6, 12]),
  ...steps(DAY, [1, 2, 7, 14, 28, 91, 365, 730, 1825, 3650, 18_250]),
];

/** The y axis's ends around the drawn values. */
export function yRange(low: number | null, high: number | null): [number, number] {
  if (low === null || high === null) return [0, 1];
  if (low === high) {
    const pad = Math.abs(low) * 0.1 || 1;
    return [low - pad, high + pad];
  }
  // Zero is shown where it is near enough for sizes to be compared.
  const pad = (high - low) * 0.06;
  const bottom = low >= 0 && low < high * 0.4 ? 0 : low - pad;
  const top = high <= 0 && high > low * 0.4 ? 0 : high + pad;
  return [bottom, top];
}

/** The labels that do not reach over the chart's right end. */
export function fitting(u: uPlot, ticks: readonly number[], labels: readonly string[]): string[] {
  const room = u.bbox.width / devicePixelRatio + RIGHT;
  return labels.map((label, i) => {
    const half = (label.length * DIGIT) / 2;
    return u.valToPos(ticks[i] ?? 0, 'x') + half > room ? '' : label;
  });
}

/** Room for the widest label of the y axis. */
export function axisWidth(u: uPlot, labels: readonly string[] | null, font: string): number {
  u.ctx.save();
  u.ctx.font = font;
  const widest = Math.max(20, ...(labels ?? []).map((label) => u.ctx.measureText(label).width));
  u.ctx.restore();
  return Math.ceil(widest) + 22;
}

/** A line's colour, fading to the bottom. */
export function fade(u: uPlot, color: string): CanvasGradient {
  const { top, height } = u.bbox;
  const gradient = u.ctx.createLinearGradient(0, top, 0, top + height);
  gradient.addColorStop(0, alpha(color, 0.16));
  gradient.addColorStop(1, alpha(color, 0.01));
  return gradient;
}

/** `rgb(1, 2, 3)` as the browser computes it, with an opacity. */
export function alpha(color: string, opacity: number): string {
  return color.replace(/^rgb\(([^)]+)\)$/, `rgba($1, ${opacity})`);
}
