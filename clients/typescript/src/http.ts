/**
 * The plain HTTP part of the protocol: addresses, answers, errors.
 */
import { RowcastError } from './error.ts';
import type { Problem } from './subscription.ts';

/** Values of a query; what is `undefined` is left out. */
export type Query = Readonly<Record<string, string | number | boolean | undefined>>;

export interface Http {
  /** The address of a path below the server's, with a query. */
  readonly url: (path: string, query?: Query) => string;
  /** An answer, whatever its status. Rejects when there is none. */
  readonly fetch: (url: string, init?: RequestInit) => Promise<Response>;
}

export function http(base: string, doFetch: typeof fetch | undefined): Http {
  return {
    url: (path, query = {}) => {
      const url = new URL(path, base);
      for (const [name, value] of Object.entries(query)) {
        if (value !== undefined) {
          url.searchParams.set(name, String(value));
        }
      }
      return url.href;
    },
    // Looked up for each call, so that a page may replace the global function.
    fetch: (url, init) => (doFetch ?? globalThis.fetch)(url, init),
  };
}

/** The server's address with a slash at its end. Relative ones are relative to the page. */
export function baseUrl(url: string): string {
  const page = typeof location === 'object' && location !== null ? location.href : undefined;
  const base = new URL(url, page);
  base.protocol = base.protocol.replace(/^ws/, 'http');
  base.search = '';
  base.hash = '';
  base.pathname = base.pathname.replace(/\/*$/, '/');
  return base.href;
}

/** The answer's JSON. Rejects with a `RowcastError` when it is not a success. */
export async function getJson<T>({ fetch }: Http, url: string, init?: RequestInit): Promise<[T, Response]> {
  const response = await reach(fetch(url, init));
  const body = await readJson(response);
  if (!response.ok || body === undefined) {
    throw errorOf(problemOf(response, body));
  }
  return [body as T, response];
}

/** The answer's body, or `undefined` when it is not JSON. */
export async function readJson(response: Response): Promise<unknown> {
  const text = await reach(response.text());
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** What an answer says is wrong. */
export function problemOf(response: Response, body: unknown): Problem {
  const error = (body as { error?: Partial<Problem> } | null | undefined)?.error;
  if (typeof error?.code === 'string' && typeof error.message === 'string') {
    const { retry_ms: retryMs } = error as { readonly retry_ms?: unknown };
    const retry = typeof retryMs === 'number' ? { retryMs } : {};
    return { code: error.code, message: error.message, hint: error.hint, at: error.at, ...retry };
  }
  return { code: 'http', message: `the server answered ${response.status} ${response.statusText}`.trim() };
}

/** How long the server, or a proxy before it, wants to be left alone: it takes no further clients now. */
export function awayMs(response: Response, body: unknown): number | undefined {
  const error = (body as { error?: { code?: unknown; retry_ms?: unknown } } | null | undefined)?.error;
  if (typeof error?.retry_ms === 'number') {
    return error.retry_ms;
  }
  // With an error of its own, the server answers: only what was asked for cannot be had at the moment.
  const header = typeof error?.code === 'string' ? null : response.headers.get('retry-after');
  const seconds = header === null ? Number.NaN : Number(header);
  return Number.isFinite(seconds) ? seconds * 1_000 : undefined;
}

export function errorOf({ code, message, hint, at, uncertain, retryMs }: Problem): RowcastError {
  return new RowcastError(code, message, { hint, at, uncertain: uncertain ?? false, retryMs });
}

/** A failed `fetch` as a `RowcastError`; an abort stays what it is. */
async function reach<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (cause) {
    if (cause instanceof Error && cause.name === 'AbortError') {
      throw cause;
    }
    throw new RowcastError('network', `the server cannot be reached: ${String(cause)}`, { cause });
  }
}
