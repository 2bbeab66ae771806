import { describe, expect, it } from 'vitest';
import type { Message } from '../src/chat/store/rows';
import { changed, NOTHING, placeOf, type Window, withNewer, withNewest, withOlder } from '../src/chat/store/window';

const message = (id: number, more: Partial<Message> = {}): Message => ({
  id,
  room: 'r',
  sender: 'ada',
  nonce: `n${id}`,
  kind: 'text',
  body: `body ${id}`,
  reply_to: null,
  file: null,
  created_at: '2026-11-21T10:00:00Z',
  edited_at: null,
  deleted_at: null,
  ...more,
});
const page = (...ids: number[]) => ids.map((id) => message(id));
const ids = ({ messages }: Window) => messages.map(({ id }) => id);
const insert = (window: Window, id: number) => changed(window, { op: 'insert', id, row: message(id) });

describe('a window on a history', () => {
  it('grows in both directions and is sorted, however the pages came', () => {
    const opened = withNewest(NOTHING, page(9, 8, 7), true);
    expect(ids(opened)).toEqual([7, 8, 9]);
    expect(opened).toMatchObject({ older: true, newer: false });
    const older = withOlder(opened, page(6, 5), false);
    expect(ids(older)).toEqual([5, 6, 7, 8, 9]);
    expect(older.older).toBe(false);
  });

  it('takes a live message at its end once, whether it or its page comes first', () => {
    const opened = withNewest(NOTHING, page(2, 1), false);
    expect(ids(insert(insert(opened, 3), 3))).toEqual([1, 2, 3]);
    expect(ids(withNewest(insert(opened, 3), page(3, 2, 1), false))).toEqual([1, 2, 3]);
  });

  it('takes none behind a hole: it is read with its page', () => {
    const middle: Window = { messages: page(4, 5), older: true, newer: true };
    expect(ids(insert(middle, 9))).toEqual([4, 5]);
    expect(ids(insert(middle, 2))).toEqual([4, 5]);
    expect(ids(withNewer(middle, page(6, 7, 9), false))).toEqual([4, 5, 6, 7, 9]);
  });

  it('takes the first message of an empty talk', () => {
    expect(ids(insert(withNewest(NOTHING, [], false), 1))).toEqual([1]);
    expect(ids(insert(NOTHING, 1))).toEqual([]);
  });

  it('lets the later state of a message stand, in whatever order they come', () => {
    const old = message(1, { body: 'old' });
    const edited = message(1, { body: 'new', edited_at: '2026-11-21 10:01:00' });
    const edit = { op: 'update', id: 1, row: edited } as const;
    const first = changed(withNewest(NOTHING, [edited], false), { op: 'insert', id: 1, row: old });
    expect(first.messages[0]?.body).toBe('new');
    expect(changed(withNewest(NOTHING, [old], false), edit).messages[0]?.body).toBe('new');
    const gone = message(1, { body: '', deleted_at: '2026-11-21 10:00:30' });
    expect(changed(withNewest(NOTHING, [gone], false), edit).messages[0]?.body).toBe('');
  });

  it('keeps the columns that a change does not carry, and the object where nothing changed', () => {
    const opened = withNewest(NOTHING, page(1), false);
    const at = '2026-11-21T10:05:00Z';
    expect(changed(opened, { op: 'update', id: 1, row: { edited_at: at, body: 'x' } }).messages[0]).toEqual(
      message(1, { edited_at: at, body: 'x' }),
    );
    expect(changed(opened, { op: 'update', id: 1, row: message(1) })).toBe(opened);
  });

  it('loses a message whose row is gone', () => {
    expect(ids(changed(withNewest(NOTHING, page(2, 1), false), { op: 'delete', id: 2, row: {} }))).toEqual([1]);
  });

  it('is replaced by a newest page that does not reach it', () => {
    const held = withNewest(NOTHING, page(2, 1), false);
    expect(ids(withNewest(held, page(9, 8), true))).toEqual([8, 9]);
    expect(ids(withNewest(held, page(3, 2), true))).toEqual([1, 2, 3]);
  });

  it('finds places by halving', () => {
    const messages = page(2, 4, 6);
    expect([1, 2, 3, 6, 7].map((id) => placeOf(messages, id))).toEqual([0, 0, 1, 2, 3]);
  });
});
