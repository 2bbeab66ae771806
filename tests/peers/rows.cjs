// What Socket.IO clients do with a `rowcast serve` that has a table `Data (id, time, speed)`, tells its inserts as `newData`, and pushes that:
// scenarios for `client.cjs`, instead of those in `scenarios.cjs`.
'use strict';

const assert = require('node:assert/strict');

const numbers = (count, first = 0) => Array.from({ length: count }, (_, index) => first + index);
let next = (Date.now() % 1e9) * 1e4;
/** A speed that no other row has. */
const speed = () => (next += 1);
const row = (value, time = 'now') => ({ table: 'Data', rows: [{ time, speed: value }] });

/**
 * The first argument of an event. A client of 3.x and 4.x gets an offset behind it, but not where its subscription has read the event for
 * itself, as it does in the first moment; one of 1.x and 2.x gets nothing.
 */
async function one(company, socket, name, fits = () => true) {
  const [first, ...more] = await company.until(socket, name, fits);
  assert.ok(more.length <= (company.modern ? 1 : 0), JSON.stringify(more));
  for (const offset of more) assert.equal(typeof offset, 'string');
  return first;
}

/** Asks for something. (Not by `ping`: clients of 1.x and 2.x keep that name for themselves.) */
async function alive(company, socket) {
  const [answer] = await company.ask(socket, 'publish', { channel: 'room:nobody', event: 'x', data: null });
  assert.equal(answer.type, 'published');
}

async function subscribed(company, socket, id, more = {}) {
  const [answer] = await company.ask(socket, 'subscribe', { id, channel: 'table:Data', snapshot: false, ...more });
  assert.equal(answer.type, 'subscribed', JSON.stringify(answer));
  assert.equal(answer.id, id);
  return answer;
}

