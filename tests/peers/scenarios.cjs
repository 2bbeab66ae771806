// What every Socket.IO client must be able to do with a server that behaves as `stage.cjs`. Names are facts.
'use strict';

const assert = require('node:assert/strict');

const TEXTS = ['', 'plain', 'Grüße, ελληνικά, 日本語, 🚀👩‍👩‍👧', '"\\/\b\f\n\r\t', '\u001e\u2028\u2029', '\u{10ffff}', ':5:[]', '42["x"]'];
const VALUES = [0, -1.5, 9007199254740991, true, false, null, [], {}, [[1], { a: { b: [null] } }], { '': 'ü', _placeholder: false }];
const numbers = (count, first = 0) => Array.from({ length: count }, (_, index) => first + index);

module.exports = {
  'what a client shows when it connects, the server knows': {
    async run(company) {
      const socket = await company.connected('/', { token: 'to%ken&n=1' });
      assert.deepEqual(await company.until(socket, 'auth'), [{ token: 'to%ken&n=1' }]);
      assert.equal(socket.connected, true);
      assert.ok(socket.id);
    },
  },

  'text and values come back as they were sent': {
    async run(company) {
      const socket = await company.connected();
      for (const value of [...TEXTS, ...VALUES]) {
        socket.emit('message', value);
        assert.deepEqual(await company.until(socket, 'message-back'), [value]);
      }
      socket.emit('message', ...TEXTS, ...VALUES);
      assert.deepEqual(await company.until(socket, 'message-back'), [...TEXTS, ...VALUES]);
      socket.emit('message');
      assert.deepEqual(await company.until(socket, 'message-back'), []);
    },
  },

  'client and server mean the same characters': {
    async run(company) {
      // A client of 1.x encodes as UTF-8 twice when it polls, and npm's servers since 2.0 do not: what it means, they do not see.
      if (company.server === 'npm' && company.major === 1 && company.transport !== 'websocket') return;
      const socket = await company.connected();
      for (const text of TEXTS) {
        assert.deepEqual(await company.ask(socket, 'code-points', text), [Array.from(text, (one) => one.codePointAt(0))]);
        assert.deepEqual(await company.ask(socket, 'from-code-points', Array.from(text, (one) => one.codePointAt(0))), [text]);
      }
    },
  },

  'large text and large binary come back': {
    async run(company) {
      const socket = await company.connected();
      const text = 'ü€🚀x'.repeat(40_000);
      socket.emit('message', text);
      const [back] = await company.until(socket, 'message-back');
      assert.ok(back === text, `${back?.length} characters of ${text.length}`);
      const bytes = Buffer.from(numbers(400_000).map((n) => (n * 31) % 251));
      socket.emit('message', bytes);
      const [same] = await company.until(socket, 'message-back');
      assert.ok(bytes.equals(same), 'other bytes');
    },
  },

  'many messages come back in order': {
    async run(company) {
      const socket = await company.connected();
      const sent = numbers(1000);
      for (const n of sent) socket.emit('message', n, `${n}`);
      await company.until(socket, 'message-back', (n) => n === 999);
      assert.deepEqual(
        company.taken(socket, 'message-back').map(([n]) => n),
        sent.slice(0, -1),
      );
    },
  },

  'the server answers': {
    async run(company) {
      const socket = await company.connected();
      assert.deepEqual(await company.ask(socket, 'message-with-ack'), []);
      assert.deepEqual(await company.ask(socket, 'message-with-ack', 1, 'zwölf', { a: [null] }), [1, 'zwölf', { a: [null] }]);
      const answers = await Promise.all(numbers(200).map((n) => company.ask(socket, 'message-with-ack', n)));
      assert.deepEqual(
        answers,
        numbers(200).map((n) => [n]),
      );
    },
  },

  'the client answers': {
    async run(company) {
      const socket = await company.connected();
      socket.emit('ask', 1, 'zwölf', { a: [null] });
      assert.deepEqual(await company.until(socket, 'answered'), [1, 'zwölf', { a: [null] }]);
      socket.emit('ask');
      assert.deepEqual(await company.until(socket, 'answered'), []);
      for (const n of numbers(50)) socket.emit('ask', n);
      for (const n of numbers(50)) await company.until(socket, 'answered', (m) => m === n);
    },
  },

  'bytes come back, in events and in answers of both sides': {
    async run(company) {
      const socket = await company.connected();
      const [some, none, all] = [Buffer.from([1, 2, 3]), Buffer.alloc(0), Buffer.from(numbers(256))];
      const nested = [{ first: some, list: [none, { deep: all }], text: 'ü' }, all, 7];
      socket.emit('message', ...nested);
      assert.deepEqual(await company.until(socket, 'message-back'), nested);
      assert.deepEqual(await company.ask(socket, 'message-with-ack', ...nested), nested);
      socket.emit('ask', ...nested);
      assert.deepEqual(await company.until(socket, 'answered'), nested);
    },
  },

  'a browser of 2.x that polls sends bytes as bytes, and gets them so': {
    async run(company) {
      if (company.major !== 2 || company.transport !== 'polling') return;
      // What the client does where XMLHttpRequest knows binary, which it does not in Node.
      const url = `${company.url}/socket.io/?EIO=3&transport=polling`;
      const { sid } = JSON.parse(/\{.*?\}/s.exec(await (await fetch(url)).text())[0]);
      const digits = (length) => [...String(length)].map(Number);
      const header = '451-["message","ü",{"_placeholder":true,"num":0}]';
      const [text, bytes] = [Buffer.from(header), [4, 0, 1, 254, 255]];
      const body = Buffer.from([0, ...digits(text.length), 255, ...text, 1, ...digits(bytes.length), 255, ...bytes]);
      const headers = { 'content-type': 'application/octet-stream' };
      const posted = await fetch(`${url}&sid=${sid}`, { method: 'POST', body, headers });
      assert.equal(await posted.text(), 'ok');
      const answer = Buffer.from('451-["message-back","ü",{"_placeholder":true,"num":0}]');
      for (;;) {
        const polled = await fetch(`${url}&sid=${sid}`);
        assert.equal(polled.status, 200);
        const got = Buffer.from(await polled.arrayBuffer());
        if (polled.headers.get('content-type') !== 'application/octet-stream') continue;
        assert.ok(got.includes(Buffer.from([0, ...digits(answer.length), 255, ...answer])), got.toString());
        assert.ok(got.includes(Buffer.from([1, ...digits(bytes.length), 255, ...bytes])), got.toString('hex'));
        return;
      }
    },
  },

  'text and bytes in turn keep their order': {
    async run(company) {
      const socket = await company.connected();
      for (const n of numbers(100)) socket.emit('message', n, n % 3 === 0 ? Buffer.from([n]) : `${n}`, n % 2 === 0 ? { b: Buffer.from([n, n]) } : null);
      for (const n of numbers(100)) {
        const expected = [n, n % 3 === 0 ? Buffer.from([n]) : `${n}`, n % 2 === 0 ? { b: Buffer.from([n, n]) } : null];
        assert.deepEqual(await company.until(socket, 'message-back'), expected);
      }
    },
  },

  'namespaces share a connection, and one may leave': {
    async run(company) {
      const root = await company.connected();
      const chat = company.beside(root, '/chat');
      await company.until(chat, 'connect');
      await company.until(chat, 'auth');
      chat.emit('message', 'to chat', Buffer.from([1]));
      root.emit('message', 'to root', Buffer.from([2]));
      assert.deepEqual(await company.until(chat, 'message-back'), ['to chat', Buffer.from([1])]);
      assert.deepEqual(await company.until(root, 'message-back'), ['to root', Buffer.from([2])]);
      assert.deepEqual(await company.ask(chat, 'message-with-ack', 3), [3]);
      chat.close();
      assert.deepEqual(await company.ask(root, 'message-with-ack', 4), [4]);
      assert.deepEqual(company.taken(root, 'disconnect'), []);
      chat.open();
      await company.until(chat, 'connect');
      assert.deepEqual(await company.ask(chat, 'message-with-ack', 5), [5]);
    },
  },

  'a namespace that is not there is refused': {
    async run(company) {
      const socket = company.open('/nowhere');
      const why = await company.refused(socket);
      assert.equal(company.modern ? why.message : why, 'Invalid namespace');
      assert.equal(socket.connected, false);
    },
  },

  'a namespace says why it refuses': {
    async run(company) {
      const why = await company.refused(company.open('/closed'));
      // Before 3.x the client gets the data in the place of the message.
      assert.deepEqual(why, company.modern ? { message: 'not authorized', data: { code: 'E1' } } : { code: 'E1' });
    },
  },

  'a room hears what is said to it, and nobody else does': {
    async run(company) {
      const [ada, ben, eve] = await Promise.all([company.connected('/chat'), company.connected('/chat'), company.connected('/chat')]);
      await Promise.all([company.ask(ada, 'join', 'a room'), company.ask(ben, 'join', 'a room')]);
      eve.emit('say', 'a room', { text: 'hello', bytes: Buffer.from([9]) });
      for (const one of [ada, ben]) assert.deepEqual(await company.until(one, 'said'), ['a room', { text: 'hello', bytes: Buffer.from([9]) }]);
      ada.emit('whisper', 'a room', 2);
      assert.deepEqual(await company.until(ben, 'said'), ['a room', 2]);
      await company.ask(ben, 'leave', 'a room');
      eve.emit('say', 'a room', 3);
      assert.deepEqual(await company.until(ada, 'said'), ['a room', 3]);
      ada.emit('tell', 'rest');
      for (const one of [ben, eve]) await company.until(one, 'told', (what) => what === 'rest');
      ben.emit('tell-all', 'all');
      for (const one of [ada, ben, eve]) await company.until(one, 'told', (what) => what === 'all');
      for (const one of [ada, ben, eve]) assert.deepEqual(company.taken(one, 'said'), []);
      assert.deepEqual(company.taken(ada, 'told'), []);
    },
  },

  'the server ends a connection, and the client may come again': {
    async run(company) {
      const socket = await company.connected();
      socket.emit('kick');
      assert.equal((await company.until(socket, 'disconnect'))[0], 'io server disconnect');
      socket.open();
      await company.until(socket, 'connect');
      assert.deepEqual(await company.ask(socket, 'message-with-ack', 1), [1]);
    },
  },

  'the server ends all of a client`s namespaces, after its last word': {
    async run(company) {
      const socket = await company.connected();
      const chat = company.beside(socket, '/chat');
      await company.until(chat, 'connect');
      chat.emit('kick-out');
      assert.deepEqual(await company.until(chat, 'said'), ['for the last time']);
      for (const one of [chat, socket]) assert.equal((await company.until(one, 'disconnect'))[0], 'io server disconnect');
      chat.open();
      await company.until(chat, 'connect');
    },
  },

  'a client that was cut off comes back by itself, with what it has to say': {
    async run(company) {
      const socket = await company.connected();
      socket.emit('cut');
      const [reason] = await company.until(socket, 'disconnect');
      assert.match(reason, /transport (close|error)/);
      socket.emit('message', 'said while away');
      await company.until(socket, 'connect');
      assert.deepEqual(await company.until(socket, 'message-back'), ['said while away']);
    },
  },

  'the others hear that a client has gone, and how': {
    async run(company) {
      const [one, other] = await Promise.all([company.connected('/chat'), company.connected('/chat')]);
      const { id } = one;
      one.close();
      const [, reason] = await company.until(other, 'left', (gone) => gone === id || (company.major === 1 && gone.endsWith(id)));
      assert.match(reason, /client namespace disconnect|transport close/);
    },
  },

  'a connection lives through many pings': {
    async run(company) {
      const socket = await company.connected();
      for (const _ of numbers(4)) await company.alive(socket);
      assert.deepEqual(company.taken(socket, 'disconnect'), []);
      assert.deepEqual(await company.ask(socket, 'message-with-ack', 1), [1]);
    },
  },

  'an upgrade while messages flow loses none and repeats none': {
    async run(company) {
      if (company.transport !== 'upgrade') return;
      const socket = company.open();
      await company.until(socket, 'connect');
      let next = 0;
      let last = Number.POSITIVE_INFINITY;
      const flow = setInterval(() => {
        for (const n of numbers(5, next)) socket.emit('message', n, n % 4 === 0 ? Buffer.from([n % 256]) : 'x');
        next += 5;
        if (next >= last) clearInterval(flow);
      }, 1);
      await company.upgraded(socket);
      last = next + 50;
      await company.until(socket, 'message-back', (n) => n >= last - 1);
      const back = company.taken(socket, 'message-back').map(([n]) => n);
      assert.deepEqual(back.slice(0, last - 1), numbers(last - 1));
    },
  },

  'a volatile message arrives when the way is free': {
    since: 3,
    async run(company) {
      const socket = await company.connected();
      // Whether the way is free the client alone knows: it is asked again until it is.
      const again = setInterval(() => socket.volatile.emit('message', 'light'), 20);
      assert.deepEqual(await company.until(socket, 'message-back'), ['light']);
      clearInterval(again);
    },
  },

  'an answer that does not come is an error in time': {
    since: 4,
    async run(company) {
      const socket = await company.connected();
      const error = await new Promise((done) => socket.timeout(50).emit('silence', done));
      assert.ok(error instanceof Error);
      assert.deepEqual(await socket.timeout(10_000).emitWithAck('message-with-ack', 'x'), 'x');
    },
  },

  'a client that was cut off gets what it missed, and keeps its id': {
    since: 4,
    recovery: true,
    async run(company) {
      const [socket, other] = await Promise.all([company.connected('/chat'), company.connected('/chat')]);
      await company.ask(socket, 'join', 'kept');
      const { id } = socket;
      other.emit('tell-all', 'before');
      await company.until(socket, 'told');
      // It is away until the other has spoken.
      socket.io.reconnection(false);
      socket.io.engine.close();
      await company.until(socket, 'disconnect');
      for (const n of numbers(30)) other.emit('tell-all', { n, bytes: Buffer.from([n]) });
      other.emit('say', 'kept', 'to the room');
      await company.until(other, 'told', (what) => what.n === 29);
      await company.ask(other, 'message-with-ack', 'all is out');
      socket.io.reconnection(true);
      socket.connect();
      await company.until(socket, 'connect');
      assert.equal(socket.recovered, true);
      assert.equal(socket.id, id);
      await company.until(socket, 'said', (room, what) => room === 'kept' && what === 'to the room');
      assert.deepEqual(
        company.taken(socket, 'told').map(([what]) => [what.n, what.bytes[0]]),
        numbers(30).map((n) => [n, n]),
      );
      other.emit('say', 'kept', 'again');
      await company.until(socket, 'said', (_, what) => what === 'again');
    },
  },

  'a client that was cut off before it got anything keeps its id, too': {
    since: 4,
    recovery: true,
    async run(company) {
      const [socket, other] = [await company.connected('/quiet'), await company.connected('/quiet')];
      const { id } = socket;
      socket.io.reconnection(false);
      socket.io.engine.close();
      await company.until(socket, 'disconnect');
      other.emit('tell', 'missed');
      await company.ask(other, 'message-with-ack', 'it is out');
      socket.io.reconnection(true);
      socket.connect();
      await company.until(socket, 'connect');
      if (company.server === 'npm') return; // npm's server cannot: it knows a client by the offset of an event only.
      assert.equal(socket.recovered, true);
      assert.equal(socket.id, id);
      assert.deepEqual(await company.until(socket, 'told'), ['missed']);
    },
  },

  'a client that comes again after a goodbye is a new one': {
    since: 4,
    recovery: true,
    async run(company) {
      const socket = await company.connected('/chat');
      const { id } = socket;
      socket.disconnect();
      socket.connect();
      await company.until(socket, 'connect');
      assert.equal(socket.recovered, false);
      assert.notEqual(socket.id, id);
    },
  },

  'a message beyond the limit ends the connection and nothing else': {
    async run(company) {
      const [socket, other] = await Promise.all([company.connected(), company.connected()]);
      socket.emit('message', 'x'.repeat(1_200_000));
      await company.until(socket, 'disconnect');
      assert.deepEqual(await company.ask(other, 'message-with-ack', 1), [1]);
      assert.deepEqual(await company.ask(socket, 'message-with-ack', 'back again'), ['back again']);
    },
  },
};
