/** The whole client against real sockets. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { WebSocket } from 'ws';
import { type ConnectOptions, connect, type Row, type Rowcast, type RowcastError } from '../src/index.ts';
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

function client(options: ConnectOptions = {}): Rowcast {
  const backoff = { baseMs: 5, capMs: 20 };
  const db = connect(server.url, { webSocket: WebSocket, backoff, lingerMs: 10, idleMs: 10, ...options });
  open.push(db);
  return db;
}

/** Resolves when what a store shows is as wished. */
function until<S extends { readonly subscribe: (listener: () => void) => () => void }>(
  store: S,
  wish: (store: S) => boolean,
): Promise<void> {
  return new Promise((resolve) => {
    const look = () => {
      if (wish(store)) {
        stop();
        resolve();
      }
    };
    let stop = () => {};
    stop = store.subscribe(look);
    look();
  });
}

const ids = (rows: readonly object[]) => rows.map((row) => (row as Row).id);
const item = (id: number, g = 1) => ({ id, g, v: id });
const failure = (promise: Promise<unknown>) =>
  promise.then(
    () => expect.unreachable(),
    (error: RowcastError) => error,
  );

describe.each(['websocket', 'sse'] as const)('over %s', (transport) => {
  test('rows are live, and go on after the connection was cut', async () => {
    server.commit(item(1), item(2, 0));
    const live = client({ transport }).table('t', { where: 'g = 1', orderBy: 'id desc' });
    const stop = live.subscribe(() => {});
    await live.ready();
    expect(ids(live.rows)).toEqual([1]);
    server.commit(item(3), item(4));
    await until(live, ({ rows }) => rows.length === 3);
    server.cut();
    await until(live, ({ status }) => status === 'reconnecting');
    server.commit(item(5));
    expect(ids(live.rows)).toEqual([4, 3, 1]);
    await until(live, ({ status, rows }) => status === 'live' && rows.length === 4);
    expect(ids(live.rows)).toEqual([5, 4, 3, 1]);
    stop();
  });

  test('changes are told exactly once over cuts', async () => {
    const seen: unknown[] = [];
    const begun = new Promise<void>((resolve) => {
      client({ transport }).changes('t', { onSubscribed: () => resolve() }, ({ row }) => seen.push(row.id));
    });
    await begun;
    for (let id = 1; id <= 60; id++) {
      server.commit(item(id));
      if (id % 20 === 0) {
        server.cut();
        await new Promise((resolve) => setTimeout(resolve, id % 3));
      }
    }
    await vi.waitUntil(() => seen.length >= 60);
    expect(seen).toEqual(Array.from({ length: 60 }, (_, index) => index + 1));
  });

  test('a refused filter is told with its place, and can be tried again', async () => {
    const live = client({ transport }).table('t', { where: 'bad' });
    const stop = live.subscribe(() => {});
    const error = await failure(live.ready());
    expect(error).toMatchObject({ name: 'RowcastError', code: 'bad_filter', at: { offset: 0, length: 3 } });
    expect(live.status).toBe('error');
    live.refresh();
    await until(live, (now) => now.status === 'error' && now.error !== error);
    stop();
  });

  test('rows are inserted, messages published', async () => {
    const db = client({ transport });
    const room = db.channel('room:lobby');
    const heard: unknown[] = [];
    room.on('said', (data) => heard.push(data));
    room.on('*', (_, { event, position }) => heard.push([event, position === undefined]));
    await until(room, ({ status }) => status === 'live');
    expect(await room.publish('said', { text: 'hi' })).toEqual({ position: '1-1' });
    expect(await room.publish('typing', undefined, { ephemeral: true })).toEqual({});
    await vi.waitUntil(() => heard.length === 3);
    expect(heard).toEqual([{ text: 'hi' }, ['said', false], ['typing', true]]);
    const some = await db.insert('t', [item(7), { nothing: 1 }]);
    expect(some).toEqual({ count: 1, position: '1-2', rejected: [{ line: 2, reason: 'no id' }] });
    expect(await db.insert('t', { nothing: 1 })).toEqual({ count: 0, rejected: [{ line: 1, reason: 'no id' }] });
  });

  test('rows are changed and removed, alone and together', async () => {
    const db = client({ transport });
    expect(
      await db.write([
        { insert: 't', row: item(7) },
        { require: 't', where: 'id = 7' },
      ]),
    ).toMatchObject({
      counts: [1, 1],
    });
    const { count, position } = await db.update('t', { v: 8 }, { where: 'id = 7', rows: 1 });
    expect([count, typeof position]).toEqual([1, 'string']);
    expect(await db.delete('t', { where: 'id = 9' })).toMatchObject({ count: 0 });
    const both = db.write([
      { delete: 't', where: 'id = 7' },
      { update: 't', set: { v: 1 }, where: 'id = 7', rows: 1 },
    ]);
    expect(await failure(both)).toMatchObject({ code: 'conflict', uncertain: false });
    expect(await db.delete('t', { where: 'id = 7', rows: 1 })).toMatchObject({ count: 1 });
  });

  test("an application's own event is heard under its name", async () => {
    const data = client({ transport }).channel('event:newData');
    const heard: unknown[] = [];
    data.on('newData', (fields, { position }) => heard.push([fields, position]));
    await until(data, ({ status }) => status === 'live');
    await client({ transport }).channel('event:newData').publish('newData', { speed: '37' });
    await vi.waitUntil(() => heard.length === 1);
    expect(heard).toEqual([[{ speed: '37' }, '1-1']]);
    // Under its own name it could not be told from what the protocol says itself.
    expect(server.wishes.map(({ wrapped }) => wrapped)).toEqual(transport === 'sse' ? ['true'] : []);
  });
});

