// Everything that lives as long as somebody is logged in: one connection, the talks, the outbox, and the word that they are here.

import type { Rowcast } from '@rowcast/client';
import { createContext, useContext, useSyncExternalStore } from 'react';
import { api, type Me } from './api';
import type { Cell } from './store/cell';
import { Files } from './store/files';
import { openDisk } from './store/outbox-disk';
import { alone, Sender, sendLetter } from './store/sender';
import { forgetDrafts, isStill, listen, tell } from './store/tabs';
import { Talks } from './store/talks';

const SEEN_MS = 45_000;

export interface Chat {
  readonly db: Rowcast;
  readonly me: Me;
  readonly link: string;
  readonly talks: Talks;
  readonly sender: Sender;
  readonly files: Files;
}

export function beginChat(db: Rowcast, me: Me, link: string): Chat {
  const talks = new Talks(db, me.id);
  const sender = new Sender(openDisk(), me.id, {
    send: sendLetter,
    alone,
    tell: () => tell({ type: 'letters' }),
    isUser: () => isStill(me.id),
    stands: (message) => {
      talks.sent(message);
      tell({ type: 'sent', message });
    },
  });
  talks.start();
  listen((said) => {
    if (said.type === 'letters') void sender.look();
    else if (said.type === 'sent') {
      if (said.message.sender === me.id) talks.sent(said.message);
    } else if (said.user !== me.id) {
      // What this tab shows belongs to nobody here any more.
      forgetDrafts();
      location.assign('/chat');
    }
  });
  void sender.look().then(sender.flush);
  followConnection(db, me, sender);
  addEventListener('online', sender.flush);
  document.addEventListener('visibilitychange', () => {
    if (document.visibilityState === 'visible') sender.flush();
  });
  db.presence(presenceOf(me.id)).track({});
  sayHere();
  return { db, me, link, talks, sender, files: new Files(db) };
}

function followConnection(db: Rowcast, me: Me, sender: Sender): void {
  let before = db.connection.state;
  db.connection.subscribe(() => {
    const { state, user } = db.connection;
    if (state === 'open' && user !== undefined && user !== null && user !== me.id) location.reload();
    if (state === 'open' && before !== 'open') sender.flush();
    before = state;
  });
}

/** For "last seen": whenever somebody looks at the page. */
function sayHere(): void {
  const say = () => {
    if (document.visibilityState === 'visible') void api.seen().catch(() => undefined);
  };
  say();
  setInterval(say, SEEN_MS);
}

export function presenceOf(user: string): string {
  return `room:chat-user:${user}`;
}

export function presenceIn(room: string): string {
  return `room:chat:${room}`;
}

const Context = createContext<Chat | null>(null);
export const ChatProvider = Context.Provider;

export function useChat(): Chat {
  const chat = useContext(Context);
  if (chat === null) throw new Error('nobody is logged in here');
  return chat;
}

export function useCell<T>(cell: Cell<T>): T {
  return useSyncExternalStore(cell.subscribe, cell.get, cell.get);
}
