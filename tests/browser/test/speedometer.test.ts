// The example `examples/speedometer`: a simulator, MariaDB, Rowcast, and the page.

import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import { launch, open } from '../src/browser';
import { Server, Simulator } from '../src/server';

let simulator: Simulator;
let server: Server;
let browser: Browser;

beforeAll(async () => {
  [simulator, browser] = await Promise.all([Simulator.start('--rate', '10', '--wave', 'walk'), launch()]);
  server = await Server.speedometer(`${simulator.url}/stream`);
});

afterAll(async () => {
  await browser?.close();
  await server?.close();
  await simulator?.close();
});

async function show(allowed: RegExp | null = null): Promise<Page> {
  const watched = await open(browser, `${server.url}/`);
  onTestFinished(async () => {
    const problems = watched.problems.filter((problem) => !allowed?.test(problem));
    await watched.close();
    expect(problems).toEqual([]);
  });
  await watched.page.locator('#state[data-state="live"]').waitFor();
  return watched.page;
}

const needle = (page: Page) => page.locator('.needle').evaluate((line: SVGElement) => line.style.transform);
const count = async (page: Page) => Number(await page.locator('#points').innerText());
/** The points of the line. */
const drawn = async (page: Page) =>
  (await page.locator('#chart .speed').getAttribute('d'))?.split(/[ML]/).slice(1).length ?? 0;
const stored = () => Number(server.sql('select count(*) from Data'));

it('moves the needle, writes the time of the last point, and draws a line of what is stored', async () => {
  const page = await show();
  await expect.poll(() => count(page)).toBeGreaterThan(5);
  const before = await needle(page);
  await expect.poll(() => needle(page), { timeout: 20_000 }).not.toBe(before);
  const speed = Number(await page.locator('#speed').innerText());
  expect(speed).toBeGreaterThanOrEqual(0);
  expect(speed).toBeLessThanOrEqual(60);
  expect(await page.locator('#time').innerText()).toMatch(/\d+:\d\d:\d\d/);
  expect(await drawn(page)).toBeGreaterThan(5);
});

it('shows the history at once after a reload', async () => {
  await expect.poll(stored, { timeout: 20_000 }).toBeGreaterThan(30);
  const page = await show();
  await expect.poll(() => count(page), { timeout: 2_000 }).toBeGreaterThan(30);
});

it('shows what another program inserts', async () => {
  const page = await show();
  const dial = page.locator('#speed');
  await expect
    .poll(
      async () => {
        server.sql(`insert into Data (time, speed) values (${Date.now()}, '59')`);
        return dial.innerText();
      },
      { timeout: 20_000 },
    )
    .toBe('59');
});

it('survives a restart of the simulator and of Rowcast, and misses no point', async () => {
  const page = await show(/ERR_|Failed to load/);
  await simulator.restart();
  await server.crash();
  await page.locator('#state[data-state="waiting"]').waitFor();
  await server.start();
  await page.locator('#state[data-state="live"]').waitFor({ timeout: 30_000 });
  const before = stored();
  await expect.poll(stored, { timeout: 30_000 }).toBeGreaterThan(before + 10);
  // All points are of the last five minutes, so the page has all of them.
  await expect.poll(async () => Math.abs((await count(page)) - stored()), { timeout: 20_000 }).toBeLessThanOrEqual(2);
});
