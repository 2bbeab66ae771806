// Records that were refused on their way into the database: asked for, mended, tried again, dropped.

export interface Letter {
  readonly id: number;
  readonly source: string;
  readonly table: string;
  readonly time_ms: number;
  readonly line: number;
  readonly column: string | null;
  readonly reason: string;
  readonly raw: string;
}

export interface Letters {
  /** Newest first. */
  readonly dead_letters: readonly Letter[];
  /** How many there are of each source. */
  readonly counts: Readonly<Record<string, number>>;
}

interface Retried {
  readonly stored: number;
  readonly refused: readonly { readonly id: number; readonly reason: string }[];
}

/** How many are shown. */
export const SHOWN = 50;

const ROOT = '/v1/dead-letters';

export function askForLetters(signal: AbortSignal): Promise<Letters> {
  return ask<Letters>(`${ROOT}?limit=${SHOWN}`, { signal });
}

/** Resolves to why it is refused still, or to `null`: it became a row. */
export async function retryLetter(id: number, record: string): Promise<string | null> {
  return refusal(await ask<Retried>(`${ROOT}/${id}/retry`, { method: 'POST', body: record }));
}

/** Resolves to what became of them, in words. */
export async function retrySource(source: string): Promise<string> {
  return outcome(await ask<Retried>(`${ROOT}/retry?source=${encodeURIComponent(source)}`, { method: 'POST' }));
}

export async function dropLetter(id: number): Promise<void> {
  await ask(`${ROOT}/${id}`, { method: 'DELETE' });
}

/** The first reason for which something was refused. */
export function refusal({ refused }: Retried): string | null {
  return refused[0]?.reason ?? null;
}

export function outcome({ stored, refused }: Retried): string {
  return refused.length === 0 ? `${stored} stored` : `${stored} stored, ${refused.length} refused still`;
}

/** A record with its fields on lines of their own, where it is one that can be mended as JSON. */
export function readable(raw: string): string {
  try {
    const record: unknown = JSON.parse(raw);
    // Digits that a double does not hold would be lost.
    if (/\d{16}/.test(raw)) return raw;
    return typeof record === 'object' ? JSON.stringify(record, null, 2) : raw;
  } catch {
    return raw;
  }
}

async function ask<T>(path: string, init: RequestInit): Promise<T> {
  const response = await fetch(path, init);
  const answer = (await response.json().catch(() => null)) as { error?: { message?: string } } | null;
  if (response.ok || response.status === 422) return answer as T;
  throw new Error(answer?.error?.message ?? `the server answered ${response.status}`);
}
