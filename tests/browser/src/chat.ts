// People who talk: each with a browser profile of their own.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { expect, onTestFinished } from 'vitest';
import { open } from './browser';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** Browsers write each refusal on the console, that the server is away, and the client that one was removed from a talk. */
const EXPECTED =
  /\b(400|401|403|404|409|429|50[234])\b|net::ERR_|WebSocket connection|Password forms|Close received|no longer seen/;

export interface Somebody {
  readonly page: Page;
  readonly id: string;
  readonly name: string;
  readonly email: string;
  /** Everything that the server has told this browser. */
  readonly heard: () => string;
}

let count = 0;

export const PASSWORD = 'correct horse battery';

/** A browser of nobody in particular, who looks at the chat. Everything that goes wrong in it fails the test. */
export async function stranger(browser: Browser, url: string, options: BrowserContextOptions = {}): Promise<Page> {
  count += 1;
  // Where the server takes its word for it: a client whose attempts are nobody else's.
  const extraHTTPHeaders = { 'x-forwarded-for': `10.0.${count >> 8}.${count & 255}` };
  const watched = await open(browser, `${url}/chat`, { reducedMotion: 'reduce', extraHTTPHeaders, ...options });
  watched.page.setDefaultTimeout(15_000);
  onTestFinished(async () => {
    await watched.close();
    expect(watched.problems.filter((problem) => !EXPECTED.test(problem))).toEqual([]);
  });
  return watched.page;
}

/** An address that nobody else has. */
export function newEmail(): string {
  count += 1;
  return `person${count}.${Date.now()}@example.com`;
}

/** Fills the form of the log-in, of which the page shows another one. */
export async function signUp(page: Page, name: string, email: string, password = PASSWORD): Promise<void> {
  await page.getByRole('button', { name: 'Make an account' }).click();
  await page.getByLabel('Name').fill(name);
  await page.getByLabel('E-mail').fill(email);
  await page.getByLabel(/^Password/).fill(password);
  await page.getByRole('button', { name: 'Sign up' }).click();
}

export async function logIn(page: Page, email: string, password = PASSWORD): Promise<void> {
  await page.getByLabel('E-mail').fill(email);
  await page.getByLabel('Password').fill(password);
  await page.getByRole('button', { name: 'Log in' }).click();
}

/** They are in: their talks are shown. */
export const isIn = (page: Page) => page.getByRole('heading', { name: 'Talks', exact: true }).waitFor();

/** Somebody new, who has signed up and looks at their talks. */
export async function somebody(
  browser: Browser,
  url: string,
  name: string,
  options: BrowserContextOptions = {},
): Promise<Somebody> {
  const page = await stranger(browser, url, options);
  const heard: string[] = [];
  page.on('websocket', (socket) => socket.on('framereceived', ({ payload }) => heard.push(String(payload))));
  page.on(
    'response',
    (response) =>
      void response.text().then(
        (text) => heard.push(text),
        () => undefined,
      ),
  );
  const email = newEmail();
  await signUp(page, name, email);
  await isIn(page);
  const { user } = (await ask(page, 'GET', '/me')) as { user: { id: string } };
  return { page, id: user.id, name, email, heard: () => heard.join('\n') };
}

/** A request as the page itself makes it. */
export function ask(page: Page, method: string, path: string, body?: unknown): Promise<unknown> {
  return page.evaluate(
    async ([how, where, what]) => {
      const init: RequestInit = { method: how };
      if (what !== undefined) Object.assign(init, { headers: { 'content-type': 'application/json' }, body: what });
      const response = await fetch(`/chat/api${where}`, init);
      const text = await response.text();
      return text === '' ? { status: response.status } : { status: response.status, ...JSON.parse(text) };
    },
    [method, path, body === undefined ? undefined : JSON.stringify(body)] as const,
  );
}

