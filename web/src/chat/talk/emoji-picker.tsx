// Emoji to choose from: found by name, walked through by arrow keys.

import { type KeyboardEvent, useEffect, useRef, useState } from 'react';
import { Floating } from '../ui/floating';
import { useOutside } from '../ui/menu';
import { EMOJI, type Emoji, findEmoji } from './emoji';

interface Props {
  readonly onPick: (emoji: string) => void;
  readonly onClose: () => void;
}

export function EmojiPicker({ onPick, onClose }: Props) {
  const [wanted, setWanted] = useState('');
  const root = useRef<HTMLDivElement>(null);
  useOutside(root, true, onClose);
  useEffect(() => root.current?.querySelector('input')?.focus(), []);
  const groups = wanted.trim() === '' ? EMOJI : ([['Found', findEmoji(wanted)]] as const);
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === 'Escape') {
      event.stopPropagation();
      onClose();
      return;
    }
    if (moved(root.current, event.key)) event.preventDefault();
  };
  return (
    <Floating className="emoji-float" prefer="above" onClose={onClose}>
      <div className="emoji-picker" ref={root} role="dialog" aria-label="Emoji" tabIndex={-1} onKeyDown={onKeyDown}>
        <input
          type="search"
          className="text-input"
          aria-label="Find an emoji by its name"
          placeholder="Find an emoji"
          value={wanted}
          onChange={(event) => setWanted(event.target.value)}
          onKeyDown={(event) => {
            const first = wanted.trim() === '' ? undefined : findEmoji(wanted)[0];
            if (event.key === 'Enter' && first !== undefined) {
              event.preventDefault();
              onPick(first.text);
            }
          }}
        />
        <div className="emoji-groups">
          {groups.map(([group, list]) => (
            <section key={group} aria-label={group}>
              <h3>{group}</h3>
              <div className="emoji-grid">
                {list.map((emoji, index) => (
                  <Choice
                    key={emoji.text}
                    emoji={emoji}
                    isFirst={index === 0 && group === groups[0]?.[0]}
                    onPick={onPick}
                  />
                ))}
              </div>
            </section>
          ))}
          {groups[0]?.[1].length === 0 && <p className="quiet">No emoji is called that.</p>}
        </div>
      </div>
    </Floating>
  );
}

interface ChoiceProps {
  readonly emoji: Emoji;
  readonly isFirst: boolean;
  readonly onPick: (emoji: string) => void;
}

function Choice({ emoji, isFirst, onPick }: ChoiceProps) {
  return (
    <button
      type="button"
      className="emoji"
      tabIndex={isFirst ? 0 : -1}
      aria-label={emoji.name}
      title={emoji.name}
      onClick={() => onPick(emoji.text)}
    >
      {emoji.text}
    </button>
  );
}

const COLUMNS = 8;

/** Moves the focus as the arrow key says. */
function moved(root: HTMLElement | null, key: string): boolean {
  const all = [...(root?.querySelectorAll<HTMLElement>('.emoji') ?? [])];
  const at = all.indexOf(document.activeElement as HTMLElement);
  const inField = at < 0;
  const steps: Record<string, number> = { ArrowDown: COLUMNS, ArrowUp: -COLUMNS };
  if (!inField) Object.assign(steps, { ArrowRight: 1, ArrowLeft: -1 });
  const step = steps[key];
  if (step === undefined || (inField && step < 0)) return false;
  if (!inField && at + step < 0) root?.querySelector('input')?.focus();
  else all[inField ? 0 : Math.min(all.length - 1, at + step)]?.focus();
  return true;
}
