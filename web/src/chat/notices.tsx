// What the page says of talks that are not looked at: notes, notifications, the number in the title, and that messages have arrived.

import { useEffect, useRef } from 'react';
import { navigate, useAddress } from '../shell/router';
import { api } from './api';
import { useCell, useChat } from './chat';
import { useDirectory } from './directory';
import { Avatar } from './people/avatar';
import type { Message } from './store/rows';
import { total } from './store/unread';
import { summary } from './talk/words';
import { toast } from './ui/toast';

const SOON_MS = 250;

export function Notices() {
  useFollowedReceipts();
  useNotes();
  useTitle();
  useDelivered();
  return null;
}

/** What was read elsewhere is read here. */
function useFollowedReceipts(): void {
  const { talks } = useChat();
  const { receipts } = useDirectory();
  const unread = useCell(talks.unread);
  // biome-ignore lint/correctness/useExhaustiveDependencies: a new count may hold what is read already
  useEffect(() => talks.follow(receipts), [talks, receipts, unread]);
}

function useNotes(): void {
  const { talks } = useChat();
  const directory = useDirectory();
  const { path } = useAddress();
  const now = useRef({ directory, path });
  now.current = { directory, path };
  useEffect(() => {
    const hear = (message: Message) => {
      const { directory: known, path: shown } = now.current;
      const talk = known.talk(message.room);
      const hidden = document.visibilityState === 'hidden';
      if (talk?.muted === true || (shown === `/chat/t/${message.room}` && !hidden)) return;
      const person = known.person(message.sender);
      const text = summary(message, undefined);
      const title = talk === undefined || talk.peer !== null ? person.name : `${person.name} in ${talk.title}`;
      const open = () => navigate(`/chat/t/${message.room}`);
      if (hidden) notify(message.room, title, text, open);
      toast({ key: message.room, title, body: text, picture: <Avatar {...person} size="small" />, act: open });
    };
    talks.heard.add(hear);
    return () => {
      talks.heard.delete(hear);
    };
  }, [talks]);
}

function notify(room: string, title: string, body: string, open: () => void): void {
  if (typeof Notification === 'undefined' || Notification.permission !== 'granted') return;
  try {
    // Of several tabs the last one's stands: they have the same tag.
    const shown = new Notification(title, { body, tag: `rowcast-chat-${room}`, icon: '/favicon.svg' });
    shown.onclick = () => {
      window.focus();
      open();
      shown.close();
    };
  } catch {
    // Some telephones allow them only to service workers.
  }
}

function useTitle(): void {
  const { talks } = useChat();
  const directory = useDirectory();
  const { path } = useAddress();
  const unread = useCell(talks.unread);
  const count = directory.talks.reduce((sum, { room, muted }) => {
    const counted = unread.get(room.id);
    return muted || counted === undefined ? sum : sum + total(counted);
  }, 0);
  const open = directory.talk(path.replace(/^\/chat\/t\//, ''))?.title;
  useEffect(() => {
    const name = open === undefined ? 'Chat' : `${open} · Chat`;
    document.title = count > 0 ? `(${count > 99 ? '99+' : count}) ${name}` : name;
  }, [count, open]);
  useEffect(() => {
    const icon = document.querySelector<HTMLLinkElement>('link[rel="icon"]');
    if (icon !== null) icon.href = count > 0 ? marked(count) : '/favicon.svg';
  }, [count]);
}

/** The icon with a number on it, as an address that holds it. */
function marked(count: number): string {
  const text = count > 9 ? '9+' : String(count);
  const svg =
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="8" fill="#0b7a75"/>' +
    '<path d="M7 10h10M7 16h7M7 22h10" stroke="#fff" stroke-opacity=".55" stroke-width="2.6" stroke-linecap="round"/>' +
    '<circle cx="21" cy="11" r="11" fill="#c62828"/>' +
    `<text x="21" y="16.5" font-family="sans-serif" font-size="15" font-weight="700" fill="#fff" text-anchor="middle">${text}</text></svg>`;
  return `data:image/svg+xml,${encodeURIComponent(svg)}`;
}

/** Tells the server that messages have arrived here, read or not. */
function useDelivered(): void {
  const { me, talks } = useChat();
  const { receipts } = useDirectory();
  const latest = useCell(talks.latest);
  const told = useRef(new Map<string, number>());
  useEffect(() => {
    const timer = setTimeout(async () => {
      for (const { room, delivered, read } of receipts) {
        const message = latest.get(room);
        if (message === undefined || message.sender === me.id) continue;
        if (message.id <= Math.max(delivered, read, told.current.get(room) ?? 0)) continue;
        told.current.set(room, message.id);
        await api.receipt(room, { delivered: message.id }).catch(() => told.current.delete(room));
      }
    }, SOON_MS);
    return () => clearTimeout(timer);
  }, [receipts, latest, me.id]);
}
