/** What the table cannot say: when, how long, and what is kept. */
import { describe, expect, test } from 'vitest';
import { nextDeadline } from '../src/machine.ts';
import type { ServerMessage } from '../src/protocol.ts';
import { brief, Driver, HELLO } from './machine.ts';

const change = (position: string, tx: number, last: boolean, id = 's1'): ServerMessage => {
  return { type: 'change', id, op: 'insert', row: {}, key: [1], position, tx, last, time: 0 };
};
const since = (driver: Driver, handle = 1) => driver.state.subscriptions.get(handle)?.since;
const sent = (driver: Driver) => driver.effects.flatMap((effect) => (effect.do === 'send' ? [effect.message] : []));

describe('waiting', () => {
  test('grows to twice as much with each try, up to the cap, and is random', () => {
    const driver = new Driver().want();
    const waits = [];
    for (let tries = 0; tries < 8; tries++) {
      driver.lose();
      waits.push((driver.state.deadlines.retry ?? 0) - driver.at);
      driver.do({ type: 'retry' });
    }
    expect(waits).toEqual([500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000, 15_000]);
    driver.random = 0;
    expect(driver.lose().state.deadlines.retry).toBe(driver.at);
  });

  test('begins anew only after a connection that stood', () => {
    const driver = new Driver().open().lose().after(500).hear(HELLO);
    driver.lose();
    expect(driver.state.attempt).toBe(2);
    driver.after(1_000).hear(HELLO);
    driver.after(6_000).lose();
    expect(driver.state.attempt).toBe(1);
  });

  test('is what the server asks for, and a little more so that not all come at once', () => {
    const driver = new Driver().open().after(6_000);
    driver.hear({ type: 'close', reason: 'restart', message: '', retry_ms: 7_000 });
    expect((driver.state.deadlines.retry ?? 0) - driver.at).toBe(7_500);
    const absurd = new Driver().open().hear({ type: 'close', reason: 'x', message: '', retry_ms: 1e300 });
    expect((absurd.state.deadlines.retry ?? 0) - absurd.at).toBeLessThan(600_000);
  });

  test('without a network is long, and ends when it is back', () => {
    const driver = new Driver().open().do({ type: 'offline' }).lose();
    expect(driver.state.phase).toBe('offline');
    expect((driver.state.deadlines.retry ?? 0) - driver.at).toBe(30_000);
    expect(driver.do({ type: 'online' }).did).toEqual(['connect']);
  });
});

describe('signs of life', () => {
  test('a server that is silent for two and a half heartbeats is left', () => {
    const driver = new Driver().open();
    expect(nextDeadline(driver.state)).toBe(driver.at + 25_000);
    expect(driver.after(24_999).did).toEqual([]);
    expect(driver.after(1).did).toEqual(['disconnect', 'deliver suspended', 'connect']);
  });

  test('any message is one', () => {
    const driver = new Driver().open().after(24_000).hear({ type: 'position', position: '1-1' });
    expect(driver.after(24_000).did).toEqual([]);
  });

  test('a silence that is noticed too late is asked about first', () => {
    const driver = new Driver().open();
    expect(driver.after(600_000).did).toEqual(['send ping']);
    expect(driver.hear({ type: 'pong', position: '1-1' }).after(20_000).did).toEqual([]);
  });

  test('a ping without an answer ends the connection, and the next begins at once', () => {
    const driver = new Driver().open().live().after(6_000).do({ type: 'woke' });
    expect(driver.do({ type: 'woke' }).did).toEqual([]);
    expect(driver.after(5_000).did).toEqual(['disconnect', 'deliver suspended', 'connect']);
    expect(sent(driver.hear(HELLO))[0]).toMatchObject({ type: 'subscribe', since: '1-5' });
  });

  test('a heartbeat of nothing does not make it spin', () => {
    const driver = new Driver().want().hear({ ...HELLO, heartbeat_ms: -1 });
    expect(nextDeadline(driver.state)).toBe(driver.at + 2_500);
  });

  test('a server that never says hello is left', () => {
    expect(new Driver().want().after(10_000).did).toEqual(['disconnect']);
  });

  test('a server of another version is left', () => {
    const driver = new Driver().want().hear({ ...HELLO, protocol: 2 });
    expect(driver.state.phase).toBe('waiting');
    expect(driver.state.problem?.code).toBe('protocol_version');
  });
});

