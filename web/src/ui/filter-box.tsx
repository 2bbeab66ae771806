// A field for an SQL condition that shows a mistake under the very characters.

import type { RowcastErrorLike } from '@rowcast/client';
import { type RefObject, useEffect, useId, useLayoutEffect, useRef, useState } from 'react';
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
  const caret = useRef<HTMLSpanElement>(null);
  const point = (mark: Element | null) => {
    const box = caret.current?.parentElement?.getBoundingClientRect();
    const at = mark?.getBoundingClientRect();
    if (caret.current === null || box === undefined) return;
    const left = at === undefined ? Number.NaN : (at.left + at.right) / 2 - box.left;
    caret.current.hidden = !(left > 6 && left < box.width - 6);
    caret.current.style.left = `${left}px`;
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
            onMark={point}
          />
        </div>
        {text !== '' && (
          <button type="button" className="icon-button small" aria-label="Clear the filter" onClick={clear}>
            <Icon name="close" />
          </button>
        )}
      </div>
      <FilterError id={`${id}-error`} error={shown} caret={caret} />
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
  /** The wrong characters, whenever they may have moved. */
  readonly onMark: (mark: Element | null) => void;
}

function FilterInput({ id, text, error, placeholder, onText, onEnter, onEscape, onMark }: InputProps) {
  const marks = useRef<HTMLDivElement>(null);
  const input = useRef<HTMLInputElement>(null);
  const follow = () => {
    if (marks.current === null || input.current === null) return;
    marks.current.scrollLeft = input.current.scrollLeft;
    onMark(marks.current.querySelector('.filter-wrong'));
  };
  useLayoutEffect(follow);
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

interface ErrorProps {
  readonly id: string;
  readonly error: RowcastErrorLike | null;
  readonly caret: RefObject<HTMLSpanElement | null>;
}

function FilterError({ id, error, caret }: ErrorProps) {
  return (
    <div id={id} className="filter-error" role="alert" hidden={error === null}>
      <span ref={caret} className="filter-caret" aria-hidden="true" />
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
