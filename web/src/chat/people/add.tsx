// The page behind somebody's link: who they are, and a button to add them.

import { useEffect, useState } from 'react';
import { useLink } from '../../shell/router';
import { api, inWords, type Person } from '../api';
import { useChat } from '../chat';
import { useDirectory } from '../directory';
import { Avatar } from './avatar';
import { talkTo } from './contacts';

export function AddByLink({ code }: { code: string }) {
  const { me } = useChat();
  const { contact } = useDirectory();
  const follow = useLink();
  const [person, setPerson] = useState<Person | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  useEffect(() => {
    api.linkOwner(code).then(
      ({ user }) => setPerson(user),
      (thrown: unknown) => setProblem(inWords(thrown)),
    );
  }, [code]);
  const add = () => {
    setProblem(null);
    api.add({ link: code }).catch((thrown: unknown) => setProblem(inWords(thrown)));
  };
  const state = person === null ? undefined : contact(person.id);
  return (
    <div className="add-page">
      {person === null && problem === null && <p className="quiet">One moment…</p>}
      {person !== null && (
        <>
          <Avatar {...person} size="huge" />
          <h2 dir="auto">{person.name}</h2>
          {person.id === me.id && <p>This is your own link. Give it to others.</p>}
          {state?.state === 'accepted' && <p>You are contacts.</p>}
          {state?.state === 'pending' && (
            <p>{state.requested_by === me.id ? 'They have to answer your request.' : 'They ask to be your contact.'}</p>
          )}
          {person.id !== me.id && needsAdding(state?.state, state?.requested_by === me.id) && (
            <button type="button" className="button primary" onClick={add}>
              {state?.state === 'pending' ? 'Accept' : 'Add to contacts'}
            </button>
          )}
          {person.id !== me.id && (
            <button type="button" className="button" onClick={() => void talkTo(person.id)}>
              Write a message
            </button>
          )}
        </>
      )}
      {problem !== null && (
        <p className="log-in-problem" role="alert">
          {problem}
        </p>
      )}
      <a href="/chat" onClick={follow}>
        To the talks
      </a>
    </div>
  );
}

function needsAdding(state: string | undefined, isMine: boolean): boolean {
  return state === undefined || state === 'none' || (state === 'pending' && !isMine);
}
