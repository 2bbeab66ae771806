// Pages of somebody else's web server, on an origin of their own.

import { mkdtempSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, extname, join } from 'node:path';
import react from '@vitejs/plugin-react';
import { build } from 'vite';
import { ROOT } from './server';

const TYPES: Record<string, string> = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css' };

export interface Site {
  readonly address: string;
  readonly close: () => void;
}

/** Serves the files of a folder, and further ones by their name. */
export async function site(folder: string, further: Readonly<Record<string, string>> = {}): Promise<Site> {
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://site');
    const name = pathname === '/' ? '/index.html' : pathname;
    try {
      const bytes = readFileSync(further[name.slice(1)] ?? join(folder, name));
      response.writeHead(200, { 'content-type': TYPES[extname(name)] ?? 'application/octet-stream' }).end(bytes);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  const address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    address,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

/** The folder that `vite build` makes of the React page in `path`. */
export async function built(path: string): Promise<string> {
  const outDir = mkdtempSync(join(tmpdir(), 'rowcast-page-'));
  const client = dirname(createRequire(import.meta.url).resolve('socket.io-client/package.json'));
  await build({
    root: join(ROOT, path),
    configFile: false,
    logLevel: 'warn',
    plugins: [react()],
    // The example's own packages are not installed: those of this workspace are the same.
    resolve: { alias: { 'socket.io-client': join(client, 'build/esm/index.js') } },
    build: { outDir, emptyOutDir: true },
  });
  return outDir;
}
