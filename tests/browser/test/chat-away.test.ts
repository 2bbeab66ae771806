// A talk while the network, the machine, the page or the server is away: nothing is missed, nothing is sent twice.

import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import { launch } from '../src/browser';
import { cable } from '../src/cable';
import { choose, message, openTalk, say, somebody, talkTogether, texts } from '../src/chat';
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

/** Ada, whose cable can be pulled out, and Ben, in their talk. */
async function two() {
  const wire = await cable(server.address);
  onTestFinished(wire.close);
  const [ada, ben] = await Promise.all([somebody(browser, wire.url, 'Ada'), somebody(browser, server.url, 'Ben')]);
  await talkTogether(ada, ben);
  await say(ada.page, 'hello');
  await message(ben.page, 'hello').waitFor();
  return { wire, ada, ben };
}

/** Counts what would be a reload. */
async function neverReloads(page: Awaited<ReturnType<typeof two>>['ada']['page']): Promise<() => Promise<void>> {
  await page.evaluate(() => Object.assign(window, { stayed: true }));
  return async () => expect(await page.evaluate(() => 'stayed' in window)).toBe(true);
}

it('a machine that slept shows what it missed, edits and deletes too, without a reload', async () => {
  const { wire, ada, ben } = await two();
  await say(ben.page, 'to be edited');
  await say(ben.page, 'to be deleted');
  await message(ada.page, 'to be deleted').waitFor();
  const stayed = await neverReloads(ada.page);
  const devtools = await ada.page.context().newCDPSession(ada.page);
  wire.cut('hang');
  await devtools.send('Page.setWebLifecycleState', { state: 'frozen' });
  await choose(ben.page, 'to be edited', 'Edit');
  await say(ben.page, 'edited meanwhile');
  await message(ben.page, 'edited meanwhile').waitFor();
  await choose(ben.page, 'to be deleted', 'Delete');
  await ben.page.getByRole('button', { name: 'Delete', exact: true }).click();
  await message(ben.page, 'This message was deleted').waitFor();
  for (let n = 1; n <= 60; n++) await say(ben.page, `missed ${n}`);
  await expect.poll(() => ben.page.locator('.waiting').count(), { timeout: 40_000 }).toBe(0);
  await devtools.send('Page.setWebLifecycleState', { state: 'active' });
  wire.mend();
  await message(ada.page, 'missed 60').waitFor();
  await stayed();
  await ada.page.getByRole('region', { name: /^Messages with/ }).evaluate((scroller) => scroller.scrollTo(0, 0));
  await message(ada.page, 'edited meanwhile').waitFor();
  await message(ada.page, 'This message was deleted').waitFor();
  const shown = await texts(ada.page);
  expect(shown.slice(0, 5)).toEqual(['hello', 'edited meanwhile', 'This message was deleted', 'missed 1', 'missed 2']);
});

it('the server is restarted in the middle of a talk', async () => {
  const { ada, ben } = await two();
  const stayed = await neverReloads(ada.page);
  await server.crash();
  await ada.page.getByText('What you write is kept and sent then').waitFor();
  await server.start();
  await say(ben.page, 'after the restart');
  await message(ada.page, 'after the restart').waitFor();
  await say(ada.page, 'yes');
  await message(ben.page, 'yes').waitFor();
  expect(await texts(ada.page)).toEqual(['hello', 'after the restart', 'yes']);
  await stayed();
});

it('what is written offline is kept over a reload, and arrives once and in order', async () => {
  const { wire, ada, ben } = await two();
  // The page itself can be loaded, and nothing can be sent: the network is there, the chat's requests fail.
  await ada.page.context().route('**/messages', (route) => route.abort('internetdisconnected'));
  wire.cut();
  for (const text of ['one', 'two', 'three']) await say(ada.page, text);
  await expect.poll(() => ada.page.locator('.waiting').count()).toBe(3);
  wire.mend();
  await ada.page.reload();
  await message(ada.page, 'three').waitFor();
  expect(await ada.page.locator('.waiting').count()).toBe(3);
  await ada.page.context().unroute('**/messages');
  await message(ben.page, 'three').waitFor();
  await expect.poll(() => ada.page.locator('.waiting').count()).toBe(0);
  expect(await texts(ben.page)).toEqual(['hello', 'one', 'two', 'three']);
  expect(await texts(ada.page)).toEqual(['hello', 'one', 'two', 'three']);
});

it('a message whose answer was lost is there once', async () => {
  const { ada, ben } = await two();
  let lost = 0;
  await ada.page.context().route('**/messages', async (route) => {
    const response = await route.fetch();
    lost += 1;
    if (lost === 1) await route.abort('connectionreset');
    else await route.fulfill({ response });
  });
  await say(ada.page, 'only once');
  await expect.poll(() => lost).toBe(2);
  await say(ben.page, 'and then');
  await message(ada.page, 'and then').waitFor();
  await expect.poll(() => ada.page.locator('.waiting').count()).toBe(0);
  expect(await texts(ben.page)).toEqual(['hello', 'only once', 'and then']);
  expect(await texts(ada.page)).toEqual(['hello', 'only once', 'and then']);
});

it('two tabs of one person stay equal, and one of them sends', async () => {
  const { wire, ada, ben } = await two();
  const other = await ada.page.context().newPage();
  await other.goto(`${wire.url}/chat`);
  await openTalk(other, 'Ben');
  let sent = 0;
  await ada.page.context().route('**/messages', (route) => {
    sent += 1;
    return route.continue();
  });
  await say(ada.page, 'from the first tab');
  await Promise.all([
    message(other, 'from the first tab').waitFor(),
    message(ben.page, 'from the first tab').waitFor(),
  ]);
  await say(other, 'from the second tab');
  await Promise.all([
    message(ada.page, 'from the second tab').waitFor(),
    message(ben.page, 'from the second tab').waitFor(),
  ]);
  await say(ben.page, 'to both');
  await Promise.all([message(other, 'to both').waitFor(), message(ada.page, 'to both').waitFor()]);
  wire.cut();
  await say(ada.page, 'offline in one');
  await message(other, 'offline in one').waitFor();
  await expect.poll(() => other.locator('.waiting').count()).toBe(1);
  sent = 0;
  wire.mend();
  await message(ben.page, 'offline in one').waitFor();
  await expect
    .poll(async () => (await ada.page.locator('.waiting').count()) + (await other.locator('.waiting').count()))
    .toBe(0);
  expect(sent).toBe(1);
  const all = ['hello', 'from the first tab', 'from the second tab', 'to both', 'offline in one'];
  expect(await texts(ada.page)).toEqual(all);
  expect(await texts(other)).toEqual(all);
  expect(await texts(ben.page)).toEqual(all);
  await other.close();
});

it('what is read in one tab is read in the other', async () => {
  const { wire, ada, ben } = await two();
  await ada.page.goto(`${wire.url}/chat/contacts`);
  const other = await ada.page.context().newPage();
  await other.goto(`${wire.url}/chat`);
  await other.getByRole('list', { name: 'Talks' }).getByText('hello').waitFor();
  await say(ben.page, 'new to both');
  await expect.poll(() => other.title()).toBe('(1) Chat');
  await expect.poll(() => ada.page.title()).toBe('(1) Chat');
  await openTalk(other, 'Ben');
  await expect.poll(() => ada.page.title()).toBe('Chat');
  await other.close();
});
