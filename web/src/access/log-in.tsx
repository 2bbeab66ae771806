// The way in: a name and a password that this server knows, or a token from whoever makes them.

import { type FormEvent, type HTMLInputTypeAttribute, useId, useState } from 'react';
import { Segments } from '../ui/choice';
import { enter } from './store';
import { logIn, showToken } from './who';

type Way = 'password' | 'token';

const WAYS = [
  { value: 'password', text: 'Password' },
  { value: 'token', text: 'Token' },
] as const satisfies readonly { value: Way; text: string }[];

export function LogIn({ said, open }: { said: string | null; open: boolean }) {
  const [way, setWay] = useState<Way>('password');
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<string | null>(null);
  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const fields = new FormData(event.currentTarget);
    const text = (name: string) => String(fields.get(name) ?? '');
    setBusy(true);
    setProblem(null);
    const wrong = await (way === 'token' ? showToken(text('token')) : logIn(text('user'), text('password')));
    // Everything anew: nothing that somebody else saw is left.
    if (wrong === null) location.reload();
    else setProblem(wrong);
    setBusy(wrong === null);
  };
  const change = (next: Way) => {
    setWay(next);
    setProblem(null);
  };
  return (
    <form className="log-in card" onSubmit={submit} aria-labelledby="log-in-title" aria-busy={busy}>
      <h1 id="log-in-title">Log in</h1>
      <p className="quiet" role="status">
        {said ?? 'This server shows its pages to people whom it knows.'}
      </p>
      <Segments label="Log in with" value={way} options={WAYS} onChange={change} />
      {way === 'password' ? (
        <>
          <Field label="User" name="user" autoComplete="username" />
          <Field label="Password" name="password" type="password" autoComplete="current-password" />
        </>
      ) : (
        <Field label="Token (JWT)" name="token" type="password" autoComplete="off" />
      )}
      {problem !== null && (
        <p className="log-in-problem" role="alert">
          {problem}
        </p>
      )}
      <button type="submit" className="button primary" disabled={busy}>
        {busy ? 'One moment…' : 'Log in'}
      </button>
      {open && (
        <button type="button" className="link-button" onClick={() => void enter()}>
          Go on without
        </button>
      )}
    </form>
  );
}

interface FieldProps {
  readonly label: string;
  readonly name: string;
  readonly type?: HTMLInputTypeAttribute;
  readonly autoComplete: string;
}

function Field({ label, name, type = 'text', autoComplete }: FieldProps) {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <input
        id={id}
        name={name}
        type={type}
        autoComplete={autoComplete}
        autoCapitalize="none"
        spellCheck={false}
        required
      />
    </div>
  );
}
