// Two people who talk, and a third who must see nothing of it.

import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { launch } from '../src/browser';
import {
  ask,
  befriend,
  choose,
  composer,
  logIn,
  message,
  openTalk,
  say,
  sendFiles,
  somebody,
  talkTogether,
  texts,
} from '../src/chat';
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

const people = (...names: string[]) => Promise.all(names.map((name) => somebody(browser, server.url, name)));

async function two() {
  const [ada, ben] = await people('Ada', 'Ben');
  if (ada === undefined || ben === undefined) throw new Error('nobody is there');
  return { ada, ben };
}

describe('two people', () => {
  it('become contacts by a link, and write to each other', async () => {
    const { ada, ben } = await two();
    await ada.page.getByRole('link', { name: 'Me' }).click();
    const link = await ada.page.locator('.link-text').innerText();
    const drawn = () => ada.page.locator('.qr').evaluate((image: HTMLImageElement) => image.naturalWidth);
    await expect.poll(drawn).toBeGreaterThan(0);
    await ben.page.goto(new URL(new URL(link).pathname, server.url).href);
    await ben.page.getByRole('heading', { name: 'Ada' }).waitFor();
    await ben.page.getByRole('button', { name: 'Add to contacts' }).click();
    await ben.page.getByText('They have to answer your request.').waitFor();
    // Without a reload.
    await ada.page.getByRole('link', { name: /^Contacts/ }).click();
    await ada.page.getByRole('button', { name: 'Accept Ben' }).click();
    await ada.page.locator('.online').waitFor();
    await ada.page.getByRole('button', { name: 'Write to Ben' }).click();
    await say(ada.page, 'Hello Ben');
    await ben.page.getByRole('link', { name: /^Talks/ }).click();
    await openTalk(ben.page, 'Ada');
    await message(ben.page, 'Hello Ben').waitFor();
    await say(ben.page, 'Hello Ada');
    await message(ada.page, 'Hello Ada').waitFor();
    expect(await texts(ada.page)).toEqual(['Hello Ben', 'Hello Ada']);
  });

  it('the first message puts its sender into the other list at once', async () => {
    const { ada, ben } = await two();
    await ask(ada.page, 'POST', '/contacts', { email: ben.email });
    await ada.page.getByRole('link', { name: /^Contacts/ }).click();
    await ada.page.getByRole('button', { name: 'Write to Ben' }).click();
    await say(ada.page, 'Do you remember me?');
    await ben.page.getByRole('list', { name: 'Talks' }).getByText('Do you remember me?').waitFor();
    await expect.poll(() => ben.page.title()).toBe('(1) Chat');
    await ben.page.getByRole('link', { name: /^Contacts/ }).click();
    await ben.page.getByRole('button', { name: 'Accept Ada' }).waitFor();
  });

  it('see each other type, and how far a message has come', async () => {
    const { ada, ben } = await two();
    await befriend(ada, ben);
    await openTalk(ada.page, 'Ben');
    await say(ada.page, 'Are you there?');
    const mark = message(ada.page, 'Are you there?').locator('.mark');
    await expect.poll(() => mark.getAttribute('title')).toBe('Delivered');
    expect(await ben.page.getByRole('link', { name: /Ada/ }).innerText()).toContain('1');
    await openTalk(ben.page, 'Ada');
    await expect.poll(() => mark.getAttribute('title')).toBe('Read');
    await expect.poll(() => ben.page.title()).toBe('Ada · Chat');
    await composer(ben.page).pressSequentially('Ye');
    await ada.page.locator('.talk-status').getByText('typing…').waitFor();
    await composer(ben.page).fill('');
    await expect.poll(() => ada.page.getByText('typing…').count()).toBe(0);
  });

  it('edit, delete, answer and react, and both see it', async () => {
    const { ada, ben } = await two();
    await talkTogether(ada, ben);
    await say(ada.page, 'The first wording');
    await message(ben.page, 'The first wording').waitFor();
    await choose(ada.page, 'The first wording', 'Edit');
    await composer(ada.page).fill('The second wording');
    await composer(ada.page).press('Enter');
    await message(ben.page, 'The second wording').getByText('edited').waitFor();
    expect(await ben.page.getByText('The first wording').count()).toBe(0);

    await message(ben.page, 'The second wording').hover();
    await message(ben.page, 'The second wording').getByRole('button', { name: 'React' }).click();
    await ben.page.getByRole('button', { name: 'React ❤️' }).click();
    await ada.page.getByRole('button', { name: '❤️ by Ben' }).waitFor();
    await ada.page.getByRole('button', { name: '❤️ by Ben' }).click();
    await expect.poll(() => ben.page.locator('.pill').innerText()).toMatch(/2/);

    await choose(ben.page, 'The second wording', 'Reply');
    await say(ben.page, 'This is an answer');
    await message(ada.page, 'This is an answer').locator('.quote').getByText('The second wording').waitFor();

    await choose(ada.page, 'The second wording', 'Delete');
    await ada.page.getByRole('button', { name: 'Delete', exact: true }).click();
    await ben.page.getByText('This message was deleted').waitFor();
    expect(await ben.page.getByText('The second wording').count()).toBe(0);
  });

  it('send pictures and files, and look at them', async () => {
    const { ada, ben } = await two();
    await talkTogether(ada, ben);
    await sendFiles(ada.page, 'Two files', 'a <b>red dot.png', 'notes.txt');
    await ben.page.getByRole('button', { name: 'Show the picture a <b>red dot.png' }).click();
    const shown = ben.page.locator('.viewer-image');
    await expect.poll(() => shown.evaluate((image: HTMLImageElement) => image.naturalWidth)).toBe(10);
    await ben.page.keyboard.press('Escape');
    expect(await shown.count()).toBe(0);
    const href = await ben.page.locator('a.attachment').getAttribute('href');
    expect(await ben.page.evaluate(async (url) => (await fetch(url ?? '')).text(), href)).toBe('a few notes');
  });
});

