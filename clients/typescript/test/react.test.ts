// @vitest-environment happy-dom
/** The hooks in a page, over real sockets. */
import { createElement, type ReactNode, StrictMode, useState } from 'react';
import { createRoot, type Root } from 'react-dom/client';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { WebSocket } from 'ws';
import { connect, type Rowcast } from '../src/index.ts';
import { RowcastProvider, useChannel, useConnection, usePresence, useRowcast, useRows } from '../src/react.ts';
import { RealServer } from './real-server.ts';

let server: RealServer;
let db: Rowcast;
let root: Root;
let page: HTMLElement;

beforeEach(async () => {
  server = await RealServer.start();
  db = connect(server.url, { webSocket: WebSocket, backoff: { baseMs: 5, capMs: 10 }, lingerMs: 20, idleMs: 20 });
  page = document.createElement('div');
  root = createRoot(page);
});
afterEach(async () => {
  root.unmount();
  db.close();
  await server.stop();
});

const render = (node: ReactNode) =>
  root.render(createElement(StrictMode, null, createElement(RowcastProvider, { db }, node)));

const shows = (text: string) => vi.waitUntil(() => page.textContent === text);

const item = (id: number, g = 1) => ({ id, g, v: id });
const subscriptions = () => server.heard.filter(({ type }) => type === 'subscribe');

/** A component that writes its own options anew each time it renders. */
function Ids({ where }: { readonly where?: string }): ReactNode {
  const { rows, status, error } = useRows<{ id: number }>('t', { where, orderBy: 'id desc', limit: 3 });
  return `${status} ${rows.map(({ id }) => id)} ${error?.code ?? ''}`;
}

test('rows are shown live, with one subscription in strict mode and over renders', async () => {
  server.commit(item(1), item(2));
  render(createElement(Ids));
  await shows('live 2,1 ');
  server.commit(item(3), item(4));
  await shows('live 4,3,2 ');
  render(createElement(Ids));
  render([createElement(Ids, { key: 1 }), createElement(Ids, { key: 2 })]);
  await shows('live 4,3,2 live 4,3,2 ');
  expect(subscriptions()).toHaveLength(1);
});

test('another filter is another subscription, and the first one ends', async () => {
  server.commit(item(1, 0), item(2));
  render(createElement(Ids));
  await shows('live 2,1 ');
  render(createElement(Ids, { where: 'g = 1' }));
  await shows('live 2 ');
  await vi.waitUntil(() => server.heard.some(({ type }) => type === 'unsubscribe'));
  render(createElement(Ids, { where: 'bad' }));
  await shows('error  bad_filter');
});

test('rows stay while the connection is away', async () => {
  server.commit(item(1));
  render(createElement(Ids));
  await shows('live 1 ');
  server.cut();
  server.commit(item(2));
  await shows('live 2,1 ');
});

test('without a table nothing is followed', async () => {
  const Nothing = () => useRows(db, undefined).status;
  render(createElement(Nothing));
  await shows('loading');
  expect(db.connection.state).toBe('idle');
});

test('a room is heard by the latest listener, without joining anew', async () => {
  const heard: string[] = [];
  let publish: ReturnType<typeof useChannel>['publish'] | undefined;
  function Room(): ReactNode {
    const [count, setCount] = useState(0);
    const room = useChannel<string>('room:lobby', 'said', (data) => {
      heard.push(`${count} ${data}`);
      setCount(count + 1);
    });
    publish = room.publish;
    return `${room.status} ${count}`;
  }
  render(createElement(Room));
  await shows('live 0');
  await publish?.('said', 'a');
  await shows('live 1');
  await publish?.('said', 'b');
  await shows('live 2');
  expect(heard).toEqual(['0 a', '1 b']);
  expect(subscriptions()).toHaveLength(1);
});

test('the connection is shown', async () => {
  function Badge(): ReactNode {
    const { state } = useConnection();
    return `${state} ${useRowcast() === db}`;
  }
  render([createElement(Badge, { key: 1 }), createElement('i', { key: 2 }, createElement(Ids))]);
  await shows('open truelive  ');
  db.close();
  await shows('closed trueerror  closed');
});

test('a hook without a server says what is missing', async () => {
  const Lost = () => useConnection().state;
  const thrown = await new Promise<unknown>((resolve) => {
    const bare = createRoot(document.createElement('div'), { onUncaughtError: resolve });
    bare.render(createElement(Lost));
  });
  expect(String(thrown)).toContain('RowcastProvider');
});

test('who is there is shown, and this page is one of them while it is shown', async () => {
  const other = connect(server.url, { webSocket: WebSocket, timeoutMs: 1, idleMs: 20 });
  other.presence('room:a').track({ typing: false }, { user: 'ada' });
  await vi.waitUntil(() => server.fake.presence.list('room:a').length === 1);
  function Who({ state }: { readonly state?: object }): ReactNode {
    const { users } = usePresence<{ typing: boolean }>('room:a', state);
    return users.map(({ user, state: { typing } }) => `${user}${typing ? '…' : ''} `).join('');
  }
  render(createElement(Who));
  await shows('ada ');
  render(createElement(Who, { state: { typing: true } }));
  await shows('ada guest… ');
  const said = () => server.heard.filter(({ type }) => type === 'track').length;
  const before = said();
  render(createElement(Who, { state: { typing: true } }));
  render(createElement(Who, { state: { typing: false } }));
  await shows('ada guest ');
  expect(said()).toBe(before + 1);
  render(createElement(Who));
  await shows('ada ');
  other.close();
});

test('a page that is not let in can show a form, and mend it', async () => {
  server.fake.tokens = new Map([['good', 'ada']]);
  let mend: ReturnType<typeof useConnection>['authenticate'] | undefined;
  function Door(): ReactNode {
    const { state, user, authenticate } = useConnection();
    mend = authenticate;
    return [state === 'unauthenticated' ? 'log in' : `${user} `, createElement(Ids, { key: 1 })];
  }
  render(createElement(Door));
  await shows('log inloading  unauthenticated');
  mend?.('good');
  await shows('ada live  ');
});
