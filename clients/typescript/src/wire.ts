/**
 * Messages as text: writing them, and reading them from text that nobody has checked.
 */

import type { Hello, Malformed, PresentMessage, ServerMessage } from './protocol.ts';
import type { FilterSpan } from './types.ts';

type Check = (value: unknown) => boolean;
type Shape = Readonly<Record<string, Check>>;

const isText: Check = (value) => typeof value === 'string';
const isNumber: Check = (value) => typeof value === 'number' && Number.isFinite(value);
const isFlag: Check = (value) => typeof value === 'boolean';
const isList: Check = (value) => Array.isArray(value);
const isObject: Check = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);
const isAny: Check = (value) => value !== undefined;
const isOp: Check = (value) => value === 'insert' || value === 'update' || value === 'delete';
const isCause: Check = isOp;
const isKey: Check = (value) => value === null || Array.isArray(value);
const isRows: Check = (value) => Array.isArray(value) && value.every(isObject);
const isNames: Check = (value) => value === null || (Array.isArray(value) && value.every(isText));
const isColumns: Check = (value) =>
  Array.isArray(value) && value.every((column) => isObject(column) && isText(column.name) && isText(column.type));
const isLimits: Check = (value) => isObject(value) && isNumber((value as Hello['limits']).frame_bytes);
const isSpan: Check = (value) =>
  isObject(value) && isNumber((value as FilterSpan).offset) && isNumber((value as FilterSpan).length);
const isPresent: Check = (value) =>
  isObject(value) && isText((value as PresentMessage).user) && isNumber((value as PresentMessage).connections);
const isPresents: Check = (value) => Array.isArray(value) && value.every(isPresent);
const isTexts: Check = (value) => Array.isArray(value) && value.every(isText);
const maybe =
  (check: Check): Check =>
  (value) =>
    value === undefined || check(value);

const SHAPES: Readonly<Record<ServerMessage['type'], Shape>> = {
  hello: {
    protocol: isNumber,
    session: isText,
    position: isText,
    heartbeat_ms: isNumber,
    limits: isLimits,
    claims: maybe(isText),
  },
  snapshot: { id: isText, rows: isRows, done: isFlag, columns: maybe(isColumns), key: maybe(isNames) },
  subscribed: { id: isText, position: isText, resumed: isFlag, columns: maybe(isColumns), key: maybe(isNames) },
  change: {
    id: isText,
    op: isOp,
    row: isObject,
    key: isKey,
    position: isText,
    tx: isNumber,
    last: isFlag,
    time: isNumber,
    old: maybe(isObject),
    old_key: maybe(isList),
    cause: maybe(isCause),
  },
  commit: { id: isText, tx: isNumber, position: isText },
  message: { id: isText, event: isText, data: isAny, time: isNumber, position: maybe(isText) },
  gap: { id: isText, reason: isText, message: isText },
  revoked: { id: isText, message: isText },
  presence: {
    id: isText,
    full: isFlag,
    users: maybe(isPresents),
    more: maybe(isFlag),
    joins: maybe(isPresents),
    updates: maybe(isPresents),
    leaves: maybe(isTexts),
  },
  skipped: { id: isText, count: isNumber },
  position: { position: isText },
  unsubscribed: { id: isText },
  published: { ref: maybe(isText), position: maybe(isText) },
  inserted: { ref: maybe(isText), count: isNumber, position: maybe(isText), rejected: isList },
  written: { ref: maybe(isText), counts: isList, position: maybe(isText) },
  authenticated: { ref: maybe(isText), user: maybe(isText), expires_ms: maybe(isNumber), claims: maybe(isText) },
  expiring: { expires_ms: isNumber },
  tracked: { ref: maybe(isText) },
  untracked: { ref: maybe(isText) },
  pong: { ref: maybe(isText) },
  error: {
    code: isText,
    message: isText,
    id: maybe(isText),
    ref: maybe(isText),
    hint: maybe(isText),
    at: maybe(isSpan),
    retry_ms: maybe(isNumber),
  },
  close: { reason: isText, message: isText, retry_ms: isNumber },
};

/** JSON for the server: an integer that JSON numbers cannot carry goes as text, which becomes the column's number again. */
export function toJson(message: unknown): string {
  return JSON.stringify(message, (_, value) => (typeof value === 'bigint' ? String(value) : value));
}

/** Reads one frame. Never throws. */
export function readMessage(text: unknown): ServerMessage | Malformed {
  if (typeof text !== 'string') {
    return malformed('a frame that is not text');
  }
  try {
    return checkMessage(JSON.parse(text));
  } catch {
    return malformed('a frame that is not JSON');
  }
}

/** Checks the fields that the client relies on; more fields than known are no mistake. */
export function checkMessage(json: unknown): ServerMessage | Malformed {
  const message = json as Record<string, unknown>;
  if (!isObject(json) || typeof message.type !== 'string') {
    return malformed('a frame that is not a message');
  }
  const shape = Object.hasOwn(SHAPES, message.type) ? SHAPES[message.type as ServerMessage['type']] : undefined;
  if (shape === undefined) {
    return malformed(`a message of the unknown type ${JSON.stringify(message.type.slice(0, 64))}`);
  }
  for (const field in shape) {
    if (!shape[field]?.(message[field])) {
      return malformed(`a \`${message.type}\` message with a wrong or missing \`${field}\``);
    }
  }
  return message as unknown as ServerMessage;
}

function malformed(problem: string): Malformed {
  return { type: 'malformed', problem };
}
