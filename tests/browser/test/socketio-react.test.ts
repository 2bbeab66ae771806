// The example `examples/speedometer/react`: a simulator, MariaDB, Rowcast, and a React page on an origin of its own.
// The page is built as it is: it asks for http://localhost:4000, and the browser finds Rowcast there.

import { rmSync } from 'node:fs';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import { launch, open } from '../src/browser';
import { Server, Simulator } from '../src/server';
import { built, type Site, site } from '../src/site';

const EXAMPLE = 'examples/speedometer/react';
const PAGE = 'http://localhost:5173';

let folder: string;
let simulator: Simulator;
let server: Server;
let pages: Site;
let browser: Browser;

beforeAll(async () => {
  [simulator, folder] = await Promise.all([Simulator.start('--rate', '10', '--wave', 'walk'), built(EXAMPLE)]);
  [server, pages] = await Promise.all([Server.speedometer(`${simulator.url}/stream`, EXAMPLE), site(folder)]);
  browser = await launch({
    'localhost:4000': server.address,
    'localhost:5173': pages.address,
    'localhost:6173': pages.address,
  });
});

afterAll(async () => {
  await browser?.close();
  pages?.close();
  await server?.close();
  await simulator?.close();
  if (folder !== undefined) rmSync(folder, { recursive: true });
});

async function show(url = PAGE, allowed: RegExp | null = null): Promise<Page> {
  const watched = await open(browser, url);
  onTestFinished(async () => {
    const problems = watched.problems.filter((problem) => !allowed?.test(problem));
    await watched.close();
    expect(problems).toEqual([]);
  });
  return watched.page;
}

const live = (page: Page) => page.locator('[role=status][data-state="live"]');
const speed = (page: Page) => page.locator('.speed').innerHTML();
const needle = (page: Page) => page.locator('.needle').evaluate((line: SVGElement) => line.style.transform);
const stored = () => Number(server.sql('select count(*) from Data'));

it('the needle moves, between 0 and 60, and the time of the last point is there', async () => {
  const page = await show();
  await live(page).waitFor();
  await expect.poll(() => speed(page)).toMatch(/^\d+$/);
  const before = await needle(page);
  await expect.poll(() => needle(page), { timeout: 20_000 }).not.toBe(before);
  expect(Number(await speed(page))).toBeLessThanOrEqual(60);
  expect(await page.locator('time').innerText()).toMatch(/\d+:\d\d:\d\d/);
});

it('what comes is what is stored: time and speed, as text', async () => {
  const page = await show();
  await expect.poll(() => speed(page)).toMatch(/^\d+$/);
  const last = async () => [await speed(page), server.sql('select speed from Data order by id desc limit 3')] as const;
  await expect
    .poll(async () => {
      const [seen, rows] = await last();
      return rows.split('\n').includes(seen);
    })
    .toBe(true);
});

it('shows what another program inserts', async () => {
  const page = await show();
  await live(page).waitFor();
  await expect
    .poll(
      async () => {
        server.sql(`insert into Data (time, speed) values (${Date.now()}, '59')`);
        return speed(page);
      },
      { timeout: 20_000 },
    )
    .toBe('59');
});

it('goes on after a restart of the simulator and of Rowcast', async () => {
  const page = await show(PAGE, /ERR_|WebSocket|Failed to load/);
  await live(page).waitFor();
  await simulator.restart();
  await server.crash();
  await page.locator('[role=status][data-state="waiting"]').waitFor();
  await server.start();
  await live(page).waitFor({ timeout: 30_000 });
  const before = stored();
  await expect.poll(stored, { timeout: 30_000 }).toBeGreaterThan(before + 10);
  const shown = await needle(page);
  await expect.poll(() => needle(page), { timeout: 20_000 }).not.toBe(shown);
});

it('a page of an origin that is not allowed gets nothing', async () => {
  const page = await show('http://localhost:6173', /CORS|ERR_|WebSocket|Failed to load/);
  await expect.poll(() => page.locator('[role=status]').getAttribute('data-state')).toBe('waiting');
  await page.waitForRequest(/socket\.io/);
  await page.waitForRequest(/socket\.io/);
  expect(await page.locator('[role=status]').getAttribute('data-state')).toBe('waiting');
  expect(await speed(page)).toBe('–');
});
