/**
 * The messages of docs/protocol.md: their types.
 *
 * Leaves reading them to `wire`, and what they mean to `machine` and `subscription`.
 */
import type { Column, FilterSpan, Op, Position, Rejected, Row, Value, Write } from './types.ts';

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
  | { readonly type: 'insert'; readonly table: string; readonly rows: readonly object[]; readonly ref?: string }
  | { readonly type: 'write'; readonly writes: readonly Write[]; readonly ref?: string };

/** Being seen on a channel, and not any more. */
export type TrackMessage =
  | {
      readonly type: 'track';
      readonly channel: string;
      readonly state?: object;
      readonly user?: string;
      readonly ref?: string;
    }
  | { readonly type: 'untrack'; readonly channel: string; readonly ref?: string };

export type ClientMessage =
  | ({ readonly type: 'subscribe'; readonly id: string } & Subscribe)
  | { readonly type: 'unsubscribe'; readonly id: string }
  | RequestMessage
  | TrackMessage
  | { readonly type: 'auth'; readonly token: string; readonly ref?: string }
  | { readonly type: 'ping'; readonly ref?: string };

export interface Hello {
  readonly type: 'hello';
  readonly protocol: number;
  readonly server: string;
  readonly session: string;
  readonly position: Position;
  readonly heartbeat_ms: number;
  readonly limits: { readonly frame_bytes: number; readonly subscriptions: number };
  /** The same text for whoever may be told the same. */
  readonly claims?: string;
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

/** Some of what this client holds may not be seen any more. */
export interface RevokedMessage {
  readonly type: 'revoked';
  readonly id: string;
  readonly message: string;
}

/** Who is on a channel: everybody, in one or more pieces, or what has changed. */
export interface PresenceMessage {
  readonly type: 'presence';
  readonly id: string;
  readonly full: boolean;
  readonly users?: readonly PresentMessage[];
  /** Another piece follows. */
  readonly more?: boolean;
  readonly joins?: readonly PresentMessage[];
  readonly updates?: readonly PresentMessage[];
  readonly leaves?: readonly string[];
}

export interface PresentMessage {
  readonly user: string;
  readonly state?: Value;
  readonly connections: number;
  readonly since?: number;
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

export interface WrittenMessage {
  readonly type: 'written';
  readonly ref?: string;
  readonly counts: readonly number[];
  readonly position?: Position;
}

/** What a request is answered with where it is not refused. */
export type DoneMessage = PublishedMessage | InsertedMessage | WrittenMessage;

export interface AuthenticatedMessage {
  readonly type: 'authenticated';
  readonly ref?: string;
  readonly user?: string;
  /** Milliseconds since 1970. */
  readonly expires_ms?: number;
  /** As in {@link Hello}. */
  readonly claims?: string;
}

export interface ErrorMessage {
  readonly type: 'error';
  readonly code: string;
  readonly message: string;
  readonly id?: string;
  readonly ref?: string;
  readonly hint?: string;
  readonly at?: FilterSpan;
  readonly retry_ms?: number;
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
  | RevokedMessage
  | PresenceMessage
  | SkippedMessage;

export type ServerMessage =
  | Hello
  | SubscriptionMessage
  | { readonly type: 'position'; readonly position: Position }
  | { readonly type: 'unsubscribed'; readonly id: string }
  | PublishedMessage
  | InsertedMessage
  | WrittenMessage
  | AuthenticatedMessage
  | { readonly type: 'expiring'; readonly expires_ms: number }
  | { readonly type: 'tracked'; readonly ref?: string }
  | { readonly type: 'untracked'; readonly ref?: string }
  | { readonly type: 'pong'; readonly ref?: string; readonly position: Position }
  | ErrorMessage
  | CloseMessage;

/** What could not be read, in a sentence. */
export interface Malformed {
  readonly type: 'malformed';
  readonly problem: string;
}