describe('a third', () => {
  it('sees nothing of it, asks as they may', async () => {
    const [ada, ben, eve] = await people('Ada', 'Ben', 'Eve');
    if (ada === undefined || ben === undefined || eve === undefined) throw new Error('nobody is there');
    const room = await talkTogether(ada, ben);
    await eve.page.goto(`${server.url}/chat/t/${room}`);
    await eve.page.getByRole('heading', { name: 'There is no such talk' }).waitFor();
    await say(ada.page, 'between-the-two-of-us');
    await message(ben.page, 'between-the-two-of-us').waitFor();
    const tables = ['chat_messages', 'chat_rooms', 'chat_members', 'chat_receipts', 'chat_contacts'];
    const rows = await eve.page.evaluate(
      (names) => Promise.all(names.map(async (name) => (await fetch(`/v1/tables/${name}`)).json())),
      tables,
    );
    expect(rows).toEqual(tables.map(() => []));
    const forged = { nonce: '0b4a4b0e-7d0f-4b57-b14d-7ff0e9fd5d4a', body: 'from eve', sender: ada.id };
    expect(await ask(eve.page, 'POST', `/rooms/${room}/messages`, forged)).toMatchObject({ status: 400 });
    const { sender: _, ...plain } = forged;
    expect(await ask(eve.page, 'POST', `/rooms/${room}/messages`, plain)).toMatchObject({ status: 404 });
    expect(await ask(eve.page, 'POST', `/rooms/${room}/receipt`, { read: 1 })).toMatchObject({ status: 404 });
    // What comes after is there: whatever was meant for Eve has come before it.
    await befriend(ada, eve);
    await eve.page.goto(`${server.url}/chat`);
    await eve.page.getByRole('link', { name: /Ada/ }).waitFor();
    expect(eve.heard()).not.toContain('between-the-two-of-us');
    expect(eve.heard()).not.toContain(ben.id);
    expect(await eve.page.content()).not.toContain('between-the-two-of-us');
  });
});

describe('a block', () => {
  it('holds in both directions until it is taken back', async () => {
    const { ada, ben } = await two();
    await talkTogether(ada, ben);
    await say(ben.page, 'before');
    await message(ada.page, 'before').waitFor();
    await ada.page.getByRole('button', { name: 'About Ben' }).click();
    await ada.page.getByRole('button', { name: 'Block' }).click();
    await ada.page.getByText('You have blocked Ben').waitFor();
    await say(ben.page, 'refused');
    await ben.page.getByText(/Not sent\. This person does not take messages/).waitFor();
    await ada.page.getByRole('button', { name: 'Unblock' }).click();
    await composer(ada.page).waitFor();
    await ben.page.getByRole('button', { name: 'Try again' }).click();
    await message(ada.page, 'refused').waitFor();
    expect(await texts(ada.page)).toEqual(['before', 'refused']);
  });
});

