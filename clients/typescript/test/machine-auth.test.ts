/** Saying who this is: on each connection, before anything else, and again before the token expires. */
import { describe, expect, test } from 'vitest';
import { nextDeadline } from '../src/machine.ts';
import type { ServerMessage } from '../src/protocol.ts';
import { CLOCK, Driver, HELLO } from './machine.ts';

const sent = (driver: Driver) => driver.effects.flatMap((effect) => (effect.do === 'send' ? [effect.message] : []));
const ref = (driver: Driver) => `auth-${driver.state.showing.question}`;
const taken = (driver: Driver, more: object = {}): ServerMessage => {
  return { type: 'authenticated', ref: ref(driver), user: 'ada', ...more };
};
const refused = (driver: Driver, code = 'unauthenticated', more: object = {}): ServerMessage => {
  return { type: 'error', ref: ref(driver), code, message: 'the token has expired', ...more };
};
/** A connection that is about to show a token. */
const greeted = () => new Driver({ auth: true }).want().hear(HELLO);
/** One that has shown it, in `life` milliseconds of which it expires. */
const known = (life?: number) => {
  const driver = greeted().token();
  const until = life === undefined ? {} : { expires_ms: CLOCK + driver.at + life };
  return driver.hear(taken(driver, until));
};

describe('a new connection', () => {
  test('asks for a token after hello, shows it, and asks for rows when it is taken', () => {
    const driver = greeted();
    expect([driver.did, driver.state.phase]).toEqual([['token'], 'connecting']);
    expect(sent(driver.token('secret'))).toEqual([{ type: 'auth', token: 'secret', ref: ref(driver) }]);
    expect(driver.hear(taken(driver)).did).toEqual(['send subscribe']);
    expect([driver.state.phase, driver.state.showing.user]).toEqual(['open', 'ada']);
  });

  test('sends nothing else before', () => {
    const driver = greeted().ask().want(2).track(9);
    expect(driver.all.filter((effect) => effect.do === 'send')).toEqual([]);
    driver.token();
    expect(driver.hear(taken(driver)).did).toEqual(['send subscribe', 'send subscribe', 'send track', 'send insert']);
  });

  test('asks for a token each time', () => {
    const driver = known().lose().do({ type: 'retry' }).hear(HELLO);
    expect(driver.did).toEqual(['token']);
  });

  test('is left when no token comes in time, or when none can be had, and tried again', () => {
    expect(greeted().after(10_000).did).toEqual(['disconnect']);
    const driver = greeted();
    const problem = { code: 'no_token', message: 'the identity provider is away' };
    driver.do({ type: 'no_token', question: driver.state.showing.question, problem });
    expect([driver.state.phase, driver.state.problem]).toEqual(['waiting', problem]);
  });

  test('does not show a token that comes for an older one', () => {
    const driver = greeted();
    const { question } = driver.state.showing;
    driver.lose().do({ type: 'retry' }).hear(HELLO);
    expect(driver.do({ type: 'token', question, token: 'late' }).did).toEqual([]);
  });

  test('of a program that is not logged in ends in `unauthenticated`', () => {
    const driver = greeted();
    const problem = { code: 'unauthenticated', message: 'log in first' };
    driver.do({ type: 'no_token', question: driver.state.showing.question, problem });
    expect([driver.state.phase, driver.did]).toEqual(['unauthenticated', ['disconnect', 'deliver suspended']]);
    expect(nextDeadline(driver.state)).toBe(Infinity);
  });
});

describe('a refused token', () => {
  test('is asked for once more; a second refusal is the end', () => {
    const driver = greeted().token('old');
    expect(driver.hear(refused(driver)).did).toEqual(['token']);
    expect(driver.token('new').did).toEqual(['send auth']);
    driver.hear(refused(driver));
    expect([driver.state.phase, driver.did]).toEqual(['unauthenticated', ['disconnect', 'deliver suspended']]);
    expect(driver.state.problem?.message).toBe('the token has expired');
  });

  test('is not shown twice', () => {
    const driver = greeted().token('old');
    driver.hear(refused(driver)).token('old');
    expect([driver.state.phase, driver.did]).toEqual(['unauthenticated', ['disconnect', 'deliver suspended']]);
  });

  test('may be followed by one that is taken', () => {
    const driver = greeted().token('old');
    driver.hear(refused(driver)).token('new');
    expect(driver.hear(taken(driver)).state.phase).toBe('open');
    expect(driver.state.showing.refused).toBe(false);
  });

  test('that the server could take later is shown later', () => {
    const driver = greeted().token();
    driver.hear(refused(driver, 'rate_limited', { retry_ms: 7_000 }));
    expect([driver.state.phase, (driver.state.deadlines.retry ?? 0) - driver.at]).toEqual(['waiting', 7_500]);
  });
});

