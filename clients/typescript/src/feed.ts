/**
 * Changes as they are committed, to a function or to `for await`.
 *
 * An iterator that is slower than the database pauses its subscription when its buffer is full and resumes it where it
 * stopped: nothing is lost, and the memory is bounded.
 */
import { deliverField } from './deliver.ts';
import { RowcastError } from './error.ts';
import { errorOf } from './http.ts';
import type { ChangeMessage, SnapshotRequest, Subscribe } from './protocol.ts';
import type { Runtime } from './runtime.ts';
import { guard } from './schedule.ts';
import type { Delivery, Problem } from './subscription.ts';
import type { Change, ChangeFeed, ChangesOptions, Column, Gap, LiveStatus, Position } from './types.ts';

const BUFFER_MAX = 10_000;

interface Taker {
  readonly resolve: (result: IteratorResult<Change>) => void;
  readonly reject: (error: unknown) => void;
}

export class Feed implements ChangeFeed {
  readonly #runtime: Runtime;
  readonly #channel: string;
  readonly #options: ChangesOptions;
  readonly #onChange: ((change: Change) => void) | undefined;
  #stop: (() => void) | undefined;
  #status: LiveStatus | 'closed' = 'loading';
  #position: Position | undefined;
  #columns: readonly Column[] = [];
  #key: readonly string[] = [];
  #iteration: Iteration | undefined;

  constructor(
    runtime: Runtime,
    table: string,
    options: ChangesOptions,
    onChange: ((change: Change) => void) | undefined,
  ) {
    this.#runtime = runtime;
    this.#channel = `table:${table}`;
    this.#options = options;
    this.#onChange = onChange;
    this.#position = options.since;
    // Without a listener it begins with the first loop over it.
    if (onChange || options.onTransaction || options.onSnapshot) {
      this.#follow(options.since);
    }
  }

  get position(): Position | undefined {
    return this.#position;
  }

  get status(): LiveStatus | 'closed' {
    return this.#status;
  }

  readonly close = (): void => {
    this.#stop?.();
    this.#stop = undefined;
    this.#turn('closed');
    this.#iteration?.end(undefined);
  };

  [Symbol.asyncIterator](): AsyncIterator<Change, undefined> {
    if (this.#iteration !== undefined) {
      throw new TypeError('changes can be iterated over once; call `changes` again for another loop');
    }
    const iteration = new Iteration(this.#options.bufferMax ?? BUFFER_MAX, {
      pause: () => {
        this.#stop?.();
        this.#stop = undefined;
      },
      resume: (since) => this.#follow(since),
      taken: ({ position }) => {
        this.#position = position;
      },
      close: this.close,
    });
    this.#iteration = iteration;
    if (this.#status === 'closed') {
      iteration.end(undefined);
    } else if (this.#stop === undefined) {
      this.#follow(this.#position);
    }
    return iteration;
  }

  #follow(since: Position | undefined): void {
    const { where, columns, snapshot, old, deliver } = this.#options;
    const spec: Subscribe = {
      channel: this.#channel,
      ...(where?.trim() ? { where } : {}),
      ...(columns === undefined ? {} : { columns }),
      snapshot: snapshotRequest(snapshot),
      ...(since === undefined ? {} : { since }),
      ...(old ? { old: true } : {}),
      ...deliverField(deliver),
    };
    const stop = this.#runtime.subscribe(spec, (delivery) => this.#receive(delivery));
    // It may have been refused before it began.
    if (this.#iteration?.ended) {
      stop();
    } else {
      this.#stop = stop;
    }
  }

  #receive(delivery: Delivery): void {
    switch (delivery.type) {
      case 'snapshot':
        this.#snapshot(delivery);
        break;
      case 'subscribed':
        this.#subscribed(delivery);
        break;
      case 'changes':
        this.#changes(delivery.changes.map(changeOf));
        break;
      case 'skipped':
        guard(() => this.#options.onSkipped?.(delivery.count));
        break;
      case 'reached':
        this.#reached(delivery.position);
        break;
      case 'gap':
        this.#gap({ reason: delivery.message.reason, message: delivery.message.message });
        break;
      case 'revoked':
        this.#gap({ reason: 'revoked', message: delivery.message });
        break;
      case 'suspended':
        this.#turn(this.#status === 'loading' ? 'loading' : 'reconnecting');
        if (delivery.stopped && delivery.problem && this.#iteration) {
          this.#abandon(errorOf(delivery.problem));
        }
        break;
      case 'failed':
        this.#fail(delivery.problem);
    }
  }

  #snapshot({ rows, first, done, columns, key }: Delivery & { type: 'snapshot' }): void {
    this.#learn(columns, key);
    this.#options.onSnapshot?.(rows, { first, done, columns: this.#columns, key: this.#key });
  }

  #subscribed({ message }: Delivery & { type: 'subscribed' }): void {
    this.#learn(message.columns, message.key);
    this.#reached(message.position);
    this.#turn('live');
    const { position, resumed } = message;
    this.#options.onSubscribed?.({ position, resumed, columns: this.#columns, key: this.#key });
  }

  #changes(changes: readonly Change[]): void {
    const { onTransaction } = this.#options;
    for (const change of changes) {
      if (this.#status === 'closed') {
        return;
      }
      // Moved first: a listener that stores the position stores that of the change it was called with.
      if (this.#iteration === undefined) {
        this.#position = change.position;
      }
      guard(() => this.#onChange?.(change));
    }
    guard(() => onTransaction?.(changes));
    this.#iteration?.give(changes);
  }

  #reached(position: Position): void {
    if (this.#iteration === undefined || this.#iteration.empty) {
      this.#position = position;
    }
  }

  #gap(gap: Gap): void {
    if (this.#options.onGap) {
      this.#options.onGap(gap);
    } else if (this.#iteration) {
      const code = gap.reason === 'revoked' ? 'revoked' : 'gap';
      this.#abandon(new RowcastError(code, code === 'gap' ? `changes are missing: ${gap.message}` : gap.message));
    }
  }

  #fail(problem: Problem): void {
    const error = errorOf(problem);
    this.#stop = undefined;
    this.#turn('error');
    this.#iteration?.end(error);
    this.#options.onError?.(error);
  }

  #abandon(error: RowcastError): void {
    this.#stop?.();
    this.#stop = undefined;
    this.#turn('error');
    this.#iteration?.end(error);
  }

  #learn(columns: readonly Column[] | undefined, key: readonly string[] | null | undefined): void {
    this.#columns = columns ?? this.#columns;
    this.#key = key ?? this.#key;
  }

  #turn(status: LiveStatus | 'closed'): void {
    if (status === this.#status) {
      return;
    }
    this.#status = status;
    if (status !== 'closed') {
      this.#options.onStatus?.(status);
    }
  }
}

