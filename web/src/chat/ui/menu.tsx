// A button with a menu: arrow keys move in it, Escape and a click elsewhere close it.

import { type KeyboardEvent, type ReactNode, useEffect, useRef, useState } from 'react';
import { Floating } from './floating';
import { Icon, type IconName } from './icon';

export interface Item {
  readonly label: string;
  readonly icon: IconName;
  readonly danger?: boolean;
  readonly act: () => void;
}

interface Props {
  readonly label: string;
  readonly items: readonly (Item | null | false)[];
  readonly tabIndex?: number;
  readonly className?: string;
  readonly children: ReactNode;
}

export function Menu({ label, items, tabIndex, className = 'icon-button', children }: Props) {
  const [open, setOpen] = useState(false);
  const root = useRef<HTMLDivElement>(null);
  const button = useRef<HTMLButtonElement>(null);
  useOutside(root, open, () => setOpen(false));
  useEffect(() => {
    if (open) root.current?.querySelector<HTMLElement>('[role="menuitem"]')?.focus();
  }, [open]);
  const close = () => {
    setOpen(false);
    button.current?.focus();
  };
  const move = (event: KeyboardEvent) => {
    const all = [...(root.current?.querySelectorAll<HTMLElement>('[role="menuitem"]') ?? [])];
    const at = all.indexOf(document.activeElement as HTMLElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: all.length - 1 }[event.key];
    if (event.key === 'Escape' || event.key === 'Tab') close();
    if (to !== undefined) all.at(to % all.length)?.focus();
    if (to !== undefined || event.key === 'Escape') {
      event.preventDefault();
      event.stopPropagation();
    }
  };
  return (
    <div className="menu" ref={root}>
      <button
        ref={button}
        type="button"
        className={className}
        aria-label={label}
        title={label}
        aria-haspopup="menu"
        aria-expanded={open}
        tabIndex={tabIndex}
        onClick={() => setOpen(!open)}
      >
        {children}
      </button>
      {open && (
        <Floating className="menu-float" prefer="below" onClose={() => setOpen(false)}>
          <div className="menu-items" role="menu" aria-label={label} tabIndex={-1} onKeyDown={move}>
            {items.map(
              (item) =>
                item && (
                  <button
                    key={item.label}
                    type="button"
                    role="menuitem"
                    tabIndex={-1}
                    className={item.danger ? 'menu-item danger' : 'menu-item'}
                    onClick={() => {
                      close();
                      item.act();
                    }}
                  >
                    <Icon name={item.icon} />
                    {item.label}
                  </button>
                ),
            )}
          </div>
        </Floating>
      )}
    </div>
  );
}

/** Calls `leave` when something outside of the element is pressed. */
export function useOutside(root: { readonly current: HTMLElement | null }, active: boolean, leave: () => void): void {
  const latest = useRef(leave);
  useEffect(() => {
    latest.current = leave;
  });
  useEffect(() => {
    if (!active) return;
    const onDown = ({ target }: Event) => {
      if (target instanceof Node && !root.current?.contains(target)) latest.current();
    };
    document.addEventListener('pointerdown', onDown, true);
    return () => document.removeEventListener('pointerdown', onDown, true);
  }, [active, root]);
}
