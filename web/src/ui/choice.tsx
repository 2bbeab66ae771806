// Small controls: a labelled select, a row of alternatives, and a list of which several can be ticked.

import { type ReactNode, useEffect, useId, useRef, useState } from 'react';
import { Icon } from './icon';

interface SelectProps {
  readonly label: string;
  readonly value: string;
  readonly options: readonly { readonly value: string; readonly text: string }[];
  readonly onChange: (value: string) => void;
}

export function Select({ label, value, options, onChange }: SelectProps) {
  return (
    <label className="select">
      <span className="select-label">{label}</span>
      <select value={value} onChange={(event) => onChange(event.target.value)}>
        {options.map((option) => (
          <option key={option.value} value={option.value}>
            {option.text}
          </option>
        ))}
      </select>
      <Icon name="chevron" />
    </label>
  );
}

interface SegmentsProps<T extends string> {
  readonly label: string;
  readonly value: T | null;
  readonly options: readonly { readonly value: T; readonly text: ReactNode; readonly name?: string }[];
  readonly onChange: (value: T) => void;
}

/** One of a few, all in sight. */
export function Segments<T extends string>({ label, value, options, onChange }: SegmentsProps<T>) {
  const name = useId();
  return (
    <fieldset className="segments">
      <legend className="visually-hidden">{label}</legend>
      {options.map((option) => (
        <label key={option.value} className="segment">
          <input
            type="radio"
            className="visually-hidden"
            name={name}
            checked={option.value === value}
            aria-label={option.name}
            onChange={() => onChange(option.value)}
          />
          <span>{option.text}</span>
        </label>
      ))}
    </fieldset>
  );
}

interface TicksProps {
  readonly label: string;
  readonly values: readonly string[];
  readonly options: readonly string[];
  readonly onChange: (values: string[]) => void;
}

/** Several of many, in a list that opens. At least one stays ticked. */
export function Ticks({ label, values, options, onChange }: TicksProps) {
  const [open, setOpen] = useState(false);
  const root = useRef<HTMLDivElement>(null);
  const button = useRef<HTMLButtonElement>(null);
  useOutside(root, open, () => setOpen(false));
  const toggle = (name: string) => {
    const next = options.filter((option) => values.includes(option) !== (option === name));
    if (next.length > 0) onChange(next);
  };
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: Escape is heard from whatever inside has the focus
    <div
      className="select ticks"
      ref={root}
      onKeyDown={(event) => {
        if (event.key !== 'Escape' || !open) return;
        event.stopPropagation();
        setOpen(false);
        button.current?.focus();
      }}
    >
      <button ref={button} type="button" aria-expanded={open} onClick={() => setOpen(!open)}>
        <span className="select-label">{label}</span>
        <span className="ticks-value">{values.join(', ') || 'none'}</span>
      </button>
      <Icon name="chevron" />
      {open && (
        <fieldset className="popover">
          <legend className="visually-hidden">{label}</legend>
          {options.map((option) => (
            <label key={option} className="popover-item">
              <input type="checkbox" checked={values.includes(option)} onChange={() => toggle(option)} />
              {option}
            </label>
          ))}
        </fieldset>
      )}
    </div>
  );
}

function useOutside(root: React.RefObject<HTMLElement | null>, on: boolean, leave: () => void): void {
  const latest = useRef(leave);
  latest.current = leave;
  useEffect(() => {
    if (!on) return;
    const listen = (event: Event) => {
      if (event.target instanceof Node && !root.current?.contains(event.target)) latest.current();
    };
    document.addEventListener('pointerdown', listen);
    document.addEventListener('focusin', listen);
    return () => {
      document.removeEventListener('pointerdown', listen);
      document.removeEventListener('focusin', listen);
    };
  }, [on, root]);
}
