// Whether somebody is in, for every part of the pages.

import { useSyncExternalStore } from 'react';
import { askWho, type Who } from './who';

export type Access =
  | { readonly state: 'asking' }
  | { readonly state: 'in'; readonly who: Who }
  /** `said`: why, where there was somebody before. `open`: the pages can be seen without. */
  | { readonly state: 'out'; readonly said: string | null; readonly open: boolean };

/** The longest that a timer can wait. */
const TIMER_MAX_MS = 2 ** 31 - 1;
export const ENDED = 'Your session has ended. Log in again to go on.';

const listeners = new Set<() => void>();
let current: Access = { state: 'asking' };
let timer: ReturnType<typeof setTimeout> | undefined;

export function useAccess(): Access {
  return useSyncExternalStore(subscribe, () => current);
}

/** Whether what is shown is shown to somebody, and others may see more. */
export function useIsPerson(): boolean {
  const access = useAccess();
  return access.state === 'in' && access.who.standing !== 'trusted';
}

/** Asks the server who is looking. */
export async function enter(saidIfOut: string | null = null): Promise<void> {
  const who = await askWho();
  become(who === null ? { state: 'out', said: saidIfOut, open: false } : { state: 'in', who });
  if (who !== null) askAgainAt(who.expiresAt);
}

/** Shows the form to somebody who may look without, too. */
export function wantToLogIn(): void {
  become({ state: 'out', said: null, open: true });
}

function askAgainAt(expiresAt: number | null): void {
  clearTimeout(timer);
  if (expiresAt === null) return;
  // A little later: the server leaves some grace, and the clocks are two.
  const wait = Math.min(Math.max(expiresAt - Date.now() + 2_000, 10_000), TIMER_MAX_MS);
  timer = setTimeout(() => void enter(ENDED), wait);
}

function become(next: Access): void {
  current = next;
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => {
    listeners.delete(listener);
  };
}