/** Makes them contacts, and returns the id of their talk. */
export async function befriend(one: Somebody, other: Somebody): Promise<string> {
  await ask(one.page, 'POST', '/contacts', { email: other.email });
  await ask(other.page, 'POST', `/contacts/${one.id}/accept`);
  const { room } = (await ask(one.page, 'POST', '/rooms', { kind: 'direct', user: other.id })) as {
    room: { id: string };
  };
  return room.id;
}

/** Opens their talk in both browsers. */
export async function talkTogether(one: Somebody, other: Somebody): Promise<string> {
  const room = await befriend(one, other);
  await openTalk(one.page, other.name);
  await openTalk(other.page, one.name);
  return room;
}

/** A talk in the list of them. */
export const talkRow = (page: Page, name: string) =>
  page
    .getByRole('list', { name: 'Talks' })
    .getByRole('link')
    .filter({ has: page.locator('.talk-row-name', { hasText: name }) });

export async function openTalk(page: Page, name: string): Promise<void> {
  await talkRow(page, name).click();
  await composer(page).waitFor();
}

export const composer = (page: Page) => page.getByRole('textbox', { name: /^Message to/ });

export async function say(page: Page, text: string): Promise<void> {
  await composer(page).fill(text);
  await composer(page).press('Enter');
}

/** The message with this text. */
export const message = (page: Page, text: string) =>
  page.locator('.message').filter({ has: page.locator('.body', { hasText: text }) });

/** The texts that are shown, in order. */
export const texts = (page: Page) => page.locator('.message .body').allInnerTexts();

/** The page goes to the background, or comes back: a browser without windows never says so by itself. */
export async function setHidden(page: Page, hidden: boolean): Promise<void> {
  await page.evaluate((isHidden) => {
    Object.defineProperty(document, 'visibilityState', {
      configurable: true,
      get: () => (isHidden ? 'hidden' : 'visible'),
    });
    document.dispatchEvent(new Event('visibilitychange'));
  }, hidden);
}

/** Makes a group of its owner and contacts of theirs, and returns its id. */
export async function group(owner: Somebody, name: string, ...members: readonly Somebody[]): Promise<string> {
  for (const member of members) await befriend(owner, member);
  const { room } = (await ask(owner.page, 'POST', '/rooms', {
    kind: 'group',
    name,
    members: members.map(({ id }) => id),
  })) as { room: { id: string } };
  return room.id;
}

/** A picture of ten by ten red dots. */
export const RED_DOTS = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAoAAAAKCAIAAAACUFjqAAAAEklEQVR42mM4YWODBzGMSmNDAOtLfQFCsVfJAAAAAElFTkSuQmCC',
  'base64',
);

/** Sends files, each as a message of its own; the text goes with the first. */
export async function sendFiles(page: Page, text: string, ...names: readonly string[]): Promise<void> {
  const files = names.map((name) =>
    name.endsWith('.png')
      ? { name, mimeType: 'image/png', buffer: RED_DOTS }
      : { name, mimeType: 'text/plain', buffer: Buffer.from('a few notes') },
  );
  await page.locator('.composer input[type=file]').setInputFiles(files);
  await expect.poll(() => page.locator('.tray-item').count()).toBe(files.length);
  await composer(page).fill(text);
  await expect.poll(() => page.getByRole('button', { name: 'Send' }).isEnabled()).toBe(true);
  await composer(page).press('Enter');
}

/** Something from the menu of a message. */
export async function choose(page: Page, text: string, item: string): Promise<void> {
  await message(page, text).last().hover();
  await message(page, text).last().getByRole('button', { name: 'More' }).click();
  await page.getByRole('menuitem', { name: item }).click();
}

interface Violation {
  readonly id: string;
  readonly nodes: readonly { readonly html: string; readonly failureSummary: string }[];
}

/** What axe finds on the page as it is. */
export async function violations(page: Page): Promise<string[]> {
  // By evaluation: the pages' own policy lets no foreign script in.
  await page.evaluate(AXE);
  const found = await page.evaluate(async () => {
    const { axe } = window as unknown as { axe: { run: () => Promise<{ violations: Violation[] }> } };
    return (await axe.run()).violations;
  });
  return found.flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.html} ${node.failureSummary}`));
}
