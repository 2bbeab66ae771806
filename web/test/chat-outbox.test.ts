import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Refused } from '../src/chat/api';
import { type Letter, next, outcomeOf, timeAfter } from '../src/chat/store/outbox';
import { inMemory } from '../src/chat/store/outbox-disk';
import type { Message } from '../src/chat/store/rows';
import { Sender, type Ways } from '../src/chat/store/sender';

const letter = (nonce: string, more: Partial<Letter> = {}): Letter => ({
  nonce,
  user: 'ada',
  room: 'r',
  body: nonce,
  reply_to: null,
  file: null,
  at: 1,
  refused: null,
  ...more,
});

describe('the outbox', () => {
  it('sends the oldest first, passing over what was refused and what somebody else wrote', () => {
    const letters = [
      letter('c', { at: 3 }),
      letter('a', { refused: 'no' }),
      letter('b', { at: 2 }),
      letter('x', { user: 'eve' }),
    ];
    expect(next(letters, 'ada')?.nonce).toBe('b');
    expect(next([], 'ada')).toBeUndefined();
  });

  it('keeps the order of writing, also where the clock was set back', () => {
    expect(timeAfter([letter('a', { at: 100 })], 50)).toBe(101);
    expect(timeAfter([], 50)).toBe(50);
  });

  it.each([
    [{ status: 201 }, { kind: 'sent' }],
    [{ status: 200 }, { kind: 'sent' }],
    [
      { status: 403, message: 'no' },
      { kind: 'refused', why: 'no' },
    ],
    [{ status: 401 }, { kind: 'later', afterMs: null }],
    [
      { status: 429, retryMs: 77 },
      { kind: 'later', afterMs: 77 },
    ],
    [{ status: 503 }, { kind: 'later', afterMs: 1_000 }],
    [{ status: 0 }, { kind: 'later', afterMs: 1_000 }],
  ])('an answer %j means %j', (answer, outcome) => {
    expect(outcomeOf(answer, 0)).toEqual(outcome);
  });

  it('waits longer each time, and never very long', () => {
    const waits = [0, 1, 2, 50].map((tries) => outcomeOf({ status: 0 }, tries));
    expect(waits.map((outcome) => 'afterMs' in outcome && outcome.afterMs)).toEqual([1_000, 2_000, 4_000, 30_000]);
  });
});

describe('the sender', () => {
  const draft = { room: 'r', reply_to: null, file: null };
  const row = ({ nonce, body }: Letter) => ({ id: 1, nonce, body }) as Message;
  let locks: Promise<void>;

  beforeEach(() => {
    locks = Promise.resolve();
    vi.useFakeTimers();
  });
  afterEach(() => vi.useRealTimers());

  const tab = (disk: ReturnType<typeof inMemory>, send: Ways['send'], more: Partial<Ways> = {}) =>
    new Sender(Promise.resolve(disk), 'ada', {
      send,
      alone: (work) => {
        locks = locks.then(work);
        return locks;
      },
      tell: () => {},
      isUser: () => true,
      stands: () => {},
      ...more,
    });

  it('sends what was written offline in order, once, when it is asked again', async () => {
    const disk = inMemory();
    const sent: string[] = [];
    let online = false;
    const send = async (one: Letter) => {
      if (!online) throw new Refused(0, 'network', 'no answer');
      sent.push(one.body);
      return row(one);
    };
    const sender = tab(disk, send);
    for (const body of ['one', 'two', 'three']) await sender.post({ ...draft, body });
    await vi.advanceTimersByTimeAsync(10);
    expect(sent).toEqual([]);
    online = true;
    // A second tab, as after a reload, sends the same letters; none is sent twice.
    const other = tab(disk, send);
    other.flush();
    sender.flush();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(sent).toEqual(['one', 'two', 'three']);
    expect(await disk.all()).toEqual([]);
  });

  it('sends again with the same nonce when the answer was lost', async () => {
    const nonces: string[] = [];
    const sender = tab(inMemory(), async (one) => {
      nonces.push(one.nonce);
      if (nonces.length === 1) throw new Refused(0, 'network', 'no answer');
      return row(one);
    });
    await sender.post({ ...draft, body: 'x' });
    await vi.advanceTimersByTimeAsync(2_000);
    expect(nonces).toHaveLength(2);
    expect(new Set(nonces).size).toBe(1);
  });

  it('keeps what was refused with its reason, and sends the rest', async () => {
    const sent: string[] = [];
    const sender = tab(inMemory(), async (one) => {
      if (one.body === 'bad') throw new Refused(403, 'forbidden', 'Not to them.');
      sent.push(one.body);
      return row(one);
    });
    await sender.post({ ...draft, body: 'bad' });
    await sender.post({ ...draft, body: 'good' });
    await vi.advanceTimersByTimeAsync(10);
    expect(sent).toEqual(['good']);
    expect(sender.letters.get()).toMatchObject([{ body: 'bad', refused: 'Not to them.' }]);
    await sender.discard(sender.letters.get()[0]?.nonce ?? '');
    expect(sender.letters.get()).toEqual([]);
  });

  it('sends nothing as somebody else', async () => {
    const send = vi.fn();
    const sender = tab(inMemory(), send, { isUser: () => false });
    await sender.post({ ...draft, body: 'x' });
    await vi.advanceTimersByTimeAsync(10);
    expect(send).not.toHaveBeenCalled();
    expect(sender.letters.get()).toHaveLength(1);
  });
});
