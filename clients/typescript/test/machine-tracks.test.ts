/** Being seen: what is said, how often, and again after a cut. */
import { expect, test } from 'vitest';
import { nextDeadline } from '../src/machine.ts';
import { Driver, HELLO } from './machine.ts';

const sent = (driver: Driver) => driver.effects.flatMap((effect) => (effect.do === 'send' ? [effect.message] : []));
const standing = () => new Driver().track(9, { at: 1 }).hear(HELLO).hear({ type: 'tracked', ref: 't9' });

test('is said when the connection is there', () => {
  const driver = new Driver().track(9, { at: 1 });
  expect(driver.did).toEqual(['connect']);
  expect(sent(driver.hear(HELLO))).toEqual([{ type: 'track', channel: 'room:a', state: { at: 1 }, ref: 't9' }]);
  expect(driver.hear({ type: 'tracked', ref: 't9' }).did).toEqual(['deliver tracked']);
});

test('of many states while one is under way the newest is said', () => {
  const driver = standing().track(9, { at: 2 });
  expect(sent(driver)).toMatchObject([{ state: { at: 2 } }]);
  expect(driver.track(9, { at: 3 }).track(9, { at: 4 }).did).toEqual([]);
  expect(sent(driver.hear({ type: 'tracked', ref: 't9' }))).toMatchObject([{ state: { at: 4 } }]);
  expect(sent(driver.hear({ type: 'tracked', ref: 't9' }))).toEqual([]);
});

test('is said again on the next connection, the newest state', () => {
  const driver = standing().lose().track(9, { at: 5 }).do({ type: 'retry' }).hear(HELLO);
  expect(sent(driver)).toMatchObject([{ type: 'track', state: { at: 5 } }]);
});

test('ends when the program says so, and keeps the connection until then', () => {
  const driver = standing();
  expect(nextDeadline(driver.after(20_000).state)).toBeLessThan(Infinity);
  expect(driver.state.phase).toBe('open');
  expect(sent(driver.do({ type: 'untrack', handle: 9 }))).toEqual([{ type: 'untrack', channel: 'room:a', ref: 't9' }]);
  driver.hear({ type: 'tracked', ref: 't9' });
  expect(driver.hear({ type: 'untracked', ref: 't9' }).did).toEqual([]);
  expect(driver.after(4_000).did).toEqual(['disconnect']);
});

test('that is not allowed has ended; that comes too often is said later', () => {
  const driver = new Driver().track(9).hear(HELLO);
  driver.hear({ type: 'error', ref: 't9', code: 'rate_limited', message: 'slow', retry_ms: 2_000 });
  expect(driver.did).toEqual([]);
  expect(driver.after(3_000).did).toEqual(['send track']);
  driver.hear({ type: 'error', ref: 't9', code: 'forbidden', message: 'no' });
  expect(driver.effects).toMatchObject([{ handle: 9, delivery: { type: 'failed', problem: { code: 'forbidden' } } }]);
  expect(driver.lose().do({ type: 'retry' }).hear(HELLO).did).toEqual([]);
});

test('waits where nothing can be said but over another transport', () => {
  const driver = new Driver().track(9).hear(HELLO);
  driver.hear({ type: 'error', ref: 't9', code: 'no_websocket', message: '' });
  expect(driver.did).toEqual([]);
  expect(driver.lose().do({ type: 'retry' }).hear(HELLO).did).toEqual(['send track']);
});

test('to see who is there nothing is resumed', () => {
  const driver = new Driver().want(1, { channel: 'presence:room:a' }).hear(HELLO).live();
  driver.lose().do({ type: 'retry' }).hear(HELLO);
  expect(sent(driver)).toEqual([{ type: 'subscribe', id: 's1', channel: 'presence:room:a' }]);
});
