// Contacts: who asks, who was asked, who is there, who is blocked; and adding one.

import { type FormEvent, useId, useState } from 'react';
import { navigate } from '../../shell/router';
import { api, inWords } from '../api';
import { useChat } from '../chat';
import { useDirectory } from '../directory';
import type { Contact } from '../store/rows';
import { Presence } from '../talk/head';
import { Icon } from '../ui/icon';
import { type Item, Menu } from '../ui/menu';
import { useNear } from '../ui/near';
import { complain, toast } from '../ui/toast';
import { Avatar, ContactAvatar } from './avatar';
import { codeOf } from './words';

export function Contacts() {
  const { me } = useChat();
  const { contacts, person } = useDirectory();
  const inOrder = [...contacts].sort((a, b) => person(a.contact).name.localeCompare(person(b.contact).name));
  const of = (state: Contact['state']) => inOrder.filter((one) => one.state === state);
  const pending = of('pending');
  return (
    <div className="side-scroll contacts">
      <Add />
      <Section
        title="They ask to be your contact"
        list={pending.filter(({ requested_by }) => requested_by !== me.id)}
      />
      <Section title="Asked by you" list={pending.filter(({ requested_by }) => requested_by === me.id)} />
      <Section title="Contacts" list={of('accepted')} />
      <Section title="From talks" list={of('none')} />
      <Section title="Blocked" list={of('blocked')} />
    </div>
  );
}

function Add() {
  const id = useId();
  const [problem, setProblem] = useState<string | null>(null);
  const add = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = event.currentTarget;
    const text = String(new FormData(form).get('who')).trim();
    setProblem(null);
    try {
      const { contact } = await api.add(text.includes('@') ? { email: text } : { link: codeOf(text) });
      form.reset();
      const title = contact.state === 'accepted' ? 'You are contacts now' : 'The request is sent';
      toast({ key: 'added', title });
    } catch (thrown) {
      setProblem(inWords(thrown));
    }
  };
  return (
    <form className="add" onSubmit={add}>
      <div className="field">
        <label htmlFor={id}>Add by e-mail address or link</label>
        <div className="add-row">
          <input id={id} name="who" type="text" inputMode="email" autoComplete="off" autoCapitalize="none" required />
          <button type="submit" className="button primary">
            Add
          </button>
        </div>
      </div>
      {problem !== null && (
        <p className="log-in-problem" role="alert">
          {problem}
        </p>
      )}
    </form>
  );
}

function Section({ title, list }: { title: string; list: readonly Contact[] }) {
  if (list.length === 0) return null;
  return (
    <section>
      <h2 className="side-title">{title}</h2>
      <ul className="people" aria-label={title}>
        {list.map((contact) => (
          <Row key={contact.contact} contact={contact} />
        ))}
      </ul>
    </section>
  );
}

export async function talkTo(user: string): Promise<void> {
  try {
    const { room } = await api.talkTo(user);
    navigate(`/chat/t/${room.id}`);
  } catch (thrown) {
    complain(thrown);
  }
}

function Row({ contact: { contact: user, state, requested_by } }: { contact: Contact }) {
  const { me } = useChat();
  const { person, isClose } = useDirectory();
  const one = person(user);
  const isAsked = state === 'pending' && requested_by !== me.id;
  const block: Item = { label: 'Block', icon: 'block', danger: true, act: () => void api.block(user).catch(complain) };
  const forget: Item = {
    label: state === 'accepted' ? 'Remove' : 'Take the request back',
    icon: 'trash',
    danger: true,
    act: () => void api.forget(user).catch(complain),
  };
  const [ref, isNear] = useNear<HTMLLIElement>();
  const isShown = isNear && isClose(user);
  const Picture = isShown ? ContactAvatar : Avatar;
  return (
    <li className={isAsked ? 'person-row asked' : 'person-row'} ref={ref}>
      <Picture {...one} />
      <span className="person-main">
        <span className="person-name" dir="auto">
          {one.name}
        </span>
        {isClose(user) && <span className="quiet person-presence">{isShown && <Presence user={user} />}</span>}
      </span>
      {isAsked && (
        <>
          <button
            type="button"
            className="button primary"
            aria-label={`Accept ${one.name}`}
            onClick={() => void api.accept(user).catch(complain)}
          >
            Accept
          </button>
          <button
            type="button"
            className="button"
            aria-label={`Decline ${one.name}`}
            onClick={() => void api.forget(user).catch(complain)}
          >
            Decline
          </button>
        </>
      )}
      {state === 'blocked' ? (
        <button
          type="button"
          className="button"
          aria-label={`Unblock ${one.name}`}
          onClick={() => void api.unblock(user).catch(complain)}
        >
          Unblock
        </button>
      ) : (
        <>
          {!isAsked && (
            <button
              type="button"
              className="icon-button"
              aria-label={`Write to ${one.name}`}
              title="Write"
              onClick={() => void talkTo(user)}
            >
              <Icon name="talk" />
            </button>
          )}
          <Menu
            label={`More for ${one.name}`}
            items={[
              isAsked && { label: 'Write', icon: 'talk', act: () => void talkTo(user) },
              block,
              !isAsked && state !== 'none' && forget,
            ]}
          >
            <Icon name="more" />
          </Menu>
        </>
      )}
    </li>
  );
}
