/**
 * A channel of messages: a room, in which clients publish, an application's own event, or what the database's NOTIFY says.
 */
import { deliverField } from './deliver.ts';
import type { RowcastError } from './error.ts';
import { errorOf } from './http.ts';
import type { PublishedMessage, RoomMessageMessage } from './protocol.ts';
import type { Runtime } from './runtime.ts';
import { guard, Listeners, later } from './schedule.ts';
import type { Delivery, Problem } from './subscription.ts';
import type {
  ChannelOptions,
  LiveStatus,
  Position,
  Published,
  PublishOptions,
  RoomChannel,
  RoomMessage,
  RoomSnapshot,
  Value,
} from './types.ts';

export interface RoomSettings {
  readonly lingerMs: number;
  readonly timeoutMs: number;
}

type Listener = (data: Value, message: RoomMessage) => void;

export class Room implements RoomChannel {
  readonly name: string;
  readonly #runtime: Runtime;
  readonly #options: ChannelOptions;
  readonly #settings: RoomSettings;
  readonly #listeners = new Set<{ readonly event: string; readonly call: Listener }>();
  readonly #watchers = new Listeners();
  #stop: (() => void) | undefined;
  #linger: ReturnType<typeof setTimeout> | undefined;
  #since: Position | undefined;
  #snapshot: RoomSnapshot = { status: 'loading', error: undefined };

  constructor(runtime: Runtime, name: string, options: ChannelOptions, settings: RoomSettings) {
    if (!/^(room|notify|event):/.test(name)) {
      throw new TypeError(
        `"${name}" is no channel of messages; write "room:lobby", "event:newData" or "notify:jobs", tables are followed with table()`,
      );
    }
    this.name = name;
    this.#runtime = runtime;
    this.#options = options;
    this.#settings = settings;
    this.#since = options.since;
  }

  get status(): LiveStatus {
    return this.#snapshot.status;
  }

  get error() {
    return this.#snapshot.error;
  }

  readonly getSnapshot = (): RoomSnapshot => this.#snapshot;
  readonly subscribe = (listener: () => void): (() => void) => this.#watchers.add(listener);

  readonly publish = async (event: string, data: unknown, options: PublishOptions = {}): Promise<Published> => {
    const { ephemeral, timeoutMs = this.#settings.timeoutMs, whenDisconnected } = options;
    const message = {
      type: 'publish' as const,
      channel: this.name,
      event,
      // JSON has no `undefined`, and a message without data is none.
      data: data === undefined ? null : data,
      ...(ephemeral ? { ephemeral } : {}),
    };
    const mayWait = whenDisconnected !== 'reject';
    const { position } = (await this.#runtime.request(message, { timeoutMs, mayWait })) as PublishedMessage;
    return position === undefined ? {} : { position };
  };

  readonly on: RoomChannel['on'] = (event, listener) => {
    const entry = { event, call: listener as unknown as Listener };
    this.#listeners.add(entry);
    clearTimeout(this.#linger);
    this.#linger = undefined;
    if (this.#stop === undefined) {
      this.#join();
    }
    return () => {
      const was = this.#listeners.delete(entry);
      if (was && this.#listeners.size === 0 && this.#linger === undefined) {
        this.#linger = later(() => this.#leave(), this.#settings.lingerMs);
      }
    };
  };

  #join(): void {
    const since = this.#since === undefined ? {} : { since: this.#since };
    const spec = { channel: this.name, ...since, ...deliverField(this.#options.deliver) };
    this.#stop = this.#runtime.subscribe(spec, (delivery) => this.#receive(delivery));
  }

  #leave(): void {
    this.#linger = undefined;
    this.#stop?.();
    this.#stop = undefined;
    this.#since = this.#options.since;
    this.#turn('loading', undefined);
  }

  #receive(delivery: Delivery): void {
    switch (delivery.type) {
      case 'message':
        this.#hear(delivery.message);
        break;
      case 'subscribed':
        this.#turn('live', undefined);
        break;
      case 'gap':
        this.#options.onGap?.({ reason: delivery.message.reason, message: delivery.message.message });
        break;
      case 'revoked':
        this.#turn('loading', undefined);
        this.#options.onGap?.({ reason: 'revoked', message: delivery.message });
        break;
      case 'skipped':
        this.#options.onSkipped?.(delivery.count);
        break;
      case 'suspended':
        this.#turn(this.status === 'loading' ? 'loading' : 'reconnecting', delivery.problem);
        break;
      case 'failed':
        this.#stop = undefined;
        this.#turn('error', delivery.problem);
    }
  }

  #hear({ event, data, position, time }: RoomMessageMessage): void {
    const message: RoomMessage = { event, data, time, ...(position === undefined ? {} : { position }) };
    for (const listener of [...this.#listeners]) {
      if (listener.event === '*' || listener.event === event) {
        guard(() => listener.call(data, message));
      }
    }
  }

  #turn(status: LiveStatus, problem: Problem | undefined): void {
    const error: RowcastError | undefined = problem === undefined ? undefined : errorOf(problem);
    if (status === this.#snapshot.status && error === this.#snapshot.error) {
      return;
    }
    this.#snapshot = { status, error };
    this.#watchers.notify();
  }
}
