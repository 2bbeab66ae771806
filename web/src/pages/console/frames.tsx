// A box that subscribes to a channel and shows the frames as they are on the wire.
//
// It has a connection of its own, so that nothing else is in it.

import { connect, type RowcastErrorLike } from '@rowcast/client';
import { type FormEvent, useEffect, useRef, useState } from 'react';
import { copyText } from '../../ui/empty';
import { FilterBox } from '../../ui/filter-box';
import { Icon } from '../../ui/icon';
import { useTables } from '../../ui/schema';

interface Frame {
  readonly serial: number;
  readonly at: Date;
  readonly direction: 'in' | 'out';
  readonly text: string;
}

interface Wanted {
  readonly channel: string;
  readonly where: string;
}

const FRAMES_MAX = 500;
const SHOWN_MAX = 20_000;

export function Frames() {
  const tables = useTables().value ?? [];
  const [channel, setChannel] = useState<string | null>(null);
  const [where, setWhere] = useState('');
  const [wanted, setWanted] = useState<Wanted | null>(null);
  const [paused, setPaused] = useState(false);
  const [error, setError] = useState<RowcastErrorLike | null>(null);
  const { frames, clear } = useFrames(wanted, paused, setError);
  const usual = tables.find(({ name }) => name === 'readings') ?? tables[0];
  const text = channel ?? (usual === undefined ? '' : `table:${usual.name}`);
  const start = (filter = where) => {
    setError(null);
    setWanted({ channel: text.trim(), where: filter });
  };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (wanted === null) start();
    else setWanted(null);
  };
  const isFilterError = error !== null && (error.at !== undefined || error.code === 'bad_filter');
  return (
    <section className="card panel frames" aria-labelledby="frames">
      <h2 id="frames">Frames</h2>
      <form className="bar" onSubmit={submit}>
        <label className="select channel">
          <span className="select-label">Channel</span>
          <input
            list="channels"
            value={text}
            placeholder="table:readings, room:lobby or notify:jobs"
            autoComplete="off"
            spellCheck={false}
            onChange={(event) => {
              setChannel(event.target.value);
              setWanted(null);
            }}
          />
          <datalist id="channels">
            {tables.map(({ name }) => (
              <option key={name} value={`table:${name}`} />
            ))}
          </datalist>
        </label>
        <FilterBox
          value={where}
          error={isFilterError ? error : null}
          placeholder="Filter, as in SQL"
          onChange={(next, how) => {
            setWhere(next);
            if (wanted !== null || how === 'push') start(next);
          }}
        />
        <button type="submit" className={wanted === null ? 'button primary' : 'button'} disabled={text.trim() === ''}>
          {wanted === null ? 'Subscribe' : 'Unsubscribe'}
        </button>
      </form>
      {error !== null && !isFilterError && (
        <p className="problem" role="alert">
          {error.message}
          {error.hint !== undefined && ` (${error.hint})`}
        </p>
      )}
      <FrameTools frames={frames} paused={paused} onPause={() => setPaused(!paused)} onClear={clear} />
      <FrameList frames={frames} subscribed={wanted !== null} paused={paused} />
    </section>
  );
}

interface ToolsProps {
  readonly frames: readonly Frame[];
  readonly paused: boolean;
  readonly onPause: () => void;
  readonly onClear: () => void;
}

function FrameTools({ frames, paused, onPause, onClear }: ToolsProps) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    setCopied(await copyText(frames.map(({ text }) => text).join('\n')));
    setTimeout(() => setCopied(false), 1200);
  };
  return (
    <div className="bar frame-tools">
      <button type="button" className="button" aria-pressed={paused} onClick={onPause}>
        <Icon name={paused ? 'play' : 'pause'} /> {paused ? 'Resume' : 'Pause'}
      </button>
      <button type="button" className="button" onClick={onClear} disabled={frames.length === 0}>
        <Icon name="trash" /> Clear
      </button>
      <button type="button" className="button" onClick={copy} disabled={frames.length === 0}>
        <Icon name={copied ? 'check' : 'copy'} /> {copied ? 'Copied' : 'Copy'}
      </button>
      <span className="quiet">
        {frames.length === FRAMES_MAX ? `the last ${FRAMES_MAX}` : frames.length}{' '}
        {frames.length === 1 ? 'frame' : 'frames'}
      </span>
    </div>
  );
}