describe('resuming', () => {
  test('asks for what came after the last whole transaction', () => {
    const driver = new Driver().open().live();
    driver.hear(change('1-6', 1, true)).hear(change('1-7', 2, false));
    expect(since(driver)).toBe('1-6');
    driver.hear({ type: 'commit', id: 's1', tx: 2, position: '1-9' });
    expect(since(driver)).toBe('1-9');
    driver.lose().do({ type: 'retry' }).hear(HELLO);
    expect(sent(driver)).toEqual([{ type: 'subscribe', id: 's1', channel: 'table:t', since: '1-9' }]);
  });

  test('`position` moves all that were told `subscribed`, and no others', () => {
    const driver = new Driver().open().want(2).live(1).hear({ type: 'position', position: '1-8' });
    expect([since(driver, 1), since(driver, 2)]).toEqual(['1-8', undefined]);
  });

  test('half a transaction is asked for again, whole', () => {
    const driver = new Driver()
      .open()
      .live()
      .hear(change('1-6', 1, false))
      .hear({ type: 'position', position: '1-6' });
    driver.lose().do({ type: 'retry' }).hear(HELLO);
    expect(sent(driver)).toMatchObject([{ since: '1-5' }]);
    driver.hear({ type: 'subscribed', id: 's1', position: '1-5', resumed: true }).hear(change('1-6', 1, false));
    driver.hear(change('1-7', 1, true));
    expect(driver.effects).toMatchObject([{ delivery: { changes: [{ position: '1-6' }, { position: '1-7' }] } }]);
  });

  test('half a transaction is dropped by a gap', () => {
    const driver = new Driver()
      .open()
      .live()
      .hear(change('1-6', 1, false));
    driver.hear({ type: 'gap', id: 's1', reason: 'retention', message: '' }).live(1, '2-1');
    expect(driver.hear(change('2-2', 5, true)).effects).toMatchObject([
      { delivery: { changes: [{ position: '2-2' }] } },
    ]);
  });

  test('a snapshot that was cut off is asked for again from its start', () => {
    const driver = new Driver().want(1, { since: '1-3' }).hear(HELLO);
    driver.hear({ type: 'gap', id: 's1', reason: 'retention', message: '' });
    driver
      .hear({ type: 'snapshot', id: 's1', rows: [{}], done: false })
      .lose()
      .do({ type: 'retry' })
      .hear(HELLO);
    expect(sent(driver)).toEqual([{ type: 'subscribe', id: 's1', channel: 'table:t' }]);
    driver.hear({ type: 'snapshot', id: 's1', rows: [], done: true });
    expect(driver.effects).toMatchObject([{ delivery: { first: true, done: true } }]);
  });

  test('a position of the program is used until the server has given one', () => {
    const driver = new Driver().want(1, { since: '1-3' }).lose().do({ type: 'retry' }).hear(HELLO);
    expect(sent(driver)).toMatchObject([{ since: '1-3' }]);
  });

  test('a transaction whose end was not marked ends with the next', () => {
    const driver = new Driver()
      .open()
      .live()
      .hear(change('1-6', 1, false));
    driver.hear(change('1-7', 2, true));
    expect(driver.effects).toMatchObject([
      { delivery: { changes: [{ position: '1-6' }] } },
      { delivery: { changes: [{ position: '1-7' }] } },
    ]);
  });
});

