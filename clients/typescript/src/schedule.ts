/**
 * When listeners are called after changes: once for many of them.
 */

/** A hidden page has no animation frames; its listeners are called all the same. */
const HIDDEN_MS = 100;

/** The next animation frame; where there are none, after the messages that are there already. */
export function nextFrame(flush: () => void): void {
  if (typeof requestAnimationFrame !== 'function') {
    setTimeout(flush, 0);
    return;
  }
  let done = false;
  const once = () => {
    if (!done) {
      done = true;
      clearTimeout(timer);
      flush();
    }
  };
  const timer = setTimeout(once, HIDDEN_MS);
  requestAnimationFrame(once);
}

/** Lets a Node program end although this timer waits. */
export function later(run: () => void, ms: number): ReturnType<typeof setTimeout> {
  const timer: unknown = setTimeout(run, ms);
  if (typeof timer === 'object' && timer !== null && 'unref' in timer && typeof timer.unref === 'function') {
    timer.unref();
  }
  return timer as ReturnType<typeof setTimeout>;
}

/** Listeners of a store. One that throws does not keep the others from hearing. */
export class Listeners {
  readonly #listeners = new Set<{ readonly call: () => void }>();

  get size(): number {
    return this.#listeners.size;
  }

  add(listener: () => void): () => void {
    // The same function may listen twice.
    const entry = { call: listener };
    this.#listeners.add(entry);
    return () => {
      this.#listeners.delete(entry);
    };
  }

  notify(): void {
    for (const { call } of [...this.#listeners]) {
      guard(call);
    }
  }
}

/** Runs code of the program: what it throws is the program's, and must not end the connection. */
export function guard(run: () => void): void {
  try {
    run();
  } catch (thrown) {
    if (typeof reportError === 'function') {
      reportError(thrown);
    } else {
      console.error(thrown);
    }
  }
}
