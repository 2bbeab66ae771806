import { describe, expect, it } from 'vitest';
import { linesOf } from '../src/chat/store/lines';
import { markOf, reachOf, readers } from '../src/chat/store/marks';
import type { Letter } from '../src/chat/store/outbox';
import { pillsOf, withoutReaction, withReactions } from '../src/chat/store/reactions';
import { type Message, momentOf, type Receipt } from '../src/chat/store/rows';

const NOON = new Date(2026, 10, 20, 12).getTime();
const message = (id: number, sender: string, minutes: number, more: Partial<Message> = {}): Message => ({
  id,
  room: 'r',
  sender,
  nonce: `n${id}`,
  kind: 'text',
  body: 'x',
  reply_to: null,
  file: null,
  created_at: NOON + minutes * 60_000,
  edited_at: null,
  deleted_at: null,
  ...more,
});
const letter = (nonce: string): Letter => ({
  nonce,
  user: 'me',
  room: 'r',
  body: 'x',
  reply_to: null,
  file: null,
  at: 1,
  refused: null,
});
const shape = (messages: readonly Message[], readMark: number | null = null, letters: readonly Letter[] = []) =>
  linesOf({ messages, letters, me: 'me', readMark }).map((line) => {
    if (line.type === 'message') return `${line.message.id}${line.first ? ' first' : ''}${line.last ? ' last' : ''}`;
    return line.type === 'waiting' ? `waiting ${line.letter.nonce}${line.first ? ' first' : ''}` : line.type;
  });

describe('a talk as lines', () => {
  it('groups what one says within five minutes of a day', () => {
    const messages = [message(1, 'ada', 0), message(2, 'ada', 4), message(3, 'ada', 10), message(4, 'me', 11)];
    expect(shape(messages)).toEqual(['day', '1 first', '2 last', '3 first last', '4 first last']);
    expect(shape([message(1, 'ada', 719), message(2, 'ada', 721)])).toEqual([
      'day',
      '1 first last',
      'day',
      '2 first last',
    ]);
  });

  it('has one line above what is new, before the first message of somebody else', () => {
    const messages = [message(1, 'ada', 0), message(2, 'me', 1), message(3, 'ada', 2), message(4, 'ada', 3)];
    expect(shape(messages, 1)).toEqual(['day', '1 first last', '2 first last', 'new', '3 first', '4 last']);
    expect(shape(messages, 4)).not.toContain('new');
  });

  it('has what happened in lines of their own', () => {
    const joined = message(2, 'ada', 1, { kind: 'event', body: '{"event":"joined"}' });
    expect(shape([message(1, 'ada', 0), joined, message(3, 'ada', 2)])).toEqual([
      'day',
      '1 first last',
      'event',
      '3 first last',
    ]);
  });

  it('ends with what waits, and shows nothing twice when it stands', () => {
    const messages = [message(1, 'ada', 0), message(2, 'me', 1, { nonce: 'a' })];
    expect(shape(messages, null, [letter('a'), letter('b')])).toEqual([
      'day',
      '1 first last',
      '2 first last',
      'waiting b',
    ]);
    expect(shape([message(1, 'ada', 0)], null, [letter('a')])).toContain('waiting a first');
  });

  it('gives a message the same key while it waits and when it stands', () => {
    const [before] = linesOf({ messages: [], letters: [letter('a')], me: 'me', readMark: null });
    const after = linesOf({
      messages: [message(1, 'me', 0, { nonce: 'a' })],
      letters: [],
      me: 'me',
      readMark: null,
    })[1];
    expect(after?.key).toBe(before?.key);
  });
});

describe('marks', () => {
  const receipt = (user_id: string, delivered: number, read: number): Receipt => ({
    room: 'r',
    user_id,
    delivered,
    read,
    muted: 0,
  });

  it('say what all of the others have', () => {
    const reach = reachOf([receipt('ada', 5, 3), receipt('ben', 4, 4), receipt('me', 9, 9)], ['ada', 'ben']);
    expect([3, 4, 5].map((id) => markOf(id, reach))).toEqual(['read', 'delivered', 'sent']);
    expect(markOf(1, reachOf([receipt('ada', 5, 3)], ['ada', 'cyn']))).toBe('sent');
    expect(markOf(1, reachOf([], []))).toBe('sent');
  });

  it('what is read has been delivered', () => {
    expect(reachOf([receipt('ada', 0, 7)], ['ada']).delivered).toBe(7);
  });

  it('name who has read', () => {
    expect(readers(4, [receipt('ada', 5, 3), receipt('ben', 4, 4)], ['ada', 'ben'])).toEqual(['ben']);
  });
});

describe('reactions', () => {
  const give = (user_id: string, emoji: string) => ({ message: 1, user_id, emoji, room: 'r' });

  it('are counted by emoji, each person once', () => {
    const held = withReactions(new Map(), [give('ada', '👍'), give('ben', '🎉'), give('ben', '👍'), give('ada', '👍')]);
    expect(pillsOf(held.get(1) ?? [])).toEqual([
      { emoji: '👍', users: ['ada', 'ben'] },
      { emoji: '🎉', users: ['ben'] },
    ]);
    expect(withoutReaction(withReactions(new Map(), [give('ada', '👍')]), give('ada', '👍')).size).toBe(0);
  });
});

describe('times', () => {
  it('are read as each of the databases writes them', () => {
    const at = Date.UTC(2026, 10, 21, 10, 0, 5, 123);
    for (const text of [
      '2026-11-21 10:00:05.123',
      '2026-11-21T10:00:05.123Z',
      '2026-11-21 12:00:05.123+02',
      String(at),
    ]) {
      expect(momentOf(text), text).toBe(at);
    }
    expect(momentOf(at)).toBe(at);
  });
});
