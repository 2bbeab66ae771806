// Charts, as somebody who runs the demo sees it.

import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { launch, open, type Watched } from '../src/browser';
import { Server } from '../src/server';

let server: Server;
let browser: Browser;

beforeAll(async () => {
  [server, browser] = await Promise.all([Server.demo(), launch()]);
});

afterAll(async () => {
  await browser?.close();
  await server?.close();
});

/** Opens the demo's chart and waits until it is live. Nothing may have gone wrong by the test's end but what is `allowed`. */
async function chart(path = '/', allowed: RegExp | null = null): Promise<Page> {
  const watched: Watched = await open(browser, server.url + path);
  onTestFinished(async () => {
    const problems = watched.problems.filter((problem) => !allowed?.test(problem));
    await watched.close();
    expect(problems).toEqual([]);
  });
  await watched.page.locator('.connection[data-state="open"]').waitFor();
  return watched.page;
}

const latest = (page: Page) => page.locator('.latest tbody tr, section[aria-label="Latest points"] tbody tr');
const firstRow = async (page: Page) => (await latest(page).first().innerText()).split(/\s+/);
const speeds = async (page: Page) => latest(page).locator('td.number').allInnerTexts();
const insert = (speed: number, time = 'unixepoch() * 1000') =>
  server.sql(`insert into readings (time, speed) values (${time}, ${speed})`);

describe('the demo', () => {
  it('moves', async () => {
    const page = await chart();
    expect(new URL(page.url()).searchParams.get('table')).toBe('readings');
    const before = await firstRow(page);
    await expect.poll(() => firstRow(page), { timeout: 10_000 }).not.toEqual(before);
    const drawn = await page.locator('.plot canvas').evaluate((canvas: HTMLCanvasElement) => {
      const { data } = canvas.getContext('2d')?.getImageData(0, 0, canvas.width, canvas.height) ?? { data: [] };
      return Array.from(data).some((value) => value !== 0);
    });
    expect(drawn).toBe(true);
    await page.locator('.gauge .gauge-value').waitFor();
  });

  it('shows a row that another process inserts, within a moment', async () => {
    const page = await chart();
    await latest(page).first().waitFor();
    const seen = page.waitForFunction(() =>
      [...document.querySelectorAll('.latest td.number')].some((cell) => cell.textContent === '59'),
    );
    const start = performance.now();
    insert(59);
    await seen;
    // With the process's start, and the page's rest of 200 ms between two pictures.
    expect(performance.now() - start).toBeLessThan(1000);
  });

  it('shows the same in a second browser', async () => {
    const [one, two] = [await chart(), await chart()];
    insert(57);
    for (const page of [one, two]) await expect.poll(() => speeds(page)).toContain('57');
    // The page is given a moment between two readings in which both must agree.
    await expect.poll(async () => JSON.stringify(await speeds(one)) === JSON.stringify(await speeds(two))).toBe(true);
  });

  it('tells of a row whose time is long ago', async () => {
    const page = await chart();
    insert(56, '1');
    await expect.poll(() => speeds(page)).toContain('56');
    await page.getByRole('button', { name: /outside of this window/ }).waitFor();
    server.sql('delete from readings where time = 1');
  });

  it('recovers by itself when the server is killed, and fills in what it missed', async () => {
    const page = await chart('/?window=5m', /WebSocket|ERR_|Failed to load/);
    await latest(page).first().waitFor();
    await server.crash();
    await page.locator('.connection[data-state="waiting"]').waitFor();
    for (const speed of [51, 52, 53]) insert(speed);
    await server.start();
    await page.locator('.connection[data-state="open"]').waitFor();
    await expect.poll(() => speeds(page), { timeout: 15_000 }).toEqual(expect.arrayContaining(['51', '52', '53']));
    const stored = () => server.sql('select speed from readings order by id desc limit 10').split('\n');
    // What is listed is what is stored, in the same order: nothing is missing and nothing is there twice.
    await expect
      .poll(async () => JSON.stringify((await speeds(page)).slice(0, 10)) === JSON.stringify(stored()))
      .toBe(true);
  });
});

