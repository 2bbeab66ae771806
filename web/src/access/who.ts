// Who is looking at these pages, as the server says, and how that is changed. The proof is a cookie that no script can read.

export interface Who {
  /** `trusted`: this server asks nobody who they are. */
  readonly standing: 'trusted' | 'anonymous' | 'known';
  readonly user: string | null;
  readonly tenant: string | null;
  /** Milliseconds since 1970; `null`: it does not end by itself. */
  readonly expiresAt: number | null;
}

/** A server that cannot say, or does not answer: the pages say that themselves. */
const ANYBODY: Who = { standing: 'trusted', user: null, tenant: null, expiresAt: null };

/** `null`: nobody may look without saying who they are. */
export async function askWho(): Promise<Who | null> {
  try {
    const response = await fetch('/v1/whoami', { cache: 'no-store' });
    if (response.status === 401) return null;
    return response.ok ? readWho(await response.json()) : ANYBODY;
  } catch {
    return ANYBODY;
  }
}

export function readWho(answer: unknown): Who {
  const { standing, user, tenant, expires_ms } = (answer ?? {}) as Record<string, unknown>;
  if (standing === 'unknown') return { ...ANYBODY, standing: 'anonymous' };
  if (standing !== 'anonymous' && standing !== 'known') return ANYBODY;
  return {
    standing,
    user: typeof user === 'string' ? user : null,
    tenant: typeof tenant === 'string' && tenant !== '' ? tenant : null,
    expiresAt: typeof expires_ms === 'number' ? expires_ms : null,
  };
}

/** Resolves to what is wrong, `null` if nothing is: then the cookie is set. */
export function logIn(user: string, password: string): Promise<string | null> {
  const headers = { 'content-type': 'application/json' };
  return attempt('/v1/login', { method: 'POST', headers, body: JSON.stringify({ user, password }) });
}

/** The same with a token of an identity provider. */
export function showToken(token: string): Promise<string | null> {
  const headers = { authorization: `Bearer ${token.trim().replace(/^bearer\s+/i, '')}` };
  return attempt('/v1/session', { method: 'POST', headers });
}

export function logOut(): Promise<string | null> {
  return attempt('/v1/session', { method: 'DELETE' });
}

async function attempt(path: string, init: RequestInit): Promise<string | null> {
  try {
    const response = await fetch(path, init);
    if (response.ok) return null;
    return refusal(response.status, await response.json().catch(() => null));
  } catch {
    return 'The server does not answer. Try again in a moment.';
  }
}

/** Why somebody may not come in, in words. */
export function refusal(status: number, answer: unknown): string {
  const { error } = (answer ?? {}) as { error?: { message?: unknown; hint?: unknown; retry_ms?: unknown } };
  const said = typeof error?.message === 'string' ? sentence(error.message) : `The server answered ${status}.`;
  const saysWhen = /try again/i.test(said);
  if (typeof error?.retry_ms === 'number' && !saysWhen) return `${said} Try again in ${inWords(error.retry_ms)}.`;
  return typeof error?.hint === 'string' ? `${said} ${sentence(error.hint)}` : said;
}

function inWords(ms: number): string {
  const seconds = Math.max(1, Math.ceil(ms / 1000));
  if (seconds < 90) return seconds === 1 ? '1 second' : `${seconds} seconds`;
  return `${Math.ceil(seconds / 60)} minutes`;
}

/** The server's sentences begin small and end without a point. */
function sentence(text: string): string {
  const begun = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(begun) ? begun : `${begun}.`;
}
