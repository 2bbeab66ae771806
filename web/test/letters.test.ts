import { describe, expect, it } from 'vitest';
import { outcome, readable, refusal } from '../src/pages/console/letters';

describe('dead letters', () => {
  it('are shown with their fields on lines of their own, and as they are where they are no record', () => {
    expect(readable('{"a":1,"b":"x"}')).toBe('{\n  "a": 1,\n  "b": "x"\n}');
    expect(readable('rubbish')).toBe('rubbish');
    expect(readable('{"a":')).toBe('{"a":');
  });

  it('keep digits that no number of JavaScript holds', () => {
    expect(readable('{"id":9007199254740993}')).toBe('{"id":9007199254740993}');
  });

  it('say what became of them', () => {
    expect(outcome({ stored: 2, refused: [] })).toBe('2 stored');
    expect(outcome({ stored: 0, refused: [{ id: 1, reason: 'no' }] })).toBe('0 stored, 1 refused still');
    expect(refusal({ stored: 0, refused: [{ id: 1, reason: 'no' }] })).toBe('no');
    expect(refusal({ stored: 1, refused: [] })).toBeNull();
  });
});
