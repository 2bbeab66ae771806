// The chat on each database that it can be on: two people who talk, and another program that writes to the same tables.

import { randomUUID } from 'node:crypto';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { launch } from '../src/browser';
import { befriend, choose, composer, message, openTalk, say, somebody, talkTogether, texts } from '../src/chat';
import { DATABASES, Server } from '../src/server';

describe.each(DATABASES)('on %s', (kind) => {
  let server: Server;
  let browser: Browser;

  beforeAll(async () => {
    [server, browser] = await Promise.all([Server.chatOn(kind), launch()]);
  });

  afterAll(async () => {
    await browser?.close();
    await server?.close();
  });

  const two = async () => {
    const [ada, ben] = await Promise.all([somebody(browser, server.url, 'Ada'), somebody(browser, server.url, 'Ben')]);
    return { ada, ben };
  };

  it('two people talk, answer, reword, take back and react, and see how far each message has come', async () => {
    const { ada, ben } = await two();
    await befriend(ada, ben);
    await openTalk(ada.page, 'Ben');
    await say(ada.page, 'Grüße an Бен, 你好 👋🏽');
    const mark = message(ada.page, 'Grüße').locator('.mark');
    await expect.poll(() => mark.getAttribute('title')).toBe('Delivered');
    await expect.poll(() => ben.page.title()).toBe('(1) Chat');
    await openTalk(ben.page, 'Ada');
    await message(ben.page, 'Grüße an Бен, 你好 👋🏽').waitFor();
    await expect.poll(() => mark.getAttribute('title')).toBe('Read');
    await expect.poll(() => ben.page.title()).toBe('Ada · Chat');
    // One moment on both sides, whatever zone the database gives it in.
    const time = (page: typeof ada.page) => message(page, 'Grüße').locator('time').getAttribute('datetime');
    expect(await time(ben.page)).toBe(await time(ada.page));
    expect(Math.abs(Date.parse((await time(ben.page)) ?? '') - Date.now())).toBeLessThan(120_000);

    await choose(ben.page, 'Grüße', 'Reply');
    await say(ben.page, 'And to you');
    await message(ada.page, 'And to you').locator('.quote').getByText('Grüße').waitFor();

    await choose(ada.page, 'Grüße', 'Edit');
    await composer(ada.page).fill('Greetings');
    await composer(ada.page).press('Enter');
    await message(ben.page, 'Greetings').getByText('edited').waitFor();
    await message(ben.page, 'And to you').locator('.quote').getByText('Greetings').waitFor();

    await message(ben.page, 'Greetings').hover();
    await message(ben.page, 'Greetings').getByRole('button', { name: 'React' }).click();
    await ben.page.getByRole('button', { name: 'React 👍' }).click();
    await ada.page.getByRole('button', { name: '👍 by Ben' }).click();
    await ben.page.getByRole('button', { name: '👍 by you, Ada' }).click();
    await ada.page.getByRole('button', { name: '👍 by you', exact: true }).waitFor();

    await choose(ada.page, 'Greetings', 'Delete');
    await ada.page.getByRole('button', { name: 'Delete', exact: true }).click();
    await message(ben.page, 'This message was deleted').waitFor();
    expect(await ben.page.locator('.pill').count()).toBe(0);
    const all = ['This message was deleted', 'And to you'];
    expect([await texts(ada.page), await texts(ben.page)]).toEqual([all, all]);
  });

  it('what another program writes, changes and removes is in the talk at once', async () => {
    const { ada, ben } = await two();
    const room = await talkTogether(ada, ben);
    const nonce = randomUUID();
    const columns = '(room, sender, nonce, kind, body)';
    server.sql(`insert into chat_messages ${columns} values ('${room}', '${ben.id}', '${nonce}', 'text', 'by hand')`);
    await Promise.all([message(ada.page, 'by hand').waitFor(), message(ben.page, 'by hand').waitFor()]);
    await expect.poll(() => message(ben.page, 'by hand').locator('.mark').getAttribute('title')).toBe('Read');
    server.sql(`update chat_messages set body = 'reworded by hand' where nonce = '${nonce}'`);
    await Promise.all([
      message(ada.page, 'reworded by hand').waitFor(),
      message(ben.page, 'reworded by hand').waitFor(),
    ]);
    server.sql(`begin; insert into chat_messages ${columns}
      values ('${room}', '${ben.id}', '${randomUUID()}', 'text', 'never committed'); rollback`);
    server.sql(`delete from chat_messages where nonce = '${nonce}'`);
    await expect.poll(() => texts(ada.page)).toEqual([]);
    await say(ada.page, 'the only one');
    await message(ben.page, 'the only one').waitFor();
    expect([await texts(ada.page), await texts(ben.page)]).toEqual([['the only one'], ['the only one']]);
    expect(ada.heard()).not.toContain('never committed');
  });

  it('what was missed while nobody was connected is there, after a crash of the server, too', async () => {
    const { ada, ben } = await two();
    const room = await talkTogether(ada, ben);
    await say(ada.page, 'before');
    await message(ben.page, 'before').waitFor();
    await server.crash();
    await ada.page.getByText('What you write is kept and sent then').waitFor();
    await say(ada.page, 'written meanwhile');
    server.sql(
      `insert into chat_messages (room, sender, nonce, kind, body) values ('${room}', '${ben.id}', '${randomUUID()}', 'text', 'by hand meanwhile')`,
    );
    await server.start();
    for (const { page } of [ada, ben]) {
      await expect
        .poll(() => texts(page), { timeout: 30_000 })
        .toEqual(['before', 'by hand meanwhile', 'written meanwhile']);
    }
    await expect.poll(() => ada.page.locator('.waiting').count()).toBe(0);
  });
});
