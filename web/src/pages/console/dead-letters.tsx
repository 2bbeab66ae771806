// The dead letters in Console: why each was refused, and a place to mend it.

import { type FormEvent, useCallback, useEffect, useId, useState } from 'react';
import { formatCount, formatShortTime } from '../../chart/format';
import { askForLetters, dropLetter, type Letter, type Letters, readable, retryLetter, retrySource } from './letters';

/** `rejected` grows when there may be another one. */
export function DeadLetters({ rejected }: { rejected: number }) {
  const [letters, setLetters] = useState<Letters | null>(null);
  const [said, setSaid] = useState('');
  const [asked, setAsked] = useState(0);
  const again = useCallback(() => setAsked((n) => n + 1), []);
  // biome-ignore lint/correctness/useExhaustiveDependencies: either of them is a reason to ask again
  useEffect(() => {
    const stop = new AbortController();
    askForLetters(stop.signal).then(setLetters, (error: Error) => {
      if (!stop.signal.aborted) setSaid(error.message);
    });
    return () => stop.abort();
  }, [rejected, asked]);

  const retryAll = (source: string) =>
    retrySource(source)
      .then(setSaid, (error: Error) => setSaid(error.message))
      .then(again);
  const sources = Object.entries(letters?.counts ?? {});
  return (
    <section className="card panel wide" aria-labelledby="dead-letters">
      <h2 id="dead-letters">Dead letters</h2>
      <p role="status" className="quiet">
        {said}
      </p>
      {letters !== null && sources.length === 0 && <p className="quiet">Nothing was refused.</p>}
      {sources.map(([source, count]) => (
        <p key={source} className="letter-source">
          <span>
            {source}: {formatCount(count)} refused
          </span>
          <button type="button" className="button" onClick={() => retryAll(source)}>
            Retry all of {source}
          </button>
        </p>
      ))}
      <ul className="letters">
        {letters?.dead_letters.map((letter) => (
          <LetterItem key={letter.id} letter={letter} onDone={again} />
        ))}
      </ul>
    </section>
  );
}

function LetterItem({ letter, onDone }: { letter: Letter; onDone: () => void }) {
  const [record, setRecord] = useState(() => readable(letter.raw));
  const [problem, setProblem] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const field = useId();

  const run = (work: Promise<string | null>) => {
    setBusy(true);
    work
      .then(
        (refused) => {
          setProblem(refused);
          if (refused === null) onDone();
        },
        (error: Error) => setProblem(error.message),
      )
      .finally(() => setBusy(false));
  };
  const retry = (event: FormEvent) => {
    event.preventDefault();
    run(retryLetter(letter.id, record));
  };
  return (
    <li>
      <details>
        <summary>
          {formatShortTime(Math.trunc(letter.time_ms / 1000) * 1000, 'ms')}, {letter.source}, line{' '}
          {formatCount(letter.line)}: {letter.reason}
        </summary>
        <form onSubmit={retry}>
          <label htmlFor={field}>
            Record {letter.id}, for {letter.table}
          </label>
          <textarea
            id={field}
            className="mono"
            rows={Math.min(12, record.split('\n').length + 1)}
            spellCheck={false}
            value={record}
            onChange={(event) => setRecord(event.target.value)}
          />
          <div className="letter-actions">
            <button type="submit" className="button primary" disabled={busy}>
              Retry
            </button>
            <button
              type="button"
              className="button"
              disabled={busy}
              onClick={() => run(dropLetter(letter.id).then(() => null))}
            >
              Drop
            </button>
          </div>
        </form>
        {problem !== null && (
          <p role="alert" className="problem">
            {problem}
          </p>
        )}
      </details>
    </li>
  );
}
