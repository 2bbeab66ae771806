// Tables: a live grid of a user's own tables.

import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { launch, open } from '../src/browser';
import { Server } from '../src/server';

const SCHEMA = `
  create table items (id integer primary key, name text, amount real, big bigint, picture blob, note text);
  insert into items values
    (1, 'apple', 3.5, 9223372036854775807, x'00ff10', null),
    (2, 'pear', 12, 42, null, 'NULL'),
    (3, 'Ærlig <b>fig</b>', 0.25, -9007199254740993, x'', printf('%500c', '.'));
  create table "odd ""name""" ("order" text primary key, "a b" integer) without rowid;
  insert into "odd ""name""" values ('x', 1);
  create table many (id integer primary key, v integer);
  insert into many with recursive n(i) as (select 1 union all select i + 1 from n where i < 3000) select i, i % 7 from n;
`;

let server: Server;
let browser: Browser;

beforeAll(async () => {
  [server, browser] = await Promise.all([Server.serve(SCHEMA), launch()]);
});

afterAll(async () => {
  await browser?.close();
  await server?.close();
});

async function table(name: string, query = '', allowed: RegExp | null = null): Promise<Page> {
  const { page, problems, close } = await open(
    browser,
    `${server.url}/tables?table=${encodeURIComponent(name)}${query}`,
  );
  onTestFinished(async () => {
    await close();
    expect(problems.filter((problem) => !allowed?.test(problem))).toEqual([]);
  });
  await page.locator('.connection[data-state="open"]').waitFor();
  await page.locator('.grid-row').first().waitFor();
  return page;
}

const column = (page: Page, index: number) => page.locator(`.grid-row .grid-cell:nth-child(${index})`).allInnerTexts();

describe('the grid', () => {
  it('shows every value for what it is', async () => {
    const page = await table('items', '&sort=id');
    expect(await column(page, 4)).toEqual(['9223372036854775807', '42', '-9007199254740993']);
    expect(await column(page, 2)).toEqual(['apple', 'pear', 'Ærlig <b>fig</b>']);
    const notes = page.locator('.grid-row .grid-cell:nth-child(6)');
    expect(await notes.nth(0).getAttribute('data-kind')).toBe('null');
    expect(await notes.nth(1).getAttribute('data-kind')).toBe('text');
    expect(await column(page, 5)).toEqual(['3 bytes 00ff10', 'NULL', '0 bytes']);
  });

  it('flashes what comes, what changes, and what goes', async () => {
    const page = await table('items', '&sort=id');
    server.sql(`insert into items (id, name) values (10, 'plum')`);
    const row = page.locator('.grid-row', { hasText: 'plum' });
    await row.waitFor();
    expect(await row.getAttribute('data-op')).toBe('insert');
    await expect.poll(() => row.getAttribute('data-op')).toBeNull();
    server.sql('update items set amount = 7.5 where id = 10');
    await row.and(page.locator('[data-op="update"]')).waitFor();
    expect(await row.locator('[data-changed]').allInnerTexts()).toEqual(['7.5']);
    server.sql('delete from items where id = 10');
    await row.and(page.locator('[data-op="delete"]')).waitFor();
    await row.waitFor({ state: 'detached' });
  });

  it('sorts by any column, both ways', async () => {
    const page = await table('items', '&sort=id');
    const head = page.getByRole('columnheader', { name: /amount/ });
    await head.getByRole('button').click();
    await expect.poll(() => column(page, 2)).toEqual(['Ærlig <b>fig</b>', 'apple', 'pear']);
    expect(await head.getAttribute('aria-sort')).toBe('ascending');
    await head.getByRole('button').click();
    await expect.poll(() => column(page, 2)).toEqual(['pear', 'apple', 'Ærlig <b>fig</b>']);
    await page.reload();
    await expect.poll(() => column(page, 2)).toEqual(['pear', 'apple', 'Ærlig <b>fig</b>']);
  });

  it('keeps only the rows in sight in the page', async () => {
    const page = await table('many', '&sort=id&limit=10000');
    await expect.poll(() => page.locator('.row-count').innerText()).toContain('3,000');
    expect(await page.locator('.grid-row').count()).toBeLessThan(80);
    const grid = page.getByRole('grid');
    await grid.focus();
    await page.keyboard.press('Control+End');
    await page.locator('.grid-row', { hasText: '3000' }).waitFor();
    expect(await grid.getAttribute('aria-rowcount')).toBe('3001');
  });

  it('opens a row in full by keyboard, and closes it', async () => {
    const page = await table('items', '&sort=id');
    await page.getByRole('grid').focus();
    for (const key of ['ArrowDown', 'ArrowDown', 'End', 'Enter']) await page.keyboard.press(key);
    const panel = page.getByRole('complementary', { name: 'Row in full' });
    await panel.waitFor();
    expect((await panel.locator('[data-chosen] pre').innerText()).length).toBe(500);
    await page.keyboard.press('Escape');
    await panel.waitFor({ state: 'detached' });
  });

  it('filters live, and shows a mistake under its characters', async () => {
    const page = await table('items', '', /400/);
    const box = page.getByRole('textbox', { name: /Filter/ });
    await box.fill('nosuch = 1');
    await page
      .getByRole('alert')
      .filter({ hasText: /nosuch/ })
      .waitFor();
    expect(await page.locator('.filter-wrong').innerText()).toBe('nosuch');
    await box.fill('amount > 3');
    await expect.poll(() => column(page, 2)).toEqual(['pear', 'apple']);
    server.sql('update items set amount = 100 where id = 3');
    await expect.poll(() => column(page, 2)).toEqual(['Ærlig <b>fig</b>', 'pear', 'apple']);
    server.sql('update items set amount = 0.25 where id = 3');
    await expect.poll(() => column(page, 2)).toEqual(['pear', 'apple']);
  });

  it('copes with names that need quotes', async () => {
    const page = await table('"odd ""name"""');
    expect(await column(page, 1)).toEqual(['x']);
    await page.getByRole('columnheader', { name: /a b/ }).getByRole('button').click();
    server.sql(`insert into "odd ""name""" values ('w', 0)`);
    await expect.poll(() => column(page, 1)).toEqual(['w', 'x']);
    server.sql(`delete from "odd ""name""" where "order" = 'w'`);
  });
});
