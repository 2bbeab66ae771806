/** Delivery classes: what is asked, and what is told of it. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { deliverRequest } from '../src/deliver.ts';
import { Feed } from '../src/feed.ts';
import { Runtime } from '../src/runtime.ts';
import { Tokens } from '../src/tokens.ts';
import type { Change, Deliver } from '../src/types.ts';
import { FakeServer } from './fake-server.ts';
import { SETTINGS } from './machine.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

test.each<[Deliver | undefined, unknown]>([
  [undefined, undefined],
  ['strict', undefined],
  ['latest', 'latest'],
  [{ everyMs: 250 }, { every_ms: 250 }],
  [{ sample: 10 }, { sample: 10 }],
  [{ sample: { perSecond: 0.5, value: 'v' } }, { sample: { per_second: 0.5, value: 'v' } }],
  [
    { sample: { perSecond: 1, value: ['a', 'b'], groupBy: 'g' } },
    { sample: { per_second: 1, value: ['a', 'b'], group_by: 'g' } },
  ],
])('%j is asked for as %j', (deliver, asked) => {
  expect(deliverRequest(deliver)).toEqual(asked);
});

test('what was told at once is one transaction, and what was left out is counted before it', () => {
  const server = new FakeServer();
  const carriers = { websocket: server.open, sse: server.open };
  const onError = (error: Error) => expect.unreachable(error.message);
  const runtime = new Runtime({
    settings: SETTINGS,
    carriers,
    tokens: new Tokens(undefined),
    onError,
    onFrame: undefined,
  });
  const heard: unknown[] = [];
  const feed = new Feed(
    runtime,
    't',
    {
      deliver: 'latest',
      onSkipped: (count) => heard.push(`${count} skipped`),
      onTransaction: (changes) => heard.push(changes.map(({ op, row }: Change) => `${op} ${row.id}=${row.v}`).join()),
    },
    undefined,
  );
  const move = () => {
    for (const session of server.sessions) {
      session.read();
      session.write();
    }
    vi.advanceTimersByTime(1);
  };
  move();
  move();
  const set = (id: number, v: number) => server.commit([{ id, to: { id, g: 1, v } }], true);
  set(1, 1);
  set(2, 1);
  set(1, 2);
  move();
  set(3, 1);
  server.commit([{ id: 3 }], true);
  move();
  expect(heard).toEqual(['1 skipped', 'insert 1=2,insert 2=1', '2 skipped']);
  expect(feed.position).toBe(server.position);
  feed.close();
  runtime.close();
});
