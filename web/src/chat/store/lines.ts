// A talk as lines to show: days, the line above what is new, messages in groups, and what waits to be sent.

import type { Letter } from './outbox';
import { type Message, momentOf } from './rows';

export type Line =
  | { readonly type: 'day'; readonly key: string; readonly at: number }
  | { readonly type: 'new'; readonly key: 'new' }
  | { readonly type: 'event'; readonly key: string; readonly message: Message }
  | {
      readonly type: 'message';
      readonly key: string;
      readonly message: Message;
      /** Whether it begins or ends a group of one sender's. */
      readonly first: boolean;
      readonly last: boolean;
    }
  | { readonly type: 'waiting'; readonly key: string; readonly letter: Letter; readonly first: boolean };

export interface Talk {
  readonly messages: readonly Message[];
  readonly letters: readonly Letter[];
  readonly me: string;
  /** The line "new messages" stands after this one; `null`: nowhere. */
  readonly readMark: number | null;
}

const GROUP_MS = 5 * 60_000;

export function linesOf({ messages, letters, me, readMark }: Talk): readonly Line[] {
  const lines: Line[] = [];
  const sent = new Set<string>();
  let before: Message | undefined;
  let marked = readMark === null;
  for (const [index, message] of messages.entries()) {
    if (message.sender === me) sent.add(message.nonce);
    const at = momentOf(message.created_at);
    const newDay = before === undefined || dayOf(momentOf(before.created_at)) !== dayOf(at);
    if (newDay) lines.push({ type: 'day', key: `day ${dayOf(at)}`, at });
    const isNew = !marked && message.id > (readMark ?? 0) && message.sender !== me && message.kind === 'text';
    if (isNew) {
      lines.push({ type: 'new', key: 'new' });
      marked = true;
    }
    const key = keyOf(message.sender, message.nonce);
    if (message.kind === 'event') lines.push({ type: 'event', key, message });
    else {
      const first = newDay || isNew || before === undefined || !isGroup(before, message);
      const after = messages[index + 1];
      const last = after === undefined || !isGroup(message, after);
      lines.push({ type: 'message', key, message, first, last });
    }
    before = message;
  }
  return [...lines, ...waiting(letters, sent, me, before)];
}

function waiting(
  letters: readonly Letter[],
  sent: ReadonlySet<string>,
  me: string,
  before: Message | undefined,
): Line[] {
  const unsent = letters.filter(({ nonce }) => !sent.has(nonce));
  return unsent.map((letter, index) => {
    const first = index === 0 && (before?.sender !== me || before.kind === 'event');
    return { type: 'waiting', key: keyOf(me, letter.nonce), letter, first };
  });
}

/** The same while it waits and once it is sent. */
export function keyOf(sender: string, nonce: string): string {
  return `${sender} ${nonce}`;
}

/** A calendar day here, as a text that tells it apart. */
export function dayOf(at: number): string {
  const date = new Date(at);
  return `${date.getFullYear()}-${date.getMonth() + 1}-${date.getDate()}`;
}

function isGroup(a: Message, b: Message): boolean {
  if (a.sender !== b.sender || a.kind !== 'text' || b.kind !== 'text') return false;
  const [one, other] = [momentOf(a.created_at), momentOf(b.created_at)];
  return other - one < GROUP_MS && dayOf(one) === dayOf(other);
}