describe('the connection', () => {
  test('begins with the first wish and ends after the last', async () => {
    const db = client();
    expect(db.connection.state).toBe('idle');
    const live = db.table('t');
    const stop = live.subscribe(() => {});
    expect(db.connection.state).toBe('connecting');
    await live.ready();
    expect(db.connection).toMatchObject({ state: 'open', transport: 'websocket', session: 'a', server: 'test' });
    stop();
    await until(db.connection, ({ state }) => state === 'idle');
    await vi.waitUntil(() => server.sockets.size === 0);
  });

  test('is one for the same address and options', async () => {
    const db = client();
    expect(client()).toBe(db);
    expect(client({ timeoutMs: 1 })).not.toBe(db);
    db.close();
    expect(client()).not.toBe(db);
  });

  test('shares a subscription between equal options, whatever their order', async () => {
    const db = client();
    const live = db.table('t', { where: 'g = 1', limit: 3 });
    expect(db.table('t', { limit: 3, where: ' g = 1 ', columns: undefined })).toBe(live);
    const stops = [live.subscribe(() => {}), live.subscribe(() => {})];
    await live.ready();
    stops[0]?.();
    stops[1]?.();
    const again = live.subscribe(() => {});
    await db.insert('t', item(1));
    expect(server.heard.map(({ type }) => type)).toEqual(['subscribe', 'insert']);
    again();
  });

  test('tells when it waits, and tries at once when asked', async () => {
    const db = client({ backoff: { baseMs: 1e9, capMs: 1e9 } });
    const live = db.table('t');
    const stop = live.subscribe(() => {});
    await live.ready();
    server.cut();
    await until(db.connection, ({ state }) => state === 'waiting');
    expect(db.connection).toMatchObject({ attempt: 1, error: { code: 'connection_lost' } });
    expect(db.connection.retryInMs).toBeGreaterThan(0);
    db.connection.retry();
    await until(db.connection, ({ state }) => state === 'open');
    expect(db.connection).toMatchObject({ attempt: 0, error: undefined, retryAt: undefined, retryInMs: undefined });
    stop();
  });

  test('falls back to event streams where WebSocket does not come through', async () => {
    server.upgrades = false;
    const db = client({ transport: 'auto' });
    await db.table('t').ready();
    expect(db.connection.transport).toBe('sse');
  });

  test('uses event streams where there is no WebSocket', async () => {
    const db = client({ webSocket: undefined });
    await db.table('t').ready();
    expect(db.connection.transport).toBe(typeof globalThis.WebSocket === 'function' ? 'websocket' : 'sse');
  });

  test('is not hurt by what the server sends, and tells once', async () => {
    const told: string[] = [];
    const db = client({ onError: ({ code }) => told.push(code) });
    const live = db.table('t');
    const stop = live.subscribe(() => {});
    await live.ready();
    for (const text of ['', '{', '[]', 'null', '{"type":"news"}', '{"type":"change","id":"s1"}', Buffer.from([1, 2])]) {
      server.say(text);
      server.say(text);
    }
    server.commit(item(1));
    await until(live, ({ rows }) => rows.length === 1);
    expect(told).toEqual(['malformed', 'malformed', 'malformed', 'malformed', 'malformed']);
    stop();
  });

  test('is not hurt by listeners that throw', async () => {
    const thrown = vi.spyOn(console, 'error').mockImplementation(() => {});
    const db = client();
    const live = db.table('t');
    const stop = live.subscribe(() => {
      throw new Error('of the program');
    });
    await live.ready();
    server.commit(item(1));
    await until(live, ({ rows }) => rows.length === 1);
    expect(thrown).toHaveBeenCalled();
    thrown.mockRestore();
    stop();
  });

  test('shows every frame to who asks', async () => {
    const frames: string[] = [];
    const db = client({ onFrame: ({ direction, text }) => frames.push(`${direction} ${JSON.parse(text).type}`) });
    await db.table('t').ready();
    expect(frames).toEqual(['in hello', 'out subscribe', 'in snapshot', 'in subscribed']);
  });
});