describe('subscriptions', () => {
  test('one that the server refuses has ended, the others go on', () => {
    const driver = new Driver().open().want(2);
    driver.hear({ type: 'error', id: 's1', code: 'bad_filter', message: 'no', at: { offset: 1, length: 2 } });
    expect(driver.effects).toMatchObject([
      { handle: 1, delivery: { type: 'failed', problem: { code: 'bad_filter', at: { offset: 1, length: 2 } } } },
    ]);
    driver.lose().do({ type: 'retry' }).hear(HELLO);
    expect(sent(driver)).toMatchObject([{ id: 's2' }]);
  });

  test('one that the server cannot serve now is asked for again later', () => {
    const driver = new Driver().open().live().hear({ type: 'error', id: 's1', code: 'unavailable', message: 'busy' });
    expect(driver.did).toEqual(['deliver suspended']);
    expect(nextDeadline(driver.state)).toBe(driver.at + 1_000);
    expect(sent(driver.after(1_000))).toMatchObject([{ type: 'subscribe', id: 's1', since: '1-5' }]);
  });

  test('what comes for one that was given up is dropped, for one that never was it is reported', () => {
    const driver = new Driver().open().want(2).unwant(1);
    expect(driver.hear(change('1-6', 1, true)).did).toEqual([]);
    expect(driver.hear({ type: 'unsubscribed', id: 's1' }).did).toEqual([]);
    expect(driver.hear(change('1-7', 2, true)).did).toEqual(['report malformed']);
  });

  test('an unused connection ends after a while, and not if it is used again', () => {
    const driver = new Driver().open().unwant().after(3_000).want(2);
    expect(driver.after(5_000).state.phase).toBe('open');
    expect(driver.unwant(2).after(4_000).did).toEqual(['disconnect']);
    expect([driver.state.phase, nextDeadline(driver.state)]).toEqual(['idle', Infinity]);
  });
});

describe('requests', () => {
  const answered = (driver: Driver) => driver.effects.map(brief).filter((text) => text.startsWith('answer'));

  test('are answered once', () => {
    const driver = new Driver().open().ask();
    const answer: ServerMessage = { type: 'inserted', ref: 'r1', count: 1, rejected: [] };
    expect(driver.hear(answer).did).toEqual(['answer']);
    expect(driver.hear(answer).did).toEqual([]);
  });

  test('that were sent are never sent again, and say that they may have been carried out', () => {
    const driver = new Driver().open().ask('r1').lose();
    expect(driver.effects.at(-1)).toMatchObject({
      ref: 'r1',
      answer: { problem: { code: 'connection_lost', uncertain: true } },
    });
    driver.do({ type: 'retry' }).hear(HELLO);
    expect(sent(driver).map(({ type }) => type)).toEqual(['subscribe']);
  });

  test('that wait are sent once when the connection is there', () => {
    const driver = new Driver().ask('r1').ask('r2').lose().do({ type: 'retry' }).hear(HELLO);
    expect(driver.did).toEqual(['send insert', 'send insert']);
  });

  test('that wait too long were not sent, those without an answer may have been carried out', () => {
    const driver = new Driver().open().ask('r1').lose().ask('r2');
    expect(driver.after(20_000).effects).toContainEqual({
      do: 'answer',
      ref: 'r2',
      answer: { type: 'refused', problem: expect.not.objectContaining({ uncertain: true }) },
    });
    const other = new Driver().open().ask('r1').hear({ type: 'position', position: '1-1' }).after(20_000);
    expect(other.effects).toMatchObject([{ answer: { problem: { code: 'timeout', uncertain: true } } }]);
  });

  test('that the server would not take are not sent', () => {
    expect(new Driver().open().ask('r1', { bytes: 1_001 }).did).toEqual(['answer too_large']);
    expect(answered(new Driver().ask('r1', { bytes: 1_001 }).hear(HELLO))).toEqual(['answer too_large']);
  });

  test('are bounded in number', () => {
    const driver = new Driver();
    for (let count = 0; count < 1_000; count++) {
      driver.ask(`r${count}`);
    }
    expect(driver.ask('more').did).toEqual(['answer too_many_requests']);
  });

  test('keep the connection for as long as they are open', () => {
    const driver = new Driver().ask('r1').hear(HELLO).after(10_000);
    expect(driver.state.phase).toBe('open');
    expect(driver.after(10_000).did).toEqual(['answer timeout']);
    expect(driver.after(4_000).did).toEqual(['disconnect']);
  });
});

