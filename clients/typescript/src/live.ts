/**
 * A live table: one subscription turned into sorted rows that a store can show.
 *
 * Leaves the order of rows to `rows` and the connection to `runtime`.
 */
import { deliverField } from './deliver.ts';
import { RowcastError } from './error.ts';
import { errorOf } from './http.ts';
import { findColumn, type OrderTerm, parseOrderBy } from './order.ts';
import type { Subscribe } from './protocol.ts';
import { ResultRows, type Shape, withSlack } from './rows.ts';
import type { Runtime } from './runtime.ts';
import { Listeners, later } from './schedule.ts';
import type { Delivery, Problem } from './subscription.ts';
import type { Column, LiveSnapshot, LiveStatus, LiveTable, Position, TableOptions } from './types.ts';

/** Rows that must be read again and again are read no more often than this. */
const REFRESH_MS = 1_000;

export interface LiveSettings {
  readonly lingerMs: number;
  readonly schedule: (flush: () => void) => void;
}

const EMPTY: LiveSnapshot = {
  rows: [],
  keys: [],
  status: 'loading',
  error: undefined,
  columns: [],
  key: [],
  position: undefined,
  revoked: undefined,
};

export class Live implements LiveTable {
  readonly #runtime: Runtime;
  readonly #channel: string;
  readonly #options: TableOptions;
  readonly #settings: LiveSettings;
  readonly #listeners = new Listeners();
  #stop: (() => void) | undefined;
  #linger: ReturnType<typeof setTimeout> | undefined;
  #snapshot = EMPTY;
  #flushing = false;

