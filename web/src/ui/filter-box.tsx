// A field for an SQL condition that shows a mistake under the very characters.

import type { RowcastErrorLike } from '@rowcast/client';
import { useEffect, useId, useRef, useState } from 'react';
import { Icon } from './icon';
import { splitAt } from './span';

interface Props {
  readonly value: string;
  readonly error: RowcastErrorLike | null;
  readonly placeholder: string;
  /** Called a moment after typing stops (`replace`), and on Enter (`push`). */
  readonly onChange: (text: string, how: 'push' | 'replace') => void;
}

const PAUSE_MS = 350;

export function FilterBox({ value, error, placeholder, onChange }: Props) {
  const [text, setText] = useState(value);
  const sent = useRef(value);
  const id = useId();
  // The address may change by itself: a link, or the way back.
  useEffect(() => {
    if (value === sent.current) return;
    sent.current = value;
    setText(value);
  }, [value]);
  const send = (next: string, how: 'push' | 'replace') => {
    const trimmed = next.trim() === '' ? '' : next;
    if (trimmed === sent.current && how === 'replace') return;
    sent.current = trimmed;
    onChange(trimmed, how);
  };
  const latest = useRef(send);
  latest.current = send;
  useEffect(() => {
    const timer = setTimeout(() => latest.current(text, 'replace'), PAUSE_MS);
    return () => clearTimeout(timer);
  }, [text]);
  const shown = text === value ? error : null;
  const clear = () => {
    setText('');
    send('', 'push');
  };
  return (
    <div className="filter" data-invalid={shown !== null || undefined}>
      <div className="filter-field">
        <Icon name="filter" />
        <div className="filter-text">
          <FilterInput
            id={id}
            text={text}
            error={shown}
            placeholder={placeholder}
            onText={setText}
            onEnter={() => send(text, 'push')}
            onEscape={clear}
          />
        </div>
        {text !== '' && (
          <button type="button" className="icon-button small" aria-label="Clear the filter" onClick={clear}>
            <Icon name="close" />
          </button>
        )}
      </div>
      <FilterError id={`${id}-error`} error={shown} />
    </div>
  );
}

interface InputProps {
  readonly id: string;
  readonly text: string;
  readonly error: RowcastErrorLike | null;
  readonly placeholder: string;
  readonly onText: (text: string) => void;
  readonly onEnter: () => void;
  readonly onEscape: () => void;
}

function FilterInput({ id, text, error, placeholder, onText, onEnter, onEscape }: InputProps) {
  const marks = useRef<HTMLDivElement>(null);
  const input = useRef<HTMLInputElement>(null);
  const follow = () => {
    if (marks.current && input.current) marks.current.scrollLeft = input.current.scrollLeft;
  };
  useEffect(follow);
  return (
    <>
      <div className="filter-marks" ref={marks} aria-hidden="true">
        {error?.at !== undefined && <Marks text={text} at={error.at} />}
      </div>
      <input
        ref={input}
        type="text"
        aria-label="Filter: an SQL condition over one row"
        aria-invalid={error !== null}
        aria-describedby={error === null ? undefined : `${id}-error`}
        value={text}
        placeholder={placeholder}
        autoCapitalize="off"
        autoComplete="off"
        autoCorrect="off"
        spellCheck={false}
        onChange={(event) => onText(event.target.value)}
        onScroll={follow}
        onKeyDown={(event) => {
          if (event.key === 'Enter') onEnter();
          if (event.key === 'Escape' && text !== '') onEscape();
        }}
      />
    </>
  );
}

function Marks({ text, at }: { text: string; at: { offset: number; length: number } }) {
  const [before, wrong, after] = splitAt(text, at);
  return (
    <>
      {before}
      <span className="filter-wrong">{wrong}</span>
      {after}
    </>
  );
}

function FilterError({ id, error }: { id: string; error: RowcastErrorLike | null }) {
  return (
    <div id={id} className="filter-error" role="alert" hidden={error === null}>
      {error !== null && (
        <>
          <strong>{error.message}</strong>
          {error.at !== undefined && <span className="filter-at"> at character {error.at.offset + 1}</span>}
          {error.hint !== undefined && <span className="filter-hint">{error.hint}</span>}
        </>
      )}
    </div>
  );
}
