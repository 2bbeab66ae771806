/**
 * One subscription: how far it has come, and whole transactions out of single changes.
 *
 * Pure. Knows nothing of connections except that they end; `machine` says when to ask.
 */
import type {
  ChangeMessage,
  ClientMessage,
  GapMessage,
  PresenceMessage,
  RoomMessageMessage,
  SnapshotMessage,
  Subscribe,
  SubscribedMessage,
  SubscriptionMessage,
} from './protocol.ts';
import type { Position } from './types.ts';

/** A transaction of more changes than this is handed on in parts, so that it cannot fill the memory. */
export const TRANSACTION_CHANGES_MAX = 100_000;

/** Something that went wrong, before it becomes a `RowcastError`. */
export interface Problem {
  readonly code: string;
  readonly message: string;
  readonly hint?: string | undefined;
  readonly at?: { readonly offset: number; readonly length: number } | undefined;
  readonly uncertain?: boolean;
  /** When to ask again, where the server says so. */
  readonly retryMs?: number;
}

/** What whoever subscribed is told. */
export type Delivery =
  | {
      readonly type: 'snapshot';
      readonly first: boolean;
      readonly done: boolean;
      readonly rows: SnapshotMessage['rows'];
      readonly columns: SnapshotMessage['columns'];
      readonly key: SnapshotMessage['key'];
    }
  | { readonly type: 'subscribed'; readonly message: SubscribedMessage }
  /** The changes of one transaction. */
  | { readonly type: 'changes'; readonly changes: readonly ChangeMessage[] }
  | { readonly type: 'message'; readonly message: RoomMessageMessage }
  | { readonly type: 'gap'; readonly message: GapMessage }
  /** What was handed on may not be seen any more. Everything that may be seen follows. */
  | { readonly type: 'revoked'; readonly message: string }
  | { readonly type: 'presence'; readonly message: PresenceMessage }
  /** This client is seen on the channel. */
  | { readonly type: 'tracked' }
  | { readonly type: 'skipped'; readonly count: number }
  /** Nothing happened up to here. */
  | { readonly type: 'reached'; readonly position: Position }
  /**
   * It goes on later: the connection was lost, or the server cannot answer now. `stopped`: only when the program has another
   * token, or asks for another try.
   */
  | { readonly type: 'suspended'; readonly problem: Problem | undefined; readonly stopped?: true }
  /** It has ended. */
  | { readonly type: 'failed'; readonly problem: Problem };

/** A chain, newest first: appending is cheap and old states stay as they were. */
interface Pending {
  readonly tx: number;
  readonly count: number;
  readonly change: ChangeMessage;
  readonly before: Pending | undefined;
}

/**
 * - `unsent`: not asked on this connection, or there is none
 * - `asked`: between `subscribe` (or `gap`, or `revoked`) and `subscribed`
 * - `live`: changes follow
 * - `resting`: the server said `unavailable` or `rate_limited`; asked again at `restUntil`
 */
export interface Subscription {
  readonly id: string;
  readonly spec: Subscribe;
  readonly phase: 'unsent' | 'asked' | 'live' | 'resting';
  /**
   * Where to resume: up to here everything was handed on.
   *
   * Never within a transaction: after a resume in its midst nobody could tell whether it had ended.
   */
  readonly since: Position | undefined;
  /** For whom the server took this client when it said `subscribed`. */
  readonly claims: string | undefined;
  /** A snapshot has begun and is not complete. */
  readonly filling: boolean;
  /** Changes of a transaction whose end has not come. They are after `since`, so they come again when they are lost. */
  readonly pending: Pending | undefined;
  /** How often in a row the server could not answer. */
  readonly rests: number;
  readonly restUntil: number | undefined;
}

type Step = readonly [Subscription, readonly Delivery[]];

export function begin(id: string, spec: Subscribe): Subscription {
  return {
    id,
    spec,
    phase: 'unsent',
    since: spec.since,
    claims: undefined,
    filling: false,
    pending: undefined,
    rests: 0,
    restUntil: undefined,
  };
}

/** The subscription as asked, and the message that asks. */
export function ask(subscription: Subscription): readonly [Subscription, ClientMessage] {
  const { id, spec, since } = subscription;
  const { since: _, ...rest } = spec;
  // Who is there is told anew each time: there is nothing to resume.
  const from = since === undefined || spec.channel.startsWith('presence:') ? {} : { since };
  const message: ClientMessage = { type: 'subscribe', id, ...rest, ...from };
  return [{ ...subscription, phase: 'asked', filling: false, restUntil: undefined }, message];
}

