/**
 * The rows of a result, kept sorted and limited while changes come in.
 *
 * Pure: no clock, no connection. Changes cost O(1) each; `settle` brings them into the sorted rows. Under a limit some
 * more rows than asked for are held, so that rows that leave can be replaced.
 */
import { type Compare, compareIn, compareText, findColumn, type OrderTerm } from './order.ts';
import type { ChangeMessage } from './protocol.ts';
import { type Picture, SortedList } from './sorted.ts';
import type { Column, Row, Value } from './types.ts';

export interface Shape {
  /** The columns of the rows as they arrive. */
  readonly columns: readonly Column[];
  /** Names of the key's columns, all of them in `columns`. Empty: rows are told apart by all their values. */
  readonly key: readonly string[];
  /** Empty: by key; without a key in the order in which they came. */
  readonly order: readonly OrderTerm[];
  readonly limit: number | undefined;
  /** The columns to show. `undefined`: all. */
  readonly shown: readonly string[] | undefined;
}

/** The result in order. */
export interface View {
  readonly rows: readonly Row[];
  readonly keys: readonly string[];
}

interface Entry {
  readonly id: string;
  readonly key: readonly Value[];
  readonly row: Row;
  /** `row`, or the columns of it that are shown. */
  readonly shown: Row;
  /** Counts up with each new row; keeps rows without a key in the order in which they came. */
  readonly turn: number;
}

/** How many rows to ask for so that `limit` of them can be shown for a while. */
export function withSlack(limit: number): number {
  return limit + slackOf(limit);
}

function slackOf(limit: number): number {
  return Math.min(500, Math.max(10, Math.ceil(limit / 2)));
}

export class ResultRows {
  readonly shape: Shape;
  readonly #compare: Compare<Entry>;
  readonly #orderColumns: readonly string[];
  readonly #entries = new Map<string, Entry>();
  /** Without a key: the rows that have the same values. */
  readonly #alike = new Map<string, Set<Entry>>();
  readonly #sorted: SortedList<Entry, Row>;
  /** In `#sorted`, and gone. */
  readonly #removed = new Set<Entry>();
  /** Not yet in `#sorted`. */
  readonly #added = new Set<Entry>();
  /** The last row that is known for certain; what sorts after it may exist and is not held. */
  #horizon: Entry | undefined;
  #turn = 0;
  #unknown = false;
  /** The first index at which the rows differ from those that are shown. */
  #firstChanged = Infinity;
  #view: View;

  constructor(shape: Shape) {
    this.shape = shape;
    this.#compare = compareEntries(shape);
    this.#sorted = new SortedList(this.#compare, (entry) => entry.shown);
    this.#view = new SortedView(this.#sorted, shape.limit);
    this.#orderColumns = shape.order.map(({ column }) => findColumn(shape.columns, column)?.name ?? column);
  }

  /** Rows of the snapshot. */
  fill(rows: readonly Row[]): void {
    for (const row of rows) {
      this.#put(row, this.#keyOf(row));
    }
  }

  /** The snapshot is complete: a full one may have left rows out. */
  filled(): void {
    const { limit } = this.shape;
    const full = limit !== undefined && this.#entries.size >= withSlack(limit);
    this.#merge();
    this.#horizon = full ? this.#sorted.last : undefined;
    this.#view = new SortedView(this.#sorted, limit);
  }

  /** Whether the rows should be read again: something is not known that is needed, or soon will be. Looked at after `settle`. */
  get stale(): boolean {
    return this.#unknown || this.#isLow();
  }

  /** How many rows are held. */
  get size(): number {
    return this.#entries.size;
  }

  /** A change of the result, in commit order. */
  apply(change: ChangeMessage): void {
    if (this.shape.key.length > 0 && change.key !== null) {
      this.#applyByKey(change, change.key);
    } else {
      this.#applyByValues(change);
    }
  }

  /**
   * Brings the sorted rows up to date. Returns whether what is shown has changed.
   *
   * Where something is not known, what is shown stays as it was: an older result rather than a wrong one.
   */
  settle(): boolean {
    if (this.#removed.size === 0 && this.#added.size === 0) {
      return false;
    }
    const { limit = Infinity } = this.shape;
    this.#firstChanged = Math.min(this.#firstChanged, this.#merge());
    this.#trim();
    this.#unknown ||= this.#horizon !== undefined && this.#sorted.length < limit;
    if (this.#unknown || this.#firstChanged >= limit) {
      return false;
    }
    this.#firstChanged = Infinity;
    this.#view = new SortedView(this.#sorted, this.shape.limit);
    return true;
  }

  /** The rows as of the last `settle`. The same object until they change. */
  view(): View {
    return this.#view;
  }