describe('markup', () => {
  it('is text in names, messages, answers and notes', async () => {
    const name = '<img src=x onerror="document.title=1">Mallory';
    const [ada, eve] = await people('Ada', name);
    if (ada === undefined || eve === undefined) throw new Error('nobody is there');
    await befriend(ada, eve);
    await openTalk(eve.page, 'Ada');
    const text = '<script>document.body.remove()</script><b>bold</b> &amp; [x](javascript:alert(1))';
    await say(eve.page, text);
    await ada.page.getByRole('log', { name: 'Notifications' }).getByText(name).waitFor();
    await openTalk(ada.page, name);
    await message(ada.page, text).waitFor();
    expect(await message(ada.page, text).locator('.body').innerText()).toBe(text);
    expect(await ada.page.locator('.talk-name').innerText()).toBe(name);
    expect(await ada.page.locator('.message a, .message script, .message b, img[src="x"]').count()).toBe(0);
    await expect.poll(() => ada.page.title()).toBe(`${name} · Chat`);
  });
});

describe('a group', () => {
  it('is made, named, joined and left', async () => {
    const [ada, ben, cyn] = await people('Ada', 'Ben', 'Cyn');
    if (ada === undefined || ben === undefined || cyn === undefined) throw new Error('nobody is there');
    await befriend(ada, ben);
    await befriend(ada, cyn);
    await ada.page.getByRole('button', { name: 'New group' }).click();
    await ada.page.getByLabel('Name of the group').fill('Engines');
    await ada.page.getByRole('checkbox', { name: 'Ben' }).check();
    await ada.page.getByRole('button', { name: 'Make the group' }).click();
    await composer(ada.page).waitFor();
    await openTalk(ben.page, 'Engines');
    await say(ben.page, 'in the group');
    await message(ada.page, 'in the group').getByText('Ben').first().waitFor();
    expect(await cyn.page.getByRole('link', { name: /Engines/ }).count()).toBe(0);

    await ada.page.getByRole('button', { name: 'About Engines' }).click();
    await ada.page.getByRole('button', { name: 'Add a contact' }).click();
    await ada.page.getByRole('button', { name: 'Add Cyn' }).click();
    await openTalk(cyn.page, 'Engines');
    await message(cyn.page, 'in the group').waitFor();
    await ada.page.getByLabel('Name of the group').fill('Engines & looms');
    await ada.page.getByRole('button', { name: 'Save' }).click();
    await cyn.page.locator('.talk-name', { hasText: 'Engines & looms' }).waitFor();

    await ada.page.getByRole('button', { name: 'Change Cyn' }).click();
    await ada.page.getByRole('menuitem', { name: 'Remove' }).click();
    await cyn.page.getByRole('heading', { name: 'There is no such talk' }).waitFor();
    await say(ben.page, 'without Cyn');
    await message(ada.page, 'without Cyn').waitFor();
    expect(cyn.heard()).not.toContain('without Cyn');

    await ben.page.getByRole('button', { name: /^About Engines/ }).click();
    await ben.page.getByRole('button', { name: 'Leave the group' }).click();
    await expect.poll(() => ben.page.getByRole('link', { name: /Engines/ }).count()).toBe(0);
    await ada.page.locator('.note-event', { hasText: 'Ben left' }).waitFor();
  });
});

describe('the way in and out', () => {
  it('log-out takes everything with it, and the log-in leads where it was to lead', async () => {
    const { ada, ben } = await two();
    const room = await talkTogether(ada, ben);
    await say(ada.page, 'kept on the server');
    await message(ben.page, 'kept on the server').waitFor();
    await ada.page.goto(`${server.url}/chat/me`);
    await ada.page.getByRole('button', { name: 'Log out' }).click();
    await ada.page.getByRole('heading', { name: 'Log in' }).waitFor();
    const kept = await ada.page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }]));
    expect(kept).not.toContain(ada.id);
    await ada.page.goto(`${server.url}/chat/t/${room}`);
    await logIn(ada.page, ada.email);
    await message(ada.page, 'kept on the server').waitFor();
  });
});
