// What no client should say, said to npm's own server and to another one: `node malformed.cjs 3|4 URL`. Both must do the same, or the
// difference has a reason below. Prints `ok` or `not ok` for each, and ends with 1 when one went wrong.
'use strict';

const assert = require('node:assert/strict');
const { spawn } = require('node:child_process');
const { once } = require('node:events');
const { createInterface } = require('node:readline');
const { WebSocket } = require('ws');
const { FRAMES, BODIES, REQUESTS, DIFFERENCES } = require('./malformed-table.cjs');

// Generous: the machine may be busy.
const LIMIT_MS = 30_000;
const [version, other] = process.argv.slice(2);
const EIO = Number(version);
assert.ok(other && (EIO === 3 || EIO === 4), 'usage: node malformed.cjs 3|4 URL');

const MARK = 77;
const ASK = `42${MARK}["message-with-ack"]`;
const ANSWER = `43${MARK}[]`;

const late = () => new Promise((_, reject) => setTimeout(() => reject(new Error('late')), LIMIT_MS).unref());
const inTime = (promise) => Promise.race([promise, late()]).catch((error) => (error.message === 'late' ? 'silence' : Promise.reject(error)));
/** Without what differs between any two connections. */
const plain = (packet) => packet.replace(/"[\w-]{20}"/g, '"…"').replace(/\d*:?0\{"sid".*/s, 'a session');
/** Whether it goes on is what counts, not how its end is told: a code, a packet, or a session that is not known any more. */
const over = (end) => (end === 'open' || end === 'silence' ? end : 'over');

/** A WebSocket in the root namespace says these frames: what comes back, and whether it is open after that. */
async function frames(base, list) {
  const socket = new WebSocket(`${base.replace('http', 'ws')}/socket.io/?EIO=${EIO}&transport=websocket`);
  const heard = [];
  let ready;
  let answered;
  const connected = new Promise((done) => (ready = done));
  const marked = new Promise((done) => (answered = done));
  socket.on('message', (data, binary) => {
    const packet = binary ? `<${data.toString('hex')}>` : data.toString();
    if (packet === '2') return socket.send('3');
    if (packet.includes('["auth"')) return ready();
    if (packet.startsWith('0{') && EIO === 4) return socket.send('40');
    if (packet === ANSWER) return answered('open');
    // Who leaves at the same time is told to all.
    if (!/^0\{|^40(\{|$)|^42\["left"/.test(packet)) heard.push(plain(packet));
  });
  socket.on('close', (code) => answered(over(`closed ${code}`)));
  socket.on('error', () => {});
  await inTime(connected);
  for (const frame of list) socket.send(frame, { binary: Buffer.isBuffer(frame) && frame.text !== true });
  socket.send(ASK);
  const end = await inTime(marked);
  socket.terminate();
  return [...heard, end].join(' ');
}

/** A polling session in the root namespace. */
class Session {
  static async open(base) {
    const session = new Session();
    session.base = `${base}/socket.io/?EIO=${EIO}&transport=polling`;
    session.url = session.base;
    const { sid } = JSON.parse(/\{.*?\}/s.exec((await session.get()).text)[0]);
    session.url += `&sid=${sid}`;
    if (EIO === 4) await session.post('40');
    await session.until('["auth"');
    return session;
  }

  async get() {
    const response = await fetch(this.url);
    return { status: response.status, text: await response.text() };
  }

  async post(body, headers = { 'content-type': 'text/plain;charset=UTF-8' }) {
    const response = await fetch(this.url, { method: 'POST', body, headers });
    return `${response.status} ${await response.text()}`;
  }

  /** Polls until a payload has this, or the session is over. */
  async until(what) {
    for (;;) {
      const { status, text } = await this.get();
      if (status !== 200) return `${status} ${text}`;
      if (text.includes(what)) return 'open';
      if (EIO === 4 && text.split('\x1e').includes('2')) await this.post('3');
      if (/(^|\x1e|1:)1($|\x1e)/.test(text)) return 'closed';
    }
  }

  async alive() {
    return inTime(this.post(EIO === 4 ? ASK : `${ASK.length}:${ASK}`).then((said) => (said.startsWith('200') ? this.until(ANSWER) : said)));
  }
}

/** A polling session posts this body: whether the session lives. */
async function body(base, { bytes, headers }) {
  const session = await Session.open(base);
  await inTime(session.post(bytes, headers).catch(() => 'cut'));
  return over(await session.alive().catch(() => 'cut'));
}

/** A request that is no session's. */
async function request(base, { query, method = 'GET', payload }) {
  const response = await fetch(`${base}/socket.io/${query}`, { method, body: payload });
  return plain(`${response.status} ${(await response.text()).slice(0, 200)}`);
}

async function main() {
  const stage = spawn(process.execPath, [`${__dirname}/stage.cjs`, EIO === 4 ? 'socket.io' : 'socket.io-2'], { stdio: ['pipe', 'pipe', 'inherit'] });
  const [line] = await once(createInterface({ input: stage.stdout }), 'line');
  const npm = `http://127.0.0.1:${line.split(' ')[0]}`;
  let failed = 0;
  for (const [table, run] of [[FRAMES, frames], [BODIES(EIO), body], [REQUESTS(EIO), request]]) {
    for (const [title, what] of Object.entries(table)) {
      const [theirs, ours] = await Promise.all([run(npm, what), run(other, what)].map((outcome) => outcome.catch((error) => `${error}`)));
      const known = DIFFERENCES[EIO][title];
      if (theirs === ours || (known !== undefined && known.ours.test(ours))) {
        console.log(`ok - ${title}: ${ours}${theirs === ours ? '' : ` (npm's: ${theirs}, because ${known.because})`}`);
      } else {
        failed += 1;
        console.log(`not ok - ${title}\n  npm's: ${theirs}\n  this:  ${ours}`);
      }
    }
  }
  process.exit(failed === 0 ? 0 : 1);
}

main();