/** What an iteration asks of its feed. */
interface Source {
  readonly pause: () => void;
  readonly resume: (since: Position) => void;
  readonly taken: (change: Change) => void;
  readonly close: () => void;
}

/** A bounded buffer between a feed and a loop. */
class Iteration implements AsyncIterator<Change, undefined> {
  readonly #max: number;
  readonly #source: Source;
  #buffer: Change[] = [];
  #taken = 0;
  #takers: Taker[] = [];
  #paused = false;
  #ended = false;
  #error: RowcastError | undefined;

  constructor(max: number, source: Source) {
    this.#max = Math.max(1, max);
    this.#source = source;
  }

  get empty(): boolean {
    return this.#taken >= this.#buffer.length;
  }

  get ended(): boolean {
    return this.#ended;
  }

  give(changes: readonly Change[]): void {
    if (this.#ended) {
      return;
    }
    for (const change of changes) {
      const taker = this.#takers.shift();
      if (taker === undefined) {
        this.#buffer.push(change);
      } else {
        this.#source.taken(change);
        taker.resolve({ done: false, value: change });
      }
    }
    if (!this.#paused && this.#buffer.length - this.#taken >= this.#max) {
      this.#paused = true;
      this.#source.pause();
    }
  }

  /** What is in the buffer is still handed out. */
  end(error: RowcastError | undefined): void {
    if (this.#ended) {
      return;
    }
    this.#ended = true;
    this.#error = error;
    for (const { resolve, reject } of this.#takers.splice(0)) {
      const thrown = this.#error;
      this.#error = undefined;
      thrown ? reject(thrown) : resolve({ done: true, value: undefined });
    }
  }

  next(): Promise<IteratorResult<Change, undefined>> {
    const change = this.#take();
    if (change !== undefined) {
      this.#source.taken(change);
      return Promise.resolve({ done: false, value: change });
    }
    if (this.#ended) {
      const error = this.#error;
      this.#error = undefined;
      return error ? Promise.reject(error) : Promise.resolve({ done: true, value: undefined });
    }
    return new Promise((resolve, reject) => {
      this.#takers.push({ resolve: resolve as Taker['resolve'], reject });
    });
  }

  /** The loop was left. */
  return(): Promise<IteratorResult<Change, undefined>> {
    this.#buffer = [];
    this.#taken = 0;
    this.#source.close();
    return Promise.resolve({ done: true, value: undefined });
  }

  #take(): Change | undefined {
    const change = this.#buffer[this.#taken];
    if (change === undefined) {
      return undefined;
    }
    this.#taken++;
    if (this.#taken === this.#buffer.length) {
      this.#buffer = [];
      this.#taken = 0;
    }
    if (this.#paused && this.#buffer.length === 0 && !this.#ended) {
      this.#paused = false;
      this.#source.resume(change.position);
    }
    return change;
  }
}

function snapshotRequest(snapshot: ChangesOptions['snapshot']): SnapshotRequest {
  if (typeof snapshot !== 'object') {
    return snapshot ?? false;
  }
  const { orderBy, limit } = snapshot;
  return { ...(orderBy ? { order_by: orderBy } : {}), ...(limit === undefined ? {} : { limit }) };
}

function changeOf(message: ChangeMessage): Change {
  const { op, row, key, position, tx, last, time, old, old_key: oldKey, cause } = message;
  return {
    op,
    row,
    key,
    position,
    tx,
    last,
    time,
    ...(old === undefined ? {} : { old }),
    ...(oldKey === undefined ? {} : { oldKey }),
    ...(cause === undefined ? {} : { cause }),
  };
}
