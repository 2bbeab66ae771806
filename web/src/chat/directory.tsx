// Who and what there is: talks, their members, contacts and profiles, live, and found by their ids.

import { usePresence, useRows } from '@rowcast/client/react';
import { createContext, type ReactNode, useContext, useMemo } from 'react';
import type { Person } from './api';
import { presenceIn, presenceOf, useChat } from './chat';
import { type Contact, isTrue, type Member, type Profile, quoted, type Receipt, type Room } from './store/rows';

export interface Talk {
  readonly room: Room;
  readonly title: string;
  readonly picture: string | null;
  /** Of a direct talk: the other one. */
  readonly peer: string | null;
  readonly members: readonly Member[];
  readonly receipt: Receipt | undefined;
  readonly muted: boolean;
}

export interface Directory {
  /** All rows are there; they are not for a moment while what may be seen is found out anew. */
  readonly ready: boolean;
  /** The newest first. */
  readonly talks: readonly Talk[];
  readonly talk: (room: string) => Talk | undefined;
  readonly contacts: readonly Contact[];
  readonly contact: (user: string) => Contact | undefined;
  readonly profile: (user: string) => Profile | undefined;
  /** Whether both have accepted each other, and neither hides: then it is told who is there. */
  readonly isClose: (user: string) => boolean;
  readonly person: (user: string) => Person;
  readonly receipts: readonly Receipt[];
}

const Context = createContext<Directory | null>(null);

export function useDirectory(): Directory {
  const directory = useContext(Context);
  if (directory === null) throw new Error('no directory above');
  return directory;
}

export function DirectoryProvider({ children }: { children: ReactNode }) {
  const { me } = useChat();
  const rooms = useRows<Room>('chat_rooms');
  const members = useRows<Member>('chat_members');
  const contacts = useRows<Contact>('chat_contacts', { where: `owner = ${quoted(me.id)}` });
  const profiles = useRows<Profile>('chat_profiles');
  const receipts = useRows<Receipt>('chat_receipts', { where: `user_id = ${quoted(me.id)}` });
  const ready = [rooms, members, contacts, profiles, receipts].every(({ status }) => status !== 'loading');

  const people = useMemo(() => byId(profiles.rows, ({ id }) => id), [profiles.rows]);
  const known = useMemo(() => byId(members.rows, ({ user_id }) => user_id), [members.rows]);
  const mine = useMemo(() => byId(contacts.rows, ({ contact }) => contact), [contacts.rows]);
  const inRoom = useMemo(() => grouped(members.rows), [members.rows]);
  const person = useMemo(() => personIn(people, known), [people, known]);
  const talks = useMemo(() => {
    const read = byId(receipts.rows, ({ room }) => room);
    return rooms.rows
      .map((room) => talkOf(room, inRoom.get(room.id) ?? [], read.get(room.id), me.id, person))
      .sort((a, b) => b.room.last_id - a.room.last_id || (a.room.created_at < b.room.created_at ? 1 : -1));
  }, [rooms.rows, inRoom, receipts.rows, person, me.id]);

  const directory = useMemo<Directory>(() => {
    const found = byId(talks, ({ room }) => room.id);
    return {
      ready,
      talks,
      talk: (room) => found.get(room),
      contacts: contacts.rows,
      contact: (user) => mine.get(user),
      profile: (user) => people.get(user),
      isClose: (user) => mine.get(user)?.state === 'accepted' && people.has(user),
      person,
      receipts: receipts.rows,
    };
  }, [ready, talks, contacts.rows, mine, people, person, receipts.rows]);
  return <Context value={directory}>{children}</Context>;
}

function talkOf(
  room: Room,
  members: readonly Member[],
  receipt: Receipt | undefined,
  me: string,
  person: (user: string) => Person,
): Talk {
  const muted = receipt !== undefined && isTrue(receipt.muted);
  const base = { room, members, receipt, muted };
  if (room.kind === 'group') return { ...base, title: room.name ?? 'Group', picture: room.picture, peer: null };
  const peer = members.find(({ user_id }) => user_id !== me)?.user_id ?? null;
  const { name, picture } = peer === null ? { name: 'Somebody', picture: null } : person(peer);
  return { ...base, title: name, picture, peer };
}

function personIn(people: ReadonlyMap<string, Profile>, known: ReadonlyMap<string, Member>): (user: string) => Person {
  return (user) => {
    const { name, picture } = people.get(user) ?? known.get(user) ?? { name: 'Somebody', picture: null };
    return { id: user, name, picture };
  };
}

function byId<T>(rows: readonly T[], id: (row: T) => string): ReadonlyMap<string, T> {
  return new Map(rows.map((row) => [id(row), row]));
}

function grouped(members: readonly Member[]): ReadonlyMap<string, readonly Member[]> {
  const rooms = new Map<string, Member[]>();
  for (const member of members) {
    const list = rooms.get(member.room);
    if (list === undefined) rooms.set(member.room, [member]);
    else list.push(member);
  }
  return rooms;
}

/** Whether a contact has a page open now. Only contacts who accepted each other are told. */
export function useOnline(user: string): boolean {
  const { db } = useChat();
  const { users } = usePresence(db, presenceOf(user));
  return users.some((one) => one.user === user);
}

/** Who else writes something in a talk. `mine`: what the others are told of this page. */
export function useTypists(room: string, mine?: { readonly typing: boolean }): readonly string[] {
  const { db, me } = useChat();
  const { users } = usePresence<{ typing?: boolean }>(db, presenceIn(room), mine);
  return users.filter(({ user, state }) => user !== me.id && state?.typing === true).map(({ user }) => user);
}
