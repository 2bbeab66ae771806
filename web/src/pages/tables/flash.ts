// Which rows have just come, changed or gone, from one picture of a live table to the next.

import type { LiveSnapshot, Row } from '@rowcast/client';

export interface Flash {
  readonly op: 'insert' | 'update' | 'delete';
  /** The columns that changed. */
  readonly columns: ReadonlySet<string>;
  /** Differs from one flash of a row to its next, so that the animation begins again. */
  readonly serial: number;
  readonly until: number;
}

export interface Displayed {
  readonly key: string;
  readonly row: Row;
  readonly flash: Flash | undefined;
}

export const FLASH_MS = 900;
/** More at once is a new result, not news about rows. */
const NEWS_MAX = 400;

export class Flashes {
  private rows = new Map<string, Row>();
  private order: readonly string[] = [];
  private flashes = new Map<string, Flash>();
  private ghosts = new Map<string, { row: Row; index: number }>();
  private serial = 0;
  private started = false;

  /** Takes in the next picture. */
  next(snapshot: LiveSnapshot, now: number): void {
    if (snapshot.status === 'loading') return;
    const rows = new Map<string, Row>();
    snapshot.keys.forEach((key, index) => {
      const row = snapshot.rows[index];
      if (row !== undefined) rows.set(key, row);
    });
    if (this.started) this.compare(rows, now);
    this.started = true;
    this.rows = rows;
    this.order = snapshot.keys;
  }

  /** Rows to show, those just gone among them; and when the next of them is over. */
  display(now: number): { rows: readonly Displayed[]; until: number | null } {
    this.forget(now);
    const rows = this.order.map((key) => this.shown(key, this.rows.get(key) ?? {}));
    const ghosts = [...this.ghosts].sort(([, a], [, b]) => a.index - b.index);
    for (const [key, { row, index }] of ghosts) {
      rows.splice(Math.min(index, rows.length), 0, this.shown(key, row));
    }
    const ends = [...this.flashes.values()].map((flash) => flash.until);
    return { rows, until: ends.length === 0 ? null : Math.min(...ends) };
  }

  private shown(key: string, row: Row): Displayed {
    return { key, row, flash: this.flashes.get(key) };
  }

  private compare(rows: ReadonlyMap<string, Row>, now: number): void {
    const news: [string, 'insert' | 'update' | 'delete', Set<string>][] = [];
    for (const [key, row] of rows) {
      const before = this.rows.get(key);
      if (before === undefined) news.push([key, 'insert', new Set()]);
      else if (before !== row) news.push([key, 'update', changed(before, row)]);
    }
    const gone = this.order.filter((key) => !rows.has(key));
    if (news.length + gone.length > NEWS_MAX) return;
    for (const [key, op, columns] of news) this.flash(key, op, columns, now);
    this.order.forEach((key, index) => {
      const row = this.rows.get(key);
      if (rows.has(key) || row === undefined) return;
      this.ghosts.set(key, { row, index });
      this.flash(key, 'delete', new Set(), now);
    });
  }

  private flash(key: string, op: Flash['op'], columns: ReadonlySet<string>, now: number): void {
    this.serial += 1;
    if (op !== 'delete') this.ghosts.delete(key);
    this.flashes.set(key, { op, columns, serial: this.serial, until: now + FLASH_MS });
  }

  private forget(now: number): void {
    for (const [key, flash] of this.flashes) {
      if (flash.until > now) continue;
      this.flashes.delete(key);
      this.ghosts.delete(key);
    }
  }
}

function changed(before: Row, after: Row): Set<string> {
  const names = Object.keys(after);
  return new Set(names.filter((name) => JSON.stringify(before[name]) !== JSON.stringify(after[name])));
}
