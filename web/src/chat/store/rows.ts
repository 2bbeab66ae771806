// The chat's tables as the pages read them. Three databases write truth values and times in their own ways: here they become one.

export interface Message {
  readonly id: number;
  readonly room: string;
  readonly sender: string;
  readonly nonce: string;
  readonly kind: 'text' | 'event';
  readonly body: string;
  readonly reply_to: number | null;
  readonly file: string | null;
  readonly created_at: Time;
  readonly edited_at: Time | null;
  readonly deleted_at: Time | null;
}

export interface Reaction {
  readonly message: number;
  readonly user_id: string;
  readonly emoji: string;
  readonly room: string;
}

export interface Room {
  readonly id: string;
  readonly kind: 'direct' | 'group';
  readonly name: string | null;
  readonly picture: string | null;
  readonly created_by: string;
  readonly created_at: Time;
  readonly last_id: number;
  readonly last_at: Time | null;
}

export type Role = 'owner' | 'admin' | 'member';

export interface Member {
  readonly room: string;
  readonly user_id: string;
  readonly role: Role;
  readonly name: string;
  readonly picture: string | null;
}

export interface Contact {
  readonly owner: string;
  readonly contact: string;
  readonly state: 'none' | 'pending' | 'accepted' | 'blocked';
  readonly requested_by: string | null;
}

export interface Profile {
  readonly id: string;
  readonly name: string;
  readonly about: string | null;
  readonly picture: string | null;
}

export interface Receipt {
  readonly room: string;
  readonly user_id: string;
  readonly delivered: number;
  readonly read: number;
  readonly muted: boolean | number;
}

export interface Seen {
  readonly user_id: string;
  readonly seen_at: Time;
}

export interface FileRow {
  readonly id: string;
  readonly name: string;
  readonly type: string;
  readonly bytes: number;
  readonly width: number | null;
  readonly height: number | null;
  readonly thumbnail: boolean | number;
}

/** As a database writes a moment; without a zone it is UTC. */
export type Time = string | number;

/** Milliseconds since 1970; NaN where it is no time. */
export function momentOf(time: Time): number {
  if (typeof time === 'number') return time;
  const text = time.trim().replace(' ', 'T');
  if (/^\d+$/.test(text)) return Number(text);
  return Date.parse(/(?:z|[+-]\d\d(?::?\d\d)?)$/i.test(text) ? text.replace(/([+-]\d\d)$/, '$1:00') : `${text}Z`);
}

export function isTrue(value: boolean | number): boolean {
  return value === true || value === 1;
}

/** A text inside a filter. */
export function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

export function oneOf(texts: Iterable<string>): string {
  return `(${[...texts].map(quoted).join(', ')})`;
}
