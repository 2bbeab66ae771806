/**
 * A list that stays sorted while items leave and come, and of which cheap pictures can be taken.
 *
 * It is kept in chunks that are replaced and never changed: one item costs the copy of one chunk, and a picture shares the chunks.
 */
import type { Compare } from './order.ts';

const CHUNK_MAX = 512;
/** Above this many at once, sorting everything anew is cheaper. */
const FEW = 1_000;

interface Chunk<T, S> {
  readonly items: readonly T[];
  /** At each index what is shown of the item there. */
  readonly shown: readonly S[];
}

/** The list as it was when the picture was taken. */
export class Picture<T, S> {
  readonly #chunks: readonly Chunk<T, S>[];
  readonly #limit: number | undefined;

  constructor(chunks: readonly Chunk<T, S>[], limit: number | undefined) {
    this.#chunks = chunks;
    this.#limit = limit;
  }

  items(): readonly T[] {
    return joined(
      this.#chunks.map(({ items }) => items),
      this.#limit,
    );
  }

  shown(): readonly S[] {
    return joined(
      this.#chunks.map(({ shown }) => shown),
      this.#limit,
    );
  }
}

export class SortedList<T, S> {
  readonly #compare: Compare<T>;
  readonly #show: (item: T) => S;
  /** None is empty. */
  #chunks: Chunk<T, S>[] = [];
  #length = 0;

  /** `compare` must tell any two items apart. */
  constructor(compare: Compare<T>, show: (item: T) => S) {
    this.#compare = compare;
    this.#show = show;
  }

  get length(): number {
    return this.#length;
  }

  get last(): T | undefined {
    return this.#chunks.at(-1)?.items.at(-1);
  }

  /** The first `limit` items, as they are now. */
  picture(limit?: number): Picture<T, S> {
    const chunks = limit === undefined ? this.#chunks.length : this.#chunkAt(limit) + 1;
    return new Picture(this.#chunks.slice(0, chunks), limit);
  }

  /** Items leave and come. Returns the first index at which something changed. */
  update(removed: ReadonlySet<T>, added: ReadonlySet<T>): number {
    if (removed.size + added.size > FEW) {
      return this.#rebuild(removed, added);
    }
    let first = Infinity;
    for (const item of removed) {
      first = Math.min(first, this.#remove(item));
    }
    for (const item of added) {
      first = Math.min(first, this.#insert(item));
    }
    return first;
  }

  /** Keeps the first `length` items and returns the others. */
  truncate(length: number): readonly T[] {
    const all = this.picture().items();
    this.#fill(all.slice(0, length));
    return all.slice(length);
  }

  #rebuild(removed: ReadonlySet<T>, added: ReadonlySet<T>): number {
    const before = this.picture().items();
    // Two sorted runs: what `sort` is quickest with.
    const rest = removed.size === 0 ? before : before.filter((item) => !removed.has(item));
    const after = rest.concat([...added].sort(this.#compare)).sort(this.#compare);
    this.#fill(after);
    let first = 0;
    while (first < before.length && before[first] === after[first]) {
      first++;
    }
    return first;
  }

  #fill(items: readonly T[]): void {
    this.#chunks = [];
    this.#length = items.length;
    for (let from = 0; from < items.length; from += CHUNK_MAX / 2) {
      this.#chunks.push(this.#chunk(items.slice(from, from + CHUNK_MAX / 2)));
    }
  }

  #chunk(items: readonly T[]): Chunk<T, S> {
    return { items, shown: items.map(this.#show) };
  }

  #remove(item: T): number {
    const at = this.#chunkFor(item);
    const chunk = this.#chunks[at];
    const index = chunk === undefined ? -1 : this.#lowerBound(chunk.items, item);
    if (chunk?.items[index] !== item) {
      return Infinity;
    }
    if (chunk.items.length === 1) {
      this.#chunks.splice(at, 1);
    } else {
      this.#chunks[at] = { items: spliced(chunk.items, index, 1), shown: spliced(chunk.shown, index, 1) };
    }
    this.#length--;
    return this.#lengthBefore(at) + index;
  }

  #insert(item: T): number {
    // What comes after everything joins the last chunk.
    const at = Math.min(this.#chunkFor(item), Math.max(0, this.#chunks.length - 1));
    const { items, shown }: Chunk<T, S> = this.#chunks[at] ?? { items: [], shown: [] };
    const index = this.#lowerBound(items, item);
    const chunk = { items: spliced(items, index, 0, item), shown: spliced(shown, index, 0, this.#show(item)) };
    this.#chunks.splice(at, 1, ...halved(chunk));
    this.#length++;
    return this.#lengthBefore(at) + index;
  }

  #lengthBefore(chunk: number): number {
    let length = 0;
    for (let at = 0; at < chunk; at++) {
      length += this.#chunks[at]?.items.length ?? 0;
    }
    return length;
  }

  /** The chunk in which the item at `index` is. */
  #chunkAt(index: number): number {
    let at = 0;
    for (let rest = index; at < this.#chunks.length; at++) {
      rest -= this.#chunks[at]?.items.length ?? 0;
      if (rest < 0) {
        break;
      }
    }
    return at;
  }

  /** The first chunk whose last item is not before `item`. */
  #chunkFor(item: T): number {
    return lowerBound(this.#chunks.length, (at) => this.#compare(this.#chunks[at]?.items.at(-1) as T, item) < 0);
  }

  #lowerBound(items: readonly T[], item: T): number {
    return lowerBound(items.length, (at) => this.#compare(items[at] as T, item) < 0);
  }
}

/** The first index below `length` that is not before; `length` if all are. */
function lowerBound(length: number, isBefore: (index: number) => boolean): number {
  let low = 0;
  let high = length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (isBefore(middle)) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

function spliced<V>(list: readonly V[], index: number, leave: number, ...come: readonly V[]): readonly V[] {
  const copy = list.slice();
  copy.splice(index, leave, ...come);
  return copy;
}

function halved<T, S>({ items, shown }: Chunk<T, S>): Chunk<T, S>[] {
  if (items.length <= CHUNK_MAX) {
    return [{ items, shown }];
  }
  const half = items.length >>> 1;
  return [
    { items: items.slice(0, half), shown: shown.slice(0, half) },
    { items: items.slice(half), shown: shown.slice(half) },
  ];
}

function joined<V>(lists: readonly (readonly V[])[], limit = Infinity): readonly V[] {
  const all = ([] as V[]).concat(...lists);
  return all.length <= limit ? all : all.slice(0, limit);
}
