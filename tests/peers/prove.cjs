// Puts every client through its scenarios with npm's own servers: what these do not pass is the test's mistake, not Rowcast's.
// `npm test`. The same scenarios with Rowcast: `crates/rowcast-server/tests/it/socketio.rs`.
'use strict';

const { spawn } = require('node:child_process');
const { once } = require('node:events');
const { createInterface } = require('node:readline');

const PAIRS = [
  ['socket.io-client', 'socket.io'],
  ['socket.io-client-3', 'socket.io'],
  ['socket.io-client-2', 'socket.io-2'],
  ['socket.io-client-1', 'socket.io-2'],
];

async function stage(library) {
  const child = spawn(process.execPath, [`${__dirname}/stage.cjs`, library], { stdio: ['pipe', 'pipe', 'inherit'] });
  const [line] = await once(createInterface({ input: child.stdout }), 'line');
  return { urls: line.split(' ').map((port) => `http://127.0.0.1:${port}`), close: () => child.stdin.end() };
}

/** One client's scenarios; true if all went well. */
async function pass(client, library, transport, urls) {
  const child = spawn(process.execPath, [`${__dirname}/client.cjs`, client, transport, 'npm', ...urls]);
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (said += text));
  const [code] = await once(child, 'close');
  console.log(`${code === 0 ? 'ok' : 'not ok'} - ${client} on ${transport} with ${library}`);
  if (code !== 0) console.log(said);
  return code === 0;
}

async function main() {
  const outcomes = PAIRS.map(async ([client, library]) => {
    const { urls, close } = await stage(library);
    let all = true;
    for (const transport of ['polling', 'websocket', 'upgrade']) all = (await pass(client, library, transport, urls)) && all;
    close();
    return all;
  });
  process.exit((await Promise.all(outcomes)).every(Boolean) ? 0 : 1);
}

main();
