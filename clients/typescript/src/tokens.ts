/**
 * Where tokens come from. The only file that keeps one for longer than it takes to show it; none is ever printed.
 */
import { RowcastError } from './error.ts';
import { errorOf, type Http } from './http.ts';
import type { Problem } from './subscription.ts';
import type { TokenSource } from './types.ts';

export class Tokens {
  #source: TokenSource | undefined;
  #newest: Promise<string> | undefined;

  constructor(source: TokenSource | undefined) {
    this.#source = source;
  }

  get wanted(): boolean {
    return this.#source !== undefined;
  }

  replace(source: TokenSource): void {
    this.#source = source;
    this.#newest = undefined;
  }

  /** Asks the program. Rejects with a `RowcastError`. */
  fresh(): Promise<string> {
    const asked = ask(this.#source);
    this.#newest = asked;
    // Whoever needs it hears of it; nobody else has to.
    asked.catch(() => {
      if (this.#newest === asked) {
        this.#newest = undefined;
      }
    });
    return asked;
  }

  /** What the program said last. */
  newest(): Promise<string> {
    return this.#newest ?? this.fresh();
  }
}

async function ask(source: TokenSource | undefined): Promise<string> {
  let token: unknown;
  try {
    token = typeof source === 'function' ? await source() : source;
  } catch (thrown) {
    throw errorOf(tokenProblem(thrown));
  }
  if (typeof token !== 'string' || token === '') {
    throw new RowcastError('unauthenticated', 'there is no token to show: `auth` gave none');
  }
  return token;
}

/** What an application's function threw. Its text is its own: it may be shown. */
export function tokenProblem(thrown: unknown): Problem {
  const { code, message } = (thrown ?? {}) as { readonly code?: unknown; readonly message?: unknown };
  const text = typeof message === 'string' ? message : String(thrown);
  return code === 'unauthenticated' || code === 'no_token'
    ? { code, message: text }
    : { code: 'no_token', message: `no token could be had: ${text}` };
}

/** Shows the token with each request. A refused one is asked for once more: nothing was done with it. */
export function authorized(http: Http, tokens: Tokens): Http {
  return {
    url: http.url,
    fetch: async (url, init) => {
      if (!tokens.wanted) {
        return http.fetch(url, init);
      }
      const token = await tokens.newest();
      const response = await http.fetch(url, bearing(token, init));
      if (response.status !== 401) {
        return response;
      }
      const newer = await tokens.fresh();
      if (newer === token) {
        return response;
      }
      await response.body?.cancel();
      return http.fetch(url, bearing(newer, init));
    },
  };
}

/** A request that shows a token. */
export function bearing(token: string, init: RequestInit = {}): RequestInit {
  return { ...init, headers: { ...(init.headers as Record<string, string>), authorization: `Bearer ${token}` } };
}
