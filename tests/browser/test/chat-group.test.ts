// Groups: who has seen what, who may do what, who types, and how its members look.

import type { Browser, Locator } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { launch } from '../src/browser';
import {
  ask,
  choose,
  composer,
  group,
  message,
  openTalk,
  RED_DOTS,
  type Somebody,
  say,
  somebody,
  talkRow,
  violations,
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

/** Ada, who owns the group, and two members. */
async function three(): Promise<{ ada: Somebody; ben: Somebody; cyn: Somebody; room: string }> {
  const [ada, ben, cyn] = await Promise.all([
    somebody(browser, server.url, 'Ada'),
    somebody(browser, server.url, 'Ben'),
    somebody(browser, server.url, 'Cyn'),
  ]);
  return { ada, ben, cyn, room: await group(ada, 'Engines', ben, cyn) };
}

const about = ({ page }: Somebody) => page.getByRole('button', { name: /^About Engines/ }).click();
const rolesOf = ({ page }: Somebody) => page.locator('.details .person-row .note').allInnerTexts();

it('a message is read when all have seen it, and says who has', async () => {
  const { ada, ben, cyn } = await three();
  await openTalk(ada.page, 'Engines');
  await say(ada.page, 'who sees this?');
  const mark = message(ada.page, 'who sees this?').locator('.mark');
  await expect.poll(() => mark.getAttribute('title')).toBe('Delivered');
  await choose(ada.page, 'who sees this?', 'Seen by');
  const dialog = ada.page.getByRole('dialog');
  await dialog.getByRole('heading', { name: 'Seen by 0 of 2' }).waitFor();
  await dialog.getByText('Nobody has seen it yet.').waitFor();
  await openTalk(ben.page, 'Engines');
  await dialog.getByRole('heading', { name: 'Seen by 1 of 2' }).waitFor();
  expect(await dialog.getByRole('listitem').allInnerTexts()).toEqual([expect.stringContaining('Ben')]);
  expect(await mark.getAttribute('title')).toBe('Delivered');
  await openTalk(cyn.page, 'Engines');
  await dialog.getByRole('heading', { name: 'Seen by 2 of 2' }).waitFor();
  expect(await violations(ada.page)).toEqual([]);
  await ada.page.keyboard.press('Escape');
  await expect.poll(() => mark.getAttribute('title')).toBe('Read');
});

it('an owner makes and unmakes admins, who name it and remove members, and are told what they may', async () => {
  const { ada, ben, cyn, room } = await three();
  await Promise.all([ada, ben, cyn].map(({ page }) => openTalk(page, 'Engines')));
  await about(ada);
  await about(ben);
  // A member may look, and leave.
  await ben.page.getByRole('button', { name: 'Leave the group' }).waitFor();
  expect(await ben.page.getByRole('button', { name: /^Change / }).count()).toBe(0);
  expect(await ben.page.getByLabel('Name of the group').count()).toBe(0);
  const role = { role: 'admin' };
  expect(await ask(ben.page, 'PATCH', `/rooms/${room}/members/${ben.id}`, role)).toMatchObject({ status: 403 });
  expect(await ask(ben.page, 'PATCH', `/rooms/${room}`, { name: 'Mine' })).toMatchObject({ status: 403 });
  expect(await ask(ben.page, 'DELETE', `/rooms/${room}/members/${cyn.id}`)).toMatchObject({ status: 403 });

  await ada.page.getByRole('button', { name: 'Change Ben' }).click();
  await ada.page.getByRole('menuitem', { name: 'Make admin' }).click();
  await expect.poll(() => rolesOf(ada)).toEqual(['owner', 'admin']);
  // Without a reload.
  await expect.poll(() => rolesOf(ben)).toEqual(['owner', 'admin']);
  await ben.page.getByLabel('Name of the group').fill('Engines & looms');
  await ben.page.getByRole('button', { name: 'Save' }).click();
  await cyn.page.locator('.note-event', { hasText: 'Ben named the group “Engines & looms”' }).waitFor();
  expect(await ben.page.getByRole('button', { name: 'Change Ada' }).count()).toBe(0);
  expect(await ask(ben.page, 'DELETE', `/rooms/${room}/members/${ada.id}`)).toMatchObject({ status: 403 });
  expect(await ask(ben.page, 'PATCH', `/rooms/${room}/members/${cyn.id}`, role)).toMatchObject({ status: 403 });
  await ben.page.getByRole('button', { name: 'Change Cyn' }).click();
  await ben.page.getByRole('menuitem', { name: 'Remove' }).click();
  await cyn.page.getByRole('heading', { name: 'There is no such talk' }).waitFor();

  await ada.page.getByRole('button', { name: 'Change Ben' }).click();
  await ada.page.getByRole('menuitem', { name: 'No admin any more' }).click();
  await expect.poll(() => rolesOf(ben)).toEqual(['owner']);
  await expect.poll(() => ben.page.getByLabel('Name of the group').count()).toBe(0);
  expect(await ask(ben.page, 'PATCH', `/rooms/${room}`, { name: 'Mine' })).toMatchObject({ status: 403 });
});

it('an owner who leaves is followed by the admin', async () => {
  const { ada, ben, cyn, room } = await three();
  await ask(ada.page, 'PATCH', `/rooms/${room}/members/${cyn.id}`, { role: 'admin' });
  await Promise.all([ada, ben, cyn].map(({ page }) => openTalk(page, 'Engines')));
  await about(cyn);
  await expect.poll(() => rolesOf(cyn)).toEqual(['owner', 'admin']);
  await about(ada);
  await ada.page.getByRole('button', { name: 'Leave the group' }).click();
  await expect.poll(() => rolesOf(cyn)).toEqual(['owner']);
  await cyn.page.getByRole('button', { name: 'Change Ben' }).click();
  await cyn.page.getByRole('menuitem', { name: 'Make admin' }).click();
  await expect.poll(() => rolesOf(cyn)).toEqual(expect.arrayContaining(['owner', 'admin']));
  expect(await ask(ada.page, 'GET', `/unread`)).not.toMatchObject({ rooms: [{ room }] });
});

it('who types is said in the talk and in the list of talks, until they stop or send', async () => {
  const { ada, ben, cyn, room } = await three();
  await ada.page.goto(`${server.url}/chat/t/${room}`);
  await composer(ada.page).waitFor();
  const row = (name: string) => talkRow(ada.page, name);
  await openTalk(ben.page, 'Engines');
  await openTalk(cyn.page, 'Ada');
  await composer(ben.page).pressSequentially('I th');
  await ada.page.locator('.talk-status').getByText('Ben is typing…').waitFor();
  await row('Engines').getByText('Ben is typing…').waitFor();
  // In a talk that is not open.
  await composer(cyn.page).pressSequentially('Psst');
  await row('Cyn').getByText('typing…').waitFor();
  expect(await ada.page.locator('.talk-status').innerText()).toBe('Ben is typing…');
  await composer(ben.page).press('Enter');
  await row('Engines').getByText('Ben: I th').waitFor();
  await expect.poll(() => ada.page.locator('.talk-status').innerText()).toBe('3 members');
  await composer(cyn.page).fill('');
  await expect.poll(() => row('Cyn').getByText('typing…').count()).toBe(0);
});

it('the pictures of its members and its own are those that they chose', async () => {
  const { ada, ben, cyn } = await three();
  const choosePicture = ({ page }: Somebody) =>
    page
      .locator('.picture-picker input[type=file]')
      .setInputFiles({ name: 'me.png', mimeType: 'image/png', buffer: RED_DOTS });
  const drawn = (images: Locator) =>
    expect.poll(() => images.evaluate((image: HTMLImageElement) => image.naturalWidth)).toBe(10);
  await openTalk(cyn.page, 'Engines');
  await openTalk(ada.page, 'Engines');
  await ben.page.goto(`${server.url}/chat/me`);
  await choosePicture(ben);
  await drawn(ben.page.locator('.my .avatar.huge img'));
  await ben.page.getByRole('link', { name: /^Talks/ }).click();
  await openTalk(ben.page, 'Engines');
  await say(ben.page, 'with a picture');
  // Cyn and Ben are no contacts: what she sees is a member's.
  await drawn(cyn.page.locator('.message-avatar img'));
  await about(cyn);
  await drawn(cyn.page.getByRole('dialog').getByRole('listitem').filter({ hasText: 'Ben' }).locator('.avatar img'));
  await about(ada);
  await choosePicture(ada);
  await drawn(ben.page.locator('.talk-head .avatar img'));
  await drawn(talkRow(ben.page, 'Engines').locator('img'));
  await cyn.page.locator('.note-event', { hasText: 'Ada changed the group’s picture' }).waitFor();
  await ada.page.getByRole('button', { name: 'Remove it' }).click();
  await expect.poll(() => ben.page.locator('.talk-head .avatar img').count()).toBe(0);
});
