// A long history: paged and drawn in parts, searched, and opened where the reader stopped.

import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { launch } from '../src/browser';
import { befriend, choose, composer, message, openTalk, type Somebody, say, somebody } from '../src/chat';
import { Server } from '../src/server';

const MANY = 10_000;

let server: Server;
let browser: Browser;

beforeAll(async () => {
  [server, browser] = await Promise.all([Server.chat(), launch()]);
});

afterAll(async () => {
  await browser?.close();
  await server?.close();
});

/** Messages that another program has written, of one and the other by turns. */
function history(room: string, people: readonly [string, string], count: number): void {
  server.sql(`
    begin;
    with recursive n(i) as (select 1 union all select i + 1 from n where i < ${count})
    insert into chat_messages (room, sender, nonce, kind, body, created_at)
      select '${room}', case when i % 3 = 0 then '${people[0]}' else '${people[1]}' end, i || '-${room.slice(0, 8)}', 'text',
        'message ' || i || case when i % 7 = 0 then ' ' || replace(hex(zeroblob(90)), '00', 'and so on ') else '' end
          || case when i = 1234 then ' needle' else '' end,
        strftime('%Y-%m-%dT%H:%M:%SZ', 'now', '-' || (${count} - i) || ' minutes')
      from n;
    update chat_rooms set last_id = (select max(id) from chat_messages where room = '${room}'), last_at = strftime('%Y-%m-%dT%H:%M:%SZ', 'now')
      where id = '${room}';
    commit;`);
}

const scroller = (page: Page) => page.getByRole('region', { name: /^Messages with/ });
const last = (count: number) => new RegExp(`^message ${count}( |$)`);
const numbers = async (page: Page) =>
  (await page.locator('.message .body').allInnerTexts()).map((text) => Number(/^message (\d+)/.exec(text)?.[1]));

/** Scrolls a view's height at a time, until the first message was there. Runs in the page. */
async function walkUp(scroller: Element): Promise<{ seen: number; most: number; inOrder: boolean }> {
  const seen = new Set<number>();
  let most = 0;
  let inOrder = true;
  while (!seen.has(1)) {
    const bodies = [...scroller.querySelectorAll('.message .body')];
    const shown = bodies.map((body) => Number(/^message (\d+)/.exec(body.textContent ?? '')?.[1]));
    inOrder &&= shown.every((number, index) => index === 0 || number === (shown[index - 1] ?? 0) + 1);
    most = Math.max(most, shown.length);
    for (const number of shown) seen.add(number);
    scroller.scrollBy(0, -scroller.clientHeight);
    await new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)));
  }
  return { seen: seen.size, most, inOrder };
}

async function two(): Promise<{ ada: Somebody; ben: Somebody; room: string }> {
  const [ada, ben] = await Promise.all([somebody(browser, server.url, 'Ada'), somebody(browser, server.url, 'Ben')]);
  return { ada, ben, room: await befriend(ada, ben) };
}

it(`${MANY} messages are scrolled through to the first, with few of them on the page, and none missing`, async () => {
  const { ada, ben, room } = await two();
  await Promise.all([ada, ben].map(({ page }) => page.goto('about:blank')));
  history(room, [ada.id, ben.id], MANY);
  server.sql(
    `update chat_receipts set delivered = 1000000, read = (select max(id) from chat_messages) where room = '${room}'`,
  );
  await ada.page.goto(`${server.url}/chat`);
  await openTalk(ada.page, 'Ben');
  await message(ada.page, `message ${MANY}`).last().waitFor();
  const { seen, most, inOrder } = await scroller(ada.page).evaluate(walkUp);
  expect(inOrder).toBe(true);
  expect(seen).toBe(MANY);
  expect(most).toBeLessThan(150);
}, 300_000);

it('what is looked at stays in its place while older messages come above it and new ones below', async () => {
  const { ada, ben, room } = await two();
  history(room, [ada.id, ben.id], 400);
  server.sql(`update chat_receipts set read = (select max(id) from chat_messages) where room = '${room}'`);
  await ada.page.reload();
  await openTalk(ada.page, 'Ben');
  await message(ada.page, 'message 400').last().waitFor();
  await scroller(ada.page).evaluate((element) => element.scrollTo(0, 600));
  const place = () =>
    scroller(ada.page).evaluate(async (element) => {
      await new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)));
      const top = element.getBoundingClientRect().top;
      const line = [...element.querySelectorAll('.message')].find((one) => one.getBoundingClientRect().top > top + 50);
      return [line?.querySelector('.body')?.textContent, Math.round((line?.getBoundingClientRect().top ?? 0) - top)];
    });
  const before = await place();
  const stays = async () => {
    const [text, top] = await place();
    expect(text).toBe(before[0]);
    expect(Math.abs(Number(top) - Number(before[1]))).toBeLessThanOrEqual(1);
  };
  await expect.poll(() => scroller(ada.page).evaluate((element) => element.scrollTop)).toBeGreaterThan(1_500);
  await stays();
  await openTalk(ben.page, 'Ada');
  await say(ben.page, 'something new');
  await ada.page
    .getByRole('button', { name: /Jump to the latest message/ })
    .getByText('1')
    .waitFor();
  await stays();
  await ada.page.getByRole('button', { name: /Jump to the latest message/ }).click();
  await message(ada.page, 'something new').waitFor();
  await say(ben.page, 'and the end is followed');
  await expect.poll(() => message(ada.page, 'and the end is followed').isVisible()).toBe(true);
});

it('opens at what is new, and counts what is left', async () => {
  const { ada, ben, room } = await two();
  history(room, [ada.id, ben.id], 300);
  server.sql(
    `update chat_receipts set read = (select max(id) - 100 from chat_messages) where room = '${room}' and user_id = '${ada.id}'`,
  );
  await ada.page.reload();
  await openTalk(ada.page, 'Ben');
  await ada.page.getByText('New messages', { exact: true }).waitFor();
  await expect.poll(async () => (await numbers(ada.page)).includes(201)).toBe(true);
  expect(await numbers(ada.page)).not.toContain(300);
  await ada.page.getByRole('button', { name: /Jump to the latest message/ }).click();
  await ada.page.locator('.body', { hasText: last(300) }).waitFor();
  await expect.poll(() => ada.page.title()).toBe('Ben · Chat');
});

it('is searched, and leads to what was found; an answer leads to its original', async () => {
  const { ada, ben, room } = await two();
  history(room, [ada.id, ben.id], 2_000);
  await ada.page.reload();
  await openTalk(ada.page, 'Ben');
  await ada.page.getByRole('button', { name: 'Search in this talk' }).click();
  await ada.page.getByLabel('Words to search for').fill('NEEDLE 1234');
  await ada.page.getByRole('list', { name: 'Messages found' }).getByRole('button').click();
  await message(ada.page, 'message 1234 needle').waitFor();
  await expect.poll(() => message(ada.page, 'message 1234 needle').isVisible()).toBe(true);
  await choose(ada.page, 'message 1234 needle', 'Reply');
  await say(ada.page, 'about the needle');
  await message(ada.page, 'about the needle')
    .getByRole('button', { name: /message 1234/ })
    .click();
  await expect.poll(() => message(ada.page, 'message 1234 needle').isVisible()).toBe(true);

  await ada.page.goto(`${server.url}/chat`);
  await ada.page.getByLabel('Search talks and messages').fill('needle');
  await ada.page.getByRole('list', { name: 'Messages found' }).getByRole('button', { name: /1234/ }).click();
  await expect.poll(() => message(ada.page, 'message 1234 needle').isVisible()).toBe(true);
  await composer(ada.page).waitFor();
});
