// The pages on a PostgreSQL that somebody else writes to.

import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import { launch, open } from '../src/browser';
import { Server } from '../src/server';

let server: Server;
let browser: Browser;

const SCHEMA = `
  create table readings (id bigserial primary key, at timestamptz not null default now(), speed numeric(6, 2) not null, city text);
  create index on readings (at);
  insert into readings (at, speed, city) select now() - n * interval '1 second', n % 60, 'Oslo' from generate_series(1, 500) n;
  create schema shop; create table shop."Odd name" (id int primary key, tags text[], doc jsonb);
  insert into shop."Odd name" values (1, '{a,b}', '{"x": 1}')`;

beforeAll(async () => {
  [server, browser] = await Promise.all([Server.postgres(SCHEMA), launch()]);
});

afterAll(async () => {
  await browser?.close();
  await server?.close();
});

async function show(path: string, allowed: RegExp | null = null): Promise<Page> {
  const watched = await open(browser, server.url + path);
  onTestFinished(async () => {
    const problems = watched.problems.filter((problem) => !allowed?.test(problem));
    await watched.close();
    expect(problems).toEqual([]);
  });
  return watched.page;
}

/** Waits until the page follows something. */
async function live(page: Page): Promise<Page> {
  await page.locator('.connection[data-state="open"]').waitFor();
  return page;
}

const latest = (page: Page) => page.locator('section[aria-label="Latest points"] tbody tr');
const speeds = (page: Page) => latest(page).locator('td.number').allInnerTexts();

it('draws a table with times of PostgreSQL, with its history, and goes on with what psql inserts', async () => {
  const page = await live(await show('/?table=public.readings'));
  await latest(page).nth(5).waitFor();
  server.sql('insert into readings (speed) values (41.5)');
  await expect.poll(() => speeds(page)).toContain('41.5');
  const drawn = await page.locator('.plot canvas').evaluate((canvas: HTMLCanvasElement) => {
    const { data } = canvas.getContext('2d')?.getImageData(0, 0, canvas.width, canvas.height) ?? { data: [] };
    return Array.from(data).some((value) => value !== 0);
  });
  expect(drawn).toBe(true);
});

it('fills in what was inserted while Rowcast was away', async () => {
  const page = await live(await show('/?table=public.readings&window=5m', /WebSocket|ERR_|Failed to load/));
  await latest(page).first().waitFor();
  await server.crash();
  await page.locator('.connection[data-state="waiting"]').waitFor();
  server.sql('insert into readings (speed) values (51.25), (52.25)');
  await server.start();
  await page.locator('.connection[data-state="open"]').waitFor();
  await expect.poll(() => speeds(page), { timeout: 20_000 }).toEqual(expect.arrayContaining(['51.25', '52.25']));
});

it('shows rows of a table with an odd name, and follows them', async () => {
  const page = await show(`/tables?table=${encodeURIComponent('shop.Odd name')}`);
  await expect.poll(() => page.locator('main').innerText()).toContain('"x": 1');
  server.sql(`update shop."Odd name" set doc = '{"x": 2}'`);
  await expect.poll(() => page.locator('main').innerText()).toContain('"x": 2');
});

it('says in Console how changes are captured, and what is held back', async () => {
  const page = await show('/console');
  const sources = page.locator('section[aria-labelledby="sources"]');
  await expect.poll(() => sources.innerText()).toMatch(/postgresql/i);
  await expect.poll(() => sources.innerText()).toMatch(/Held back/);
  expect(await sources.innerText()).toContain('public.readings');
});
