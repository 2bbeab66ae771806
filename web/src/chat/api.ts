// The chat's requests: everything that writes. Reading is the tables' and their live changes'.

import type { Answer } from './store/outbox';
import type { Contact, FileRow, Message, Role, Room } from './store/rows';
import type { Count } from './store/unread';

const PREFIX = '/chat/api';

export interface Person {
  readonly id: string;
  readonly name: string;
  readonly picture: string | null;
}

export interface Me extends Person {
  readonly about: string | null;
  readonly email: string;
}

export interface Config {
  /** An e-mail address has to be shown to be one's own. */
  readonly verify: boolean;
  readonly max_bytes: number;
  readonly max_text: number;
  readonly types: readonly string[];
}

/** Why the server did not do it, or that it could not be asked. */
export class Refused extends Error implements Answer {
  constructor(
    /** 0: there was no answer. */
    readonly status: number,
    readonly code: string,
    message: string,
    readonly retryMs?: number | undefined,
  ) {
    super(message);
  }
}

interface Problem {
  readonly error?: { code?: unknown; message?: unknown; hint?: unknown; retry_ms?: unknown };
}

/** What is wrong, in a sentence for whoever asked. */
export function inWords(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

export function refusalOf(status: number, body: unknown): Refused {
  const { error } = (body ?? {}) as Problem;
  const said = typeof error?.message === 'string' ? sentence(error.message) : `The server answered ${status}.`;
  // Some say which request to make: that is for programs.
  const isForPeople = typeof error?.hint === 'string' && !/\b(?:GET|POST|PUT|PATCH|DELETE) \//.test(error.hint);
  const hint = isForPeople ? ` ${sentence(String(error?.hint))}` : '';
  const retryMs = typeof error?.retry_ms === 'number' ? error.retry_ms : undefined;
  const when = retryMs === undefined || /try again/i.test(said) ? '' : ` Try again in ${duration(retryMs)}.`;
  return new Refused(status, String(error?.code ?? 'http'), said + (when || hint), retryMs);
}

function duration(ms: number): string {
  const seconds = Math.max(1, Math.ceil(ms / 1000));
  if (seconds < 90) return seconds === 1 ? '1 second' : `${seconds} seconds`;
  return `${Math.ceil(seconds / 60)} minutes`;
}

/** The server's sentences begin small and end without a point. */
function sentence(text: string): string {
  const begun = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(begun) ? begun : `${begun}.`;
}

export async function call<T>(method: string, path: string, body?: unknown): Promise<T> {
  const init: RequestInit = { method, cache: 'no-store' };
  if (body !== undefined) {
    init.headers = { 'content-type': 'application/json' };
    init.body = JSON.stringify(body);
  }
  const response = await reach(fetch(PREFIX + path, init));
  const answer = response.status === 204 ? undefined : await response.json().catch(() => undefined);
  if (!response.ok) throw refusalOf(response.status, answer);
  return answer as T;
}

async function reach(answer: Promise<Response>): Promise<Response> {
  try {
    return await answer;
  } catch {
    throw new Refused(0, 'network', 'The server does not answer. Try again in a moment.');
  }
}

const at = encodeURIComponent;

export const api = {
  config: () => call<Config>('GET', '/config'),
  signUp: (email: string, password: string, name: string) =>
    call<{ user?: Me; verify?: boolean }>('POST', '/signup', { email, password, name }),
  verify: (email: string, code: string) => call<{ user: Me }>('POST', '/verify', { email, code }),
  verifyAgain: (email: string) => call<unknown>('POST', '/verify/again', { email }),
  logIn: (email: string, password: string) => call<{ user: Me }>('POST', '/login', { email, password }),
  reset: (email: string) => call<unknown>('POST', '/reset', { email }),
  confirmReset: (email: string, code: string, password: string) =>
    call<unknown>('POST', '/reset/confirm', { email, code, password }),
  logOut: () => call<void>('POST', '/logout'),

  me: () => call<{ user: Me; link: string }>('GET', '/me'),
  change: (what: { name?: string; about?: string; picture?: string | null }) => call<unknown>('PATCH', '/me', what),
  changePassword: (old: string, next: string) => call<unknown>('POST', '/me/password', { old, new: next }),
  newLink: () => call<{ link: string }>('POST', '/me/link'),
  linkOwner: (code: string) => call<{ user: Person }>('GET', `/links/${at(code)}`),

  add: (who: { email: string } | { link: string }) => call<{ contact: Contact }>('POST', '/contacts', who),
  accept: (user: string) => call<unknown>('POST', `/contacts/${at(user)}/accept`),
  forget: (user: string) => call<unknown>('DELETE', `/contacts/${at(user)}`),
  block: (user: string) => call<unknown>('POST', `/contacts/${at(user)}/block`),
  unblock: (user: string) => call<unknown>('POST', `/contacts/${at(user)}/unblock`),

  talkTo: (user: string) => call<{ room: Room }>('POST', '/rooms', { kind: 'direct', user }),
  makeGroup: (name: string, members: readonly string[], nonce: string) =>
    call<{ room: Room }>('POST', '/rooms', { kind: 'group', name, members, nonce }),
  changeRoom: (room: string, what: { name?: string; picture?: string | null }) =>
    call<unknown>('PATCH', `/rooms/${at(room)}`, what),
  invite: (room: string, user: string) => call<unknown>('POST', `/rooms/${at(room)}/members`, { user }),
  remove: (room: string, user: string) => call<unknown>('DELETE', `/rooms/${at(room)}/members/${at(user)}`),
  setRole: (room: string, user: string, role: Role) =>
    call<unknown>('PATCH', `/rooms/${at(room)}/members/${at(user)}`, { role }),
  mute: (room: string, muted: boolean) => call<unknown>('PATCH', `/rooms/${at(room)}/settings`, { muted }),

  send: (room: string, message: { nonce: string; body: string; reply_to?: number; file?: string }) =>
    call<{ message: Message }>('POST', `/rooms/${at(room)}/messages`, message),
  edit: (message: number, body: string) => call<unknown>('PATCH', `/messages/${message}`, { body }),
  erase: (message: number) => call<unknown>('DELETE', `/messages/${message}`),
  react: (message: number, emoji: string, on: boolean) =>
    call<unknown>(on ? 'PUT' : 'DELETE', `/messages/${message}/reactions/${at(emoji)}`),
  receipt: (room: string, upTo: { delivered?: number; read?: number }) =>
    call<unknown>('POST', `/rooms/${at(room)}/receipt`, upTo),
  unread: () => call<{ rooms: readonly Count[] }>('GET', '/unread'),
  seen: () => call<unknown>('POST', '/seen'),
};

export const linkPicture = `${PREFIX}/me/link.svg`;

export function fileUrl(id: string): string {
  return `${PREFIX}/files/${at(id)}`;
}

export function thumbnailUrl(id: string): string {
  return `${fileUrl(id)}/thumbnail`;
}

export interface Upload {
  readonly done: Promise<FileRow>;
  readonly cancel: () => void;
}

/** Sends a file for a talk, or with `room` null a picture of a person or group. `progress` is told a part of one. */
export function upload(file: Blob & { name?: string }, room: string | null, progress: (part: number) => void): Upload {
  const request = new XMLHttpRequest();
  const query = room === null ? 'picture=1' : `room=${at(room)}&name=${at(file.name || 'file')}`;
  const done = new Promise<FileRow>((resolve, reject) => {
    request.upload.onprogress = ({ loaded, total }) => progress(total === 0 ? 0 : loaded / total);
    request.onload = () => {
      const body: unknown = parsed(request.responseText);
      const { file: row } = (body ?? {}) as { file?: FileRow };
      if (request.status < 300 && row !== undefined) resolve(row);
      else reject(refusalOf(request.status, body));
    };
    request.onerror = () => reject(new Refused(0, 'network', 'The server does not answer. Try again in a moment.'));
    request.onabort = () => reject(new Refused(0, 'cancelled', 'Cancelled.'));
  });
  request.open('POST', `${PREFIX}/files?${query}`);
  request.setRequestHeader('content-type', file.type || 'application/octet-stream');
  request.send(file);
  return { done, cancel: () => request.abort() };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
