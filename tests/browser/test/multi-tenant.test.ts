// The example `examples/multi-tenant`: two companies, three roles, and a member who is removed while he looks.

import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import { launch, open } from '../src/browser';
import { Server } from '../src/server';

let server: Server;
let browser: Browser;

beforeAll(async () => {
  [server, browser] = await Promise.all([Server.multiTenant(), launch()]);
});

afterAll(async () => {
  await browser?.close();
  await server?.close();
});

/** The page in a browser of that person's own. Before the log-in the server says 401, which browsers write on the console. */
async function as(person: string, path = '/', allowed = /401/): Promise<Page> {
  const { page, problems, close } = await open(browser, server.url + path);
  onTestFinished(async () => {
    await close();
    expect(problems.filter((problem) => !allowed.test(problem))).toEqual([]);
  });
  await page.getByRole('button', { name: person }).click();
  await page.getByText('live', { exact: true }).waitFor();
  return page;
}

const lines = (page: Page, list: string) => page.locator(`#${list} li`).allInnerTexts();
const shows = (page: Page, list: string, wished: readonly unknown[]) =>
  expect.poll(() => lines(page, list)).toEqual(wished);
const task = (title: string) => expect.stringContaining(title);

it('shows each person what is theirs to see', async () => {
  const [ada, cyn, dan] = await Promise.all(['ada', 'cyn', 'dan'].map((person) => as(person)));
  if (ada === undefined || cyn === undefined || dan === undefined) throw new Error('nobody is there');
  await shows(ada, 'tasks', [task('Order fuel'), task('Invite the press')]);
  await shows(cyn, 'tasks', [task('Invite the press')]);
  expect(await cyn.locator('#tasks').innerText()).not.toContain('ada');
  await shows(dan, 'tasks', [task('Calibrate the sensors'), task('Open day')]);
  expect(await ada.locator('#projects').innerText()).toContain('Website');
  expect(await cyn.locator('#projects').innerText()).toBe('Rocket');
  expect(await dan.locator('#projects').innerText()).toBe('Reactor');
  expect(await cyn.locator('#new-task').isVisible()).toBe(false);
});

it('shows who is there, and who types, to colleagues only', async () => {
  const [ada, bob, dan] = await Promise.all(['ada', 'bob', 'dan'].map((person) => as(person)));
  if (ada === undefined || bob === undefined || dan === undefined) throw new Error('nobody is there');
  await expect.poll(() => lines(ada, 'there')).toHaveLength(2);
  await bob.getByLabel('A message').fill('hello');
  await ada.getByText('is typing…').waitFor();
  await bob.getByRole('button', { name: 'Send' }).click();
  await ada.locator('#messages').getByText('hello').waitFor();
  await expect.poll(() => ada.getByText('is typing…').count()).toBe(0);
  await shows(dan, 'there', [task('dan')]);
  expect(await dan.locator('#messages').innerText()).not.toContain('hello');
});

it('keeps a private task private, and a shared one live', async () => {
  const [ada, bob] = await Promise.all(['ada', 'bob'].map((person) => as(person)));
  if (ada === undefined || bob === undefined) throw new Error('nobody is there');
  await bob.getByLabel('A new task').fill('Buy a ring');
  await bob.getByLabel('Who may see it').selectOption('only me');
  await bob.getByRole('button', { name: 'Add' }).click();
  await bob.locator('#tasks').getByText('Buy a ring').waitFor();
  await bob.getByLabel('A new task').fill('Paint the fins');
  await bob.getByRole('button', { name: 'Add' }).click();
  await ada.locator('#tasks').getByText('Paint the fins').waitFor();
  expect(await ada.locator('#tasks').innerText()).not.toContain('Buy a ring');
  server.sql("update tasks set visibility = 'private' where title = 'Paint the fins'");
  await expect.poll(() => ada.locator('#tasks').innerText()).not.toContain('Paint the fins');
  expect(await bob.locator('#tasks').innerText()).toContain('Paint the fins');
});

it('a member who is removed while connected hears so, and sees nothing that came after', async () => {
  const bob = await as('bob', '/', /401|no longer seen on `room:rocket`/);
  await bob.locator('#tasks').getByText('Order fuel').waitFor();
  server.sql(`
    begin;
    delete from memberships where user_id = 'bob' and project_id = 'rocket';
    insert into messages (tenant_id, project_id, author, body) values ('acme', 'rocket', 'ada', 'not for bob');
    commit`);
  await bob.getByText('You were removed from Rocket.').waitFor();
  await expect.poll(() => bob.locator('#projects').innerText()).toBe('Website');
  await shows(bob, 'tasks', [task('Write the imprint')]);
  expect(await bob.content()).not.toContain('not for bob');
  server.sql("insert into memberships (tenant_id, project_id, user_id) values ('acme', 'rocket', 'bob')");
  await bob.getByRole('button', { name: 'Rocket' }).click();
  await bob.locator('#messages').getByText('not for bob').waitFor();
});

it('asks again who it is when the log-in has ended', async () => {
  const eve = await as('eve');
  await eve.getByRole('button', { name: 'Log out' }).click();
  await eve.getByText('Who are you?').waitFor();
  expect(await eve.locator('#tasks li').count()).toBe(0);
});