describe('`unauthenticated`', () => {
  const out = () => {
    const driver = greeted().token('old');
    return driver.hear(refused(driver)).token('old');
  };

  test('stays until the program has another token', () => {
    const driver = out().do({ type: 'online' }).do({ type: 'woke' }).after(1_000_000);
    expect(driver.state.phase).toBe('unauthenticated');
    expect(driver.do({ type: 'authenticate' }).did).toEqual(['deliver suspended', 'connect']);
    driver.hear(HELLO).token('new');
    expect(driver.hear(taken(driver)).did).toEqual(['send subscribe']);
  });

  test('stays when nothing is wanted any more, so that a page can show it', () => {
    expect(out().unwant().state.phase).toBe('unauthenticated');
    expect(out().unwant().do({ type: 'authenticate' }).state.phase).toBe('idle');
  });

  test('refuses requests at once', () => {
    expect(out().ask().did).toEqual(['answer unauthenticated']);
    const driver = greeted().ask().token();
    driver.hear(refused(driver)).token('a');
    expect(driver.did).toContain('answer unauthenticated');
  });

  test('follows `close` with the reason `revoked`', () => {
    const driver = known().hear({ type: 'close', reason: 'revoked', message: 'put out', retry_ms: 1_000 });
    expect([driver.state.phase, driver.did]).toEqual(['unauthenticated', ['disconnect', 'deliver suspended']]);
    expect(driver.state.problem).toEqual({ code: 'revoked', message: 'put out' });
  });

  test('follows a connection that was closed for that reason without a word', () => {
    const driver = known();
    const problem = { code: 'revoked', message: 'this client was put out (4403)' };
    expect(driver.do({ type: 'lost', carrier: driver.state.carrier, problem }).state.phase).toBe('unauthenticated');
  });

  test('is where a client without a token ends whom the server does not know', () => {
    const driver = new Driver().open();
    driver.hear({ type: 'error', id: 's1', code: 'unauthenticated', message: 'who are you?' });
    expect([driver.state.phase, driver.did]).toEqual(['unauthenticated', ['disconnect', 'deliver suspended']]);
    expect(driver.do({ type: 'retry' }).hear(HELLO).did).toEqual(['send subscribe']);
  });

  test('is where a connection ends that was refused because of its cookie', () => {
    const driver = new Driver().want();
    const problem = { code: 'unauthenticated', message: 'the token has expired' };
    expect(driver.do({ type: 'lost', carrier: driver.state.carrier, problem }).state.phase).toBe('unauthenticated');
  });
});

describe('a token that expires', () => {
  test('is replaced in place before it does, without a word to those who listen', () => {
    const driver = known(3_600_000).live();
    expect(driver.state.deadlines.renew).toBe(driver.at + 3_570_000);
    driver.hear({ type: 'position', position: '1-6' });
    driver.at += 3_570_000;
    driver.hear({ type: 'position', position: '1-7' }).after(0);
    expect(driver.did).toEqual(['token']);
    expect(driver.token('new').did).toEqual(['send auth']);
    expect(driver.hear(taken(driver, { expires_ms: CLOCK + driver.at + 3_600_000 })).did).toEqual([]);
    expect(driver.state.deadlines.renew).toBe(driver.at + 3_570_000);
  });

  test('is replaced when the server warns', () => {
    const driver = known().hear({ type: 'expiring', expires_ms: 1 });
    expect(driver.did).toEqual(['token']);
    expect(driver.hear({ type: 'expiring', expires_ms: 1 }).did).toEqual([]);
  });

  test('by a clock that goes wrong does not make it ask again and again', () => {
    expect(known(-5_000).state.deadlines.renew).toBeUndefined();
    const driver = known(1_000);
    expect((driver.state.deadlines.renew ?? 0) - driver.at).toBe(30_000);
  });

  test('is left to expire where the server warns a client that has no token', () => {
    expect(new Driver().open().hear({ type: 'expiring', expires_ms: 1 }).did).toEqual([]);
  });

  test('is asked for again when none could be had', () => {
    const driver = known().hear({ type: 'expiring', expires_ms: 1 });
    const { question } = driver.state.showing;
    driver.do({ type: 'no_token', question, problem: { code: 'no_token', message: 'away' } });
    expect([driver.state.phase, driver.did]).toEqual(['open', ['report no_token']]);
    expect(driver.after(2_000).did).toEqual(['token']);
  });

  test('and has, brings a new connection with a newer one', () => {
    const driver = known().live();
    driver.hear({ type: 'error', id: 's1', code: 'unauthenticated', message: 'the token has expired' });
    expect([driver.state.phase, driver.did]).toEqual(['waiting', ['disconnect', 'deliver suspended']]);
    driver.do({ type: 'retry' }).hear(HELLO).token('new');
    driver.hear(taken(driver));
    expect(sent(driver)).toEqual([{ type: 'subscribe', id: 's1', channel: 'table:t', since: '1-5' }]);
  });

  test('brings new event streams: in one a token cannot be replaced', () => {
    const driver = new Driver({ auth: true, transport: 'sse' }).want().hear(HELLO).token();
    driver.hear(taken(driver)).live().hear({ type: 'expiring', expires_ms: 1 });
    expect(driver.did).toEqual(['disconnect', 'deliver suspended', 'connect']);
  });
});

