// Short notes at the edge of the page: what came in another talk, what went wrong.

import { type ReactNode, useEffect } from 'react';
import { useCell } from '../chat';
import { Cell } from '../store/cell';
import { Icon } from './icon';

export interface Toast {
  /** A newer one with the same key takes its place. */
  readonly key: string;
  readonly title: string;
  readonly body?: string;
  readonly picture?: ReactNode;
  readonly bad?: boolean;
  readonly act?: () => void;
}

const SHOWN_MS = 6_000;
const MAX = 4;
const toasts = new Cell<readonly Toast[]>([]);

export function toast(next: Toast): void {
  toasts.set([...toasts.get().filter(({ key }) => key !== next.key), next].slice(-MAX));
}

export function dismiss(key: string): void {
  toasts.set(toasts.get().filter((one) => one.key !== key));
}

/** Something that was asked for was not done. */
export function complain(thrown: unknown): void {
  toast({ key: 'complaint', title: thrown instanceof Error ? thrown.message : String(thrown), bad: true });
}

export function Toasts() {
  const shown = useCell(toasts);
  return (
    <div className="toasts" role="log" aria-live="polite" aria-label="Notifications">
      {shown.map((one) => (
        <Note key={one.key} note={one} />
      ))}
    </div>
  );
}

function Note({ note: { key: id, title, body, picture, bad, act } }: { note: Toast }) {
  // biome-ignore lint/correctness/useExhaustiveDependencies: another text begins the time anew
  useEffect(() => {
    const timer = setTimeout(() => dismiss(id), SHOWN_MS);
    return () => clearTimeout(timer);
  }, [id, title, body]);
  const text = (
    <span className="toast-text">
      <strong dir="auto">{title}</strong>
      {body !== undefined && <span dir="auto">{body}</span>}
    </span>
  );
  return (
    <div className={bad ? 'toast bad' : 'toast'}>
      {act === undefined ? (
        <div className="toast-main">
          {picture}
          {text}
        </div>
      ) : (
        <button
          type="button"
          className="toast-main"
          onClick={() => {
            dismiss(id);
            act();
          }}
        >
          {picture}
          {text}
        </button>
      )}
      <button type="button" className="icon-button small" aria-label="Dismiss" onClick={() => dismiss(id)}>
        <Icon name="close" />
      </button>
    </div>
  );
}
