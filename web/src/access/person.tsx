// Who is logged in, in the header. Where the server asks nobody, nothing.

import { useState } from 'react';
import { Icon } from '../ui/icon';
import { useAccess, wantToLogIn } from './store';
import { logOut } from './who';

export function Person() {
  const access = useAccess();
  if (access.state !== 'in' || access.who.standing === 'trusted') return null;
  const { standing, user, tenant } = access.who;
  if (standing === 'anonymous') {
    return (
      <div className="person">
        <button type="button" className="link-button" onClick={wantToLogIn}>
          Log in
        </button>
      </div>
    );
  }
  return <Known name={user ?? 'somebody'} tenant={tenant} />;
}

function Known({ name, tenant }: { name: string; tenant: string | null }) {
  const [problem, setProblem] = useState<string | null>(null);
  const leave = async () => {
    const wrong = await logOut();
    if (wrong === null) location.reload();
    else setProblem(wrong);
  };
  return (
    <div className="person">
      <span className="person-name" title={tenant === null ? name : `${name}, of ${tenant}`}>
        <span className="visually-hidden">Logged in as </span>
        {name}
        {tenant !== null && <span className="quiet"> {tenant}</span>}
      </span>
      <button type="button" className="icon-button" aria-label={`Log out ${name}`} title="Log out" onClick={leave}>
        <Icon name="leave" />
      </button>
      {problem !== null && (
        <span className="person-problem" role="alert">
          {problem}
        </span>
      )}
    </div>
  );
}
