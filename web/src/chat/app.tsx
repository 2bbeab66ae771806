// The chat's frame: who is in sees the talks, the others the way in.

import { useConnection } from '@rowcast/client/react';
import { useEffect, useState } from 'react';
import { Boundary } from '../shell/boundary';
import { useAddress } from '../shell/router';
import { Empty } from '../ui/empty';
import { api } from './api';
import { WayIn } from './auth/forms';
import { ChatProvider, useCell } from './chat';
import { DirectoryProvider, useDirectory } from './directory';
import { Notices } from './notices';
import { AddByLink } from './people/add';
import { session } from './session';
import { TalkPage } from './talk/page';
import { Side } from './talks/side';
import { Toasts } from './ui/toast';

const ENDED = 'Your session has ended. Log in again to go on.';

export function App() {
  const now = useCell(session);
  const { state } = useConnection();
  if (now.state === 'asking') return <p className="way-in quiet">One moment…</p>;
  if (now.state === 'broken') return <Broken why={now.why} />;
  if (now.state === 'out') return <WayIn said={now.said} />;
  if (state === 'unauthenticated') return <Ended user={now.chat.me.id} />;
  return (
    <Boundary>
      <ChatProvider value={now.chat}>
        <DirectoryProvider>
          <Frame />
          <Notices />
        </DirectoryProvider>
        <Toasts />
      </ChatProvider>
    </Boundary>
  );
}

/** When the page tried to go on by itself. */
let triedAt = Number.NEGATIVE_INFINITY;
const TRY_MS = 10_000;
/** After another password the word that the old cookie is worth nothing may come before the answer that sets the new one. */
const WAITS_MS = [0, 300, 900, 1_800];

/** The server has closed the connection: for good, or because there is a newer cookie (after another password). */
function Ended({ user }: { user: string }) {
  const { retry } = useConnection();
  const [isOver, setOver] = useState(false);
  useEffect(() => {
    const isNew = performance.now() - triedAt > TRY_MS;
    triedAt = performance.now();
    if (!isNew) setOver(true);
    else
      whoIsIn().then(
        (known) => (known === user ? retry() : location.reload()),
        () => setOver(true),
      );
  }, [user, retry]);
  return isOver ? <WayIn said={ENDED} /> : <p className="way-in quiet">One moment…</p>;
}

async function whoIsIn(): Promise<string> {
  let last: unknown;
  for (const wait of WAITS_MS) {
    await new Promise((waited) => setTimeout(waited, wait));
    try {
      return (await api.me()).user.id;
    } catch (thrown) {
      last = thrown;
    }
  }
  throw last;
}

function Broken({ why }: { why: string }) {
  return (
    <main className="way-in">
      <Empty title="The chat cannot be reached">
        <p>{why}</p>
        <button type="button" className="button" onClick={() => location.reload()}>
          Try again
        </button>
      </Empty>
    </main>
  );
}

function Frame() {
  const { path, search } = useAddress();
  const room = /^\/chat\/t\/([^/]+)\/?$/.exec(path)?.[1] ?? null;
  const code = /^\/chat\/add\/([^/]+)\/?$/.exec(path)?.[1] ?? null;
  const at = Number(new URLSearchParams(search).get('at')) || null;
  return (
    <>
      <a className="skip-link" href="#talk">
        Skip to the talk
      </a>
      <main className="chat" data-main={room !== null || code !== null || undefined}>
        <Side open={room} />
        <div id="talk" className="main" tabIndex={-1}>
          <Offline />
          {room !== null && <TalkPage id={room} at={at} />}
          {code !== null && <AddByLink code={decodeURIComponent(code)} />}
          {room === null && code === null && <Nothing />}
        </div>
      </main>
    </>
  );
}

function Nothing() {
  const { talks } = useDirectory();
  return (
    <div className="empty nothing">
      <img src="/favicon.svg" alt="" width="56" height="56" />
      <p>{talks.length === 0 ? 'Add somebody to begin.' : 'Choose a talk.'}</p>
    </div>
  );
}

/** Said only when it matters: what is written meanwhile is kept. */
function Offline() {
  const { state, attempt, retry } = useConnection();
  const lost = state === 'waiting' || state === 'offline' || (state === 'connecting' && attempt > 0);
  return (
    <div className="offline" role="status" data-lost={lost || undefined}>
      {lost && (
        <>
          {state === 'offline' ? 'You are offline.' : 'Connecting again…'} What you write is kept and sent then.{' '}
          <button type="button" className="link-button" onClick={retry}>
            Try now
          </button>
        </>
      )}
    </div>
  );
}
