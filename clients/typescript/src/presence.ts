/**
 * Who is on a channel: a list that is told once, and then what changes in it; and being one of them.
 */
import { errorOf } from './http.ts';
import type { PresenceMessage, PresentMessage } from './protocol.ts';
import type { Runtime } from './runtime.ts';
import { Listeners, later } from './schedule.ts';
import type { Delivery, Problem } from './subscription.ts';
import type { LiveStatus, Presence, PresenceSnapshot, PresentUser } from './types.ts';

type Users = ReadonlyMap<string, PresentUser>;

const NOBODY: PresenceSnapshot = { users: [], status: 'loading', error: undefined };

export class ChannelPresence implements Presence {
  readonly channel: string;
  readonly #runtime: Runtime;
  readonly #lingerMs: number;
  readonly #listeners = new Listeners();
  #stop: (() => void) | undefined;
  #linger: ReturnType<typeof setTimeout> | undefined;
  #tracking: Tracking | undefined;
  /** What it called itself last. */
  #name: string | undefined;
  #users: Users = new Map();
  /** Pieces of a list that is not complete. */
  #building: Map<string, PresentUser> | undefined;
  #snapshot = NOBODY;

  constructor(runtime: Runtime, channel: string, lingerMs: number) {
    if (channel.startsWith('presence:')) {
      throw new TypeError(`give the channel itself, without "presence:" before it: "${channel.slice(9)}"`);
    }
    this.channel = channel;
    this.#runtime = runtime;
    this.#lingerMs = lingerMs;
  }

  get users() {
    return this.#snapshot.users;
  }

  get status(): LiveStatus {
    return this.#snapshot.status;
  }

  get error() {
    return this.#snapshot.error;
  }

  readonly getSnapshot = (): PresenceSnapshot => this.#snapshot;

  readonly track: Presence['track'] = (state, options = {}) => {
    this.#name = options.user ?? this.#name;
    const wish = { state, user: this.#name };
    if (this.#tracking === undefined) {
      this.#tracking = this.#runtime.track(this.channel, wish, (delivery) => this.#receiveOwn(delivery));
    } else {
      this.#tracking.update(wish);
    }
  };

  readonly untrack = (): void => {
    this.#tracking?.end();
    this.#tracking = undefined;
  };

  readonly subscribe: Presence['subscribe'] = (listener) => {
    const remove = this.#listeners.add(() => listener(this.#snapshot.users));
    clearTimeout(this.#linger);
    this.#linger = undefined;
    if (this.#stop === undefined) {
      const spec = { channel: `presence:${this.channel}` };
      this.#stop = this.#runtime.subscribe(spec, (delivery) => this.#receive(delivery));
    }
    return () => {
      remove();
      if (this.#listeners.size === 0 && this.#linger === undefined) {
        this.#linger = later(() => this.#leave(), this.#lingerMs);
      }
    };
  };

  #leave(): void {
    this.#linger = undefined;
    this.#stop?.();
    this.#stop = undefined;
    this.#building = undefined;
    this.#users = new Map();
    this.#snapshot = NOBODY;
  }

  #receive(delivery: Delivery): void {
    switch (delivery.type) {
      case 'presence':
        this.#hear(delivery.message);
        break;
      case 'revoked':
        this.#building = undefined;
        this.#show(new Map(), 'loading', undefined);
        break;
      case 'suspended':
        this.#building = undefined;
        this.#show(this.#users, this.status === 'loading' ? 'loading' : 'reconnecting', delivery.problem);
        break;
      case 'failed':
        this.#stop = undefined;
        this.#show(new Map(), 'error', delivery.problem);
    }
  }

  /** What became of this client's own being there. */
  #receiveOwn(delivery: Delivery): void {
    if (delivery.type === 'failed') {
      this.#tracking = undefined;
      this.#show(this.#users, this.status, delivery.problem);
    }
  }

  #hear(message: PresenceMessage): void {
    const { full, users = [], more } = message;
    const list = full ? new Map<string, PresentUser>() : this.#building;
    if (list === undefined) {
      this.#show(changed(this.#users, message), 'live', undefined);
      return;
    }
    for (const one of users) {
      list.set(one.user, merged(this.#users.get(one.user), one));
    }
    this.#building = more ? list : undefined;
    if (!more) {
      this.#show(list, 'live', undefined);
    }
  }

  #show(users: Users, status: LiveStatus, problem: Problem | undefined): void {
    const same = users === this.#users;
    this.#users = users;
    const error = problem === undefined ? undefined : errorOf(problem);
    if (same && status === this.status && error === this.error) {
      return;
    }
    this.#snapshot = { users: same ? this.users : inOrder(users), status, error };
    this.#listeners.notify();
  }
}

/** What the runtime does for who is tracked. */
export interface Tracking {
  readonly update: (wish: { readonly state: object | undefined; readonly user: string | undefined }) => void;
  readonly end: () => void;
}

/** The list after what has changed in it. */
function changed(users: Users, { joins = [], updates = [], leaves = [] }: PresenceMessage): Users {
  const next = new Map(users);
  for (const user of leaves) {
    next.delete(user);
  }
  for (const one of [...joins, ...updates]) {
    next.set(one.user, merged(next.get(one.user), one));
  }
  return next;
}

/** The same object where nothing changed. An update does not say again since when. */
function merged(before: PresentUser | undefined, message: PresentMessage): PresentUser {
  const { user, state = null, connections, since = before?.since ?? 0 } = message;
  const same =
    before?.connections === connections &&
    before.since === since &&
    JSON.stringify(before.state) === JSON.stringify(state);
  return same ? before : { user, state, connections, since };
}

function inOrder(users: Users): readonly PresentUser[] {
  return [...users.values()].sort((a, b) => a.since - b.since || (a.user < b.user ? -1 : 1));
}
