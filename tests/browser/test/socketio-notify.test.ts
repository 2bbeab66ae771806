// The example `examples/notify-socketio`: a trigger, pg_notify, and the page of many a tutorial, with Socket.IO clients of every age.
// The page runs as it is: it asks for http://localhost:9000, and the browser finds Rowcast there.

import { createRequire } from 'node:module';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { launch, open } from '../src/browser';
import { ROOT, Server } from '../src/server';
import { type Site, site } from '../src/site';

const PAGE = 'http://localhost:8000';
const { resolve } = createRequire(import.meta.url);
const CLIENTS = ['socket.io-client-1', 'socket.io-client-2', 'socket.io-client-3', 'socket.io-client'];

let server: Server;

beforeAll(async () => {
  server = await Server.notifySocketio();
});

afterAll(() => server?.close());

const insert = (...titles: string[]) => {
  for (const title of titles) server.sql(`insert into realtime (title) values ('${title.replaceAll("'", "''")}')`);
};
/** The titles, in the order in which they came. */
const shown = async (page: Page) => (await page.locator('#records li').allInnerTexts()).reverse();
const transport = (page: Page) => page.evaluate('socket.io.engine.transport.name');

describe.each(CLIENTS)('with %s', (client) => {
  let pages: Site;
  let browser: Browser;

  beforeAll(async () => {
    const script = join(resolve(`${client}/package.json`), '../dist/socket.io.js');
    pages = await site(join(ROOT, 'examples/notify-socketio/page'), { 'socket.io.js': script });
    browser = await launch({ 'localhost:9000': server.address, 'localhost:8000': pages.address });
  });

  afterAll(async () => {
    await browser?.close();
    pages?.close();
  });

  async function show(allowed: RegExp | null = null, before: (page: Page) => Promise<unknown> = async () => {}) {
    const watched = await open(browser, 'about:blank');
    await before(watched.page);
    await watched.page.goto(PAGE);
    onTestFinished(async () => {
      const problems = watched.problems.filter((problem) => !allowed?.test(problem));
      await watched.close();
      expect(problems).toEqual([]);
    });
    await watched.page.locator('#state[data-state="live"]').waitFor();
    return watched.page;
  }

  /** Waits until the page has said that it is ready, and hears. */
  async function hears(page: Page): Promise<void> {
    await expect
      .poll(async () => {
        insert('is it there?');
        return (await shown(page)).length;
      })
      .toBeGreaterThan(0);
    await page.evaluate("document.getElementById('records').replaceChildren()");
  }

  it('the page of another origin shows rows as they are added, over a WebSocket in the end', async () => {
    const page = await show();
    await expect.poll(() => transport(page)).toBe('websocket');
    await hears(page);
    insert('a title', 'Grüße, ελληνικά, 🚀', `"quotes" & '<b>'`);
    await expect.poll(() => shown(page)).toEqual(['a title', 'Grüße, ελληνικά, 🚀', `"quotes" & '<b>'`]);
  });

  it('the page shows them by long-polling where no WebSocket comes through', async () => {
    const page = await show(/WebSocket/, (page) => page.routeWebSocket(/./, (socket) => socket.close()));
    await hears(page);
    const titles = Array.from({ length: 40 }, (_, n) => `Grüße 🚀 ${n}`);
    insert(...titles);
    await expect.poll(() => shown(page)).toEqual(titles);
    expect(await transport(page)).toBe('polling');
  });

  it('the page shows them in a browser that has no WebSocket', async () => {
    const page = await show(null, (page) => page.addInitScript('delete window.WebSocket'));
    await hears(page);
    insert('old browser');
    await expect.poll(() => shown(page)).toEqual(['old browser']);
  });

  it('nothing is sent before the client is ready, and once however often it says so', async () => {
    const page = await show();
    await hears(page);
    await page.evaluate(`
      window.silent = []; window.eager = [];
      window.first = io.connect('http://localhost:9000', { forceNew: true });
      first.on('update', function (data) { silent.push(data); });
      window.second = io.connect('http://localhost:9000', { forceNew: true });
      second.on('connected', function (data) { window.greeting = data; for (var i = 0; i < 3; i++) second.emit('ready for data', {}); });
      second.on('update', function (data) { eager.push(data); });`);
    const eager = () => page.evaluate('eager') as Promise<{ message: Record<string, unknown> }[]>;
    await expect
      .poll(async () => {
        insert('again');
        return (await eager()).length;
      })
      .toBeGreaterThan(0);
    const before = (await eager()).length;
    insert('once');
    await expect.poll(async () => (await eager()).at(-1)?.message.payload).toBe('once');
    insert('twice');
    await expect.poll(async () => (await eager()).at(-1)?.message.payload).toBe('twice');
    const all = await eager();
    expect(all.length).toBe(before + 2);
    expect(await page.evaluate('greeting')).toEqual({ connected: true });
    expect(await page.evaluate('silent')).toEqual([]);
    // As node-postgres shapes it.
    expect(all.at(-1)).toEqual({
      message: {
        channel: 'addedrecord',
        payload: 'twice',
        processId: expect.any(Number),
        length: expect.any(Number),
        name: 'notification',
      },
    });
  });

  it('the page comes back by itself when the server does', async () => {
    const page = await show(/ERR_|WebSocket|Failed to load/);
    await hears(page);
    await server.crash();
    await page.locator('#state[data-state="waiting"]').waitFor();
    await server.start();
    await page.locator('#state[data-state="live"]').waitFor({ timeout: 30_000 });
    await hears(page);
    insert('after');
    await expect.poll(() => shown(page)).toEqual(['after']);
  });
});