interface ListProps {
  readonly frames: readonly Frame[];
  readonly subscribed: boolean;
  readonly paused: boolean;
}

function FrameList({ frames, subscribed, paused }: ListProps) {
  const list = useRef<HTMLOListElement>(null);
  const atEnd = useRef(true);
  // biome-ignore lint/correctness/useExhaustiveDependencies: new frames are what it follows
  useEffect(() => {
    const element = list.current;
    if (element !== null && atEnd.current) element.scrollTop = element.scrollHeight;
  }, [frames]);
  return (
    <ol
      className="frame-list"
      ref={list}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, also by keys
      tabIndex={0}
      aria-label="Frames, oldest first"
      onScroll={(event) => {
        const { scrollTop, scrollHeight, clientHeight } = event.currentTarget;
        atEnd.current = scrollHeight - scrollTop - clientHeight < 24;
      }}
    >
      {frames.length === 0 && (
        <li className="quiet">
          {subscribed && !paused
            ? 'Waiting for the first frame'
            : 'Subscribe to see what the server sends, as it is on the wire.'}
        </li>
      )}
      {frames.map((frame) => (
        <FrameLine key={frame.serial} frame={frame} />
      ))}
    </ol>
  );
}

function FrameLine({ frame }: { frame: Frame }) {
  const { at, direction, text } = frame;
  const shown = text.length > SHOWN_MAX ? `${text.slice(0, SHOWN_MAX)}…` : text;
  return (
    <li data-direction={direction}>
      <time dateTime={at.toISOString()}>{at.toTimeString().slice(0, 8)}</time>
      <span className="frame-direction">
        <Icon name={direction === 'in' ? 'down' : 'up'} />
        <span className="visually-hidden">{direction === 'in' ? 'received' : 'sent'}</span>
      </span>
      <code>{shown}</code>
    </li>
  );
}

/** The frames of a subscription, gathered and shown once in each animation frame. */
function useFrames(wanted: Wanted | null, paused: boolean, fail: (error: RowcastErrorLike) => void) {
  const [frames, setFrames] = useState<readonly Frame[]>([]);
  const stopped = useRef(paused);
  stopped.current = paused;
  const serial = useRef(0);
  useEffect(() => {
    if (wanted === null) return;
    let news: Frame[] = [];
    let timer = 0;
    const flush = () => {
      timer = 0;
      const more = news;
      news = [];
      setFrames((old) => [...old, ...more].slice(-FRAMES_MAX));
    };
    const db = connect(location.origin, {
      transport: 'websocket',
      onFrame: ({ direction, text }) => {
        if (stopped.current) return;
        serial.current += 1;
        news.push({ serial: serial.current, at: new Date(), direction, text });
        if (news.length > FRAMES_MAX) news.shift();
        timer ||= requestAnimationFrame(flush);
      },
    });
    follow(db, wanted, fail);
    return () => {
      db.close();
      cancelAnimationFrame(timer);
    };
  }, [wanted, fail]);
  return { frames, clear: () => setFrames([]) };
}

function follow(
  db: ReturnType<typeof connect>,
  { channel, where }: Wanted,
  fail: (error: RowcastErrorLike) => void,
): void {
  if (channel.startsWith('table:')) {
    db.changes(channel.slice('table:'.length), { where: where || undefined, onError: fail }, () => undefined);
    return;
  }
  const room = db.channel(channel);
  room.subscribe(() => {
    const { error } = room.getSnapshot();
    if (error !== undefined) fail(error);
  });
  room.on('*', () => undefined);
}
