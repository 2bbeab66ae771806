/** The vectors that the server's tests read too, and text that nobody should send. */
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { beginTrack, say } from '../src/machine/track.ts';
import type { ClientMessage, TrackMessage } from '../src/protocol.ts';
import { ask, begin } from '../src/subscription.ts';
import { readMessage } from '../src/wire.ts';

interface Vector {
  readonly name: string;
  readonly direction: 'client' | 'server';
  readonly invalid?: true;
  readonly message: { readonly type: string; readonly [field: string]: unknown };
}

const vectors: readonly Vector[] = JSON.parse(
  readFileSync(new URL('../../../docs/protocol/vectors.json', import.meta.url), 'utf8'),
);
const valid = (direction: Vector['direction']) =>
  vectors.filter((vector) => vector.direction === direction && !vector.invalid);

test.each(valid('server'))('reads $name', ({ message }) => {
  expect(readMessage(JSON.stringify(message))).toEqual(message);
});

test('the vectors hold every message of the server', () => {
  const types = new Set(valid('server').map(({ message }) => message.type));
  const rows = 'snapshot subscribed change commit gap revoked skipped position unsubscribed inserted written';
  const people = 'authenticated expiring presence tracked untracked';
  expect(types).toEqual(new Set(`hello ${rows} ${people} message published pong error close`.split(' ')));
});

test.each(valid('client').filter(({ message }) => message.type === 'subscribe'))('writes $name', ({ message }) => {
  const { id, type: _, ...spec } = message as unknown as ClientMessage & { type: 'subscribe' };
  expect(ask(begin(id, spec))[1]).toEqual(message);
});

test.each(valid('client').filter(({ message }) => message.type === 'track'))('writes $name', ({ message }) => {
  const { channel, state, user } = message as unknown as TrackMessage & { type: 'track' };
  const [, said] = say(beginTrack(channel, { state, user }), 1);
  expect(said).toEqual({ ...message, ref: 't1' });
});

/** What the client never looks at may be anything. */
const FREE = new Set(['message.data', 'hello.server', 'pong.position']);

test('a message with a wrong field is malformed', () => {
  for (const { message } of valid('server')) {
    for (const field of Object.keys(message).filter((name) => !FREE.has(`${message.type}.${name}`))) {
      const wrong = { ...message, [field]: typeof message[field] === 'number' ? 'x' : 7 };
      expect.soft(readMessage(JSON.stringify(wrong)).type, `${message.type}.${field}`).toBe('malformed');
    }
  }
});

test('no text makes it throw', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json(), fc.anything()), (text) => {
      expect(typeof readMessage(text).type).toBe('string');
    }),
  );
});

test('an object with a type of the prototype is no message', () => {
  for (const type of ['constructor', '__proto__', 'toString']) {
    expect(readMessage(JSON.stringify({ type })).type).toBe('malformed');
  }
});
