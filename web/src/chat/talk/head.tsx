// The top of a talk: with whom, whether they are there, and what can be done with the talk as a whole.

import { useRows } from '@rowcast/client/react';
import { useState } from 'react';
import { navigate, useLink } from '../../shell/router';
import { api } from '../api';
import { type Talk, useDirectory, useOnline } from '../directory';
import { Avatar } from '../people/avatar';
import { momentOf, quoted, type Seen } from '../store/rows';
import { lastSeen } from '../store/when';
import { Icon } from '../ui/icon';
import { complain } from '../ui/toast';
import { Details } from './details';
import { SearchDialog } from './search-dialog';
import { typingText } from './words';

interface Props {
  readonly talk: Talk;
  readonly typists: readonly string[];
  readonly onJump: (id: number) => void;
}

export function TalkHead({ talk, typists, onJump }: Props) {
  const follow = useLink();
  const [open, setOpen] = useState<'details' | 'search' | null>(null);
  const { room, title, picture, peer, muted } = talk;
  const close = () => setOpen(null);
  return (
    <header className="talk-head">
      <a className="icon-button back" href="/chat" onClick={follow} aria-label="Back to all talks">
        <Icon name="back" />
      </a>
      <h2 className="talk-heading">
        <button type="button" className="talk-title" onClick={() => setOpen('details')}>
          <Avatar id={peer ?? room.id} name={title} picture={picture} />
          <span className="talk-names">
            <span className="visually-hidden">About </span>
            <span className="talk-name" dir="auto">
              {title}
            </span>
          </span>
        </button>
      </h2>
      <p className="talk-status" aria-live="polite">
        <Status talk={talk} typists={typists} />
      </p>
      <button
        type="button"
        className="icon-button"
        aria-label="Search in this talk"
        title="Search in this talk"
        onClick={() => setOpen('search')}
      >
        <Icon name="search" />
      </button>
      <button
        type="button"
        className="icon-button"
        aria-label="Mute"
        title={muted ? 'Muted' : 'Mute'}
        aria-pressed={muted}
        onClick={() => void api.mute(room.id, !muted).catch(complain)}
      >
        <Icon name={muted ? 'bellOff' : 'bell'} />
      </button>
      {open === 'details' && <Details talk={talk} onClose={close} onLeft={() => navigate('/chat')} />}
      {open === 'search' && (
        <SearchDialog
          talk={talk}
          onClose={close}
          onPick={(id) => {
            close();
            onJump(id);
          }}
        />
      )}
    </header>
  );
}

function Status({ talk, typists }: { talk: Talk; typists: readonly string[] }) {
  const { person, contact, isClose } = useDirectory();
  const { peer, members } = talk;
  if (typists.length > 0) {
    const names = typists.map((user) => person(user).name);
    return <span className="typing">{typingText(names, peer === null)}</span>;
  }
  if (peer === null) return `${members.length} ${members.length === 1 ? 'member' : 'members'}`;
  if (isClose(peer)) return <Presence user={peer} />;
  if (contact(peer)?.state === 'pending') return 'Contact request';
  return null;
}

/** Whether a contact is there, or since when they are not. */
export function Presence({ user }: { user: string }) {
  const online = useOnline(user);
  const { rows } = useRows<Seen>('chat_seen', { where: `user_id = ${quoted(user)}` });
  if (online) return <span className="online">online</span>;
  const seen = rows[0];
  return seen === undefined ? null : lastSeen(momentOf(seen.seen_at));
}
