/**
 * Requests that wait for their answer: each is sent at most once, and ends in exactly one answer.
 *
 * Pure. `machine` says when the connection is there and when it is gone.
 */
import type { DoneMessage, RequestMessage } from './protocol.ts';
import type { Problem } from './subscription.ts';

/** More requests than this at a time are a mistake in the program, or a server that is away for long. */
export const REQUESTS_MAX = 1_000;

export interface Request {
  readonly ref: string;
  readonly message: RequestMessage;
  readonly text: string;
  readonly bytes: number;
  readonly expiresAt: number;
  readonly sent: boolean;
}

export type Requests = ReadonlyMap<string, Request>;

export type Answer =
  | { readonly type: 'done'; readonly message: DoneMessage }
  | { readonly type: 'refused'; readonly problem: Problem };

interface Answered {
  readonly do: 'answer';
  readonly ref: string;
  readonly answer: Answer;
}

interface Asked {
  readonly ref: string;
  readonly message: RequestMessage;
  readonly text: string;
  readonly bytes: number;
  readonly timeoutMs: number;
  readonly mayWait: boolean;
}

/** Takes a request in, or says why not. */
export function add(
  requests: Requests,
  asked: Asked,
  at: number,
  connected: boolean,
): { readonly requests: Requests; readonly problem?: Problem } {
  if (requests.size >= REQUESTS_MAX) {
    const message = `${REQUESTS_MAX} requests are waiting for an answer already`;
    return { requests, problem: { code: 'too_many_requests', message } };
  }
  if (!connected && !asked.mayWait) {
    return { requests, problem: { code: 'not_connected', message: 'there is no connection to the server' } };
  }
  const { ref, message, text, bytes } = asked;
  const request: Request = { ref, message, text, bytes, expiresAt: at + asked.timeoutMs, sent: false };
  return { requests: new Map(requests).set(ref, request) };
}

/** What can be sent now, counted as sent; what is larger than the server takes is refused. */
export function takeUnsent(
  requests: Requests,
  frameBytesMax: number,
): readonly [Requests, ready: readonly Request[], tooLarge: readonly Answered[]] {
  const unsent = [...requests.values()].filter((request) => !request.sent);
  if (unsent.length === 0) {
    return [requests, [], []];
  }
  const next = new Map(requests);
  const tooLarge: Answered[] = [];
  const ready = unsent.filter((request) => {
    const fits = request.bytes <= frameBytesMax;
    if (fits) {
      next.set(request.ref, { ...request, sent: true });
    } else {
      next.delete(request.ref);
      const message = `a message of ${request.bytes} bytes; the server takes at most ${frameBytesMax}`;
      const problem = { code: 'too_large', message };
      tooLarge.push({ do: 'answer', ref: request.ref, answer: { type: 'refused', problem } });
    }
    return fits;
  });
  return [next, ready, tooLarge];
}

/** The answer is there: nothing to wait for any more. */
export function settle(requests: Requests, ref: string): Requests {
  if (!requests.has(ref)) {
    return requests;
  }
  const rest = new Map(requests);
  rest.delete(ref);
  return rest;
}

/** The connection is gone: what was sent may have been carried out, and is never sent again. */
export function loseSent(requests: Requests): readonly [Requests, readonly Answered[]] {
  return end(requests, (request) => request.sent, {
    code: 'connection_lost',
    message:
      'the connection was lost before the answer came; the request may have been carried out, and is not repeated',
    uncertain: true,
  });
}

/** The server does not want this client. */
export function refuseAll(requests: Requests, problem: Problem): readonly [Requests, readonly Answered[]] {
  return end(requests, () => true, problem);
}

/** Ends what has waited too long. */
export function expire(requests: Requests, at: number): readonly [Requests, readonly Answered[]] {
  const unsent = { code: 'timeout', message: 'no connection to the server in time; the request was not sent' };
  const unanswered = {
    code: 'timeout',
    message: 'no answer in time; the request may have been carried out, and is not repeated',
    uncertain: true,
  };
  const [rest, first] = end(requests, (request) => at >= request.expiresAt && !request.sent, unsent);
  const [last, second] = end(rest, (request) => at >= request.expiresAt, unanswered);
  return [last, [...first, ...second]];
}

export function nextExpiry(requests: Requests): number {
  let next = Infinity;
  for (const { expiresAt } of requests.values()) {
    next = Math.min(next, expiresAt);
  }
  return next;
}

function end(
  requests: Requests,
  ends: (request: Request) => boolean,
  problem: Problem,
): readonly [Requests, readonly Answered[]] {
  const ended = [...requests.values()].filter(ends);
  if (ended.length === 0) {
    return [requests, []];
  }
  const rest = new Map(requests);
  for (const { ref } of ended) {
    rest.delete(ref);
  }
  return [rest, ended.map(({ ref }): Answered => ({ do: 'answer', ref, answer: { type: 'refused', problem } }))];
}
