// Accounts whose addresses have to be shown to be one's own: codes by mail, forgotten passwords, other passwords, and what the forms say.

import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { launch } from '../src/browser';
import { ask, isIn, logIn, newEmail, PASSWORD, signUp, stranger, violations } from '../src/chat';
import { Server } from '../src/server';

const OTHER = 'an entirely different one';

let server: Server;
let browser: Browser;

beforeAll(async () => {
  [server, browser] = await Promise.all([Server.chatOn('SQLite', true), launch()]);
});

afterAll(async () => {
  await browser?.close();
  await server?.close();
});

/** The codes that were mailed to an address, the first one first. */
function codes(email: string): string[] {
  const mails = server.log.split('mail is not sent, but printed here').slice(1);
  return mails.filter((mail) => mail.includes(`to="${email}"`)).flatMap((mail) => /\b\d{6}\b/.exec(mail) ?? []);
}

/** Waits until so many codes were mailed, and returns the last. */
async function code(email: string, count = 1): Promise<string> {
  await expect.poll(() => codes(email).length).toBe(count);
  return codes(email).at(-1) ?? '';
}

const wrong = (right: string) => (right === '000000' ? '111111' : '000000');
const field = (page: Page, label: string) => page.locator('input').and(page.getByLabel(label, { exact: true }));
const press = (page: Page, name: string) => page.getByRole('button', { name, exact: true }).click();
const heading = (page: Page, name: string) => page.getByRole('heading', { name, exact: true }).waitFor();
const alert = (page: Page) => page.getByRole('alert');

/** Nobody yet, at the form for the code that was just sent. */
async function applicant(name: string): Promise<{ page: Page; email: string }> {
  const page = await stranger(browser, server.url);
  const email = newEmail();
  await signUp(page, name, email);
  await heading(page, 'Your code');
  return { page, email };
}

/** Somebody who has shown that the address is theirs. */
async function member(name: string): Promise<{ page: Page; email: string }> {
  const { page, email } = await applicant(name);
  await field(page, 'Code').fill(await code(email));
  await press(page, 'Go on');
  await isIn(page);
  return { page, email };
}

/** The same person with another browser. */
async function device(email: string, password = PASSWORD): Promise<Page> {
  const page = await stranger(browser, server.url);
  await logIn(page, email, password);
  await isIn(page);
  return page;
}

describe('a new account', () => {
  it('is let in by the code that was mailed, and not by another one, which is said', async () => {
    const { page, email } = await applicant('Ada');
    const right = await code(email);
    await page.getByText(`on its way to ${email}`).waitFor();
    await field(page, 'Code').fill(wrong(right));
    await press(page, 'Go on');
    await alert(page).getByText('The code is wrong').waitFor();
    expect(await ask(page, 'GET', '/me')).toMatchObject({ status: 401 });
    await field(page, 'Code').fill(right);
    await press(page, 'Go on');
    await isIn(page);
    expect(await ask(page, 'GET', '/me')).toMatchObject({ user: { email, name: 'Ada' } });
  });

  it('gets another code when it asks for one, and then only that one is good', async () => {
    const { page, email } = await applicant('Ada');
    const first = await code(email);
    await press(page, 'Send another code');
    await page.getByText('Another code is on its way').waitFor();
    const second = await code(email, 2);
    if (first !== second) {
      await field(page, 'Code').fill(first);
      await press(page, 'Go on');
      await alert(page).getByText('The code is wrong').waitFor();
    }
    await field(page, 'Code').fill(second);
    await press(page, 'Go on');
    await isIn(page);
  });

  it('is told when it has asked for too many codes, and how long it has to wait', async () => {
    const { page, email } = await applicant('Ada');
    for (let n = 2; n <= 6; n++) {
      await press(page, 'Send another code');
      await code(email, n);
    }
    await press(page, 'Send another code');
    await alert(page)
      .getByText(/too many attempts; try again in \d+ s/)
      .waitFor();
    expect(codes(email)).toHaveLength(6);
  });

  it('that was not shown to be its owner’s gets a code at the log-in, and is let in by it', async () => {
    const { page, email } = await applicant('Ada');
    await code(email);
    await press(page, 'Back');
    await logIn(page, email);
    await heading(page, 'Your code');
    await field(page, 'Code').fill(await code(email, 2));
    await press(page, 'Go on');
    await isIn(page);
  });

  it('with an address that somebody has is answered as any other, and nobody is let in', async () => {
    const { email } = await member('Ada');
    const page = await stranger(browser, server.url);
    await signUp(page, 'Eve', email, OTHER);
    await heading(page, 'Your code');
    await field(page, 'Code').fill('123456');
    await press(page, 'Go on');
    await alert(page).getByText('The code is wrong').waitFor();
    await press(page, 'Back');
    await logIn(page, email, OTHER);
    await alert(page).getByText('The address or the password is wrong').waitFor();
    expect(codes(email)).toHaveLength(1);
  });
});

