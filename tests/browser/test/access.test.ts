// What every page owes to everybody: no obstacle that axe knows of, no sideways scrolling, nothing wrong on the console.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { launch, open } from '../src/browser';
import { Server } from '../src/server';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const PAGES = [
  ['/', '.plot canvas'],
  ['/charts?view=gauge', '.dial'],
  ['/tables?table=readings', '.grid-row'],
  ['/console', '.sparkline-line'],
] as const;

let server: Server;
let browser: Browser;

beforeAll(async () => {
  [server, browser] = await Promise.all([Server.demo(), launch()]);
});

afterAll(async () => {
  await browser?.close();
  await server?.close();
});

async function visit(path: string, ready: string, options: Parameters<typeof open>[2]): Promise<Page> {
  const { page, problems, close } = await open(browser, server.url + path, { reducedMotion: 'reduce', ...options });
  onTestFinished(async () => {
    await close();
    expect(problems).toEqual([]);
  });
  await page.locator(ready).first().waitFor({ state: 'attached' });
  return page;
}

interface Violation {
  readonly id: string;
  readonly nodes: readonly { readonly html: string; readonly failureSummary: string }[];
}

async function violations(page: Page): Promise<string[]> {
  // By evaluation: the pages' own policy lets no foreign script in.
  await page.evaluate(AXE);
  const found = await page.evaluate(async () => {
    const { axe } = window as unknown as { axe: { run: () => Promise<{ violations: Violation[] }> } };
    return (await axe.run()).violations;
  });
  return found.flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.html} ${node.failureSummary}`));
}

describe.each(['light', 'dark'] as const)('in the %s theme', (colorScheme) => {
  it.each(PAGES)('axe finds nothing on %s', async (path, ready) => {
    const page = await visit(path, ready, { colorScheme });
    expect(await violations(page)).toEqual([]);
  });

  it.each(PAGES)('%s fits on 390 pixels', async (path, ready) => {
    const page = await visit(path, ready, { colorScheme, viewport: { width: 390, height: 844 } });
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(390);
    expect(await violations(page)).toEqual([]);
  });
});

describe('the theme switch', () => {
  it('is remembered', async () => {
    const page = await visit('/', '.plot canvas', { colorScheme: 'light' });
    const background = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
    const light = await background();
    await page.getByRole('button', { name: /Theme/ }).click();
    await page.getByRole('button', { name: /Theme: light/ }).click();
    await page.getByRole('button', { name: /Theme: dark/ }).waitFor();
    await expect.poll(background, { timeout: 10_000 }).not.toBe(light);
    await page.reload();
    await page.getByRole('button', { name: /Theme: dark/ }).waitFor();
    await expect.poll(background, { timeout: 10_000 }).not.toBe(light);
  });
});

describe('the keyboard', () => {
  it('skips to the page', async () => {
    const page = await visit('/', '.plot canvas', {});
    await page.keyboard.press('Tab');
    expect(await page.evaluate(() => document.activeElement?.textContent)).toBe('Skip to the page');
    await page.keyboard.press('Enter');
    expect(await page.evaluate(() => document.activeElement?.id)).toBe('main');
  });
});
