// The way in: log in, sign up, show that the address is one's own, or choose a new password.

import { type FormEvent, type HTMLInputTypeAttribute, type ReactNode, useEffect, useId, useRef, useState } from 'react';
import { api, inWords, Refused } from '../api';
import { useConfig } from '../people/config';

type Step =
  | { readonly at: 'log-in' | 'sign-up' | 'reset' }
  | { readonly at: 'verify' | 'new-password'; readonly email: string };

/** Everything anew: nothing that somebody else saw is left, and the address leads where it led. */
const enter = () => location.reload();

export function WayIn({ said }: { said: string | null }) {
  const [step, setStep] = useState<Step>({ at: 'log-in' });
  const root = useRef<HTMLElement>(null);
  const shown = useRef(step);
  useEffect(() => {
    // The button that led here is gone, and the focus with it.
    if (shown.current !== step) root.current?.querySelector('input')?.focus();
    shown.current = step;
  }, [step]);
  return (
    <main className="way-in" ref={root}>
      <Current key={step.at} step={step} said={said} go={setStep} />
    </main>
  );
}

function Current({ step, said, go }: { step: Step; said: string | null; go: Go }) {
  switch (step.at) {
    case 'log-in':
      return <LogIn said={said} go={go} />;
    case 'sign-up':
      return <SignUp go={go} />;
    case 'reset':
      return <Reset go={go} />;
    case 'verify':
      return <Verify email={step.email} go={go} />;
    case 'new-password':
      return <NewPassword email={step.email} go={go} />;
  }
}

type Go = (step: Step) => void;

function LogIn({ said, go }: { said: string | null; go: Go }) {
  return (
    <Form
      title="Log in"
      said={said ?? 'Write to your contacts, wherever they are.'}
      button="Log in"
      submit={async (text) => {
        try {
          await api.logIn(text('email'), text('password'));
          enter();
        } catch (thrown) {
          if (!(thrown instanceof Refused) || thrown.status !== 403) throw thrown;
          await api.verifyAgain(text('email')).catch(() => undefined);
          go({ at: 'verify', email: text('email') });
        }
      }}
      below={
        <>
          <Other label="Make an account" onClick={() => go({ at: 'sign-up' })} />
          <Other label="Forgotten password" onClick={() => go({ at: 'reset' })} />
        </>
      }
    >
      <Field label="E-mail" name="email" type="email" autoComplete="username" />
      <Field label="Password" name="password" type="password" autoComplete="current-password" />
    </Form>
  );
}

function SignUp({ go }: { go: Go }) {
  const config = useConfig();
  const hint = config?.verify === true ? 'You will get a code by e-mail.' : 'A name, an address, a password.';
  return (
    <Form
      title="Make an account"
      said={hint}
      button="Sign up"
      submit={async (text) => {
        const { verify } = await api.signUp(text('email'), text('password'), text('name'));
        if (verify === true) go({ at: 'verify', email: text('email') });
        else enter();
      }}
      below={<Other label="I have an account" onClick={() => go({ at: 'log-in' })} />}
    >
      <Field label="Name" name="name" autoComplete="name" maxLength={80} />
      <Field label="E-mail" name="email" type="email" autoComplete="username" />
      <Field
        label="Password, at least 8 characters"
        name="password"
        type="password"
        autoComplete="new-password"
        minLength={8}
      />
    </Form>
  );
}

function Verify({ email, go }: { email: string; go: Go }) {
  return (
    <Form
      title="Your code"
      said={`A code of six digits is on its way to ${email}. It is good for ten minutes.`}
      button="Go on"
      submit={async (text) => {
        await api.verify(email, text('code'));
        enter();
      }}
      again={() => api.verifyAgain(email)}
      below={<Other label="Back" onClick={() => go({ at: 'log-in' })} />}
    >
      <Code />
    </Form>
  );
}

function Reset({ go }: { go: Go }) {
  return (
    <Form
      title="Forgotten password"
      said="If there is an account with this address, a code is sent to it."
      button="Send the code"
      submit={async (text) => {
        await api.reset(text('email'));
        go({ at: 'new-password', email: text('email') });
      }}
      below={<Other label="Back" onClick={() => go({ at: 'log-in' })} />}
    >
      <Field label="E-mail" name="email" type="email" autoComplete="username" />
    </Form>
  );
}

