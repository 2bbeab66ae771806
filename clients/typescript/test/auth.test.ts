/** Who this is, over real sockets. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { WebSocket } from 'ws';
import { type ConnectOptions, connect, type Row, type Rowcast } from '../src/index.ts';
import { RealServer } from './real-server.ts';

let server: RealServer;
const open: Rowcast[] = [];

beforeEach(async () => {
  server = await RealServer.start();
  server.fake.tokens = new Map([
    ['token-of-ada', 'ada'],
    ['newer-token-of-ada', 'ada'],
    ['token-of-bob', 'bob'],
  ]);
  server.commit(item(1), item(2, 0));
});
afterEach(async () => {
  for (const db of open.splice(0)) {
    db.close();
  }
  await server.stop();
});

function client(options: ConnectOptions = {}): Rowcast {
  const backoff = { baseMs: 5, capMs: 20 };
  const db = connect(server.url, { webSocket: WebSocket, backoff, lingerMs: 10, idleMs: 10, ...options });
  open.push(db);
  return db;
}

const item = (id: number, g = 1) => ({ id, g, v: id });
const ids = (rows: readonly object[]) => rows.map((row) => (row as Row).id);
const state = (db: Rowcast, wished: string) => vi.waitUntil(() => db.connection.state === wished);
const tokensShown = () => server.heard.flatMap((message) => (message.type === 'auth' ? [message.token] : []));

describe.each(['websocket', 'sse'] as const)('over %s', (transport) => {
  test('a token opens the door, and the connection says whose it is', async () => {
    const db = client({ transport, auth: async () => 'token-of-ada' });
    expect(ids((await db.table('t').ready()).rows)).toEqual([1, 2]);
    expect(db.connection).toMatchObject({ state: 'open', user: 'ada' });
    expect(await db.insert('t', item(3))).toMatchObject({ count: 1 });
  });

  test('a refused token is asked for once more', async () => {
    const tokens = ['an-old-one', 'token-of-ada'];
    const auth = vi.fn(async () => tokens.shift() ?? '');
    await client({ transport, auth }).table('t').ready();
    expect(auth).toHaveBeenCalledTimes(2);
  });

  test('without a good one it stops and says why, until it is given one', async () => {
    const db = client({ transport, auth: 'forged' });
    const live = db.table('t');
    const stop = live.subscribe(() => {});
    await state(db, 'unauthenticated');
    expect(db.connection.error).toMatchObject({ code: 'unauthenticated', message: 'no good token' });
    await vi.waitUntil(() => live.error?.code === 'unauthenticated');
    db.authenticate('token-of-ada');
    await live.ready();
    expect([db.connection.state, live.error]).toEqual(['open', undefined]);
    stop();
  });

  test('another user sees nothing of what the first one saw', async () => {
    const db = client({ transport, auth: 'token-of-ada' });
    const live = db.table('t');
    const stop = live.subscribe(() => {});
    await live.ready();
    db.authenticate('token-of-bob');
    await vi.waitUntil(() => db.connection.user === 'bob' && live.status === 'live' && live.revoked !== undefined);
    expect(live.revoked).toBe('this is another user now');
    const asked = transport === 'sse' ? server.wishes : server.heard.filter(({ type }) => type === 'subscribe');
    expect(asked.at(-1)).not.toHaveProperty('since');
    stop();
  });

  test('a client without a token stops where one is needed, and goes on when it is let in', async () => {
    const db = client({ transport });
    const live = db.table('t');
    const stop = live.subscribe(() => {});
    await state(db, 'unauthenticated');
    // As a page does that has been given a cookie.
    server.fake.tokens = undefined;
    db.connection.retry();
    await live.ready();
    stop();
  });
});

test('HTTP shows the token, and asks for another when it is refused', async () => {
  const tokens = ['an-old-one', 'token-of-ada', 'token-of-bob'];
  const auth = vi.fn(() => tokens.shift() ?? '');
  const db = client({ auth });
  expect(await db.tables()).toHaveLength(1);
  expect(await db.query('t')).toHaveLength(1);
  expect(auth).toHaveBeenCalledTimes(2);
  const none = client({ auth: 'forged' });
  await expect(none.query('t')).rejects.toMatchObject({ code: 'unauthenticated' });
});

test('a program that cannot ask for a token tries again; one that is not logged in stops', async () => {
  const auth = vi.fn(async () => {
    if (auth.mock.calls.length < 3) {
      throw new Error('the identity provider is away');
    }
    return 'token-of-ada';
  });
  await client({ auth }).table('t').ready();
  const db = client({ auth: () => '' });
  const stop = db.table('t').subscribe(() => {});
  await state(db, 'unauthenticated');
  expect(db.connection.error?.message).toContain('no token');
  stop();
});

test('who waits for rows, or loops over changes, hears that nothing will come', async () => {
  const db = client({ auth: 'forged' });
  await expect(db.table('t').ready()).rejects.toMatchObject({ code: 'unauthenticated' });
  await expect(db.table('t', { where: 'g = 1' }).ready()).rejects.toMatchObject({ code: 'unauthenticated' });
  const next = db.changes('t')[Symbol.asyncIterator]().next();
  await expect(next).rejects.toMatchObject({ code: 'unauthenticated', message: 'no good token' });
  db.authenticate('token-of-ada');
  await db.table('t').ready();
  // The loop has ended, and its subscription with it.
  expect(server.heard.filter((message) => message.type === 'subscribe' && message.snapshot === false)).toEqual([]);
});

test('an expiring token is replaced in place', async () => {
  const tokens = ['token-of-ada', 'newer-token-of-ada'];
  const db = client({ auth: () => tokens.shift() ?? '' });
  const live = db.table('t');
  const told: string[] = [];
  const stop = live.subscribe(() => told.push(live.status));
  await live.ready();
  told.length = 0;
  for (const session of server.fake.sessions) {
    session.expiring();
  }
  server.flush();
  await vi.waitUntil(() => tokensShown().length === 2);
  server.commit(item(3));
  await vi.waitUntil(() => live.rows.length === 3);
  expect(tokensShown()).toEqual(['token-of-ada', 'newer-token-of-ada']);
  expect(new Set(told)).toEqual(new Set(['live']));
  expect(server.heard.filter(({ type }) => type === 'subscribe')).toHaveLength(1);
  stop();
});

test('what is revoked is gone at once, and what is left is shown after', async () => {
  const db = client({ auth: 'token-of-ada' });
  const live = db.table('t', { where: 'g = 1' });
  const seen: string[] = [];
  const stop = live.subscribe(() => seen.push(`${live.status} ${ids(live.rows)}`));
  await live.ready();
  const gaps: unknown[] = [];
  const feed = db.changes(
    't',
    { onSubscribed: () => gaps.push('on'), onGap: (gap) => gaps.push(gap.reason) },
    () => {},
  );
  await vi.waitUntil(() => gaps.length === 1);
  for (const session of server.fake.sessions) {
    session.revoke('you were removed');
    session.write(1);
  }
  await vi.waitUntil(() => seen.at(-1) === 'loading ');
  expect(live.revoked).toBe('you were removed');
  server.flush();
  await vi.waitUntil(() => seen.at(-1) === 'live 1');
  await vi.waitUntil(() => gaps.length === 3);
  expect(gaps).toEqual(['on', 'revoked', 'on']);
  feed.close();
  const loop = db.changes('t')[Symbol.asyncIterator]();
  const next = loop.next();
  await vi.waitUntil(() => server.heard.filter(({ type }) => type === 'subscribe').length === 3);
  for (const session of server.fake.sessions) {
    session.revoke('you were removed');
  }
  server.flush();
  await expect(next).rejects.toMatchObject({ code: 'revoked', message: 'you were removed' });
  stop();
});

test('`close` with the reason `revoked` is the end', async () => {
  const db = client({ auth: 'token-of-ada' });
  const live = db.table('t');
  const stop = live.subscribe(() => {});
  await live.ready();
  server.say(JSON.stringify({ type: 'close', reason: 'revoked', message: 'by an operator', retry_ms: 0 }));
  server.cut();
  await state(db, 'unauthenticated');
  expect(db.connection.error).toMatchObject({ code: 'revoked', message: 'by an operator' });
  stop();
});

test('a WebSocket that is closed with 4403 has been put out', async () => {
  const db = client({ transport: 'websocket', auth: 'token-of-ada' });
  const stop = db.table('t').subscribe(() => {});
  await state(db, 'open');
  server.close(4403);
  await state(db, 'unauthenticated');
  expect(db.connection.error?.code).toBe('revoked');
  stop();
});

test('a WebSocket that is refused because of an old cookie says so', async () => {
  server.fake.tokens = undefined;
  server.oldCookie = true;
  const db = client({ transport: 'websocket' });
  const stop = db.table('t').subscribe(() => {});
  await state(db, 'unauthenticated');
  server.oldCookie = false;
  db.connection.retry();
  await state(db, 'open');
  stop();
});

test('no token is in an address or in what a console shows', async () => {
  const frames: string[] = [];
  const fetched: string[] = [];
  const watched: typeof fetch = (url, init) => {
    fetched.push(String(url));
    return fetch(url, init);
  };
  for (const transport of ['websocket', 'sse'] as const) {
    const db = client({ transport, auth: 'token-of-ada', fetch: watched, onFrame: ({ text }) => frames.push(text) });
    await db.table('t').ready();
    await db.query('t');
  }
  expect(frames.some((text) => text.includes('"auth"'))).toBe(true);
  expect(fetched.length).toBeGreaterThan(3);
  expect([...frames, ...fetched].join()).not.toContain('token-of-ada');
});
