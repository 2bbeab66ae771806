// A talk's messages on the page: opened where the reader stopped, read as far as it is seen, paged in both directions.

import { useRows } from '@rowcast/client/react';
import {
  type KeyboardEvent,
  type ReactNode,
  type Ref,
  useCallback,
  useEffect,
  useImperativeHandle,
  useLayoutEffect,
  useMemo,
  useRef,
  useState,
} from 'react';
import { useCell, useChat } from '../chat';
import { type Talk, useDirectory } from '../directory';
import { type Line, linesOf } from '../store/lines';
import { markOf, reachOf } from '../store/marks';
import { quoted, type Receipt } from '../store/rows';
import type { TalkHistory } from '../store/talk';
import { total } from '../store/unread';
import { dayName } from '../store/when';
import { Icon } from '../ui/icon';
import { type Acts, MessageLine, WaitingLine } from './message';
import { useReading } from './reading';
import { Scroller, type ScrollerHandle } from './scroller';
import { eventText } from './words';

export interface HistoryHandle {
  readonly jump: (id: number) => void;
  /** Something was written. */
  readonly wrote: () => void;
}

interface Props {
  readonly talk: Talk;
  readonly history: TalkHistory;
  readonly acts: Omit<Acts, 'activate' | 'jump'>;
  readonly mayErase: (sender: string) => boolean;
  readonly ref: Ref<HistoryHandle>;
}

const NO_REACTIONS: readonly never[] = [];
const FLASH_MS = 1_800;

export function History({ talk, history, acts: given, mayErase, ref }: Props) {
  const { me, talks, sender } = useChat();
  const directory = useDirectory();
  const shown = useCell(history.cell);
  const unread = useCell(talks.unread).get(talk.room.id);
  const letters = useCell(sender.letters);
  const scroller = useRef<ScrollerHandle>(null);
  const [active, setActive] = useState<string | null>(null);
  const [flash, setFlash] = useState<number | null>(null);
  const { rows: receipts } = useRows<Receipt>('chat_receipts', { where: `room = ${quoted(talk.room.id)}` });
  const reading = useReading(talk, history);
  const { window, quotes, reactions } = shown;

  const lines = useMemo(() => {
    const waiting = window.newer ? [] : letters.filter(({ room }) => room === talk.room.id);
    return linesOf({ messages: window.messages, letters: waiting, me: me.id, readMark: reading.mark });
  }, [window, letters, talk.room.id, me.id, reading.mark]);

  const others = useMemo(
    () => talk.members.map(({ user_id }) => user_id).filter((user) => user !== me.id),
    [talk.members, me.id],
  );
  const reach = useMemo(() => reachOf(receipts, others), [receipts, others]);

  const [target, setTarget] = useState<number | null>(null);
  const jumped = useRef(false);
  const jump = useCallback(
    async (id: number) => {
      jumped.current = true;
      await history.open(id);
      setTarget(id);
    },
    [history],
  );
  useLayoutEffect(() => {
    // Gone to as soon as it is among the lines.
    const line = target === null ? undefined : lines.find((one) => 'message' in one && one.message.id === target);
    if (line === undefined) return;
    scroller.current?.toLine(line.key);
    setFlash(target);
    setActive(line.key);
    setTarget(null);
  }, [target, lines]);
  const linesRef = useRef<readonly Line[]>(lines);
  linesRef.current = lines;
  const toEnd = useCallback(async () => {
    await history.open();
    scroller.current?.toEnd();
  }, [history]);
  const { clear } = reading;
  useImperativeHandle(
    ref,
    () => ({
      jump: (id) => void jump(id),
      wrote: () => {
        clear();
        void toEnd();
      },
    }),
    [jump, toEnd, clear],
  );
  useEffect(() => {
    if (flash === null) return;
    const timer = setTimeout(() => setFlash(null), FLASH_MS);
    return () => clearTimeout(timer);
  }, [flash]);
  useEffect(() => {
    // Opened where reading stopped: that line is shown.
    if (reading.opened && !jumped.current && linesRef.current.some(({ type }) => type === 'new'))
      scroller.current?.toLine('new');
  }, [reading.opened]);
  useMissingQuotes(history, lines);

  const acts = useMemo<Acts>(() => ({ ...given, activate: setActive, jump: (id) => void jump(id) }), [given, jump]);
  const current = active !== null && lines.some(({ key }) => key === active) ? active : (lastKey(lines) ?? null);
  const render = (line: Line): ReactNode => {
    if (line.type === 'waiting') return <WaitingLine key={line.key} line={line} acts={acts} />;
    if (line.type !== 'message') return <Note key={line.key} line={line} me={me.id} nameOf={acts.nameOf} />;
    const { message } = line;
    const isMine = message.sender === me.id;
    return (
      <MessageLine
        key={line.key}
        line={line}
        isGroup={talk.room.kind === 'group'}
        me={me.id}
        active={line.key === current}
        flash={message.id === flash}
        mark={isMine ? markOf(message.id, reach) : null}
        reactions={reactions.get(message.id) ?? NO_REACTIONS}
        quote={message.reply_to === null ? null : quoteOf(message.reply_to, window.messages, quotes)}
        mayErase={mayErase(message.sender)}
        names={directory.person}
        acts={acts}
      />
    );
  };
  const count = unread === undefined ? 0 : total(unread);
  const isFar = !reading.atEnd || window.newer;
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: the keys move the focus among the messages in it
    <div className="history" onKeyDown={(event) => move(event, lines, current, scroller.current, setActive)}>
      <Edge shown={shown} onTryAgain={() => void history.open()} isEmpty={lines.length === 0} />
      <Scroller
        ref={scroller}
        lines={lines}
        guess={guess}
        isFixed={({ type }) => type !== 'day' && type !== 'new'}
        render={render}
        label={`Messages with ${talk.title}`}
        ends={!window.newer}
        onNearTop={() => void history.older()}
        onNearEnd={() => void history.newer()}
        onView={(last, atEnd) => reading.onView(linesRef.current, last, atEnd)}
      />
      {isFar && lines.length > 0 && (
        <button type="button" className="to-end" onClick={() => void toEnd()}>
          <Icon name="down" />
          <span className="visually-hidden">Jump to the latest message</span>
          {count > 0 && <span className="badge">{count}</span>}
        </button>
      )}
    </div>
  );
}

