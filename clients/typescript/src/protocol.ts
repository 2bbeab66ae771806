/**
 * The messages of docs/protocol.md: their types, and reading them from text that nobody has checked.
 *
 * Pure. Leaves what they mean to `machine` and `subscription`.
 */
import type { Column, FilterSpan, Op, Position, Rejected, Row, Value } from './types.ts';

/** Which rows a subscription begins with. */
export type SnapshotRequest = boolean | { readonly order_by?: string; readonly limit?: number };

/** How much of what happens is told; see "Delivery classes" in docs/protocol.md. */
export type DeliverRequest =
  | string
  | { readonly every_ms: number }
  | {
      readonly sample:
        | number
        | { readonly per_second: number; readonly value?: string | readonly string[]; readonly group_by?: string };
    };

/** What is subscribed to, without the name of the subscription. */
export interface Subscribe {
  readonly channel: string;
  readonly where?: string;
  readonly columns?: readonly string[];
  readonly snapshot?: SnapshotRequest;
  readonly since?: Position;
  readonly old?: boolean;
  readonly deliver?: DeliverRequest;
}

/** A request: answered once, by `ref`. */
export type RequestMessage =
  | {
      readonly type: 'publish';
      readonly channel: string;
      readonly event: string;
      readonly data: unknown;
      readonly ephemeral?: boolean;
      readonly ref?: string;
    }
  | { readonly type: 'insert'; readonly table: string; readonly rows: readonly object[]; readonly ref?: string };

export type ClientMessage =
  | ({ readonly type: 'subscribe'; readonly id: string } & Subscribe)
  | { readonly type: 'unsubscribe'; readonly id: string }
  | RequestMessage
  | { readonly type: 'ping'; readonly ref?: string };

export interface Hello {
  readonly type: 'hello';
  readonly protocol: number;
  readonly server: string;
  readonly session: string;
  readonly position: Position;
  readonly heartbeat_ms: number;
  readonly limits: { readonly frame_bytes: number; readonly subscriptions: number };
}

export interface SnapshotMessage {
  readonly type: 'snapshot';
  readonly id: string;
  readonly columns?: readonly Column[];
  readonly key?: readonly string[] | null;
  readonly rows: readonly Row[];
  readonly done: boolean;
}

export interface SubscribedMessage {
  readonly type: 'subscribed';
  readonly id: string;
  readonly position: Position;
  readonly resumed: boolean;
  readonly columns?: readonly Column[];
  readonly key?: readonly string[] | null;
}

export interface ChangeMessage {
  readonly type: 'change';
  readonly id: string;
  readonly op: Op;
  readonly cause?: Op;
  readonly row: Row;
  readonly old?: Row;
  readonly key: readonly Value[] | null;
  readonly old_key?: readonly Value[];
  readonly position: Position;
  readonly tx: number;
  readonly last: boolean;
  readonly time: number;
}

export interface CommitMessage {
  readonly type: 'commit';
  readonly id: string;
  readonly tx: number;
  readonly position: Position;
}

export interface RoomMessageMessage {
  readonly type: 'message';
  readonly id: string;
  readonly event: string;
  readonly data: Value;
  readonly position?: Position;
  readonly time: number;
}

export interface GapMessage {
  readonly type: 'gap';
  readonly id: string;
  readonly reason: string;
  readonly message: string;
}

export interface SkippedMessage {
  readonly type: 'skipped';
  readonly id: string;
  readonly count: number;
}

export interface PublishedMessage {
  readonly type: 'published';
  readonly ref?: string;
  readonly position?: Position;
}

export interface InsertedMessage {
  readonly type: 'inserted';
  readonly ref?: string;
  readonly count: number;
  readonly position?: Position;
  readonly rejected: readonly Rejected[];
}

export interface ErrorMessage {
  readonly type: 'error';
  readonly code: string;
  readonly message: string;
  readonly id?: string;
  readonly ref?: string;
  readonly hint?: string;
  readonly at?: FilterSpan;
}

export interface CloseMessage {
  readonly type: 'close';
  readonly reason: string;
  readonly message: string;
  readonly retry_ms: number;
}

/** Messages about one subscription. */
export type SubscriptionMessage =
  | SnapshotMessage
  | SubscribedMessage
  | ChangeMessage
  | CommitMessage
  | RoomMessageMessage
  | GapMessage
  | SkippedMessage;

export type ServerMessage =
  | Hello
  | SubscriptionMessage
  | { readonly type: 'position'; readonly position: Position }
  | { readonly type: 'unsubscribed'; readonly id: string }
  | PublishedMessage
  | InsertedMessage
  | { readonly type: 'pong'; readonly ref?: string; readonly position: Position }
  | ErrorMessage
  | CloseMessage;

/** What could not be read, in a sentence. */
export interface Malformed {
  readonly type: 'malformed';
  readonly problem: string;
}

type Check = (value: unknown) => boolean;
type Shape = Readonly<Record<string, Check>>;

const isText: Check = (value) => typeof value === 'string';
const isNumber: Check = (value) => typeof value === 'number' && Number.isFinite(value);
const isFlag: Check = (value) => typeof value === 'boolean';
const isList: Check = (value) => Array.isArray(value);
const isObject: Check = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);
const isAny: Check = (value) => value !== undefined;
const isOp: Check = (value) => value === 'insert' || value === 'update' || value === 'delete';
const isKey: Check = (value) => value === null || Array.isArray(value);
const isRows: Check = (value) => Array.isArray(value) && value.every(isObject);
const isNames: Check = (value) => value === null || (Array.isArray(value) && value.every(isText));
const isColumns: Check = (value) =>
  Array.isArray(value) && value.every((column) => isObject(column) && isText(column.name) && isText(column.type));
const isLimits: Check = (value) => isObject(value) && isNumber((value as Hello['limits']).frame_bytes);
const isSpan: Check = (value) =>
  isObject(value) && isNumber((value as FilterSpan).offset) && isNumber((value as FilterSpan).length);
const maybe =
  (check: Check): Check =>
  (value) =>
    value === undefined || check(value);

const SHAPES: Readonly<Record<ServerMessage['type'], Shape>> = {
  hello: { protocol: isNumber, session: isText, position: isText, heartbeat_ms: isNumber, limits: isLimits },
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
    cause: maybe(isOp),
  },
  commit: { id: isText, tx: isNumber, position: isText },
  message: { id: isText, event: isText, data: isAny, time: isNumber, position: maybe(isText) },
  gap: { id: isText, reason: isText, message: isText },
  skipped: { id: isText, count: isNumber },
  position: { position: isText },
  unsubscribed: { id: isText },
  published: { ref: maybe(isText), position: maybe(isText) },
  inserted: { ref: maybe(isText), count: isNumber, position: maybe(isText), rejected: isList },
  pong: { ref: maybe(isText) },
  error: {
    code: isText,
    message: isText,
    id: maybe(isText),
    ref: maybe(isText),
    hint: maybe(isText),
    at: maybe(isSpan),
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
