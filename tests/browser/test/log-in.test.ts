// The built-in pages of a server that wants to know who is looking.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { launch, open } from '../src/browser';
import { Server } from '../src/server';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

let server: Server;
let browser: Browser;

beforeAll(async () => {
  [server, browser] = await Promise.all([Server.multiTenant(), launch()]);
});

afterAll(async () => {
  await browser?.close();
  await server?.close();
});

/** Browsers write each refusal on the console, and that the server's word of the end has crossed theirs. */
async function visit(path: string, options: Parameters<typeof open>[2] = {}): Promise<Page> {
  const watched = await open(browser, server.url + path, { reducedMotion: 'reduce', ...options });
  onTestFinished(async () => {
    await watched.close();
    expect(watched.problems.filter((problem) => !/\b40[13]\b|Close received after close/.test(problem))).toEqual([]);
  });
  return watched.page;
}

async function logIn(page: Page, user: string, password = 'rowcast'): Promise<void> {
  await page.getByLabel('User').fill(user);
  await page.getByRole('textbox', { name: 'Password' }).fill(password);
  await page.getByRole('button', { name: 'Log in' }).click();
}

async function violations(page: Page): Promise<string[]> {
  await page.evaluate(AXE);
  return page.evaluate(async () => {
    const { axe } = window as unknown as {
      axe: { run: () => Promise<{ violations: { id: string; nodes: object[] }[] }> };
    };
    return (await axe.run()).violations.map(({ id, nodes }) => `${id} ${JSON.stringify(nodes)}`);
  });
}

describe.each(['light', 'dark'] as const)('in the %s theme, on 390 pixels', (colorScheme) => {
  it('axe finds nothing on the form, nor on a page with somebody logged in', async () => {
    const page = await visit('/tables', { colorScheme, viewport: { width: 390, height: 844 } });
    await page.getByRole('heading', { name: 'Log in' }).waitFor();
    expect(await violations(page)).toEqual([]);
    await logIn(page, 'bob', 'wrong');
    await page.getByRole('alert').waitFor();
    expect(await violations(page)).toEqual([]);
    await logIn(page, 'bob');
    await page.locator('.grid-row').first().waitFor();
    expect(await violations(page)).toEqual([]);
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(390);
  });
});

it('shows its pages after the log-in, says who that is, and lets them leave', async () => {
  const page = await visit('/tables?table=public.tasks');
  await logIn(page, 'bob');
  await page.locator('.grid-row').first().waitFor();
  expect(await page.locator('.person').innerText()).toContain('bob');
  expect(await page.locator('.grid').innerText()).not.toContain('Open day');
  await page.getByRole('button', { name: 'Log out bob' }).click();
  await page.getByRole('heading', { name: 'Log in' }).waitFor();
});

it('takes the form by keyboard', async () => {
  const page = await visit('/tables');
  await page.getByLabel('User').focus();
  await page.keyboard.type('bob');
  await page.keyboard.press('Tab');
  await page.keyboard.type('rowcast');
  await page.keyboard.press('Enter');
  await page.locator('.grid-row').first().waitFor();
});

it('says in words that Console is not for everybody', async () => {
  const page = await visit('/console');
  await logIn(page, 'ada');
  await page.getByRole('heading', { name: 'You may not see this' }).waitFor();
});

it('goes back to the form when an operator puts somebody out', async () => {
  const page = await visit('/tables?table=public.tasks');
  await logIn(page, 'eve');
  await page.locator('.grid-row').first().waitFor();
  const operator = await visit('/console');
  await operator.getByText('Token', { exact: true }).click();
  await operator.getByLabel('Token (JWT)').fill(server.token('ops', 'tenant=operators', 'role=operator'));
  await operator.getByRole('button', { name: 'Log in' }).click();
  await operator.locator('.sparkline-line').first().waitFor({ state: 'attached' });
  const closed = await operator.evaluate(async () => {
    const body = JSON.stringify({ user: 'eve', reason: 'the shift is over' });
    const headers = { 'content-type': 'application/json' };
    return (await fetch('/v1/admin/disconnect', { method: 'POST', headers, body })).json();
  });
  expect(closed).toEqual({ closed: 1 });
  await page.getByText('You were logged out by an operator: the shift is over').waitFor();
});