describe('a forgotten password', () => {
  it('is replaced with a code, and every other device is logged out', async () => {
    const { page: other, email } = await member('Ada');
    const page = await stranger(browser, server.url);
    await press(page, 'Forgotten password');
    await field(page, 'E-mail').fill(email);
    await press(page, 'Send the code');
    await heading(page, 'New password');
    const right = await code(email, 2);
    await field(page, 'Code').fill(wrong(right));
    await field(page, 'New password').fill(OTHER);
    await press(page, 'Change the password');
    await alert(page).getByText('The code is wrong').waitFor();
    await isIn(other);
    await field(page, 'Code').fill(right);
    await press(page, 'Change the password');
    await isIn(page);
    await other.getByText('Your session has ended').waitFor();
    expect(await ask(other, 'GET', '/me')).toMatchObject({ status: 401 });
    await logIn(other, email);
    await alert(other).getByText('The address or the password is wrong').waitFor();
    await logIn(other, email, OTHER);
    await isIn(other);
  });

  it('of an address that nobody has looks the same, and sends nothing', async () => {
    const page = await stranger(browser, server.url);
    const email = newEmail();
    await press(page, 'Forgotten password');
    await field(page, 'E-mail').fill(email);
    await press(page, 'Send the code');
    await heading(page, 'New password');
    await field(page, 'Code').fill('123456');
    await field(page, 'New password').fill(OTHER);
    await press(page, 'Change the password');
    await alert(page).getByText('The code is wrong').waitFor();
    expect(codes(email)).toEqual([]);
  });
});

describe('another password', () => {
  it('is chosen in “Me”, stays logged in here, and logs the other devices out', async () => {
    const { page, email } = await member('Ada');
    const other = await device(email);
    const tab = await page.context().newPage();
    await tab.goto(`${server.url}/chat/me`);
    await page.getByRole('link', { name: 'Me', exact: true }).click();
    await page.getByText('Change the password').click();
    await field(page, 'Old password').fill('not the old one');
    await field(page, 'New password').fill(OTHER);
    await press(page, 'Change');
    await alert(page).getByText('The old password is wrong').waitFor();
    await field(page, 'Old password').fill(PASSWORD);
    await press(page, 'Change');
    await page.getByText('The password is changed').waitFor();
    await other.getByText('Your session has ended').waitFor();
    expect(await ask(page, 'GET', '/me')).toMatchObject({ user: { email } });
    // The live connections of this browser have come back with the new cookie.
    await ask(page, 'PATCH', '/me', { name: 'Ada the Second' });
    for (const one of [page, tab]) await expect.poll(() => field(one, 'Name').inputValue()).toBe('Ada the Second');
    await tab.close();
    await logIn(other, email, OTHER);
    await isIn(other);
  });
});

describe.each(['light', 'dark'] as const)('in the %s theme, on 390 pixels', (colorScheme) => {
  it('axe finds nothing on the forms, nor on what they refuse', async () => {
    const page = await stranger(browser, server.url, { colorScheme, viewport: { width: 390, height: 844 } });
    const check = async () => {
      expect(await violations(page)).toEqual([]);
      expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(390);
    };
    const email = newEmail();
    await signUp(page, 'Ada', email);
    await heading(page, 'Your code');
    await check();
    await field(page, 'Code').fill(wrong(await code(email)));
    await press(page, 'Go on');
    await alert(page).waitFor();
    await check();
    await press(page, 'Back');
    await press(page, 'Forgotten password');
    await heading(page, 'Forgotten password');
    await check();
    await field(page, 'E-mail').fill(email);
    await press(page, 'Send the code');
    await heading(page, 'New password');
    await check();
    await field(page, 'Code').fill('000000');
    await field(page, 'New password').fill(OTHER);
    await press(page, 'Change the password');
    await alert(page).waitFor();
    await check();
    await press(page, 'Back');
    await logIn(page, email);
    await heading(page, 'Your code');
    await field(page, 'Code').fill(await code(email, 3));
    await press(page, 'Go on');
    await isIn(page);
    await page.getByRole('link', { name: 'Me', exact: true }).click();
    await page.getByText('Change the password').click();
    await field(page, 'Old password').fill('not the old one');
    await field(page, 'New password').fill(OTHER);
    await press(page, 'Change');
    await alert(page).waitFor();
    await check();
  });
});

it('all of it goes by keyboard, and each form begins at its first field', async () => {
  const page = await stranger(browser, server.url);
  const email = newEmail();
  const focused = () =>
    page.evaluate(() => document.activeElement?.closest('.field')?.querySelector('label')?.textContent);
  const at = (label: string) => expect.poll(focused).toBe(label);
  const type = async (...fields: readonly string[]) => {
    for (const [n, text] of fields.entries()) {
      if (n > 0) await page.keyboard.press('Tab');
      await page.keyboard.type(text);
    }
    await page.keyboard.press('Enter');
  };
  const tabTo = async (name: string) => {
    const button = page.getByRole('button', { name, exact: true });
    for (let n = 0; n < 12 && !(await button.evaluate((it) => it === document.activeElement)); n++) {
      await page.keyboard.press('Tab');
    }
    await page.keyboard.press('Enter');
  };
  await heading(page, 'Log in');
  await tabTo('Make an account');
  await at('Name');
  await type('Ada', email, PASSWORD);
  await at('Code');
  await type(wrong(await code(email)));
  await alert(page).getByText('The code is wrong').waitFor();
  // Back in the field that is wrong, its text ready to be replaced.
  await at('Code');
  await type(await code(email));
  await isIn(page);
  await ask(page, 'POST', '/logout');
  await page.reload();
  await heading(page, 'Log in');
  await tabTo('Forgotten password');
  await at('E-mail');
  await type(email);
  await at('Code');
  await type(await code(email, 2), OTHER);
  await isIn(page);
});
