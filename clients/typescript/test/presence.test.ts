/** Who is there, over real sockets. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { WebSocket } from 'ws';
import { type ConnectOptions, connect, type Presence, type Rowcast } from '../src/index.ts';
import { RealServer } from './real-server.ts';

let server: RealServer;
const open: Rowcast[] = [];

beforeEach(async () => {
  server = await RealServer.start();
});
afterEach(async () => {
  for (const db of open.splice(0)) {
    db.close();
  }
  await server.stop();
});

/** A connection of its own each time. */
function client(options: ConnectOptions = {}): Rowcast {
  const backoff = { baseMs: 5, capMs: 20 };
  const own = { onError: () => {} };
  const db = connect(server.url, { webSocket: WebSocket, backoff, lingerMs: 10, idleMs: 10, ...own, ...options });
  open.push(db);
  return db;
}

const names = (presence: Presence) => presence.users.map(({ user }) => user);
const shows = (presence: Presence, wished: string) => vi.waitUntil(() => names(presence).join() === wished);

test('who comes and goes is seen, a list that comes in pieces and then what changes', async () => {
  for (const user of ['ada', 'bob', 'cyn']) {
    client().presence('room:a').track({ typing: false }, { user });
  }
  await vi.waitUntil(() => server.fake.presence.list('room:a').length === 3);
  const watcher = client().presence<{ typing: boolean }>('room:a');
  const told: number[] = [];
  const stop = watcher.subscribe((users) => told.push(users.length));
  await shows(watcher, 'ada,bob,cyn');
  expect(told).toEqual([3]);
  expect(watcher.users[0]).toEqual({ user: 'ada', state: { typing: false }, connections: 1, since: 0 });
  const [ada, bob] = watcher.users;
  open[0]?.presence('room:a').track({ typing: true });
  await vi.waitUntil(() => watcher.users[0]?.state.typing);
  expect(watcher.users[0]?.since).toBe(ada?.since);
  expect(watcher.users[1]).toBe(bob);
  open[1]?.presence('room:a').untrack();
  await shows(watcher, 'ada,cyn');
  open[2]?.close();
  await shows(watcher, 'ada');
  stop();
});

test('a list that begins anew replaces what had come of the one before', async () => {
  const watcher = client().presence('room:a');
  const stop = watcher.subscribe(() => {});
  await vi.waitUntil(() => watcher.status === 'live');
  const id = server.heard.flatMap((message) => (message.type === 'subscribe' ? [message.id] : []))[0];
  const say = (message: object) => server.say(JSON.stringify({ type: 'presence', id, ...message }));
  const one = (user: string) => ({ user, state: {}, connections: 1, since: 1 });
  say({ full: true, users: [one('ada')], more: true });
  say({ full: true, users: [one('bob')], more: true });
  say({ full: false, users: [one('cyn')] });
  say({ full: false, joins: [one('dan')], leaves: ['bob'] });
  await shows(watcher, 'cyn,dan');
  stop();
});

test('after a cut it is said again, and the list is read anew', async () => {
  const db = client();
  const presence = db.presence('room:a');
  const told: string[] = [];
  const stop = presence.subscribe(() => told.push(`${presence.status} ${names(presence)}`));
  presence.track({ at: 1 }, { user: 'ada' });
  await shows(presence, 'ada');
  server.cut();
  await vi.waitUntil(() => told.at(-1) === 'live ada' && told.includes('reconnecting ada'));
  expect(server.heard.filter(({ type }) => type === 'track')).toHaveLength(2);
  stop();
});

test('where it may not be seen, the program hears why', async () => {
  const presence = client().presence('room:closed');
  const stop = presence.subscribe(() => {});
  presence.track();
  await vi.waitUntil(() => presence.error?.code === 'forbidden');
  stop();
});

test('over event streams others are seen', async () => {
  client().presence('room:a').track({}, { user: 'ada' });
  await vi.waitUntil(() => server.fake.presence.list('room:a').length === 1);
  const watcher = client({ transport: 'sse' }).presence('room:a');
  const stop = watcher.subscribe(() => {});
  watcher.track({}, { user: 'nobody hears this' });
  await shows(watcher, 'ada');
  client().presence('room:a').track({}, { user: 'bob' });
  await vi.waitUntil(() => server.fake.presence.list('room:a').length === 2);
  server.flush();
  await shows(watcher, 'ada,bob');
  stop();
});

test('the same channel is the same object', () => {
  const db = client();
  expect(db.presence('room:a')).toBe(db.presence('room:a'));
  expect(() => db.presence('presence:room:a')).toThrow(TypeError);
});
