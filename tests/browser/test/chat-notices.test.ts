// What a page says of talks that nobody looks at: the number in its title, a mark on its icon, notes, and notifications.

import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { launch } from '../src/browser';
import { ask, befriend, message, openTalk, type Somebody, say, setHidden, somebody } from '../src/chat';
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

interface Shown {
  readonly title: string;
  readonly body: string;
  readonly tag: string;
}

/** A browser that keeps the notifications instead of showing them. `answer` is what its user says when asked. */
async function listens(page: Page, permission: NotificationPermission, answer: NotificationPermission = permission) {
  await page.addInitScript(
    ([now, then]) => {
      class Kept {
        static permission = now;
        static readonly all: Kept[] = [];
        static async requestPermission() {
          Kept.permission = then;
          return then;
        }
        onclick: (() => void) | null = null;
        constructor(
          readonly title: string,
          readonly options: { body: string; tag: string },
        ) {
          Kept.all.push(this);
        }
        close() {}
      }
      Object.assign(window, { Notification: Kept });
    },
    [permission, answer] as const,
  );
  await page.reload();
  await page.getByRole('heading', { name: 'Talks', exact: true }).waitFor();
}

const shown = (page: Page): Promise<Shown[]> =>
  page.evaluate(() => {
    type Kept = { title: string; options: { body: string; tag: string } };
    const { all } = Notification as unknown as { all: Kept[] };
    return all.map(({ title, options: { body, tag } }) => ({ title, body, tag }));
  });

async function two(): Promise<{ ada: Somebody; ben: Somebody; room: string }> {
  const [ada, ben] = await Promise.all([somebody(browser, server.url, 'Ada'), somebody(browser, server.url, 'Ben')]);
  return { ada, ben, room: await befriend(ada, ben) };
}

const icon = (page: Page) => page.locator('link[rel="icon"]').getAttribute('href');

it('in the background: the number in the title and on the icon, and a notification that leads to the talk', async () => {
  const { ada, ben, room } = await two();
  await listens(ada.page, 'granted');
  await setHidden(ada.page, true);
  await openTalk(ben.page, 'Ada');
  await say(ben.page, 'the first');
  await expect.poll(() => ada.page.title()).toBe('(1) Chat');
  await say(ben.page, 'the second');
  await expect.poll(() => ada.page.title()).toBe('(2) Chat');
  expect(await icon(ada.page)).toMatch(/^data:image\/svg\+xml/);
  const tag = `rowcast-chat-${room}`;
  await expect
    .poll(() => shown(ada.page))
    .toEqual([
      { title: 'Ben', body: 'the first', tag },
      { title: 'Ben', body: 'the second', tag },
    ]);
  await ada.page.evaluate(() => {
    const { all } = Notification as unknown as { all: { onclick: () => void }[] };
    all.at(-1)?.onclick();
  });
  await ada.page.waitForURL(`**/chat/t/${room}`);
  await setHidden(ada.page, false);
  await message(ada.page, 'the second').waitFor();
  await expect.poll(() => ada.page.title()).toBe('Ben · Chat');
  expect(await icon(ada.page)).toBe('/favicon.svg');
});

it('what comes into an open talk while nobody looks is delivered, and read when somebody looks again', async () => {
  const { ada, ben } = await two();
  await listens(ada.page, 'granted');
  await openTalk(ada.page, 'Ben');
  await openTalk(ben.page, 'Ada');
  await say(ben.page, 'looked at');
  const mark = (text: string) => message(ben.page, text).locator('.mark').getAttribute('title');
  await expect.poll(() => mark('looked at')).toBe('Read');
  expect(await shown(ada.page)).toEqual([]);
  await setHidden(ada.page, true);
  await say(ben.page, 'not looked at');
  await expect.poll(() => ada.page.title()).toBe('(1) Ben · Chat');
  await expect.poll(() => mark('not looked at')).toBe('Delivered');
  expect((await shown(ada.page)).map(({ body }) => body)).toEqual(['not looked at']);
  await setHidden(ada.page, false);
  await expect.poll(() => mark('not looked at')).toBe('Read');
  await expect.poll(() => ada.page.title()).toBe('Ben · Chat');
  await ada.page.getByText('New messages', { exact: true }).waitFor();
});

it('a page that is looked at shows a note, which leads to the talk', async () => {
  const { ada, ben, room } = await two();
  await listens(ada.page, 'granted');
  await openTalk(ben.page, 'Ada');
  await say(ben.page, 'a note of it');
  const note = ada.page.getByRole('log', { name: 'Notifications' });
  await note.getByText('a note of it').waitFor();
  expect(await shown(ada.page)).toEqual([]);
  await note.getByText('a note of it').click();
  await ada.page.waitForURL(`**/chat/t/${room}`);
  await message(ada.page, 'a note of it').waitFor();
  await expect.poll(() => note.getByText('a note of it').count()).toBe(0);
});

it('of a muted talk there is neither number nor notification', async () => {
  const { ada, ben, room } = await two();
  await ask(ada.page, 'PATCH', `/rooms/${room}/settings`, { muted: true });
  await listens(ada.page, 'granted');
  await ada.page.getByRole('link', { name: /Ben.*muted/ }).waitFor();
  await setHidden(ada.page, true);
  await openTalk(ben.page, 'Ada');
  await say(ben.page, 'quietly');
  await ada.page.locator('.talk-row .badge.calm').getByText('1').waitFor();
  expect(await ada.page.title()).toBe('Chat');
  expect(await shown(ada.page)).toEqual([]);
});

it('notifications are shown once they were allowed in “Me”, and not before', async () => {
  const { ada, ben } = await two();
  await listens(ada.page, 'default', 'granted');
  await openTalk(ben.page, 'Ada');
  await setHidden(ada.page, true);
  await say(ben.page, 'not allowed yet');
  await expect.poll(() => ada.page.title()).toBe('(1) Chat');
  expect(await shown(ada.page)).toEqual([]);
  await setHidden(ada.page, false);
  await ada.page.getByRole('link', { name: 'Me', exact: true }).click();
  await ada.page.getByRole('button', { name: 'Show notifications' }).click();
  await ada.page.getByText('New messages are shown as notifications.').waitFor();
  await setHidden(ada.page, true);
  await say(ben.page, 'allowed now');
  await expect.poll(async () => (await shown(ada.page)).map(({ body }) => body)).toEqual(['allowed now']);
});

it('what comes is read aloud once, and what one writes oneself is not', async () => {
  const { ada, ben } = await two();
  await ask(ada.page, 'GET', '/me');
  await openTalk(ada.page, 'Ben');
  await openTalk(ben.page, 'Ada');
  await say(ada.page, 'my own words');
  await message(ben.page, 'my own words').waitFor();
  const aloud = ada.page.locator('.talk > [aria-live="polite"]');
  expect(await aloud.innerText()).toBe('');
  await say(ben.page, 'to be heard');
  await expect.poll(() => aloud.innerText()).toBe('Ben: to be heard');
});