describe('requests', () => {
  test('without an answer end when the connection does, and are not sent again', async () => {
    server.mute = true;
    const db = client();
    const answer = failure(db.insert('t', item(1)));
    await vi.waitUntil(() => server.heard.length === 1);
    server.cut();
    expect(await answer).toMatchObject({ code: 'connection_lost', uncertain: true });
    await db.table('t').ready();
    expect(server.heard.map(({ type }) => type)).toEqual(['insert', 'subscribe']);
  });

  test('wait for the connection, or not', async () => {
    const db = client();
    const options = { whenDisconnected: 'reject' as const };
    expect(await failure(db.insert('t', item(1), options))).toMatchObject({ code: 'not_connected', uncertain: false });
    expect(await db.insert('t', item(1))).toMatchObject({ count: 1 });
  });

  test('time out', async () => {
    server.mute = true;
    const answer = await failure(client().insert('t', item(1), { timeoutMs: 30 }));
    expect(answer).toMatchObject({ code: 'timeout', uncertain: true });
  });

  test('too large for a message go over HTTP', async () => {
    const rows = Array.from({ length: 100 }, (_, id) => item(id));
    expect(await client().insert('t', rows)).toMatchObject({ count: 100, rejected: [] });
    expect(server.requests).toEqual(['POST /v1/tables/t']);
  });

  test('are rejected when the program closes the connection', async () => {
    server.mute = true;
    const db = client();
    const answer = failure(db.insert('t', item(1)));
    await vi.waitUntil(() => server.heard.length === 1);
    db.close();
    expect(await answer).toMatchObject({ code: 'closed', uncertain: true });
    expect(await failure(db.insert('t', item(2)))).toMatchObject({ code: 'closed', uncertain: false });
    expect(await failure(db.table('t').ready())).toMatchObject({ code: 'closed' });
    expect(db.connection.state).toBe('closed');
  });
});

describe('an iteration', () => {
  test('takes every change, however slow it is', async () => {
    const feed = client().changes('t', { bufferMax: 3, since: '1-0' });
    const seen: unknown[] = [];
    for (let id = 1; id <= 20; id++) {
      server.commit(item(id));
    }
    for await (const { row, position } of feed) {
      seen.push(row.id);
      expect(feed.position).toBe(position);
      if (seen.length === 10) {
        server.cut();
        server.commit(item(21));
      }
      await new Promise((resolve) => setTimeout(resolve, 1));
      if (seen.length === 21) {
        break;
      }
    }
    expect(seen).toEqual(Array.from({ length: 21 }, (_, index) => index + 1));
    expect(feed.status).toBe('closed');
    expect(server.heard.filter(({ type }) => type === 'subscribe').length).toBeGreaterThan(2);
  });

  test('throws when changes are missing, unless somebody is told', async () => {
    server.commit(item(1));
    server.fake.forget();
    const iterate = async () => {
      for await (const _ of client().changes('t', { since: '1-0' })) {
        expect.unreachable();
      }
    };
    expect(await failure(iterate())).toMatchObject({ code: 'gap' });
    const gaps: string[] = [];
    const feed = client().changes('t', { since: '1-0', onGap: ({ reason }) => gaps.push(reason) });
    const first = feed[Symbol.asyncIterator]().next();
    await vi.waitUntil(() => gaps.length === 1);
    server.commit(item(2));
    expect((await first).value).toMatchObject({ op: 'insert', row: { id: 2 } });
    feed.close();
  });

  test('throws when the subscription is refused', async () => {
    const iterate = async () => {
      for await (const _ of client().changes('t', { where: 'bad' })) {
        expect.unreachable();
      }
    };
    expect(await failure(iterate())).toMatchObject({ code: 'bad_filter' });
  });

  test('has the rows first, if they are asked for', async () => {
    server.commit(item(1), item(2), item(3), item(4));
    const parts: unknown[] = [];
    await new Promise<void>((resolve) => {
      client().changes('t', {
        snapshot: { orderBy: 'id desc', limit: 4 },
        onSnapshot: (rows, { first, done, key }) => parts.push([ids(rows), first, done, key]),
        onSubscribed: ({ resumed }) => {
          parts.push(resumed);
          resolve();
        },
      });
    });
    expect(parts).toEqual([[[4, 3, 2], true, false, ['id']], [[1], false, true, ['id']], false]);
  });
});

describe('HTTP', () => {
  test('asks as the protocol says', async () => {
    const db = client();
    const rows = await db.query('t', { where: 'a > 1', columns: ['a', 'b,c'], orderBy: 'a desc', limit: 5, offset: 0 });
    expect(rows).toEqual([
      { query: { where: 'a > 1', columns: 'a,"b,c"', order_by: 'a desc', limit: '5', offset: '0' } },
    ]);
    expect(rows.position).toBe('1-0');
    expect(await db.series('t', { time: 'at', value: ['x', 'y'], groupBy: 'g', from: 1, exact: false })).toEqual({
      query: { time: 'at', value: 'x,y', group_by: 'g', from: '1', exact: 'false' },
    });
    expect(await db.tables()).toEqual([{ name: 't', columns: [], key: ['id'] }]);
  });

  test('tells what the server said is wrong', async () => {
    const error = await failure(client().query('none'));
    expect(error).toMatchObject({ code: 'not_found', message: 'nothing here', hint: 'try /v1/tables' });
  });

  test('tells that there is no server', async () => {
    const db = client();
    await server.stop();
    expect(await failure(db.tables())).toMatchObject({ code: 'network' });
  });
});

test('a table that is not a room cannot be joined', () => {
  expect(() => client().channel('table:t')).toThrow(TypeError);
});