function Edge({
  shown,
  isEmpty,
  onTryAgain,
}: {
  shown: TalkHistory['shown'];
  isEmpty: boolean;
  onTryAgain: () => void;
}) {
  const { reading, problem, window } = shown;
  if (problem !== null && isEmpty) {
    return (
      <p className="edge" role="alert">
        The messages could not be read: {problem}{' '}
        <button type="button" className="link-button" onClick={onTryAgain}>
          Try again
        </button>
      </p>
    );
  }
  if (isEmpty && !window.older) return <p className="edge quiet">No messages yet. Say hello.</p>;
  if (reading === null && !(isEmpty && window.older)) return null;
  return (
    <p className="edge quiet" role="status">
      {reading === 'newer' ? 'Loading newer messages…' : 'Loading messages…'}
    </p>
  );
}

type NoteLine = Extract<Line, { type: 'day' | 'new' | 'event' }>;

function Note({ line, me, nameOf }: { line: NoteLine; me: string; nameOf: (user: string) => string }) {
  return (
    <li data-key={line.key} className={`note-line ${line.type}`}>
      {line.type === 'day' && <span className="note-day">{dayName(line.at)}</span>}
      {line.type === 'new' && <span className="note-new">New messages</span>}
      {line.type === 'event' && (
        <span className="note-event" dir="auto">
          {eventText(line.message, me, nameOf)}
        </span>
      )}
    </li>
  );
}

/** Asks for quoted messages that came by the live feed, and not with a page. */
function useMissingQuotes(history: TalkHistory, lines: readonly Line[]): void {
  useEffect(() => {
    const tail = lines.slice(-20).flatMap((line) => (line.type === 'message' ? (line.message.reply_to ?? []) : []));
    if (tail.length > 0) void history.quote(tail).catch(() => undefined);
  }, [history, lines]);
}

function quoteOf(
  id: number,
  messages: TalkHistory['shown']['window']['messages'],
  quotes: TalkHistory['shown']['quotes'],
) {
  return messages.find((message) => message.id === id) ?? quotes.get(id);
}

function lastKey(lines: readonly Line[]): string | undefined {
  return lines.findLast(({ type }) => type === 'message')?.key;
}

/** A row of text, in pixels. */
const ROW = 20.8;

/** How high a line will be, near enough: what it lacks is put right once it is drawn. */
function guess(line: Line): number {
  if (line.type !== 'message') return line.type === 'waiting' ? 35 : 37;
  const { body, file, reply_to } = line.message;
  const rows = Math.ceil((body.length + 10) / (innerWidth <= 720 ? 40 : 80));
  const more = (file === null ? 0 : 180) + (reply_to === null ? 0 : 47) + (line.first ? 8 : 0);
  return 14 + ROW * Math.max(1, rows) + more;
}

/** Arrow keys go from message to message. */
function move(
  event: KeyboardEvent,
  lines: readonly Line[],
  current: string | null,
  scroller: ScrollerHandle | null,
  activate: (key: string) => void,
): void {
  const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
  const target = event.target as HTMLElement;
  if (step === undefined || event.altKey || target.closest('[role="menu"], .emoji-picker, .quick') !== null) return;
  const messages = lines.filter(({ type }) => type === 'message');
  const at = messages.findIndex(({ key }) => key === current);
  const onMessage = target.closest('.message') !== null;
  const next = messages[onMessage ? at + step : at];
  if (next === undefined) return;
  event.preventDefault();
  activate(next.key);
  const element = scroller?.element?.querySelector<HTMLElement>(`[data-key="${CSS.escape(next.key)}"]`);
  element?.focus();
  element?.scrollIntoView({ block: 'nearest' });
}
