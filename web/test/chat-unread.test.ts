import { describe, expect, it } from 'vitest';
import { arrived, gone, NONE, readUpTo, recounted, total } from '../src/chat/store/unread';

const counted = (unread: number, last: number) => {
  const known = recounted(new Map(), [{ room: 'r', unread, last }]);
  const one = known.get('r');
  if (one === undefined) throw new Error('no count');
  return one;
};

describe('unread messages', () => {
  it('are those of the count, and those that came after it', () => {
    const unread = arrived(arrived(counted(2, 10), 11, 0), 12, 0);
    expect(total(unread)).toBe(4);
  });

  it('are counted once, and not where they are in the count or read elsewhere', () => {
    const unread = arrived(counted(2, 10), 11, 0);
    expect(total(arrived(unread, 11, 0))).toBe(3);
    expect(total(arrived(unread, 9, 0))).toBe(3);
    expect(total(arrived(NONE, 4, 5))).toBe(0);
  });

  it('a new count holds what had come before it', () => {
    const known = new Map([['r', arrived(arrived(NONE, 5, 0), 6, 0)]]);
    expect(total(recounted(known, [{ room: 'r', unread: 1, last: 5 }]).get('r') ?? NONE)).toBe(2);
    expect(total(recounted(known, []).get('r') ?? NONE)).toBe(2);
  });

  it('end when all of them are read', () => {
    const unread = arrived(counted(2, 10), 11, 0);
    expect(readUpTo(unread, 11)).toEqual({ unread: { counted: 0, last: 10, since: [] }, stale: false });
    expect(total(readUpTo(unread, 10).unread)).toBe(1);
  });

  it('only the server knows how many are left when a part of its count is read', () => {
    expect(readUpTo(counted(5, 10), 7).stale).toBe(true);
    expect(readUpTo(counted(0, 10), 7).stale).toBe(false);
  });

  it('a deleted one is not counted', () => {
    const unread = arrived(counted(1, 10), 11, 0);
    expect(total(gone(unread, 11).unread)).toBe(1);
    expect(gone(unread, 10).stale).toBe(true);
    expect(gone(unread, 12).stale).toBe(false);
  });
});