describe('transports', () => {
  const transports = (driver: Driver) =>
    driver.all.flatMap((effect) => (effect.do === 'connect' ? [effect.transport] : []));
  const fail = (driver: Driver, times: number) => {
    for (let count = 0; count < times; count++) {
      driver.lose().do({ type: 'retry' });
    }
    return driver;
  };

  test('auto tries event streams where WebSocket does not come through', () => {
    const driver = fail(new Driver({ transport: 'auto' }).want(), 4);
    expect(transports(driver)).toEqual(['websocket', 'websocket', 'sse', 'websocket', 'sse']);
  });

  test('auto stays with what has worked', () => {
    const webSocket = fail(new Driver({ transport: 'auto' }).open(), 4);
    expect(new Set(transports(webSocket))).toEqual(new Set(['websocket']));
    const sse = fail(fail(new Driver({ transport: 'auto' }).want(), 2).hear(HELLO), 2);
    expect(transports(sse).slice(2)).toEqual(['sse', 'sse', 'websocket']);
  });

  test('another choice is kept to', () => {
    expect(new Set(transports(fail(new Driver({ transport: 'sse' }).want(), 5)))).toEqual(new Set(['sse']));
  });
});

describe('a subscription that was given up', () => {
  const late = (type: 'change' | 'subscribed'): ServerMessage =>
    type === 'change' ? change('1-3', 3, true) : { type, id: 's1', position: '1-2', resumed: false };
  const refused = (code: string): ServerMessage => ({
    type: 'error',
    id: 's1',
    code,
    message: 'slow',
    retry_ms: 2_000,
  });
  const left = () => new Driver().open().live().unwant();

  test('may still bring what was on its way, which is nobody’s and no fault', () => {
    const driver = left();
    for (let tx = 3; tx < 10; tx++) {
      expect(driver.hear(change(`1-${tx}`, tx, true)).did).toEqual([]);
    }
    expect(driver.hear(late('subscribed')).did).toEqual([]);
    expect(driver.hear({ type: 'unsubscribed', id: 's1' }).did).toEqual([]);
  });

  test('brings nothing after the server has said that it is over: what comes then is a fault', () => {
    const driver = left().hear({ type: 'unsubscribed', id: 's1' });
    expect(driver.hear(late('change')).did).toEqual(['report malformed']);
    expect(driver.hear({ type: 'commit', id: '', position: '1-4', tx: 4 }).did).toEqual(['report malformed']);
  });

  test('is given up again when the server was too busy to listen, and is silent until then', () => {
    const driver = left().hear(refused('rate_limited'));
    expect(driver.hear(late('change')).did).toEqual([]);
    expect(nextDeadline(driver.state)).toBeGreaterThanOrEqual(driver.at + 2_000);
    expect(nextDeadline(driver.state)).toBeLessThan(driver.at + 10_000);
    driver.after(nextDeadline(driver.state) - driver.at);
    expect(sent(driver)).toEqual([{ type: 'unsubscribe', id: 's1' }]);
    driver.hear({ type: 'unsubscribed', id: 's1' });
    expect(driver.state.leaving.size).toBe(0);
  });

  test('is over where the server knows nothing of it, and with its connection', () => {
    expect(left().hear(refused('unknown_id')).state.leaving.size).toBe(0);
    const driver = left().hear(refused('rate_limited')).lose();
    expect(driver.state.leaving.size).toBe(0);
  });
});