/** The connection is gone. */
export function suspend(subscription: Subscription, problem: Problem | undefined): Step {
  const told = subscription.phase !== 'unsent';
  const next: Subscription = {
    ...subscription,
    phase: 'unsent',
    filling: false,
    pending: undefined,
    restUntil: undefined,
  };
  return [next, told ? [{ type: 'suspended', problem }] : []];
}

/** The server cannot answer now. */
export function rest(subscription: Subscription, until: number, problem: Problem): Step {
  const next: Subscription = {
    ...subscription,
    phase: 'resting',
    filling: false,
    pending: undefined,
    rests: subscription.rests + 1,
    restUntil: until,
  };
  return [next, [{ type: 'suspended', problem }]];
}

/** What was handed on may not be seen any more. */
export function forget(subscription: Subscription, message: string): Step {
  if (subscription.since === undefined) {
    return [subscription, []];
  }
  return [{ ...subscription, since: undefined, pending: undefined }, [{ type: 'revoked', message }]];
}

/** Everything up to `position` has been sent on this subscription. */
export function reach(subscription: Subscription, position: Position): Step {
  const { phase, since, pending } = subscription;
  if (phase !== 'live' || since === position || pending !== undefined) {
    return [subscription, []];
  }
  return [{ ...subscription, since: position }, [{ type: 'reached', position }]];
}

/** A message about this subscription. */
export function receive(subscription: Subscription, message: SubscriptionMessage): Step {
  switch (message.type) {
    case 'snapshot':
      return receiveSnapshot(subscription, message);
    case 'subscribed':
      return receiveSubscribed(subscription, message);
    case 'gap':
      return [
        { ...subscription, phase: 'asked', since: undefined, filling: false, pending: undefined },
        [{ type: 'gap', message }],
      ];
    case 'revoked':
      return [
        { ...subscription, phase: 'asked', since: undefined, filling: false, pending: undefined },
        [{ type: 'revoked', message: message.message }],
      ];
    case 'skipped':
      return [subscription, [{ type: 'skipped', count: message.count }]];
    case 'presence':
      return [subscription, subscription.phase === 'live' ? [{ type: 'presence', message }] : []];
    case 'change':
    case 'commit':
    case 'message':
      // What comes before `subscribed` is in the snapshot already.
      return subscription.phase === 'live' ? receiveLive(subscription, message) : [subscription, []];
  }
}

function receiveSnapshot(subscription: Subscription, message: SnapshotMessage): Step {
  const { rows, done, columns, key } = message;
  const first = !subscription.filling;
  const next: Subscription = {
    ...subscription,
    phase: 'asked',
    since: undefined,
    filling: !done,
    pending: undefined,
  };
  return [next, [{ type: 'snapshot', first, done, rows, columns, key }]];
}

function receiveSubscribed(subscription: Subscription, message: SubscribedMessage): Step {
  const next: Subscription = {
    ...subscription,
    phase: 'live',
    since: message.position,
    filling: false,
    pending: undefined,
    rests: 0,
  };
  return [next, [{ type: 'subscribed', message }]];
}

function receiveLive(
  subscription: Subscription,
  message: Extract<SubscriptionMessage, { type: 'change' | 'commit' | 'message' }>,
): Step {
  switch (message.type) {
    case 'change':
      return receiveChange(subscription, message);
    case 'commit': {
      const { position } = message;
      const [flushed, deliveries] = flush(subscription);
      // Without changes it says how far everything is.
      const told: readonly Delivery[] = deliveries.length > 0 ? deliveries : [{ type: 'reached', position }];
      return [{ ...flushed, since: position }, told];
    }
    case 'message':
      return [{ ...subscription, since: message.position ?? subscription.since }, [{ type: 'message', message }]];
  }
}

function receiveChange(subscription: Subscription, change: ChangeMessage): Step {
  const { tx } = change;
  const differs = subscription.pending !== undefined && subscription.pending.tx !== tx;
  // A new transaction ends the one before it, whatever became of its mark.
  const [ready, deliveries] = differs ? flush(subscription) : [subscription, []];
  const before = ready.pending;
  const count = (before?.count ?? 0) + 1;
  const next: Subscription = { ...ready, pending: { tx, count, change, before } };
  if (!change.last && count < TRANSACTION_CHANGES_MAX) {
    return [next, deliveries];
  }
  const [flushed, more] = flush(next);
  return [flushed, [...deliveries, ...more]];
}

function flush(subscription: Subscription): Step {
  const { pending } = subscription;
  if (pending === undefined) {
    return [subscription, []];
  }
  const changes = new Array<ChangeMessage>(pending.count);
  for (let link: Pending | undefined = pending; link !== undefined; link = link.before) {
    changes[link.count - 1] = link.change;
  }
  return [{ ...subscription, since: pending.change.position, pending: undefined }, [{ type: 'changes', changes }]];
}
