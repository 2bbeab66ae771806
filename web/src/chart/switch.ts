// From one feed to the next without an empty picture: the old one stays, alive, until the new one has its history.

import type { Rowcast } from '@rowcast/client';
import { Feed } from './feed';
import type { FeedQuery } from './row';

export interface Feeds {
  /** What is drawn. */
  readonly shown: Feed | null;
  /** What is asked for: the one shown, or the one that will replace it. */
  readonly wanted: Feed | null;
}

const NONE: Feeds = { shown: null, wanted: null };

export class FeedSwitch {
  private feeds = NONE;
  private unwatch: (() => void) | undefined;
  private readonly listeners = new Set<() => void>();

  constructor(private readonly db: Rowcast) {}

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  readonly getSnapshot = (): Feeds => this.feeds;

  /** Asks for another chart; the same one again changes nothing. */
  set(query: FeedQuery | null): void {
    const { wanted } = this.feeds;
    if (same(query, wanted?.query)) return;
    if (query === null) this.close();
    else this.change(query);
  }

  private change(query: FeedQuery): void {
    const { shown, wanted } = this.feeds;
    this.unwatch?.();
    if (wanted !== shown) wanted?.close();
    if (shown !== null && same(query, shown.query)) {
      this.put({ shown, wanted: shown });
      return;
    }
    const keep = shown !== null && isSamePicture(shown.query, query) ? shown : null;
    if (keep === null) shown?.close();
    const feed = new Feed(this.db, query);
    this.put({ shown: keep, wanted: feed });
    this.unwatch = feed.subscribe(() => this.settle(feed));
  }

  close(): void {
    this.unwatch?.();
    this.feeds.shown?.close();
    this.feeds.wanted?.close();
    this.put(NONE);
  }

  private settle(feed: Feed): void {
    if (feed.getSnapshot().phase !== 'live' || this.feeds.shown === feed) return;
    this.unwatch?.();
    this.feeds.shown?.close();
    this.put({ shown: feed, wanted: feed });
  }

  private put(feeds: Feeds): void {
    this.feeds = feeds;
    for (const listener of this.listeners) listener();
  }
}

function same(a: FeedQuery | null, b: FeedQuery | undefined): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

/** Whether the old lines would have the right names while the new ones are read. */
function isSamePicture(a: FeedQuery, b: FeedQuery): boolean {
  const names = ({ table, time, values, group }: FeedQuery) => JSON.stringify([table, time, values, group]);
  return names(a) === names(b);
}
