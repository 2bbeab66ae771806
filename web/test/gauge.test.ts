import { describe, expect, it } from 'vitest';
import { gaugeScale, gaugeTicks, needleAngle, niceStep, SWEEP } from '../src/chart/gauge';

describe("the dial's scale", () => {
  it('is the speedometer’s for values from 0 to 60', () => {
    expect(gaugeScale(0, 50)).toEqual({ low: 0, high: 60, step: 10 });
    expect(gaugeScale(12, 60)).toEqual({ low: 0, high: 60, step: 10 });
  });

  it('is of round numbers around other values', () => {
    expect(gaugeScale(3, 87)).toEqual({ low: 0, high: 100, step: 20 });
    expect(gaugeScale(0.1, 0.83)).toEqual({ low: 0, high: 1, step: 0.2 });
    expect(gaugeScale(-12, 31)).toEqual({ low: -20, high: 40, step: 10 });
    expect(gaugeScale(-40, -12)).toEqual({ low: -40, high: 10, step: 10 });
  });

  it('stays while the values fit, and are not lost in it', () => {
    const first = gaugeScale(0, 87);
    expect(gaugeScale(0, 20, first)).toBe(first);
    expect(gaugeScale(0, 180, first).high).toBe(200);
    expect(gaugeScale(0, 20, gaugeScale(0, 500))).toEqual({ low: 0, high: 60, step: 10 });
  });

  it('needs no value', () => {
    expect(gaugeScale(Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY)).toEqual({ low: 0, high: 60, step: 10 });
  });

  it('holds whatever value comes', () => {
    for (const value of [0, 1e-9, 0.3, 59.9, 61, 1e12, -1e-3, -7, 123_456.789]) {
      const { low, high, step } = gaugeScale(value, value);
      expect(low).toBeLessThanOrEqual(value);
      expect(high).toBeGreaterThanOrEqual(value);
      expect(high).toBeGreaterThan(low);
      expect((high - low) / step).toBeLessThanOrEqual(12);
    }
  });
});

describe('ticks and needle', () => {
  it('are printable', () => {
    expect(gaugeTicks({ low: 0, high: 1, step: 0.1 })[3]).toBe(0.3);
    expect(gaugeTicks({ low: 0, high: 60, step: 10 })).toEqual([0, 10, 20, 30, 40, 50, 60]);
  });

  it('lie in the opening of the dial', () => {
    const scale = { low: 0, high: 60, step: 10 };
    expect(needleAngle(0, scale)).toBe(-SWEEP / 2);
    expect(needleAngle(30, scale)).toBe(0);
    expect(needleAngle(60, scale)).toBe(SWEEP / 2);
    expect(needleAngle(1e9, scale)).toBeLessThan(SWEEP / 2 + 10);
  });

  it('have steps of 1, 2, 2.5 and 5', () => {
    expect([0.7, 1.1, 2.2, 3, 7].map(niceStep)).toEqual([1, 2, 2.5, 5, 10]);
  });
});
