// Light or dark: as the system says, or as the reader has chosen and this browser remembers.

import { useSyncExternalStore } from 'react';

export type Theme = 'system' | 'light' | 'dark';

const KEY = 'rowcast.theme';
const NEXT: Record<Theme, Theme> = { system: 'light', light: 'dark', dark: 'system' };
const listeners = new Set<() => void>();
const system = matchMedia('(prefers-color-scheme: dark)');

let chosen: Theme = remembered();

function remembered(): Theme {
  try {
    const text = localStorage.getItem(KEY);
    return text === 'light' || text === 'dark' ? text : 'system';
  } catch {
    // Storage may be forbidden; then the choice lasts as long as the page.
    return 'system';
  }
}

/** Puts the choice on the document, where the style sheet looks for it. */
export function applyTheme(theme: Theme = chosen): void {
  chosen = theme;
  const { dataset } = document.documentElement;
  if (theme === 'system') delete dataset.theme;
  else dataset.theme = theme;
  try {
    localStorage.setItem(KEY, theme);
  } catch {
    // See above.
  }
  for (const listener of listeners) listener();
}

export function nextTheme(theme: Theme): Theme {
  return NEXT[theme];
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  system.addEventListener('change', listener);
  return () => {
    listeners.delete(listener);
    system.removeEventListener('change', listener);
  };
}

export function useTheme(): { theme: Theme; dark: boolean } {
  const theme = useSyncExternalStore(subscribe, () => chosen);
  const dark = useSyncExternalStore(subscribe, () => chosen === 'dark' || (chosen === 'system' && system.matches));
  return { theme, dark };
}
