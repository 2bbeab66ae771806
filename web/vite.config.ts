// Builds the pages into `dist`, which the server embeds. `npm run dev` serves them with a running Rowcast behind.

import { fileURLToPath } from 'node:url';
import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

const client = (file: string) => fileURLToPath(new URL(`../clients/typescript/src/${file}`, import.meta.url));

const page = (file: string) => fileURLToPath(new URL(file, import.meta.url));

export default defineConfig({
  plugins: [react()],
  resolve: {
    // The client's sources, so that the pages build without the package being built first.
    alias: [
      { find: /^@rowcast\/client\/react$/, replacement: client('react.ts') },
      { find: /^@rowcast\/client$/, replacement: client('index.ts') },
    ],
  },
  build: {
    target: 'es2022',
    // The server's content security policy forbids data: scripts and fonts from elsewhere.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // Two pages; what both use (React, the client) is in chunks of its own, so that neither loads the other's.
    rolldownOptions: { input: { index: page('index.html'), chat: page('chat.html') } },
  },
  server: {
    proxy: {
      '/chat/api': { target: process.env.ROWCAST_URL ?? 'http://127.0.0.1:3000' },
      '/v1': { target: process.env.ROWCAST_URL ?? 'http://127.0.0.1:3000', ws: true },
    },
  },
});
