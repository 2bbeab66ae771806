// A real browser, and a page that remembers everything that went wrong in it.

import { execFileSync } from 'node:child_process';
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';

const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

function chromiumPath(): string {
  const { CHROMIUM } = process.env;
  if (CHROMIUM !== undefined) return CHROMIUM;
  for (const name of ['chromium', 'chromium-browser', 'google-chrome', 'chrome']) {
    try {
      return execFileSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8' }).trim();
    } catch {
      // The next name.
    }
  }
  throw new Error('no Chromium in PATH: install one, or name it with CHROMIUM');
}

/** A browser in which addresses are others than they seem: `{ 'localhost:9000': '127.0.0.1:41233' }`, so that pages may run as they are. */
export function launch(addresses: Readonly<Record<string, string>> = {}): Promise<Browser> {
  const rules = Object.entries(addresses).map(([seen, real]) => `MAP ${seen} ${real}`);
  const args = rules.length === 0 ? FLAGS : [...FLAGS, `--host-resolver-rules=${rules.join(', ')}`];
  return chromium.launch({ executablePath: chromiumPath(), args });
}

export interface Watched {
  readonly page: Page;
  /** Errors on the console, uncaught exceptions, violations of the content security policy. */
  readonly problems: string[];
  readonly close: () => Promise<void>;
}

/** A page in a browser profile of its own. */
export async function open(browser: Browser, url: string, options: BrowserContextOptions = {}): Promise<Watched> {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, ...options });
  const page = await context.newPage();
  const problems: string[] = [];
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) problems.push(`console: ${message.text()}`);
  });
  page.on('pageerror', (error) => problems.push(`exception: ${error.stack}`));
  await page.goto(url);
  return { page, problems, close: () => context.close() };
}
