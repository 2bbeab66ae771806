// What is known of files: their rows never change, so each is read once.

import type { Rowcast } from '@rowcast/client';
import { Cell } from './cell';
import { type FileRow, oneOf } from './rows';

export class Files {
  readonly cell = new Cell<ReadonlyMap<string, FileRow>>(new Map());
  #wanted = new Set<string>();
  readonly #asked = new Set<string>();
  #soon = false;

  constructor(private readonly db: Rowcast) {}

  put(file: FileRow): void {
    this.cell.set(new Map(this.cell.get()).set(file.id, file));
  }

  /** Asks for it, with all others that are wanted now. */
  want(id: string): void {
    if (this.cell.get().has(id) || this.#asked.has(id)) return;
    this.#wanted.add(id);
    this.#asked.add(id);
    if (this.#soon) return;
    this.#soon = true;
    queueMicrotask(() => void this.#read());
  }

  async #read(): Promise<void> {
    this.#soon = false;
    const ids = [...this.#wanted];
    this.#wanted = new Set();
    try {
      const rows = await this.db.query<FileRow>('chat_files', { where: `id in ${oneOf(ids)}`, limit: ids.length });
      const next = new Map(this.cell.get());
      for (const row of rows) next.set(row.id, row);
      this.cell.set(next);
    } catch {
      // Asked again when it is shown again.
      for (const id of ids) this.#asked.delete(id);
    }
  }
}
