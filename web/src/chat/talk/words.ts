// What happened in a talk, in words; and a message as one line.

import type { FileRow, Message } from '../store/rows';

interface Happened {
  readonly event?: string;
  readonly user?: string;
  readonly name?: string;
  readonly by?: string;
  readonly by_name?: string;
  readonly role?: string;
  readonly to?: string;
}

/** `body` is JSON, or a text that somebody put there. */
export function eventText(message: Message, me: string, nameOf: (user: string) => string): string {
  const { event, user, name, by, by_name, role, to } = parsed(message.body);
  if (event === undefined) return message.body;
  const actor = by ?? message.sender;
  const who = (id: string | undefined, known?: string) =>
    id === me ? 'You' : (known ?? (id ? nameOf(id) : 'Somebody'));
  const by_ = who(actor, by_name ?? (user === actor ? name : undefined));
  const whom = user === me ? 'you' : (name ?? (user ? nameOf(user) : 'somebody'));
  switch (event) {
    case 'made':
    case 'created':
      return `${by_} made this group`;
    case 'joined':
    case 'added':
      return user === undefined || user === actor ? `${who(user ?? actor, name)} joined` : `${by_} added ${whom}`;
    case 'left':
      return `${who(user ?? actor, name)} left`;
    case 'removed':
      return `${by_} removed ${whom}`;
    case 'renamed':
      return `${by_} named the group “${to ?? name ?? ''}”`;
    case 'picture':
      return `${by_} changed the group’s picture`;
    case 'role':
      return `${by_} made ${whom} ${role === 'member' ? 'a member' : role === 'owner' ? 'an owner' : 'an admin'}`;
    default:
      return `${by_}: ${event}`;
  }
}

function parsed(body: string): Happened {
  try {
    const value: unknown = JSON.parse(body);
    return typeof value === 'object' && value !== null ? value : {};
  } catch {
    return {};
  }
}

/** A message in a list, in a quote, in a note. */
export function summary(message: Message, file: FileRow | undefined): string {
  if (message.deleted_at !== null) return 'Message deleted';
  const text = message.body.replace(/\s+/g, ' ').trim();
  if (text !== '') return text;
  if (message.file === null) return '';
  return file === undefined ? 'A file' : file.type.startsWith('image/') ? 'A picture' : file.name;
}

/** Who types; in a talk of two it is clear who. */
export function typingText(names: readonly string[], isGroup: boolean): string {
  if (!isGroup) return 'typing…';
  const who = names.length > 2 ? `${names.length} people` : names.join(' and ');
  return `${who} ${names.length > 1 ? 'are' : 'is'} typing…`;
}

const UNITS = ['B', 'kB', 'MB', 'GB'] as const;

export function bytesOf(bytes: number): string {
  const power = Math.min(UNITS.length - 1, Math.floor(Math.log10(Math.max(1, bytes)) / 3));
  const value = bytes / 1000 ** power;
  return `${value.toFixed(value < 10 && power > 0 ? 1 : 0)} ${UNITS[power]}`;
}
