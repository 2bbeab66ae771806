// What the tabs of one browser tell each other, and whose they are.

import type { Message } from './rows';

const CHANNEL = 'rowcast-chat';
const WHO = 'rowcast.chat.user';

export type Said =
  | { readonly type: 'letters' }
  /** One tab has sent it; the others may not be connected yet. */
  | { readonly type: 'sent'; readonly message: Message }
  | { readonly type: 'user'; readonly user: string | null };

const channel = typeof BroadcastChannel === 'undefined' ? null : new BroadcastChannel(CHANNEL);

export function tell(said: Said): void {
  channel?.postMessage(said);
}

export function listen(hear: (said: Said) => void): () => void {
  const onMessage = ({ data }: MessageEvent<Said>) => hear(data);
  channel?.addEventListener('message', onMessage);
  return () => channel?.removeEventListener('message', onMessage);
}

/** Says whose cookie this browser sends from now on. */
export function becomeUser(user: string | null): void {
  try {
    if (user === null) localStorage.removeItem(WHO);
    else localStorage.setItem(WHO, user);
  } catch {
    // Storage may be forbidden; then each tab knows only of itself.
  }
  tell({ type: 'user', user });
}

/** Whether the cookie is still this user's, as far as this browser knows. */
export function isStill(user: string): boolean {
  try {
    return (localStorage.getItem(WHO) ?? user) === user;
  } catch {
    return true;
  }
}

/** Texts that were begun and not sent, of this tab. */
export function forgetDrafts(): void {
  for (const key of Object.keys(sessionStorage)) if (key.startsWith('rowcast.chat.')) sessionStorage.removeItem(key);
}