  /** Most of the slack is gone: time to read again, before a row is missing. */
  #isLow(): boolean {
    const { limit } = this.shape;
    const enough = limit === undefined ? 0 : limit + Math.ceil(slackOf(limit) / 4);
    return this.#horizon !== undefined && this.#sorted.length < enough;
  }

  #applyByKey(change: ChangeMessage, key: readonly Value[]): void {
    const id = idOf(key);
    const before = this.#entries.get(change.old_key === undefined ? id : idOf(change.old_key));
    if (change.op === 'delete') {
      this.#drop(this.#entries.get(id));
      return;
    }
    const known = change.op === 'update' ? before : undefined;
    this.#drop(known);
    // Keys that change places within a transaction cannot be followed one by one.
    this.#unknown ||= change.old_key !== undefined && this.#entries.has(id);
    this.#put({ ...known?.row, ...change.row }, key, known?.turn);
  }

  #applyByValues(change: ChangeMessage): void {
    if (change.op === 'insert') {
      this.#put(change.row, []);
      return;
    }
    const gone = change.op === 'delete' ? change.row : change.old;
    const before = gone === undefined ? undefined : this.#findByValues(gone);
    if (before === undefined && (gone === undefined || !this.#isBeyond(gone, []))) {
      this.#unknown = true;
      return;
    }
    this.#drop(before);
    if (change.op === 'update') {
      this.#put({ ...gone, ...change.row }, [], before?.turn);
    }
  }

  #findByValues(row: Row): Entry | undefined {
    // Any of them will do: they look the same.
    return this.#alike.get(this.#valuesOf(row))?.values().next().value;
  }

  #put(row: Row, key: readonly Value[], turn = this.#turn++): void {
    // A change that does not name every column cannot make a row that was not held.
    const placed = this.#orderColumns.every((name) => Object.hasOwn(row, name));
    const beyond = placed && this.#isBeyond(row, key);
    if (beyond || !this.shape.columns.every(({ name }) => Object.hasOwn(row, name))) {
      this.#unknown ||= !beyond;
      return;
    }
    const keyed = this.shape.key.length > 0;
    const id = keyed ? idOf(key) : `#${turn}`;
    this.#drop(this.#entries.get(id));
    const entry: Entry = { id, key, row, shown: this.#show(row), turn };
    this.#entries.set(id, entry);
    this.#added.add(entry);
    if (!keyed) {
      const values = this.#valuesOf(row);
      this.#alike.set(values, (this.#alike.get(values) ?? new Set()).add(entry));
    }
  }

  #drop(entry: Entry | undefined): void {
    if (entry === undefined) {
      return;
    }
    this.#forget(entry);
    if (!this.#added.delete(entry)) {
      this.#removed.add(entry);
    }
  }

  #forget(entry: Entry): void {
    this.#entries.delete(entry.id);
    if (this.shape.key.length > 0) {
      return;
    }
    const values = this.#valuesOf(entry.row);
    const alike = this.#alike.get(values);
    alike?.delete(entry);
    if (alike?.size === 0) {
      this.#alike.delete(values);
    }
  }

  #valuesOf(row: Row): string {
    return JSON.stringify(this.shape.columns.map(({ name }) => row[name] ?? null));
  }

  #keyOf(row: Row): readonly Value[] {
    return this.shape.key.map((name) => row[name] ?? null);
  }

  #show(row: Row): Row {
    const { shown } = this.shape;
    return shown === undefined ? row : Object.fromEntries(shown.map((name) => [name, row[name] ?? null]));
  }

  #isBeyond(row: Row, key: readonly Value[]): boolean {
    const horizon = this.#horizon;
    return horizon !== undefined && this.#compare({ id: '', key, row, shown: row, turn: Infinity }, horizon) > 0;
  }

  /** Returns the first index at which something changed. */
  #merge(): number {
    const first = this.#sorted.update(this.#removed, this.#added);
    this.#removed.clear();
    this.#added.clear();
    return first;
  }

  /** Holds no more than it needs: what is beyond the slack is given up. */
  #trim(): void {
    const { limit } = this.shape;
    if (limit === undefined || this.#sorted.length <= limit + 2 * slackOf(limit)) {
      return;
    }
    for (const entry of this.#sorted.truncate(withSlack(limit))) {
      this.#forget(entry);
    }
    this.#horizon = this.#sorted.last;
  }
}

/** Rows at once, keys when somebody asks. */
class SortedView implements View {
  readonly rows: readonly Row[];
  readonly #picture: Picture<Entry, Row>;
  #keys: readonly string[] | undefined;

  constructor(sorted: SortedList<Entry, Row>, limit: number | undefined) {
    this.#picture = sorted.picture(limit);
    this.rows = this.#picture.shown();
  }

  get keys(): readonly string[] {
    this.#keys ??= this.#picture.items().map((entry) => entry.id);
    return this.#keys;
  }
}

/** A key as text. A single whole number, the most frequent key, takes a short way to the same text. */
function idOf(key: readonly Value[]): string {
  const [first] = key;
  return key.length === 1 && Number.isInteger(first) ? `[${first}]` : JSON.stringify(key);
}

/**
 * A total order: rows that tie are in the order of their key, in the direction of the last term (as an index is walked);
 * without a key in the order in which they came.
 */
function compareEntries({ columns, key, order }: Shape): Compare<Entry> {
  const terms = order.map(({ column, descending }) => {
    const found = findColumn(columns, column);
    return { name: found?.name ?? column, compare: compareIn(found), sign: descending ? -1 : 1 };
  });
  const down = order.at(-1)?.descending ? -1 : 1;
  const ties = key.map((name) => compareIn(findColumn(columns, name)));
  return (a, b) => {
    for (const { name, compare, sign } of terms) {
      const result = compare(a.row[name], b.row[name]);
      if (result !== 0) {
        return result * sign;
      }
    }
    for (let index = 0; index < ties.length; index++) {
      const result = ties[index]?.(a.key[index], b.key[index]) ?? 0;
      if (result !== 0) {
        return result * down;
      }
    }
    return ties.length > 0 ? compareText(a.id, b.id) : a.turn - b.turn;
  };
}
