// Search in history: the filter for it, and the places in a text that it found.

import { quoted } from './rows';

/** The filter of messages that hold each of the words. ASCII letters are found in either case. */
export function searchFilter(words: string, room: string | null): string {
  const parts = wordsOf(words).map((word) => `body ilike ${quoted(`%${escaped(word)}%`)} escape '!'`);
  const where = room === null ? [] : [`room = ${quoted(room)}`];
  return [...where, "kind = 'text'", 'deleted_at is null', ...parts].join(' and ');
}

export function wordsOf(text: string): readonly string[] {
  return text.trim().split(/\s+/).filter(Boolean).slice(0, 8);
}

function escaped(word: string): string {
  return word.replace(/[!%_]/g, '!$&').slice(0, 200);
}

export interface Piece {
  readonly text: string;
  readonly found: boolean;
}

/** The text in pieces, those that a word found marked. */
export function pieces(text: string, words: string): readonly Piece[] {
  const wanted = wordsOf(words).map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  if (wanted.length === 0) return [{ text, found: false }];
  const parts = text.split(new RegExp(`(${wanted.join('|')})`, 'gi'));
  return parts.map((part, index) => ({ text: part, found: index % 2 === 1 })).filter((piece) => piece.text !== '');
}

/** A line around the first word that was found. */
export function excerpt(text: string, words: string, around = 40): string {
  const line = text.replace(/\s+/g, ' ');
  const first = wordsOf(words)[0]?.toLowerCase() ?? '';
  const at = line.toLowerCase().indexOf(first);
  return at > around ? `…${line.slice(at - around / 2)}` : line;
}
