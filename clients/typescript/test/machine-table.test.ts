/** Every cell of the table at the head of `machine.ts`. */
import { describe, expect, test } from 'vitest';
import type { ConnectionState } from '../src/types.ts';
import { type Driver, HELLO, IN } from './machine.ts';

type Cell = readonly [phase: ConnectionState, did: readonly string[]];
const PHASES = ['idle', 'connecting', 'open', 'waiting', 'offline', 'closed'] as const;

/** For each event the phase that follows and what is done, in the order of `PHASES`. */
const TABLE: Record<string, readonly [(driver: Driver) => Driver, ...Cell[]]> = {
  'subscribe (another)': [
    (driver) => driver.want(2),
    ['connecting', ['connect']],
    ['connecting', []],
    ['open', ['send subscribe']],
    ['waiting', []],
    ['offline', []],
    ['closed', ['deliver failed']],
  ],
  'unsubscribe (the last)': [
    (driver) => driver.unwant(),
    ['idle', []],
    ['connecting', []],
    ['open', ['send unsubscribe']],
    ['idle', []],
    ['idle', []],
    ['closed', []],
  ],
  'unsubscribe (not the last)': [
    (driver) => driver.want(2).unwant(1),
    ['connecting', []],
    ['connecting', []],
    ['open', ['send unsubscribe']],
    ['waiting', []],
    ['offline', []],
    ['closed', []],
  ],
  'request that may wait': [
    (driver) => driver.ask(),
    ['connecting', ['connect']],
    ['connecting', []],
    ['open', ['send insert']],
    ['waiting', []],
    ['offline', []],
    ['closed', ['answer closed']],
  ],
  'request that must not wait': [
    (driver) => driver.ask('r1', { mayWait: false }),
    ['idle', ['answer not_connected']],
    ['connecting', ['answer not_connected']],
    ['open', ['send insert']],
    ['waiting', ['answer not_connected']],
    ['offline', ['answer not_connected']],
    ['closed', ['answer closed']],
  ],
  'message hello': [
    (driver) => driver.hear(HELLO),
    ['idle', []],
    ['open', ['send subscribe']],
    ['open', []],
    ['waiting', []],
    ['offline', []],
    ['closed', []],
  ],
  'message subscribed': [
    (driver) => driver.live(),
    ['idle', []],
    ['connecting', []],
    ['open', ['deliver subscribed']],
    ['waiting', []],
    ['offline', []],
    ['closed', []],
  ],
  'message close': [
    (driver) => driver.hear({ type: 'close', reason: 'restart', message: 'come back', retry_ms: 100 }),
    ['idle', []],
    ['waiting', ['disconnect']],
    ['waiting', ['disconnect', 'deliver suspended']],
    ['waiting', []],
    ['offline', []],
    ['closed', []],
  ],
  'message error of nothing': [
    (driver) => driver.hear({ type: 'error', code: 'too_many_connections', message: 'full' }),
    ['idle', []],
    ['waiting', ['disconnect']],
    ['open', ['report too_many_connections']],
    ['waiting', []],
    ['offline', []],
    ['closed', []],
  ],
  lost: [
    (driver) => driver.lose(),
    ['idle', []],
    ['waiting', []],
    ['waiting', ['deliver suspended']],
    ['waiting', []],
    ['offline', []],
    ['closed', []],
  ],
  'lost (an older carrier)': [
    (driver) => driver.lose(driver.state.carrier - 1),
    ['idle', []],
    ['connecting', []],
    ['open', []],
    ['waiting', []],
    ['offline', []],
    ['closed', []],
  ],
  'tick, nothing due': [
    (driver) => driver.after(0),
    ['idle', []],
    ['connecting', []],
    ['open', []],
    ['waiting', []],
    ['offline', []],
    ['closed', []],
  ],
  'tick, due': [
    (driver) => driver.after(driver.state.phase === 'open' ? 25_000 : 30_000),
    ['idle', []],
    ['waiting', ['disconnect']],
    ['connecting', ['disconnect', 'deliver suspended', 'connect']],
    ['connecting', ['connect']],
    ['connecting', ['connect']],
    ['closed', []],
  ],
  woke: [
    (driver) => driver.do({ type: 'woke' }),
    ['idle', []],
    ['connecting', []],
    ['open', ['send ping']],
    ['connecting', ['connect']],
    ['connecting', ['connect']],
    ['closed', []],
  ],
  online: [
    (driver) => driver.do({ type: 'online' }),
    ['idle', []],
    ['connecting', []],
    ['open', ['send ping']],
    ['connecting', ['connect']],
    ['connecting', ['connect']],
    ['closed', []],
  ],
  offline: [
    (driver) => driver.do({ type: 'offline' }),
    ['idle', []],
    ['connecting', []],
    ['open', ['send ping']],
    ['offline', []],
    ['offline', []],
    ['closed', []],
  ],
  retry: [
    (driver) => driver.do({ type: 'retry' }),
    ['idle', []],
    ['connecting', []],
    ['open', []],
    ['connecting', ['connect']],
    ['connecting', ['connect']],
    ['closed', []],
  ],
  close: [
    (driver) => driver.do({ type: 'close' }),
    ['closed', []],
    ['closed', ['disconnect', 'deliver failed']],
    ['closed', ['disconnect', 'deliver failed']],
    ['closed', ['deliver failed']],
    ['closed', ['deliver failed']],
    ['closed', []],
  ],
};

describe.each(Object.entries(TABLE))('%s', (_, [act, ...cells]) => {
  test.each(PHASES.map((phase, index) => [phase, cells[index]] as const))('in %s', (phase, cell) => {
    const driver = act(IN[phase]());
    expect([driver.state.phase, driver.did]).toEqual(cell);
  });
});

test('each phase is what its name says', () => {
  for (const phase of PHASES) {
    expect(IN[phase]().state.phase).toBe(phase);
  }
});
