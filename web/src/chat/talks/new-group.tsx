// A new group: its name, and which contacts are in it.

import { type FormEvent, useId, useState } from 'react';
import { navigate } from '../../shell/router';
import { api, inWords } from '../api';
import { useDirectory } from '../directory';
import { Avatar } from '../people/avatar';
import { Once } from '../store/once';
import { Dialog } from '../ui/dialog';

export function NewGroup({ onClose }: { onClose: () => void }) {
  const { contacts, person } = useDirectory();
  const [problem, setProblem] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const [once] = useState(() => new Once());
  const id = useId();
  const accepted = contacts.filter(({ state }) => state === 'accepted').map(({ contact }) => person(contact));
  const choices = accepted.sort((a, b) => a.name.localeCompare(b.name));
  const make = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const fields = new FormData(event.currentTarget);
    setBusy(true);
    setProblem(null);
    try {
      const name = String(fields.get('name')).trim();
      const members = fields.getAll('member').map(String);
      const { room } = await api.makeGroup(name, members, once.nonce([name, members]));
      onClose();
      navigate(`/chat/t/${room.id}`);
    } catch (thrown) {
      setProblem(inWords(thrown));
      setBusy(false);
    }
  };
  return (
    <Dialog title="New group" onClose={onClose}>
      <form className="form" onSubmit={make}>
        <div className="field">
          <label htmlFor={id}>Name of the group</label>
          <input id={id} name="name" dir="auto" maxLength={80} required autoComplete="off" />
        </div>
        <fieldset>
          <legend>Members</legend>
          {choices.length === 0 && <p className="quiet">You have no contacts yet. You can add some later.</p>}
          <ul className="people">
            {choices.map((one) => (
              <li key={one.id}>
                <label className="person-row choice">
                  <input type="checkbox" name="member" value={one.id} />
                  <Avatar {...one} size="small" />
                  <span className="person-main" dir="auto">
                    {one.name}
                  </span>
                </label>
              </li>
            ))}
          </ul>
        </fieldset>
        {problem !== null && (
          <p className="log-in-problem" role="alert">
            {problem}
          </p>
        )}
        <p className="dialog-actions">
          <button type="submit" className="button primary" disabled={busy}>
            Make the group
          </button>
        </p>
      </form>
    </Dialog>
  );
}
