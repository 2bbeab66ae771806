// Console: figures that move, and frames as they are on the wire.

import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { launch, open } from '../src/browser';
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

async function consolePage(expected?: RegExp): Promise<Page> {
  const { page, problems, close } = await open(browser, `${server.url}/console`);
  onTestFinished(async () => {
    await close();
    expect(problems.filter((problem) => !expected?.test(problem))).toEqual([]);
  });
  return page;
}

const frames = (page: Page) => page.locator('.frame-list li code').allInnerTexts();

describe('the console', () => {
  it('says how the server is doing', async () => {
    const page = await consolePage();
    for (const title of ['Sources', 'Log', 'Ingest', 'Connections', 'Recent errors']) {
      await page.getByRole('heading', { name: title }).waitFor();
    }
    await page.locator('.source', { hasText: 'simulator' }).waitFor();
    const rate = () => page.locator('.tile', { hasText: 'Events a second' }).locator('.tile-value').innerText();
    await expect.poll(async () => Number(await rate()), { timeout: 10_000 }).toBeGreaterThan(0);
  });

  it('shows what was refused, and stores it when it is mended, by keys alone', async () => {
    const answer = await fetch(`${server.url}/v1/tables/readings?dead_letters=true`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-ndjson' },
      body: '{"time":1,"speed":"fast"}\n{"time":2,"speed":"slow"}\n',
    });
    expect(answer.status).toBe(422);
    // A browser writes down every answer that is no success; this one is what is tried.
    const page = await consolePage(/status of 422/);
    await page.setViewportSize({ width: 390, height: 844 });
    const letters = page.locator('.letters > li');
    await expect.poll(() => letters.count()).toBe(2);
    const mended = letters.filter({ hasText: 'fast' });
    await mended.locator('summary').focus();
    await page.keyboard.press('Enter');
    await mended.getByRole('textbox').fill('{"time":1,"speed":"faster"}');
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await mended.getByRole('alert').filter({ hasText: 'faster' }).waitFor();
    await mended.getByRole('textbox').fill('{"time":1,"speed":37}');
    await mended.getByRole('button', { name: 'Retry' }).press('Enter');
    await expect.poll(() => letters.count()).toBe(1);
    await letters.locator('summary').press('Enter');
    await letters.getByRole('button', { name: 'Drop' }).press('Enter');
    await page.getByText('Nothing was refused.').waitFor();
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(390);
  });

  it('shows the frames of a subscription, raw', async () => {
    const page = await consolePage();
    await page.getByLabel('Channel').fill('table:readings');
    await page.getByRole('button', { name: 'Subscribe', exact: true }).click();
    const types = async () => (await frames(page)).map((text) => JSON.parse(text).type as string);
    await expect
      .poll(types, { timeout: 10_000 })
      .toEqual(expect.arrayContaining(['hello', 'subscribe', 'subscribed', 'change']));
    expect((await types())[0]).toBe('hello');

    await page.getByRole('button', { name: 'Pause', exact: true }).click();
    const before = (await frames(page)).length;
    server.sql('insert into readings (time, speed) values (unixepoch() * 1000, 55)');
    await page.getByRole('button', { name: 'Resume' }).click();
    await expect.poll(async () => (await frames(page)).length).toBeGreaterThan(before);

    await page.getByRole('button', { name: 'Clear' }).click();
    await expect.poll(async () => (await frames(page)).length).toBeLessThan(before);
    await page.getByRole('button', { name: 'Unsubscribe' }).click();
    await page.getByRole('button', { name: 'Subscribe', exact: true }).waitFor();
  });

  it('shows why a channel is refused', async () => {
    const page = await consolePage();
    await page.getByLabel('Channel').fill('table:nosuch');
    await page.getByRole('button', { name: 'Subscribe', exact: true }).click();
    await page
      .getByRole('alert')
      .filter({ hasText: /nosuch/ })
      .waitFor();
  });

  it('shows a mistake in the filter under its characters', async () => {
    const page = await consolePage();
    await page.getByRole('textbox', { name: /Filter/ }).fill('speed >');
    await page.getByRole('button', { name: 'Subscribe', exact: true }).click();
    await page.locator('.filter-error:not([hidden])').waitFor();
  });
});
