// The address as React state: the history interface, nothing more.

import { type MouseEvent, useCallback, useSyncExternalStore } from 'react';

export interface Address {
  readonly path: string;
  readonly search: string;
}

const listeners = new Set<() => void>();
let current = read();

function read(): Address {
  return { path: location.pathname, search: location.search };
}

/** Where each page was left, so that the way back to it leads there. */
const left = new Map<string, string>();

/** The address at which a page was left, or its plain one. */
export function lastAddress(path: string): string {
  return path + (left.get(path) ?? '');
}

function update(): void {
  current = read();
  left.set(current.path, current.search);
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void): () => void {
  if (listeners.size === 0) addEventListener('popstate', update);
  listeners.add(listener);
  return () => {
    listeners.delete(listener);
    if (listeners.size === 0) removeEventListener('popstate', update);
  };
}

export function useAddress(): Address {
  return useSyncExternalStore(subscribe, () => current);
}

/** Goes to an address of these pages. `replace` leaves no step to come back to. */
export function navigate(to: string, how: 'push' | 'replace' = 'push'): void {
  if (to === location.pathname + location.search) return;
  history[how === 'push' ? 'pushState' : 'replaceState'](null, '', to);
  update();
}

/** Makes a plain link stay on the page; the browser keeps its own for new tabs and windows. */
export function useLink(): (event: MouseEvent<HTMLAnchorElement>) => void {
  return useCallback((event) => {
    const plain = !(event.metaKey || event.ctrlKey || event.shiftKey || event.altKey);
    if (event.button !== 0 || !plain) return;
    event.preventDefault();
    navigate(event.currentTarget.pathname + event.currentTarget.search);
  }, []);
}
