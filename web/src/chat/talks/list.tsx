// All talks, the newest first: with whom, what was said last, and how much of it is unread.

import { useEffect, useState } from 'react';
import { navigate, useLink } from '../../shell/router';
import { Skeleton } from '../../ui/empty';
import { useCell, useChat } from '../chat';
import { type Talk, useDirectory, useTypists } from '../directory';
import { Avatar, ContactAvatar } from '../people/avatar';
import { shortName } from '../people/words';
import { type Message, momentOf } from '../store/rows';
import { total } from '../store/unread';
import { shortTime } from '../store/when';
import { useFile } from '../talk/attachment';
import { Found } from '../talk/found';
import { eventText, summary, typingText } from '../talk/words';
import { Icon } from '../ui/icon';
import { useNear } from '../ui/near';

export function TalkList({ open }: { open: string | null }) {
  const { talks: all, ready } = useDirectory();
  const [words, setWords] = useState('');
  useLatest(all);
  const wanted = words.trim().toLocaleLowerCase();
  const shown = wanted === '' ? all : all.filter(({ title }) => title.toLocaleLowerCase().includes(wanted));
  return (
    <>
      <div className="side-search">
        <Icon name="search" />
        <input
          type="search"
          className="text-input"
          aria-label="Search talks and messages"
          placeholder="Search talks and messages"
          value={words}
          onChange={(event) => setWords(event.target.value)}
        />
      </div>
      <div className="side-scroll">
        {!ready && all.length === 0 && <Skeleton lines={8} label="Loading the talks" />}
        {ready && all.length === 0 && wanted === '' && <NoTalks />}
        <ul className="talks" aria-label="Talks">
          {shown.map((talk) => (
            <TalkRow key={talk.room.id} talk={talk} isOpen={talk.room.id === open} />
          ))}
        </ul>
        {wanted.length >= 2 && (
          <section aria-label="Messages">
            <h2 className="side-title">Messages</h2>
            <Found
              words={words}
              room={null}
              onPick={(message) => navigate(`/chat/t/${message.room}?at=${message.id}`)}
            />
          </section>
        )}
      </div>
    </>
  );
}

function NoTalks() {
  const follow = useLink();
  return (
    <div className="empty">
      <h2>No talks yet</h2>
      <p>Add somebody by their e-mail address, or give them your link.</p>
      <a className="button primary" href="/chat/contacts" onClick={follow}>
        Find people
      </a>
    </div>
  );
}

/** Reads the newest messages that no change has brought. */
function useLatest(all: readonly Talk[]): void {
  const { talks } = useChat();
  const followed = useCell(talks.followed);
  useEffect(() => {
    if (followed === 0) return;
    const ids = new Map(all.map(({ room }) => [room.id, room.last_id]));
    void talks.readLatest(ids).catch(() => undefined);
  }, [talks, all, followed]);
}

function TalkRow({ talk, isOpen }: { talk: Talk; isOpen: boolean }) {
  const { talks } = useChat();
  const { isClose } = useDirectory();
  const follow = useLink();
  const [ref, isNear] = useNear<HTMLLIElement>();
  const latest = useCell(talks.latest).get(talk.room.id);
  const counted = useCell(talks.unread).get(talk.room.id);
  const unread = counted === undefined ? 0 : total(counted);
  const { room, title, picture, peer, muted } = talk;
  // Who is there and who types is asked for what is in sight: a connection has so many subscriptions.
  const Picture = isNear && peer !== null && isClose(peer) ? ContactAvatar : Avatar;
  const at = latest === undefined ? room.last_at : latest.created_at;
  return (
    <li ref={ref}>
      <a
        className="talk-row"
        href={`/chat/t/${room.id}`}
        onClick={follow}
        aria-current={isOpen ? 'page' : undefined}
        data-unread={unread > 0 || undefined}
      >
        <Picture id={peer ?? room.id} name={title} picture={picture} />
        <span className="talk-row-main">
          <span className="talk-row-head">
            <span className="talk-row-name" dir="auto">
              {title}
            </span>
            {at !== null && <time className="quiet">{shortTime(momentOf(at))}</time>}
          </span>
          <span className="talk-row-foot">
            <span className="talk-row-text" dir="auto">
              {isNear ? <Now talk={talk} latest={latest} /> : <Last talk={talk} latest={latest} />}
            </span>
            {muted && (
              <>
                <Icon name="bellOff" />
                <span className="visually-hidden">muted</span>
              </>
            )}
            {unread > 0 && (
              <span className={muted ? 'badge calm' : 'badge'}>
                {unread > 999 ? '999+' : unread}
                <span className="visually-hidden"> unread</span>
              </span>
            )}
          </span>
        </span>
      </a>
    </li>
  );
}

interface LineProps {
  readonly talk: Talk;
  readonly latest: Message | undefined;
}

/** Who types, or else what was said last. */
function Now(props: LineProps) {
  const { person } = useDirectory();
  const { room, peer } = props.talk;
  const typists = useTypists(room.id);
  if (typists.length === 0) return <Last {...props} />;
  const names = typists.map((user) => person(user).name);
  return <span className="typing">{typingText(names, peer === null)}</span>;
}

function Last({ talk, latest }: LineProps) {
  const { me } = useChat();
  const { person } = useDirectory();
  const file = useFile(latest?.file ?? null);
  if (latest === undefined) return null;
  if (latest.kind === 'event') return eventText(latest, me.id, (user) => person(user).name);
  const text = summary(latest, file);
  if (latest.sender === me.id) return `You: ${text}`;
  return talk.peer === null ? `${shortName(person(latest.sender).name)}: ${text}` : text;
}