describe('another token of the program', () => {
  test('is shown in place', () => {
    expect(known().do({ type: 'authenticate' }).did).toEqual(['token']);
  });

  test('that the server does not take in place is shown on a new connection', () => {
    const driver = known().do({ type: 'authenticate' }).token('of another');
    expect(driver.hear(refused(driver, 'forbidden')).did).toEqual(['disconnect', 'deliver suspended', 'connect']);
    expect(driver.hear(HELLO).token('of another').did).toEqual(['send auth']);
  });

  test('of another user takes what the first one saw, and everything is read anew', () => {
    const driver = known().live().lose().do({ type: 'authenticate' }).hear(HELLO).token('b');
    driver.hear(taken(driver, { user: 'bob' }));
    expect(driver.did).toEqual(['deliver revoked', 'send subscribe']);
    expect(sent(driver)).toEqual([{ type: 'subscribe', id: 's1', channel: 'table:t' }]);
  });

  test('of the same user goes on where the first one was', () => {
    const driver = known().live().lose().do({ type: 'authenticate' }).hear(HELLO).token('b');
    driver.hear(taken(driver));
    expect(sent(driver)).toEqual([{ type: 'subscribe', id: 's1', channel: 'table:t', since: '1-5' }]);
  });

  test('that says something else than before takes what was seen by it, and everything is read anew', () => {
    const driver = greeted().token('a');
    driver.hear(taken(driver, { claims: 'clerk' })).live();
    driver
      .lose()
      .do({ type: 'retry' })
      .hear(HELLO)
      .token('b')
      .hear(taken(driver, { claims: 'clerk' }));
    expect(sent(driver)).toEqual([{ type: 'subscribe', id: 's1', channel: 'table:t', since: '1-5' }]);
    driver
      .lose()
      .do({ type: 'retry' })
      .hear(HELLO)
      .token('c')
      .hear(taken(driver, { claims: 'chief' }));
    expect(driver.effects).toMatchObject([{ delivery: { type: 'revoked' } }, { do: 'send' }]);
    expect(sent(driver)).toEqual([{ type: 'subscribe', id: 's1', channel: 'table:t' }]);
  });

  test('that says something else on a connection that goes on is compared when that is cut before the server has answered', () => {
    const driver = greeted().token('a');
    driver.hear(taken(driver, { claims: 'clerk' })).live();
    driver
      .do({ type: 'authenticate' })
      .token('b')
      .hear(taken(driver, { claims: 'chief' }));
    expect(driver.did).toEqual([]);
    driver
      .lose()
      .do({ type: 'retry' })
      .hear(HELLO)
      .token('b')
      .hear(taken(driver, { claims: 'chief' }));
    expect(driver.did).toEqual(['deliver revoked', 'send subscribe']);
  });

  test('replaces one that was about to be shown', () => {
    const driver = greeted().token('a');
    const older = taken(driver);
    expect(driver.do({ type: 'authenticate' }).did).toEqual(['token']);
    expect(driver.hear(older).did).toEqual([]);
    expect(driver.token('b').did).toEqual(['send auth']);
    expect(driver.hear(older).state.phase).toBe('connecting');
    expect(driver.hear(taken(driver)).state.phase).toBe('open');
  });
});

test('what is revoked is dropped, and asked for from its start after a cut', () => {
  const driver = known().live();
  expect(driver.hear({ type: 'revoked', id: 's1', message: 'you were removed' }).effects).toMatchObject([
    { delivery: { type: 'revoked', message: 'you were removed' } },
  ]);
  driver.lose().do({ type: 'retry' }).hear(HELLO).token('b');
  driver.hear(taken(driver));
  expect(sent(driver)).toEqual([{ type: 'subscribe', id: 's1', channel: 'table:t' }]);
});

test('what comes too often is asked for when the server says, and writes are not repeated', () => {
  const driver = new Driver().open().live().ask();
  driver.hear({ type: 'error', id: 's1', code: 'rate_limited', message: 'slow down', retry_ms: 3_000 });
  expect(driver.did).toEqual(['deliver suspended']);
  expect(nextDeadline(driver.state)).toBe(driver.at + 4_000);
  driver.hear({ type: 'error', ref: 'r1', code: 'rate_limited', message: 'slow down', retry_ms: 3_000 });
  expect(driver.effects).toMatchObject([{ answer: { problem: { code: 'rate_limited', retryMs: 3_000 } } }]);
  expect(driver.after(4_000).did).toEqual(['send subscribe']);
});
