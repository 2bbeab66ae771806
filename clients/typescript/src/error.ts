/**
 * The one error that the client rejects and reports with.
 */
import type { FilterSpan, RowcastErrorLike } from './types.ts';

/**
 * Something that the server refused, or that went wrong on the way to it.
 *
 * `code` is one of docs/protocol.md's codes, or one of the client's own: `timeout`, `connection_lost`, `not_connected`,
 * `closed`, `network`, `http`, `gap`, `revoked`, `malformed`, `too_many_requests`, `protocol_version`, `no_websocket`, `no_token`.
 */
export class RowcastError extends Error implements RowcastErrorLike {
  override readonly name = 'RowcastError';
  readonly code: string;
  /** What to do instead, where the server knows. */
  readonly hint: string | undefined;
  /** The wrong part of a filter. */
  readonly at: FilterSpan | undefined;
  /** Whether the request may have been carried out all the same. */
  readonly uncertain: boolean;
  /** When it may be tried again, where the server says so (`rate_limited`). */
  readonly retryMs: number | undefined;

  constructor(
    code: string,
    message: string,
    more: {
      hint?: string | undefined;
      at?: FilterSpan | undefined;
      uncertain?: boolean;
      retryMs?: number | undefined;
      cause?: unknown;
    } = {},
  ) {
    super(message, more.cause === undefined ? undefined : { cause: more.cause });
    this.code = code;
    this.hint = more.hint;
    this.at = more.at;
    this.uncertain = more.uncertain ?? false;
    this.retryMs = more.retryMs;
  }
}
