import { describe, expect, it } from 'vitest';
import { codeOf, initials, shortName } from '../src/chat/people/words';
import { layoutOf, lineAt, rangeOf } from '../src/chat/store/heights';
import type { Message } from '../src/chat/store/rows';
import { excerpt, pieces, searchFilter } from '../src/chat/store/search';
import { dayName, lastSeen } from '../src/chat/store/when';
import { isBig, parts } from '../src/chat/talk/body';
import { EMOJI, findEmoji } from '../src/chat/talk/emoji';
import { bytesOf, eventText, typingText } from '../src/chat/talk/words';

describe('a message as text', () => {
  it('has links where addresses of the web are, and nowhere else', () => {
    const links = (text: string) => parts(text).flatMap(({ text: part, isLink }) => (isLink ? [part] : []));
    expect(links('see https://a.example/x?y=1, or (http://b.example).')).toEqual([
      'https://a.example/x?y=1',
      'http://b.example',
    ]);
    expect(links('javascript:alert(1) <a href="x">')).toEqual([]);
    expect(
      parts('a https://b.example c')
        .map(({ text }) => text)
        .join(''),
    ).toBe('a https://b.example c');
  });

  it('is big where it is a few emoji', () => {
    expect(['👍', '❤️', '👩‍👩‍👧', '🎉🎉', '🇳🇴'].map(isBig)).toEqual([true, true, true, true, true]);
    expect(['', ' ', 'ok 👍', '12', '👍👍👍👍'].map(isBig)).toEqual([false, false, false, false, false]);
  });
});

describe('search', () => {
  it('makes a filter in which the words are only text', () => {
    expect(searchFilter("it's 100%", 'r')).toBe(
      "room = 'r' and kind = 'text' and deleted_at is null and body ilike '%it''s%' escape '!' and body ilike '%100!%%' escape '!'",
    );
  });

  it('marks what it found', () => {
    expect(pieces('Tea or tEa(', 'tea').map(({ text, found }) => (found ? `[${text}]` : text))).toEqual([
      '[Tea]',
      ' or ',
      '[tEa]',
      '(',
    ]);
    expect(pieces('a', '(').map(({ text }) => text)).toEqual(['a']);
    expect(excerpt(`${'x '.repeat(60)}tea`, 'tea')).toMatch(/^….*tea$/);
  });
});

describe('emoji', () => {
  it('are found by the beginnings of their names', () => {
    expect(findEmoji('thumbs up')[0]?.text).toBe('👍');
    expect(findEmoji('birth').map(({ text }) => text)).toContain('🎂');
    expect(findEmoji('no such thing')).toEqual([]);
  });

  it('are each there once', () => {
    const all = EMOJI.flatMap(([, list]) => list.map(({ text }) => text));
    expect(new Set(all).size).toBe(all.length);
  });
});

describe('words', () => {
  it('tell days as people do', () => {
    const now = new Date(2026, 10, 21, 12).getTime();
    expect(dayName(now - 1_000, now)).toBe('Today');
    expect(dayName(now - 86_400_000, now)).toBe('Yesterday');
    expect(lastSeen(now - 10 * 60_000, now)).toBe('last seen 10 minutes ago');
    expect(lastSeen(now - 5_000, now)).toBe('last seen just now');
  });

  it('tell what happened', () => {
    const event = (body: object | string, sender = 'ada') =>
      eventText({ sender, body: typeof body === 'string' ? body : JSON.stringify(body) } as Message, 'me', () => 'Ada');
    expect(event({ event: 'joined', user: 'ben', name: 'Ben' })).toBe('Ada added Ben');
    expect(event({ event: 'left', user: 'ada', name: 'Ada' })).toBe('Ada left');
    expect(event({ event: 'removed', user: 'me', name: 'Me' })).toBe('Ada removed you');
    expect(event('not JSON')).toBe('not JSON');
  });

  it('say who types', () => {
    expect(typingText(['Ada'], false)).toBe('typing…');
    expect(typingText(['Ada'], true)).toBe('Ada is typing…');
    expect(typingText(['Ada', 'Ben'], true)).toBe('Ada and Ben are typing…');
    expect(typingText(['Ada', 'Ben', 'Cyn'], true)).toBe('3 people are typing…');
  });

  it('tell sizes and initials, and take the code out of a link', () => {
    expect([0, 999, 1_500, 26_214_400].map(bytesOf)).toEqual(['0 B', '999 B', '1.5 kB', '26 MB']);
    expect(['Ada Lovelace', ' ben ', '', '😀 x'].map(initials)).toEqual(['AL', 'B', '?', '😀X']);
    expect(['Ada Lovelace', ' ben ', '', 'Wolfeschlegelsteinhausen'].map(shortName)).toEqual([
      'Ada',
      'ben',
      '',
      'Wolfeschlegelst…',
    ]);
    expect(codeOf('https://x.example/chat/add/abc-1?y')).toBe('abc-1');
    expect(codeOf('abc-1')).toBe('abc-1');
  });
});

describe('lines of unlike height', () => {
  it('are found by where they stand', () => {
    const layout = layoutOf([10, 20, 30]);
    expect([0, 9, 10, 29, 30, 99].map((y) => lineAt(layout, y))).toEqual([0, 0, 1, 1, 2, 2]);
    expect(rangeOf(layout, 12, 28, 0)).toEqual({ start: 1, end: 2 });
    expect(rangeOf(layout, 12, 28, 100)).toEqual({ start: 0, end: 3 });
    expect(rangeOf(layoutOf([]), 0, 10, 10)).toEqual({ start: 0, end: 0 });
  });
});
