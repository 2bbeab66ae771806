/** The sorted list, against sorting. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { SortedList } from '../src/sorted.ts';
import { runs } from './runs.ts';

const compare = (a: number, b: number) => a - b;
const sets = fc.array(
  fc.record({ from: fc.nat({ max: 3_000 }), count: fc.constantFrom(1, 3, 40, 700, 2_000), adds: fc.boolean() }),
  {
    maxLength: 12,
  },
);

test('is what sorting gives, and pictures stay as they were', () => {
  fc.assert(
    fc.property(sets, fc.nat({ max: 1_500 }), (steps, limit) => {
      const list = new SortedList<number, string>(compare, (item) => `<${item}>`);
      const model = new Set<number>();
      for (const { from, count, adds } of steps) {
        const before = [...model].sort(compare);
        const picture = list.picture(limit);
        // Spread out, and in no order.
        const some = new Set(Array.from({ length: count }, (_, index) => (from + index * 7_919) % 5_003));
        const changed = new Set([...some].filter((item) => model.has(item) !== adds));
        const first = adds ? list.update(new Set(), changed) : list.update(changed, new Set());
        for (const item of changed) {
          adds ? model.add(item) : model.delete(item);
        }
        const after = [...model].sort(compare);
        expect(list.length).toBe(after.length);
        expect(list.last).toBe(after.at(-1));
        expect(list.picture().items()).toEqual(after);
        expect(list.picture(limit).shown()).toEqual(after.slice(0, limit).map((item) => `<${item}>`));
        expect(picture.items()).toEqual(before.slice(0, limit));
        const same = after.findIndex((item, index) => item !== before[index]);
        const expected = same >= 0 ? same : after.length === before.length ? Infinity : after.length;
        expect(Math.min(first, Math.max(after.length, before.length))).toBe(
          Math.min(expected, Math.max(after.length, before.length)),
        );
      }
      const kept = [...model].sort(compare);
      expect(list.truncate(limit)).toEqual(kept.slice(limit));
      expect(list.picture().items()).toEqual(kept.slice(0, limit));
    }),
    runs(60),
  );
});
