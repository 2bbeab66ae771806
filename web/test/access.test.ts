import { afterEach, describe, expect, it, vi } from 'vitest';
import { askWho, logIn, readWho, refusal, showToken } from '../src/access/who';
import { titleOf } from '../src/ui/refused';

afterEach(() => vi.unstubAllGlobals());

const answer = (status: number, body: unknown) => {
  const fetched = vi.fn(async (_path: string, _init?: RequestInit) => Response.json(body, { status }));
  vi.stubGlobal('fetch', fetched);
  return fetched;
};

describe('who is looking', () => {
  it('is what the server says', () => {
    const said = { user: 'ada', tenant: 'acme', expires_ms: 5, standing: 'known' };
    expect(readWho(said)).toEqual({ user: 'ada', tenant: 'acme', expiresAt: 5, standing: 'known' });
    expect(readWho({ user: null, tenant: '', standing: 'anonymous' })).toMatchObject({ user: null, tenant: null });
  });

  it('is anybody where the server asks nobody, or knows nothing of it', async () => {
    expect(readWho({ standing: 'trusted' }).standing).toBe('trusted');
    expect(readWho(null).standing).toBe('trusted');
    answer(404, { error: { code: 'not_found' } });
    expect((await askWho())?.standing).toBe('trusted');
    vi.stubGlobal('fetch', async () => {
      throw new TypeError('no network');
    });
    expect((await askWho())?.standing).toBe('trusted');
  });

  it('is nobody where the server wants to know', async () => {
    answer(401, { error: { code: 'unauthenticated' } });
    expect(await askWho()).toBeNull();
  });
});

describe('logging in', () => {
  it('sends a password in a body, a token in a header, and neither in an address', async () => {
    const fetched = answer(200, {});
    expect(await logIn('ada', 'secret')).toBeNull();
    expect(await showToken(' Bearer a.b.c ')).toBeNull();
    const [[first, password], [second, token]] = fetched.mock.calls as [[string, RequestInit], [string, RequestInit]];
    expect([first, password.body]).toEqual(['/v1/login', '{"user":"ada","password":"secret"}']);
    expect([second, token.headers]).toEqual(['/v1/session', { authorization: 'Bearer a.b.c' }]);
  });

  it('says what is wrong in words', async () => {
    const error = { code: 'rate_limited', message: 'too many attempts', retry_ms: 29_100 };
    answer(429, { error });
    expect(await logIn('ada', 'no')).toBe('Too many attempts. Try again in 30 seconds.');
    expect(refusal(429, { error: { ...error, retry_ms: 600_000 } })).toBe(
      'Too many attempts. Try again in 10 minutes.',
    );
    expect(refusal(429, { error: { message: 'too many; try again in 30 s', retry_ms: 30_000 } })).toBe(
      'Too many; try again in 30 s.',
    );
    expect(refusal(401, { error: { message: 'no', hint: 'try yes' } })).toBe('No. Try yes.');
    expect(refusal(502, null)).toBe('The server answered 502.');
  });
});

it('a refusal has a title that says whose matter it is', () => {
  expect(titleOf({ code: 'forbidden' }, 'x')).toBe('You may not see this');
  expect(titleOf({ code: 'unavailable' }, 'The server does not answer')).toBe('The server does not answer');
});
