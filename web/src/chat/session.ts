// Whether somebody is logged in to the chat.

import type { Rowcast } from '@rowcast/client';
import { api, inWords, Refused } from './api';
import { beginChat, type Chat } from './chat';
import { Cell } from './store/cell';
import { openDisk } from './store/outbox-disk';
import { becomeUser, forgetDrafts } from './store/tabs';

export type Session =
  | { readonly state: 'asking' }
  | { readonly state: 'in'; readonly chat: Chat }
  | { readonly state: 'out'; readonly said: string | null }
  | { readonly state: 'broken'; readonly why: string };

export const session = new Cell<Session>({ state: 'asking' });

export async function enter(db: Rowcast): Promise<void> {
  try {
    const { user, link } = await api.me();
    becomeUser(user.id);
    session.set({ state: 'in', chat: beginChat(db, user, link) });
  } catch (thrown) {
    const isOut = thrown instanceof Refused && thrown.status === 401;
    session.set(isOut ? { state: 'out', said: null } : { state: 'broken', why: inWords(thrown) });
  }
}

/** Everything that this browser holds of somebody goes with them. */
export async function leave(): Promise<void> {
  await api.logOut();
  await (await openDisk()).clear();
  forgetDrafts();
  becomeUser(null);
  location.assign('/chat');
}
