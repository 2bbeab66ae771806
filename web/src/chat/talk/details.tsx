// About a talk: the other person, or the group with its members and what may be done with them.

import { type FormEvent, useId, useState } from 'react';
import { api, upload } from '../api';
import { useChat } from '../chat';
import { type Talk, useDirectory } from '../directory';
import { Avatar } from '../people/avatar';
import { PicturePicker } from '../people/picture';
import type { Member, Role } from '../store/rows';
import { Dialog } from '../ui/dialog';
import { Icon } from '../ui/icon';
import { Menu } from '../ui/menu';
import { complain } from '../ui/toast';
import { Presence } from './head';

interface Props {
  readonly talk: Talk;
  readonly onClose: () => void;
  /** This user is no member any more. */
  readonly onLeft: () => void;
}

export function Details(props: Props) {
  const { talk, onClose } = props;
  return (
    <Dialog title={talk.peer === null ? 'About this group' : `About ${talk.title}`} onClose={onClose}>
      {talk.peer === null ? <Group {...props} /> : <Peer user={talk.peer} onClose={onClose} />}
    </Dialog>
  );
}

function Peer({ user, onClose }: { user: string; onClose: () => void }) {
  const { person, profile, contact, isClose } = useDirectory();
  const state = contact(user)?.state;
  const about = profile(user)?.about ?? '';
  const act = (what: Promise<unknown>) => {
    onClose();
    what.catch(complain);
  };
  return (
    <div className="details">
      <Avatar {...person(user)} size="huge" />
      <p className="details-name" dir="auto">
        {person(user).name}
      </p>
      {isClose(user) && (
        <p className="quiet">
          <Presence user={user} />
        </p>
      )}
      {about !== '' && (
        <p className="details-about" dir="auto">
          {about}
        </p>
      )}
      <p className="dialog-actions">
        {state === 'blocked' ? (
          <button type="button" className="button" onClick={() => act(api.unblock(user))}>
            Unblock
          </button>
        ) : (
          <button type="button" className="button danger" onClick={() => act(api.block(user))}>
            <Icon name="block" />
            Block
          </button>
        )}
        {state === 'accepted' && (
          <button type="button" className="button" onClick={() => act(api.forget(user))}>
            Remove from contacts
          </button>
        )}
      </p>
    </div>
  );
}

function Group({ talk, onLeft }: Props) {
  const { me } = useChat();
  const { room, members } = talk;
  const role = members.find(({ user_id }) => user_id === me.id)?.role ?? 'member';
  const mayChange = role !== 'member';
  const rename = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const name = String(new FormData(event.currentTarget).get('name')).trim();
    if (name !== '' && name !== room.name) api.changeRoom(room.id, { name }).catch(complain);
  };
  const leave = () => {
    api.remove(room.id, me.id).then(onLeft, complain);
  };
  const id = useId();
  return (
    <div className="details">
      <Avatar id={room.id} name={talk.title} picture={room.picture} size="huge" />
      {mayChange && (
        <PicturePicker
          has={room.picture !== null}
          onPick={async (file) => {
            const picture = file === null ? null : (await upload(file, null, () => {}).done).id;
            await api.changeRoom(room.id, { picture });
          }}
        />
      )}
      {mayChange ? (
        <form className="inline-form" onSubmit={rename}>
          <div className="field">
            <label htmlFor={id}>Name of the group</label>
            <input id={id} name="name" dir="auto" defaultValue={room.name ?? ''} maxLength={80} required />
          </div>
          <button type="submit" className="button">
            Save
          </button>
        </form>
      ) : (
        <p className="details-name" dir="auto">
          {talk.title}
        </p>
      )}
      <h3>{members.length} members</h3>
      <ul className="people">
        {inOrder(members).map((member) => (
          <MemberRow key={member.user_id} member={member} role={role} />
        ))}
      </ul>
      {mayChange && <Invite talk={talk} />}
      <p className="dialog-actions">
        <button type="button" className="button danger" onClick={leave}>
          <Icon name="leave" />
          Leave the group
        </button>
      </p>
    </div>
  );
}

const RANK: Readonly<Record<Role, number>> = { member: 0, admin: 1, owner: 2 };

/** Who has most to say first. */
function inOrder(members: readonly Member[]): readonly Member[] {
  return members.toSorted((a, b) => RANK[b.role] - RANK[a.role] || a.name.localeCompare(b.name));
}

function MemberRow({ member, role }: { member: Member; role: Role }) {
  const { me } = useChat();
  const { person } = useDirectory();
  const { user_id, room } = member;
  const isMe = user_id === me.id;
  const name = person(user_id).name;
  const setRole = (next: Role) => void api.setRole(room, user_id, next).catch(complain);
  const mayRemove = !isMe && RANK[role] > RANK[member.role];
  const isOwner = role === 'owner' && !isMe;
  return (
    <li className="person-row">
      <Avatar {...person(user_id)} size="small" />
      <span className="person-main" dir="auto">
        {name}
        {isMe && <span className="quiet"> (you)</span>}
      </span>
      {member.role !== 'member' && <span className="note">{member.role}</span>}
      {(mayRemove || isOwner) && (
        <Menu
          label={`Change ${name}`}
          className="icon-button small"
          items={[
            isOwner && member.role === 'member' && { label: 'Make admin', icon: 'plus', act: () => setRole('admin') },
            isOwner &&
              member.role === 'admin' && { label: 'No admin any more', icon: 'close', act: () => setRole('member') },
            isOwner && { label: 'Make owner', icon: 'person', act: () => setRole('owner') },
            mayRemove && {
              label: 'Remove',
              icon: 'trash',
              danger: true,
              act: () => void api.remove(room, user_id).catch(complain),
            },
          ]}
        >
          <Icon name="more" />
        </Menu>
      )}
    </li>
  );
}

function Invite({ talk }: { talk: Talk }) {
  const { contacts, person } = useDirectory();
  const [open, setOpen] = useState(false);
  const inside = new Set(talk.members.map(({ user_id }) => user_id));
  const others = contacts.filter(({ contact, state }) => state === 'accepted' && !inside.has(contact));
  if (others.length === 0) return null;
  if (!open) {
    return (
      <button type="button" className="button" onClick={() => setOpen(true)}>
        <Icon name="personAdd" />
        Add a contact
      </button>
    );
  }
  return (
    <ul className="people" aria-label="Contacts to add">
      {others.map(({ contact }) => (
        <li key={contact} className="person-row">
          <Avatar {...person(contact)} size="small" />
          <span className="person-main" dir="auto">
            {person(contact).name}
          </span>
          <button
            type="button"
            className="button"
            aria-label={`Add ${person(contact).name}`}
            onClick={() => void api.invite(talk.room.id, contact).catch(complain)}
          >
            Add
          </button>
        </li>
      ))}
    </ul>
  );
}
