// The pictures of a talk, as large as the page, from one to the next.

import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { launch } from '../src/browser';
import { message, say, sendFiles, somebody, talkTogether, violations } from '../src/chat';
import { Server } from '../src/server';

let server: Server;
let browser: Browser;

beforeAll(async () => {
  [server, browser] = await Promise.all([Server.chat(), launch()]);
});

afterAll(async () => {
  await browser?.close();
  await server?.close();
});

async function two() {
  const [ada, ben] = await Promise.all([somebody(browser, server.url, 'Ada'), somebody(browser, server.url, 'Ben')]);
  return { ada, ben, room: await talkTogether(ada, ben) };
}

const dialog = (page: Page) => page.getByRole('dialog');
const shows = async (page: Page, name: string, place: string) => {
  await dialog(page).getByRole('heading', { name, exact: true }).waitFor();
  await dialog(page).getByRole('status').getByText(place).waitFor();
  await expect
    .poll(() => page.locator('.viewer-image').evaluate((image: HTMLImageElement) => image.naturalWidth))
    .toBe(10);
};

it('arrow keys and buttons lead through them, past what is no picture, and stop at the ends', async () => {
  const { ada, ben } = await two();
  await sendFiles(ada.page, 'three files', 'one.png', 'notes.txt', 'two.png');
  await message(ben.page, 'three files').waitFor();
  await say(ben.page, 'and some words');
  await message(ada.page, 'and some words').waitFor();
  await sendFiles(ada.page, 'the last', 'three.png');
  await ben.page.getByRole('button', { name: 'Show the picture three.png' }).waitFor();
  const { page } = ben;
  await page.getByRole('button', { name: 'Show the picture two.png' }).click();
  await shows(page, 'two.png', 'Picture 2 of 3');
  await page.keyboard.press('ArrowRight');
  await shows(page, 'three.png', 'Picture 3 of 3');
  await page.keyboard.press('ArrowRight');
  await shows(page, 'three.png', 'Picture 3 of 3');
  await page.keyboard.press('ArrowLeft');
  await shows(page, 'two.png', 'Picture 2 of 3');
  await page.getByRole('button', { name: 'Previous picture' }).click();
  await shows(page, 'one.png', 'Picture 1 of 3');
  // The button is away, the keys still work.
  await page.keyboard.press('ArrowRight');
  await shows(page, 'two.png', 'Picture 2 of 3');
  expect(await violations(page)).toEqual([]);
  await page.keyboard.press('Escape');
  await expect.poll(() => dialog(page).count()).toBe(0);
  const focused = () => page.evaluate(() => document.activeElement?.getAttribute('aria-label'));
  await expect.poll(focused).toBe('Show the picture two.png');
});

it('what is far back in the talk is found, too, and what is deleted is not', async () => {
  const { ada, ben, room } = await two();
  await sendFiles(ada.page, 'long ago', 'old.png', 'gone.png');
  await expect.poll(() => ben.page.locator('.picture').count()).toBe(2);
  await expect.poll(() => ada.page.locator('.waiting').count()).toBe(0);
  server.sql(`
    with recursive n(i) as (select 1 union all select i + 1 from n where i < 300)
    insert into chat_messages (room, sender, nonce, kind, body)
      select '${room}', '${ben.id}', i || '-${room.slice(0, 8)}', 'text', 'line ' || i from n;
    update chat_messages set deleted_at = created_at, file = null, body = ''
      where file = (select id from chat_files where room = '${room}' and name = 'gone.png')`);
  await message(ada.page, 'line 300').last().waitFor();
  await sendFiles(ada.page, 'just now', 'new.png');
  await message(ben.page, 'just now').waitFor();
  await ben.page.reload();
  const { page } = ben;
  await page.getByRole('button', { name: 'Show the picture new.png' }).click();
  await shows(page, 'new.png', 'Picture 2 of 2');
  await page.keyboard.press('ArrowLeft');
  await shows(page, 'old.png', 'Picture 1 of 2');
});