describe('the filter', () => {
  it('shows a mistake under its characters, and goes on when it is mended', async () => {
    const page = await chart('/', /400/);
    const box = page.getByRole('textbox', { name: /Filter/ });
    await box.fill('speed >> 40');
    const alert = page.getByRole('alert').filter({ hasText: /character/ });
    await alert.waitFor();
    expect(await page.locator('.filter-wrong').innerText()).not.toBe('');
    const mark = await page.locator('.filter-wrong').boundingBox();
    const caret = await page.locator('.filter-caret').boundingBox();
    expect(Math.abs((mark?.x ?? 0) + (mark?.width ?? 0) / 2 - (caret?.x ?? 0) - (caret?.width ?? 0) / 2)).toBeLessThan(
      3,
    );
    // The last good picture is still there.
    await page.locator('.plot canvas').waitFor();
    await box.fill('speed > 1000');
    await alert.waitFor({ state: 'hidden' });
    await page.getByText('No row matches the filter').waitFor();
    await box.fill('speed >= 0');
    await latest(page).first().waitFor();
    expect(new URL(page.url()).searchParams.get('where')).toBe('speed >= 0');
  });
});

describe('the address', () => {
  it('restores everything that was chosen', async () => {
    const page = await chart('/charts?table=readings&where=speed+%3E%3D+0&window=1m&view=gauge');
    for (const again of [false, true]) {
      if (again) await page.reload();
      await page.locator('.dial').waitFor();
      expect(await page.getByRole('radio', { name: '1m' }).isChecked()).toBe(true);
      expect(await page.getByRole('radio', { name: 'Gauge' }).isChecked()).toBe(true);
      expect(await page.getByRole('textbox', { name: /Filter/ }).inputValue()).toBe('speed >= 0');
      expect(await page.locator('.plot').count()).toBe(0);
    }
  });

  it('goes back and forward through what was chosen', async () => {
    const page = await chart();
    await page.getByText('15m', { exact: true }).click();
    await page.getByText('1h', { exact: true }).click();
    await page.goBack();
    await expect.poll(() => page.getByRole('radio', { name: '15m' }).isChecked()).toBe(true);
    await page.goForward();
    await expect.poll(() => page.getByRole('radio', { name: '1h' }).isChecked()).toBe(true);
  });

  it('holds a zoom, which a double click resets', async () => {
    const page = await chart();
    const plot = page.locator('.u-over');
    const box = await plot.boundingBox();
    if (box === null) throw new Error('there is no plot');
    await latest(page).nth(5).waitFor();
    await page.mouse.move(box.x + box.width * 0.6, box.y + 80);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * 0.99, box.y + 90, { steps: 4 });
    await page.mouse.up();
    await expect.poll(() => new URL(page.url()).searchParams.has('from')).toBe(true);
    await page.getByRole('button', { name: 'Reset zoom' }).waitFor();
    await page.locator('.u-over').dblclick({ position: { x: 40, y: 40 } });
    await expect.poll(() => new URL(page.url()).searchParams.has('from')).toBe(false);
  });
});

describe('the keyboard', () => {
  it('reads the values, pauses and resumes', async () => {
    const page = await chart();
    await latest(page).first().waitFor();
    await page.locator('.plot').focus();
    await page.keyboard.press('ArrowLeft');
    await expect.poll(() => page.locator('.chart > [aria-live]').innerText()).toMatch(/speed \d+/);
    await page.keyboard.press('Space');
    await page.getByRole('button', { name: 'Resume' }).waitFor();
    await expect.poll(() => page.locator('.notes').innerText(), { timeout: 10_000 }).toMatch(/Paused · \d+ new/);
    await page.keyboard.press('Space');
    await page.getByRole('button', { name: 'Pause' }).waitFor();
  });
});
