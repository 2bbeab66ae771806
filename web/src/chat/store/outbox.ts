// What is written and not yet told to the server: in which order it goes, and what becomes of an answer. Keeping it is `outbox-disk`'s,
// sending it `sender`'s.

export interface Letter {
  /** Made here; the server takes a message with the same one only once. */
  readonly nonce: string;
  /** Who wrote it: it is never sent as somebody else. */
  readonly user: string;
  readonly room: string;
  readonly body: string;
  readonly reply_to: number | null;
  readonly file: string | null;
  /** Milliseconds since 1970. */
  readonly at: number;
  /** `null`: waiting. Else why the server did not take it. */
  readonly refused: string | null;
}

export type Outcome =
  | { readonly kind: 'sent' }
  | { readonly kind: 'refused'; readonly why: string }
  /** `afterMs`: when to try again; `null`: once there is a connection, or a log-in. */
  | { readonly kind: 'later'; readonly afterMs: number | null };

const BASE_MS = 1_000;
const CAP_MS = 30_000;

/** The one that goes next: the oldest that nobody refused. */
export function next(letters: readonly Letter[], user: string): Letter | undefined {
  return letters.filter((letter) => letter.user === user && letter.refused === null).sort(inOrder)[0];
}

export function inOrder(a: Letter, b: Letter): number {
  return a.at - b.at || (a.nonce < b.nonce ? -1 : 1);
}

export interface Answer {
  /** 0: there was none. */
  readonly status: number;
  readonly message?: string | undefined;
  readonly retryMs?: number | undefined;
}

/** What an answer means for the letter that was sent. `tries`: how often that has come to nothing in a row. */
export function outcomeOf({ status, message, retryMs }: Answer, tries: number): Outcome {
  if (status >= 200 && status < 300) return { kind: 'sent' };
  if (status === 0) return { kind: 'later', afterMs: backoff(tries) };
  if (status === 401) return { kind: 'later', afterMs: null };
  if (status === 408 || status === 425 || status === 429 || status >= 500) {
    return { kind: 'later', afterMs: retryMs ?? backoff(tries) };
  }
  return { kind: 'refused', why: message ?? `the server answered ${status}` };
}

function backoff(tries: number): number {
  return Math.min(CAP_MS, BASE_MS * 2 ** Math.min(tries, 10));
}

/** Later than all that are there, so that the order is that of writing, also where the clock was set back. */
export function timeAfter(letters: readonly Letter[], now: number): number {
  return Math.max(now, ...letters.map(({ at }) => at + 1));
}