function NewPassword({ email, go }: { email: string; go: Go }) {
  return (
    <Form
      title="New password"
      said={`The code that was sent to ${email}, and the password from now on. You are logged out everywhere else.`}
      button="Change the password"
      submit={async (text) => {
        await api.confirmReset(email, text('code'), text('password'));
        enter();
      }}
      again={() => api.reset(email)}
      below={<Other label="Back" onClick={() => go({ at: 'log-in' })} />}
    >
      <Code />
      <Field label="New password" name="password" type="password" autoComplete="new-password" minLength={8} />
    </Form>
  );
}

interface FormProps {
  readonly title: string;
  readonly said: string;
  readonly button: string;
  readonly submit: (text: (name: string) => string) => Promise<void>;
  /** Sends another code, where one was sent. */
  readonly again?: () => Promise<unknown>;
  readonly below: ReactNode;
  readonly children: ReactNode;
}

function Form({ title, said, button, submit, again, below, children }: FormProps) {
  const id = useId();
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<string | null>(null);
  const [done, setDone] = useState('');
  /** `work` says what it has done; `null`: the page goes on to another. */
  const run = async (work: () => Promise<string | null>) => {
    setBusy(true);
    setProblem(null);
    setDone('');
    try {
      const said = await work();
      if (said === null) return;
      setDone(said);
    } catch (thrown) {
      setProblem(inWords(thrown));
    }
    setBusy(false);
  };
  const onSubmit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = event.currentTarget;
    const fields = new FormData(form);
    await run(async () => {
      try {
        await submit((name) => String(fields.get(name) ?? '').trim());
      } catch (thrown) {
        if (thrown instanceof Refused && thrown.status === 401) writeAnew(form);
        throw thrown;
      }
      return null;
    });
  };
  const sendAgain = again === undefined ? null : () => again().then(() => 'Another code is on its way.');
  return (
    <form className="log-in card" onSubmit={onSubmit} aria-labelledby={id} aria-busy={busy}>
      <img src="/favicon.svg" alt="" width="32" height="32" />
      <h1 id={id}>{title}</h1>
      <p className="quiet">{said}</p>
      {children}
      {problem !== null && (
        <p className="log-in-problem" role="alert">
          {problem}
        </p>
      )}
      {/* Always there: only what changes in it is read aloud. */}
      <p className="log-in-done" role="status">
        {done}
      </p>
      <button type="submit" className="button primary" disabled={busy}>
        {busy ? 'One moment…' : button}
      </button>
      <div className="log-in-others">
        {sendAgain !== null && <Other label="Send another code" disabled={busy} onClick={() => void run(sendAgain)} />}
        {below}
      </div>
    </form>
  );
}

/** The code, or else the password, is wrong. */
function writeAnew(form: HTMLFormElement): void {
  const field = form.querySelector<HTMLInputElement>('.code, input[type="password"]');
  field?.focus();
  field?.select();
}

interface FieldProps {
  readonly label: string;
  readonly name: string;
  readonly type?: HTMLInputTypeAttribute;
  readonly autoComplete: string;
  readonly minLength?: number;
  readonly maxLength?: number;
}

function Field({ label, type = 'text', name, ...rest }: FieldProps) {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <input
        id={id}
        name={name}
        type={type}
        dir={name === 'name' ? 'auto' : undefined}
        autoCapitalize={name === 'name' ? 'words' : 'none'}
        spellCheck={false}
        required
        {...rest}
      />
    </div>
  );
}

function Code() {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>Code</label>
      <input
        id={id}
        name="code"
        className="code"
        inputMode="numeric"
        autoComplete="one-time-code"
        pattern="[0-9 ]{6,8}"
        maxLength={8}
        required
      />
    </div>
  );
}

function Other({ label, disabled, onClick }: { label: string; disabled?: boolean; onClick: () => void }) {
  return (
    <button type="button" className="link-button" disabled={disabled} onClick={onClick}>
      {label}
    </button>
  );
}
