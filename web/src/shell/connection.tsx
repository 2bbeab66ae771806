// What the connection is doing, in the header: a word, a colour and, while it is lost, when it is tried again.

import { useConnection } from '@rowcast/client/react';
import { useEffect, useState } from 'react';

const WORDS = {
  open: 'Live',
  connecting: 'Connecting',
  waiting: 'Reconnecting',
  offline: 'Offline',
  idle: 'Idle',
  unauthenticated: 'Not logged in',
  closed: 'Closed',
} as const;

/** Said aloud by a screen reader when the state changes, not with every second of the countdown. */
const SAID = {
  open: 'Connected. Showing live data.',
  waiting: 'Connection lost. Reconnecting; missed changes will be filled in.',
  offline: 'No network.',
  connecting: '',
  idle: '',
  unauthenticated: 'Not logged in.',
  closed: 'Connection closed.',
} as const;

export function ConnectionState() {
  const { state, retryAt, attempt, retry } = useConnection();
  const seconds = useCountdown(state === 'waiting' ? retryAt : undefined);
  const lost = state === 'waiting' || (state === 'connecting' && attempt > 0);
  const word = lost ? 'Reconnecting' : WORDS[state];
  return (
    <div className="connection" data-state={lost ? 'waiting' : state}>
      <span className="connection-dot" aria-hidden="true" />
      <span className="connection-word">{word}</span>
      {seconds !== null && seconds > 0 && <span className="connection-wait">in {seconds} s</span>}
      {(state === 'waiting' || state === 'offline') && (
        <button type="button" className="link-button" onClick={retry}>
          Try now
        </button>
      )}
      <span className="visually-hidden" role="status">
        {SAID[state]}
      </span>
    </div>
  );
}

/** Whole seconds until `at`; `null` without it. */
function useCountdown(at: number | undefined): number | null {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    if (at === undefined) return;
    setNow(Date.now());
    const timer = setInterval(() => setNow(Date.now()), 250);
    return () => clearInterval(timer);
  }, [at]);
  return at === undefined ? null : Math.ceil((at - now) / 1000);
}
