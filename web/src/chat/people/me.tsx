// Oneself: name, picture, link, password, what this browser may do, and the way out.

import { type FormEvent, useId, useState } from 'react';
import { applyTheme, type Theme, useTheme } from '../../shell/theme';
import { Segments } from '../../ui/choice';
import { copyText } from '../../ui/empty';
import { api, inWords, linkPicture, upload } from '../api';
import { useCell, useChat } from '../chat';
import { useDirectory } from '../directory';
import { leave } from '../session';
import { Dialog } from '../ui/dialog';
import { Icon } from '../ui/icon';
import { complain, toast } from '../ui/toast';
import { Avatar } from './avatar';
import { PicturePicker } from './picture';

export function MyPage() {
  const { me } = useChat();
  const { profile } = useDirectory();
  const mine = profile(me.id) ?? me;
  return (
    <div className="side-scroll my">
      <div className="my-head">
        <Avatar id={me.id} name={mine.name} picture={mine.picture} size="huge" />
        <PicturePicker
          has={mine.picture !== null}
          onPick={async (file) => {
            const picture = file === null ? null : (await upload(file, null, () => {}).done).id;
            await api.change({ picture });
          }}
        />
      </div>
      <ProfileForm key={`${mine.name} ${mine.about}`} name={mine.name} about={mine.about ?? ''} email={me.email} />
      <MyLink />
      <ThisBrowser />
      <PasswordForm />
      <Leave />
    </div>
  );
}

/** What came of a form. */
function useOutcome(): [string | null, (work: Promise<unknown>, done: string) => Promise<boolean>] {
  const [problem, setProblem] = useState<string | null>(null);
  const run = async (work: Promise<unknown>, done: string) => {
    setProblem(null);
    try {
      await work;
      toast({ key: 'done', title: done });
      return true;
    } catch (thrown) {
      setProblem(inWords(thrown));
      return false;
    }
  };
  return [problem, run];
}

function Problem({ text }: { text: string | null }) {
  if (text === null) return null;
  return (
    <p className="log-in-problem" role="alert">
      {text}
    </p>
  );
}

function ProfileForm({ name, about, email }: { name: string; about: string; email: string }) {
  const id = useId();
  const [problem, run] = useOutcome();
  const save = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const fields = new FormData(event.currentTarget);
    const text = (field: string) => String(fields.get(field)).trim();
    void run(api.change({ name: text('name'), about: text('about') }), 'Saved');
  };
  return (
    <form className="form" onSubmit={save} aria-label="Profile">
      <div className="field">
        <label htmlFor={`${id}n`}>Name</label>
        <input id={`${id}n`} name="name" dir="auto" defaultValue={name} maxLength={80} required autoComplete="name" />
      </div>
      <div className="field">
        <label htmlFor={`${id}a`}>About</label>
        <input id={`${id}a`} name="about" dir="auto" defaultValue={about} maxLength={200} autoComplete="off" />
      </div>
      <p className="quiet my-email">{email}</p>
      <Problem text={problem} />
      <button type="submit" className="button">
        Save
      </button>
    </form>
  );
}

function MyLink() {
  const chat = useChat();
  const [link, setLink] = useState(chat.link);
  const [version, setVersion] = useState(0);
  const [asking, setAsking] = useState(false);
  const copy = () => void copyText(link).then((done) => done && toast({ key: 'copied', title: 'The link is copied' }));
  const renew = async () => {
    setAsking(false);
    try {
      setLink((await api.newLink()).link);
      setVersion(version + 1);
    } catch (thrown) {
      complain(thrown);
    }
  };
  return (
    <section className="form" aria-label="Your link">
      <h2 className="side-title">Your link</h2>
      <p className="quiet">Whoever opens it can ask to be your contact.</p>
      <img className="qr" src={`${linkPicture}?${version}`} alt="QR code of your link" width="180" height="180" />
      <p className="link-text">{link}</p>
      <p className="form-row">
        <button type="button" className="button" onClick={copy}>
          <Icon name="copy" />
          Copy
        </button>
        <button type="button" className="button" onClick={() => setAsking(true)}>
          New link
        </button>
      </p>
      {asking && (
        <Dialog title="Make a new link?" onClose={() => setAsking(false)} className="narrow">
          <p>The old one leads nowhere then.</p>
          <p className="dialog-actions">
            <button type="button" className="button primary" onClick={() => void renew()}>
              Make a new link
            </button>
          </p>
        </Dialog>
      )}
    </section>
  );
}

const THEMES = [
  { value: 'system', text: 'System' },
  { value: 'light', text: 'Light' },
  { value: 'dark', text: 'Dark' },
] as const satisfies readonly { value: Theme; text: string }[];

function ThisBrowser() {
  const { theme } = useTheme();
  const can = typeof Notification !== 'undefined';
  const [allowed, setAllowed] = useState(can ? Notification.permission : 'denied');
  return (
    <section className="form" aria-label="This browser">
      <h2 className="side-title">This browser</h2>
      <Segments label="Theme" value={theme} options={THEMES} onChange={applyTheme} />
      {can && allowed === 'default' && (
        <button type="button" className="button" onClick={() => void Notification.requestPermission().then(setAllowed)}>
          <Icon name="bell" />
          Show notifications
        </button>
      )}
      {can && allowed === 'granted' && <p className="quiet">New messages are shown as notifications.</p>}
      {can && allowed === 'denied' && <p className="quiet">This browser does not allow notifications here.</p>}
    </section>
  );
}

function PasswordForm() {
  const id = useId();
  const [problem, run] = useOutcome();
  const save = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = event.currentTarget;
    const fields = new FormData(form);
    const change = api.changePassword(String(fields.get('old')), String(fields.get('new')));
    if (await run(change, 'The password is changed')) form.reset();
  };
  return (
    <details className="my-password">
      <summary>Change the password</summary>
      <form className="form" onSubmit={save}>
        <div className="field">
          <label htmlFor={`${id}o`}>Old password</label>
          <input id={`${id}o`} name="old" type="password" autoComplete="current-password" required />
        </div>
        <div className="field">
          <label htmlFor={`${id}n`}>New password</label>
          <input id={`${id}n`} name="new" type="password" autoComplete="new-password" minLength={8} required />
        </div>
        <Problem text={problem} />
        <button type="submit" className="button">
          Change
        </button>
      </form>
    </details>
  );
}

function Leave() {
  const { sender } = useChat();
  const waiting = useCell(sender.letters).length;
  const [asking, setAsking] = useState(false);
  const go = () => void leave().catch(complain);
  return (
    <div className="my-leave">
      <button type="button" className="button" onClick={() => (waiting > 0 ? setAsking(true) : go())}>
        <Icon name="leave" />
        Log out
      </button>
      {asking && (
        <Dialog title="Log out?" onClose={() => setAsking(false)} className="narrow">
          <span>{waiting === 1 ? 'One message is' : `${waiting} messages are`} not sent yet, and will be lost.</span>
          <p className="dialog-actions">
            <button type="button" className="button" onClick={() => setAsking(false)}>
              Stay
            </button>
            <button type="button" className="button danger" onClick={go}>
              Log out
            </button>
          </p>
        </Dialog>
      )}
    </div>
  );
}
