// What a search in history found, the newest first, more with a button.

import { useEffect, useState } from 'react';
import { inWords } from '../api';
import { useChat } from '../chat';
import { useDirectory } from '../directory';
import { type Message, momentOf } from '../store/rows';
import { excerpt, pieces, searchFilter, wordsOf } from '../store/search';
import { shortTime } from '../store/when';

const PAGE = 30;
const WAIT_MS = 250;

interface Props {
  readonly words: string;
  /** `null`: in all talks. */
  readonly room: string | null;
  readonly onPick: (message: Message) => void;
}

interface Result {
  readonly words: string;
  readonly rows: readonly Message[];
  readonly more: boolean;
}

export function Found({ words, room, onPick }: Props) {
  const { db, me } = useChat();
  const { person, talk } = useDirectory();
  const [result, setResult] = useState<Result | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const wanted = wordsOf(words).join(' ');

  const read = async (before: Result | null, signal?: AbortSignal) => {
    const last = before?.rows.at(-1)?.id;
    const filter = searchFilter(wanted, room);
    const where = last === undefined ? filter : `${filter} and id < ${last}`;
    const rows = await db.query<Message>('chat_messages', { where, orderBy: 'id desc', limit: PAGE, signal });
    setResult({ words: wanted, rows: [...(before?.rows ?? []), ...rows], more: rows.length === PAGE });
    setProblem(null);
  };
  const tell = (thrown: unknown) => {
    if (!(thrown instanceof Error && thrown.name === 'AbortError')) setProblem(inWords(thrown));
  };
  // biome-ignore lint/correctness/useExhaustiveDependencies: `read` is made of these
  useEffect(() => {
    setResult(null);
    setProblem(null);
    if (wanted.length < 2) return;
    const abort = new AbortController();
    const timer = setTimeout(() => void read(null, abort.signal).catch(tell), WAIT_MS);
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [wanted, room]);

  if (wanted.length < 2) return null;
  if (problem !== null) {
    return (
      <p className="edge" role="alert">
        {problem}
      </p>
    );
  }
  if (result === null) {
    return (
      <p className="edge quiet" role="status">
        Searching…
      </p>
    );
  }
  return (
    <>
      <p className={result.rows.length === 0 ? 'edge quiet' : 'visually-hidden'} role="status">
        {result.rows.length === 0 ? 'Nothing was found.' : `${result.rows.length} messages found`}
      </p>
      <ul className="found" aria-label="Messages found">
        {result.rows.map((message) => {
          const who = message.sender === me.id ? 'You' : person(message.sender).name;
          return (
            <li key={message.id}>
              <button type="button" className="found-row" onClick={() => onPick(message)}>
                <span className="found-head">
                  <strong dir="auto">{room === null ? (talk(message.room)?.title ?? who) : who}</strong>
                  <time className="quiet">{shortTime(momentOf(message.created_at))}</time>
                </span>
                <span className="found-text" dir="auto">
                  {room === null && `${who}: `}
                  <Marked text={excerpt(message.body, wanted)} words={wanted} />
                </span>
              </button>
            </li>
          );
        })}
      </ul>
      {result.more && (
        <button type="button" className="button more" onClick={() => void read(result).catch(tell)}>
          Show more
        </button>
      )}
    </>
  );
}

function Marked({ text, words }: { text: string; words: string }) {
  return pieces(text, words).map(({ text: piece, found }, index) =>
    // biome-ignore lint/suspicious/noArrayIndexKey: the pieces of one text never move
    found ? <mark key={index}>{piece}</mark> : piece,
  );
}
