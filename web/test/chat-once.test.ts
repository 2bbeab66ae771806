import { expect, test } from 'vitest';
import { Once } from '../src/chat/store/once';

test('the same is asked for under one name until it is another', () => {
  let count = 0;
  const once = new Once(() => `n-${++count}`);
  expect(once.nonce(['one', ['ann']])).toBe('n-1');
  expect(once.nonce(['one', ['ann']])).toBe('n-1');
  expect(once.nonce(['one', ['ann', 'bob']])).toBe('n-2');
  expect(once.nonce(['one', ['ann', 'bob']])).toBe('n-2');
});

test('a name of its own is a UUID', () => {
  const [one, other] = [new Once().nonce('a'), new Once().nonce('a')];
  expect(one).toMatch(/^[0-9a-f-]{36}$/);
  expect(other).not.toBe(one);
});