module.exports = {
  'a subscription is answered, and its changes come': {
    async run(company) {
      const [socket, other] = await Promise.all([company.connected(), company.connected()]);
      await subscribed(company, socket, 'a');
      const [value, text] = [speed(), 'Grüße, 🚀 "\u2028" \\'];
      const [inserted] = await company.ask(other, 'insert', row(value, text));
      assert.deepEqual([inserted.type, inserted.count, inserted.rejected], ['inserted', 1, []], JSON.stringify(inserted));
      const change = await one(company, socket, 'change', ({ row }) => row.speed === value);
      assert.deepEqual([change.id, change.op, change.row.time], ['a', 'insert', text]);
      assert.deepEqual(company.taken(other, 'change'), []);
    },
  },

  'what there was comes first, as a snapshot': {
    async run(company) {
      const socket = await company.connected();
      const value = speed();
      await company.ask(socket, 'insert', row(value, 'x'.repeat(20_000)));
      await subscribed(company, socket, 's', { snapshot: true, where: `speed = ${value}` });
      const [snapshot] = await company.until(socket, 'snapshot');
      assert.deepEqual([snapshot.id, snapshot.rows.length, snapshot.rows[0].speed], ['s', 1, value]);
      assert.equal(snapshot.rows[0].time.length, 20_000);
    },
  },

  'a client that unsubscribes hears no more': {
    async run(company) {
      const socket = await company.connected();
      await subscribed(company, socket, 'a');
      await subscribed(company, socket, 'b');
      const [answer] = await company.ask(socket, 'unsubscribe', { id: 'a' });
      assert.deepEqual([answer.type, answer.id], ['unsubscribed', 'a']);
      const value = speed();
      await company.ask(socket, 'insert', row(value));
      await one(company, socket, 'change', ({ id, row }) => id === 'b' && row.speed === value);
      assert.deepEqual(
        company.taken(socket, 'change').filter(([{ id }]) => id === 'a'),
        [],
      );
    },
  },

  'a room carries what is published': {
    async run(company) {
      const [socket, other] = await Promise.all([company.connected(), company.connected()]);
      await subscribed(company, socket, 'r', { channel: 'room:lobby' });
      const [answer] = await company.ask(other, 'publish', { channel: 'room:lobby', event: 'said', data: { text: 'Grüße 🚀' } });
      assert.equal(answer.type, 'published');
      const message = await one(company, socket, 'message');
      assert.deepEqual([message.id, message.event, message.data], ['r', 'said', { text: 'Grüße 🚀' }]);
    },
  },

  'what is wrong is said in the answer, and the connection stays': {
    async run(company) {
      const socket = await company.connected();
      const wrong = [
        ['subscribe', { id: 'a', channel: 'table:nowhere' }],
        ['subscribe', { id: 'a', channel: 'table:Data', where: 'speed >' }],
        ['subscribe', { id: 'a' }],
        ['subscribe', 'a'],
        ['subscribe', null],
        ['subscribe', [{}]],
        ['subscribe', { id: 'a', channel: 'table:Data', more: 1 }],
        ['subscribe'],
        ['unsubscribe', { id: 'nobody' }],
        ['insert', { table: 'nowhere', rows: [{ a: 1 }] }],
        ['publish', { channel: 'table:Data', event: 'x', data: 1 }],
      ];
      for (const [event, ...args] of wrong) {
        const [answer] = await company.ask(socket, event, ...args);
        assert.equal(answer.type, 'error', `${event} ${JSON.stringify(args)}: ${JSON.stringify(answer)}`);
        assert.ok(answer.code && answer.message);
      }
      await alive(company, socket);
    },
  },

  'what is configured to be pushed comes without asking': {
    async run(company) {
      const [socket, other] = await Promise.all([company.connected(), company.connected()]);
      const values = numbers(30).map(speed);
      for (const value of values) other.emit('insert', row(value, 'Grüße'));
      for (const value of values) {
        const data = await one(company, socket, 'newData', ({ speed }) => Number(speed) === value);
        assert.deepEqual(data, { time: 'Grüße', speed: `${value}` });
      }
      assert.deepEqual(company.taken(socket, 'newData'), []);
    },
  },

  'many rows come in order, once': {
    async run(company) {
      const [socket, other] = await Promise.all([company.connected(), company.connected()]);
      await subscribed(company, socket, 'a');
      const values = numbers(500).map(speed);
      await company.ask(other, 'insert', { table: 'Data', rows: values.map((value) => ({ time: 't', speed: value })) });
      await company.until(socket, 'change', ({ row }) => row.speed === values.at(-1));
      assert.deepEqual(
        company.taken(socket, 'change').map(([{ row }]) => row.speed),
        values.slice(0, -1),
      );
    },
  },

  'a client that was cut off gets the rows that it missed, once': {
    since: 4,
    async run(company) {
      const [socket, other] = await Promise.all([company.connected(), company.connected()]);
      await subscribed(company, socket, 'a');
      const first = speed();
      await company.ask(other, 'insert', row(first));
      await company.until(socket, 'change', ({ row }) => row.speed === first);
      await company.until(socket, 'newData', (data) => data.speed === `${first}`);
      const { id } = socket;
      for (const _ of numbers(3)) {
        // From here on it can go on with several subscriptions at once.
        await company.until(socket, 'position');
        socket.io.reconnection(false);
        socket.io.engine.close();
        await company.until(socket, 'disconnect');
        const values = numbers(20).map(speed);
        for (const value of values) await company.ask(other, 'insert', row(value));
        socket.io.reconnection(true);
        socket.connect();
        await company.until(socket, 'connect');
        assert.equal(socket.recovered, true);
        assert.equal(socket.id, id);
        const last = speed();
        await company.ask(other, 'insert', row(last));
        await company.until(socket, 'change', ({ row }) => row.speed === last);
        await company.until(socket, 'newData', (data) => data.speed === `${last}`);
        assert.deepEqual(
          company.taken(socket, 'change').map(([{ row }]) => row.speed),
          values,
        );
        assert.deepEqual(
          company.taken(socket, 'newData').map(([data]) => Number(data.speed)),
          values,
        );
        socket.heard = socket.heard.filter(([name]) => name === 'position');
      }
    },
  },

  'events that are nobody`s do no harm': {
    async run(company) {
      const socket = await company.connected();
      socket.emit('who');
      socket.emit('connected', { a: Buffer.from([1]) });
      socket.emit('change', { id: 'a' });
      await alive(company, socket);
    },
  },
};
