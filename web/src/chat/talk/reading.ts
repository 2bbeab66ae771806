// Where the reader stands in a talk: the line above what is new, and telling the server what was really seen.

import { useCallback, useEffect, useRef, useState } from 'react';
import { api } from '../api';
import { useCell, useChat } from '../chat';
import type { Talk } from '../directory';
import type { Line } from '../store/lines';
import type { TalkHistory } from '../store/talk';

const SOON_MS = 150;

export interface Reading {
  /** What is new stands behind this message; `null`: nothing is new. */
  readonly mark: number | null;
  /** The first page is there. */
  readonly opened: boolean;
  readonly atEnd: boolean;
  /** Whoever writes has seen what is there. */
  readonly clear: () => void;
  readonly onView: (lines: readonly Line[], last: number, atEnd: boolean) => void;
}

export function useReading(talk: Talk, history: TalkHistory): Reading {
  const { me, talks } = useChat();
  const followed = useCell(talks.followed);
  const room = talk.room.id;
  const read = talk.receipt?.read ?? 0;
  const [mark, setMark] = useState<number | null>(() => (talk.room.last_id > read ? read : null));
  const [opened, setOpened] = useState(false);
  const [atEnd, setAtEnd] = useState(true);
  const seen = useRef(0);
  const told = useRef(0);
  const known = useRef({ read, mark, last: talk.room.last_id });
  known.current = { read, mark, last: talk.room.last_id };

  useEffect(() => {
    if (followed === 0) return;
    const { mark: from } = known.current;
    void history.open(history.isRead || from === null || from === 0 ? null : from).then(() => setOpened(true));
  }, [history, followed]);

  const tell = useCallback(() => {
    const id = seen.current;
    if (document.visibilityState !== 'visible' || id <= Math.max(known.current.read, told.current)) return;
    told.current = id;
    void api.receipt(room, { read: id }).catch(() => {
      told.current = 0;
    });
  }, [room]);

  useEffect(() => {
    const onChange = () => {
      // What comes while nobody looks will be new to who comes back.
      if (document.visibilityState === 'hidden') setMark(known.current.last);
      else tell();
    };
    const again = setInterval(tell, 5_000);
    document.addEventListener('visibilitychange', onChange);
    return () => {
      clearInterval(again);
      document.removeEventListener('visibilitychange', onChange);
    };
  }, [tell]);

  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  useEffect(() => () => clearTimeout(timer.current), []);
  const onView = useCallback(
    (lines: readonly Line[], last: number, end: boolean) => {
      setAtEnd(end);
      const id = lastOfOthers(lines, last, me.id);
      if (id <= seen.current) return;
      seen.current = id;
      clearTimeout(timer.current);
      timer.current = setTimeout(tell, SOON_MS);
    },
    [me.id, tell],
  );
  const clear = useCallback(() => setMark(null), []);
  return { mark, opened, atEnd, clear, onView };
}

function lastOfOthers(lines: readonly Line[], last: number, me: string): number {
  for (let at = Math.min(last, lines.length - 1); at >= 0; at--) {
    const line = lines[at];
    if (line !== undefined && 'message' in line && line.message.sender !== me) return line.message.id;
  }
  return 0;
}
