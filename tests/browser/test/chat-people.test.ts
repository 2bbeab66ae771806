// People: found by their address, seen online by contacts alone, as they call themselves, and one account for each address.

import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { launch } from '../src/browser';
import { ask, befriend, isIn, logIn, message, openTalk, say, signUp, somebody, stranger, talkRow } from '../src/chat';
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

const person = (name: string) => somebody(browser, server.url, name);

it('somebody is added by their address, however it is written, and answers', async () => {
  const [ada, ben] = await Promise.all([person('Ada'), person('Ben')]);
  await ada.page.getByRole('link', { name: /^Contacts/ }).click();
  const who = ada.page.getByLabel('Add by e-mail address or link');
  await who.fill('nobody-has-this@example.com');
  await who.press('Enter');
  await ada.page.getByRole('alert').waitFor();
  await who.fill(ada.email);
  await who.press('Enter');
  await expect.poll(() => ada.page.getByRole('alert').innerText()).not.toContain('nobody');
  await who.fill(ben.email.toUpperCase());
  await who.press('Enter');
  await ada.page.getByRole('list', { name: 'Asked by you' }).getByText('Ben').waitFor();
  await expect.poll(() => ada.page.getByRole('alert').count()).toBe(0);
  await ben.page.getByRole('link', { name: /^Contacts.*1/ }).click();
  await ben.page.getByRole('button', { name: 'Accept Ada' }).click();
  await ada.page.getByRole('list', { name: 'Contacts' }).getByText('Ben').waitFor();
});

it('who is online is told to contacts who accepted each other, and to nobody else', async () => {
  const [ada, ben, eve] = await Promise.all([person('Ada'), person('Ben'), person('Eve')]);
  await befriend(ada, ben);
  // Eve has asked, and was not answered.
  await ask(eve.page, 'POST', '/contacts', { email: ada.email });
  await ask(eve.page, 'POST', '/rooms', { kind: 'direct', user: ada.id });
  await openTalk(ben.page, 'Ada');
  await ben.page.locator('.talk-status .online').waitFor();
  await openTalk(eve.page, 'Ada');
  await eve.page.locator('.talk-status').getByText('Contact request').waitFor();
  await ada.page.goto('about:blank');
  await ben.page.locator('.talk-status').getByText('last seen').waitFor({ timeout: 30_000 });
  expect(await eve.page.locator('.talk-status').innerText()).toBe('Contact request');
  expect(await eve.page.locator('.online, .online-dot').count()).toBe(0);
  // A presence of Ada has come to no browser but those of her contacts.
  const told = (heard: string) =>
    heard.split('\n').some((line) => line.includes('"presence"') && line.includes(ada.id));
  expect([told(ben.heard()), told(eve.heard())]).toEqual([true, false]);
});

it('what somebody calls themselves is changed in “Me”, and at once with the others', async () => {
  const [ada, ben] = await Promise.all([person('Ada'), person('Ben')]);
  await befriend(ada, ben);
  await openTalk(ben.page, 'Ada');
  await ada.page.getByRole('link', { name: 'Me', exact: true }).click();
  await ada.page.getByLabel('Name').fill('Ada Lovelace');
  await ada.page.getByLabel('About', { exact: true }).fill('Engines & poetry <b>');
  await ada.page.getByRole('button', { name: 'Save' }).click();
  await ada.page.getByText('Saved').waitFor();
  await expect.poll(() => ben.page.locator('.talk-name').innerText()).toBe('Ada Lovelace');
  await talkRow(ben.page, 'Ada Lovelace').waitFor();
  await ben.page.getByRole('button', { name: 'About Ada Lovelace' }).click();
  await ben.page.getByText('Engines & poetry <b>', { exact: true }).waitFor();
});

it('what was written to somebody who was away is there when they come back', async () => {
  const [ada, ben] = await Promise.all([person('Ada'), person('Ben')]);
  await befriend(ada, ben);
  await ben.page.goto(`${server.url}/chat/me`);
  await ben.page.getByRole('button', { name: 'Log out' }).click();
  await ben.page.getByRole('heading', { name: 'Log in' }).waitFor();
  await openTalk(ada.page, 'Ben');
  await say(ada.page, 'for later');
  await expect.poll(() => message(ada.page, 'for later').locator('.mark').getAttribute('title')).toBe('Sent');
  await logIn(ben.page, ben.email);
  await isIn(ben.page);
  await talkRow(ben.page, 'Ada').getByText('for later').waitFor();
  await expect.poll(() => ben.page.title()).toBe('(1) Chat');
  await expect.poll(() => message(ada.page, 'for later').locator('.mark').getAttribute('title')).toBe('Delivered');
});

it('an address has one account: who signs up with it again is told so, and is not let in', async () => {
  const ada = await person('Ada');
  const page = await stranger(browser, server.url);
  await signUp(page, 'Eve', ada.email.toUpperCase(), 'another password');
  await page.getByRole('alert').getByText('Somebody has signed up with this address already').waitFor();
  expect(await ask(page, 'GET', '/me')).toMatchObject({ status: 401 });
  const cookies = await ada.page.context().cookies();
  expect(cookies.map(({ httpOnly, sameSite }) => ({ httpOnly, sameSite }))).toEqual([
    { httpOnly: true, sameSite: expect.stringMatching(/Lax|Strict/) },
  ]);
  expect(server.sql("select count(*) from chat_accounts where password_hash not like '$argon2id$%'")).toBe('0');
});

it('whose a page is, is told by its cookie, whatever its address and its requests say', async () => {
  const [ada, eve] = await Promise.all([person('Ada'), person('Eve')]);
  await eve.page.goto(`${server.url}/chat?userId=${ada.id}`);
  await isIn(eve.page);
  expect(await ask(eve.page, 'GET', `/me?userId=${ada.id}&user=${ada.id}`)).toMatchObject({ user: { id: eve.id } });
  const said = await eve.page.evaluate(
    (user) =>
      new Promise<string>((resolve) => {
        const socket = new WebSocket(`ws://${location.host}/v1/ws?userId=${user}&user=${user}`);
        socket.onopen = () =>
          socket.send(
            JSON.stringify({ type: 'subscribe', id: 'a', channel: 'table:chat_contacts', where: `owner = '${user}'` }),
          );
        socket.onmessage = ({ data }) => {
          const { type, rows, code } = JSON.parse(String(data)) as { type: string; rows?: unknown[]; code?: string };
          if (type === 'snapshot') resolve(`${rows?.length} rows`);
          if (type === 'error') resolve(String(code));
        };
      }),
    ada.id,
  );
  expect(said).toBe('0 rows');
});
