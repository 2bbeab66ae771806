// What every page of the chat owes to everybody: no obstacle that axe knows of, no sideways scrolling, all of it by keyboard.

import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { launch, open } from '../src/browser';
import { ask, befriend, composer, message, openTalk, say, somebody, talkTogether, violations } from '../src/chat';
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

const SIZES = [
  ['390 pixels', { width: 390, height: 844 }],
  ['a wide screen', { width: 1600, height: 900 }],
] as const;

const fits = async (page: Page, width: number) =>
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(width);

describe.each(['light', 'dark'] as const)('in the %s theme', (colorScheme) => {
  describe.each(SIZES)('on %s', (_, viewport) => {
    const check = async (page: Page) => {
      expect(await violations(page)).toEqual([]);
      await fits(page, viewport.width);
    };

    it('axe finds nothing on the forms', async () => {
      const { page, close } = await open(browser, `${server.url}/chat`, {
        colorScheme,
        viewport,
        reducedMotion: 'reduce',
      });
      onTestFinished(close);
      await page.getByRole('heading', { name: 'Log in' }).waitFor();
      await check(page);
      await page.getByLabel('E-mail').fill('nobody@example.com');
      await page.getByLabel('Password').fill('not this one');
      await page.getByRole('button', { name: 'Log in' }).click();
      await page.getByRole('alert').waitFor();
      await check(page);
      await page.getByRole('button', { name: 'Make an account' }).click();
      await check(page);
      await page.getByRole('button', { name: 'I have an account' }).click();
      await page.getByRole('button', { name: 'Forgotten password' }).click();
      await check(page);
    });

    it('axe finds nothing on the talks, the contacts, oneself and in a talk', async () => {
      const [ada, ben, cyn] = await Promise.all([
        somebody(browser, server.url, 'Ada Lovelace', { colorScheme, viewport }),
        somebody(browser, server.url, 'Bartholomew the unpronounceable of Wolfeschlegelsteinhausenbergerdorff'),
        somebody(browser, server.url, 'مريم'),
      ]);
      const { page } = ada;
      await check(page);
      await ask(cyn.page, 'POST', '/contacts', { email: ada.email });
      const room = await befriend(ada, ben);
      const send = (body: string, more = {}) =>
        ask(ben.page, 'POST', `/rooms/${room}/messages`, { nonce: crypto.randomUUID(), body, ...more });
      await send('Hello, see https://example.com/a/long/address?with=parameters&and=more');
      const { message: first } = (await send(`a${'verylongword'.repeat(40)}`)) as { message: { id: number } };
      await send('مرحبا، كيف حالك اليوم؟', { reply_to: first.id });
      await send('👍');
      await ask(ben.page, 'PUT', `/messages/${first.id}/reactions/${encodeURIComponent('❤️')}`);
      await expect.poll(() => page.locator('.talk-row .badge').innerText()).toContain('4');
      await check(page);
      await page.getByRole('link', { name: /^Contacts/ }).click();
      await page.getByRole('button', { name: 'Accept مريم' }).waitFor();
      await check(page);
      await page.getByRole('link', { name: 'Me' }).click();
      await page.getByRole('heading', { name: 'Your link' }).waitFor();
      await check(page);
      await page.getByRole('link', { name: /^Talks/ }).click();
      await openTalk(page, 'Bartholomew');
      await say(page, 'my answer');
      await message(page, 'my answer').locator('.mark').waitFor();
      await check(page);
      await page.getByRole('button', { name: 'Emoji' }).click();
      await check(page);
      await page.keyboard.press('Escape');
      await message(page, '👍').focus();
      await message(page, '👍').getByRole('button', { name: 'More' }).click();
      await check(page);
      await page.keyboard.press('Escape');
      await page.getByRole('button', { name: /^About Bart/ }).click();
      await check(page);
      await page.keyboard.press('Escape');
      await page.getByRole('button', { name: 'Search in this talk' }).click();
      await page.getByLabel('Words to search for').fill('hello');
      await page.getByRole('list', { name: 'Messages found' }).waitFor();
      await check(page);
    });
  });
});

it('a talk goes by keyboard alone', async () => {
  const [ada, ben] = await Promise.all([somebody(browser, server.url, 'Ada'), somebody(browser, server.url, 'Ben')]);
  await talkTogether(ada, ben);
  const { page } = ada;
  await composer(page).focus();
  await page.keyboard.type('first');
  await page.keyboard.press('Shift+Enter');
  await page.keyboard.type('second line');
  await page.keyboard.press('Enter');
  await message(ben.page, 'second line').waitFor();
  expect(await message(ben.page, 'second line').locator('.body').innerText()).toBe('first\nsecond line');
  await page.keyboard.press('ArrowUp');
  await page.keyboard.press('Control+A');
  await page.keyboard.type('changed');
  await page.keyboard.press('Enter');
  await message(ben.page, 'changed').waitFor();
  // From the list of messages to one of them, and to what can be done with it.
  await say(ben.page, 'an answer');
  await message(page, 'an answer').waitFor();
  await page.getByRole('region', { name: /^Messages with/ }).focus();
  await page.keyboard.press('ArrowUp');
  await expect.poll(() => page.evaluate(() => document.activeElement?.textContent)).toContain('an answer');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await page.getByRole('button', { name: 'React 👍' }).focus();
  await page.keyboard.press('Enter');
  await ben.page.getByRole('button', { name: '👍 by Ada' }).waitFor();
  await page.getByRole('button', { name: 'Emoji' }).focus();
  await page.keyboard.press('Enter');
  await page.keyboard.type('party popper');
  await page.keyboard.press('Enter');
  await expect.poll(() => composer(page).inputValue()).toBe('🎉');
  await page.keyboard.press('Enter');
  await message(ben.page, '🎉').waitFor();
});

it('text that runs from right to left does so, in the middle of text that does not', async () => {
  const [ada, ben] = await Promise.all([somebody(browser, server.url, 'Ada'), somebody(browser, server.url, 'Ben')]);
  await talkTogether(ada, ben);
  await say(ada.page, 'שלום עולם');
  await say(ada.page, 'hello');
  const direction = (text: string) =>
    message(ben.page, text)
      .locator('.body')
      .evaluate((body) => getComputedStyle(body).direction);
  await message(ben.page, 'hello').waitFor();
  expect([await direction('שלום'), await direction('hello')]).toEqual(['rtl', 'ltr']);
});