  #status: LiveStatus = 'loading';
  #error: RowcastError | undefined;
  #position: Position | undefined;
  #revoked: string | undefined;
  /** Nothing is tried: the server does not take this client. */
  #stopped = false;
  /** What is shown, and what will be shown once it is complete. */
  #current: ResultRows | undefined;
  #building: ResultRows | undefined;
  /** What the table turned out to need: the columns of its key, or old rows where it has none. */
  #extraColumns: readonly string[] = [];
  #needsOld = false;
  /** Asked, and not yet complete. */
  #awaiting = false;
  #refreshedAt = -Infinity;
  #refreshTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(runtime: Runtime, table: string, options: TableOptions, settings: LiveSettings) {
    this.#runtime = runtime;
    this.#channel = `table:${table}`;
    this.#options = options;
    this.#settings = settings;
  }

  get rows() {
    return this.#snapshot.rows;
  }
  get keys() {
    return this.#snapshot.keys;
  }
  get status() {
    return this.#snapshot.status;
  }
  get error() {
    return this.#snapshot.error;
  }
  get columns() {
    return this.#snapshot.columns;
  }
  get key() {
    return this.#snapshot.key;
  }
  get position() {
    return this.#snapshot.position;
  }
  get revoked() {
    return this.#snapshot.revoked;
  }

  readonly getSnapshot = (): LiveSnapshot => this.#snapshot;

  readonly subscribe = (listener: () => void): (() => void) => {
    const remove = this.#listeners.add(listener);
    clearTimeout(this.#linger);
    this.#linger = undefined;
    if (this.#stop === undefined && this.#status !== 'error') {
      this.#start();
    }
    return () => {
      remove();
      if (this.#listeners.size === 0 && this.#linger === undefined) {
        this.#linger = later(() => this.#end(), this.#settings.lingerMs);
      }
    };
  };

  readonly ready = (): Promise<LiveSnapshot> =>
    new Promise((resolve, reject) => {
      const look = () => {
        const { status, error } = this.#snapshot;
        const stopped = this.#stopped && error !== undefined;
        if (status === 'live' || status === 'error' || stopped) {
          stop();
          status === 'live' ? resolve(this.#snapshot) : reject(error);
        }
      };
      let stop = () => {};
      stop = this.subscribe(look);
      look();
    });

  readonly refresh = (): void => {
    if (this.#listeners.size === 0) {
      return;
    }
    this.#revoked = undefined;
    if (this.#status === 'error') {
      this.#turn(this.#current === undefined ? 'loading' : 'reconnecting', undefined);
    }
    this.#start();
  };

  /** Asks for everything, in place of what was asked before. What is shown stays until it is there. */
  #start(): void {
    this.#stop?.();
    this.#stop = undefined;
    this.#building = undefined;
    this.#stopped = false;
    clearTimeout(this.#refreshTimer);
    this.#refreshTimer = undefined;
    this.#awaiting = true;
    this.#refreshedAt = performance.now();
    try {
      this.#stop = this.#runtime.subscribe(this.#spec(), (delivery) => this.#receive(delivery));
    } catch (thrown) {
      this.#turn('error', new RowcastError('bad_order', String(thrown instanceof Error ? thrown.message : thrown)));
    }
  }

  /** Nobody has listened for a while: everything is given back. */
  #end(): void {
    this.#linger = undefined;
    clearTimeout(this.#refreshTimer);
    this.#refreshTimer = undefined;
    this.#stop?.();
    this.#stop = undefined;
    this.#stopped = false;
    this.#current = undefined;
    this.#building = undefined;
    this.#position = undefined;
    this.#status = 'loading';
    this.#error = undefined;
    this.#revoked = undefined;
    this.#snapshot = EMPTY;
  }

  #spec(): Subscribe {
    const { where, columns, orderBy, limit, old, deliver } = this.#options;
    const order = parseOrderBy(orderBy ?? '').map(({ column }) => column);
    const snapshot = {
      ...(orderBy ? { order_by: orderBy } : {}),
      ...(limit === undefined ? {} : { limit: withSlack(limit) }),
    };
    return {
      channel: this.#channel,
      ...(where?.trim() ? { where } : {}),
      ...(columns === undefined ? {} : { columns: [...new Set([...columns, ...order, ...this.#extraColumns])] }),
      snapshot: orderBy || limit !== undefined ? snapshot : true,
      ...(old || this.#needsOld ? { old: true } : {}),
      ...deliverField(deliver),
    };
  }

  #receive(delivery: Delivery): void {
    switch (delivery.type) {
      case 'snapshot':
        this.#fill(delivery);
        break;
      case 'subscribed':
        this.#complete(delivery.message.position);
        break;
      case 'changes':
        this.#apply(delivery.changes);
        break;
      case 'reached':
        // Nothing to show: the rows are as they were.
        this.#position = delivery.position;
        break;
      case 'gap':
        this.#building = undefined;
        this.#awaiting = true;
        this.#turn('reconnecting', undefined);
        break;
      case 'revoked':
        this.#revoke(delivery.message);
        break;
      case 'suspended':
        this.#building = undefined;
        this.#stopped = delivery.stopped === true;
        this.#turn(this.#current === undefined ? 'loading' : 'reconnecting', delivery.problem);
        break;
      case 'failed':
        this.#stop = undefined;
        this.#turn('error', delivery.problem);
    }
  }

  /** What is shown may not be seen any more, and is not kept until the new rows are there. */
  #revoke(message: string): void {
    this.#building = undefined;
    this.#current = undefined;
    this.#position = undefined;
    this.#revoked = message;
    this.#awaiting = true;
    this.#turn('loading', undefined);
  }

  #fill({ first, rows, columns, key }: Delivery & { type: 'snapshot' }): void {
    if (first) {
      if (this.#lacks(columns ?? [], key ?? [])) {
        this.#start();
        return;
      }
      this.#building = new ResultRows(this.#shape(columns ?? [], key ?? []));
    }
    this.#building?.fill(rows);
  }

  #complete(position: Position): void {
    if (this.#building !== undefined) {
      this.#building.filled();
      this.#current = this.#building;
      this.#building = undefined;
    }
    this.#awaiting = false;
    this.#position = position;
    this.#turn('live', undefined);
  }

  #apply(changes: (Delivery & { type: 'changes' })['changes']): void {
    const current = this.#current;
    if (current === undefined) {
      return;
    }
    for (const change of changes) {
      current.apply(change);
    }
    this.#position = changes.at(-1)?.position ?? this.#position;
    this.#flushSoon();
  }

  #shape(columns: readonly Column[], key: readonly string[]): Shape {
    const { orderBy, limit, columns: wanted } = this.#options;
    const order: readonly OrderTerm[] = parseOrderBy(orderBy ?? '');
    const names = wanted?.map((name) => findColumn(columns, name)?.name ?? name);
    const shown = names === undefined || columns.every(({ name }) => names.includes(name)) ? undefined : names;
    const identifies = key.every((name) => columns.some((column) => column.name === name));
    return { columns, key: identifies ? key : [], order, limit, shown };
  }

  /** Whether such rows cannot be told apart; then the next `#spec` asks for more. */
  #lacks(columns: readonly Column[], key: readonly string[]): boolean {
    const missing = key.filter((name) => !columns.some((column) => column.name === name));
    if (missing.length > 0 && this.#extraColumns.length === 0) {
      this.#extraColumns = missing;
      return true;
    }
    if (key.length === 0 && !this.#options.old && !this.#needsOld) {
      this.#needsOld = true;
      return true;
    }
    return false;
  }

  #turn(status: LiveStatus, problem: Problem | RowcastError | undefined): void {
    this.#status = status;
    this.#error = problem === undefined || problem instanceof RowcastError ? problem : errorOf(problem);
    this.#flushSoon();
  }

  #flushSoon(): void {
    if (!this.#flushing) {
      this.#flushing = true;
      this.#settings.schedule(() => this.#flush());
    }
  }

  #flush(): void {
    this.#flushing = false;
    if (this.#stop === undefined && this.#status !== 'error') {
      return;
    }
    this.#current?.settle();
    this.#refillIfStale();
    const next = this.#nextSnapshot();
    if (next !== this.#snapshot) {
      this.#snapshot = next;
      this.#listeners.notify();
    }
  }

  #nextSnapshot(): LiveSnapshot {
    const before = this.#snapshot;
    const view = this.#current?.view();
    const shape = this.#current?.shape;
    const rows = view?.rows ?? EMPTY.rows;
    const same = rows === before.rows && this.#status === before.status && this.#error === before.error;
    if (same && this.#revoked === before.revoked) {
      return before;
    }
    const columns = shape === undefined ? EMPTY.columns : shownColumns(shape);
    return {
      rows,
      get keys() {
        return view?.keys ?? EMPTY.keys;
      },
      status: this.#status,
      error: this.#error,
      columns: sameColumns(before.columns, columns) ? before.columns : columns,
      key: shape?.key ?? EMPTY.key,
      position: this.#position,
      revoked: this.#revoked,
    };
  }

  /** What is shown stays as it is until the new rows are complete. */
  #refillIfStale(): void {
    if (!this.#current?.stale || this.#status !== 'live' || this.#awaiting || this.#refreshTimer) {
      return;
    }
    const wait = this.#refreshedAt + REFRESH_MS - performance.now();
    if (wait <= 0) {
      this.#start();
    } else {
      this.#refreshTimer = setTimeout(() => {
        this.#refreshTimer = undefined;
        this.#refillIfStale();
      }, wait);
    }
  }
}

function shownColumns({ columns, shown }: Shape): readonly Column[] {
  return shown === undefined ? columns : shown.flatMap((name) => columns.find((column) => column.name === name) ?? []);
}

function sameColumns(a: readonly Column[], b: readonly Column[]): boolean {
  return (
    a.length === b.length && a.every(({ name, type }, index) => name === b[index]?.name && type === b[index]?.type)
  );
}
