// Choosing a picture for oneself or a group.

import { useRef, useState } from 'react';
import { inWords } from '../api';

interface Props {
  readonly has: boolean;
  /** `null`: none any more. */
  readonly onPick: (file: File | null) => Promise<void>;
}

export function PicturePicker({ has, onPick }: Props) {
  const input = useRef<HTMLInputElement>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const pick = async (file: File | null) => {
    setBusy(true);
    setProblem(null);
    try {
      await onPick(file);
    } catch (thrown) {
      setProblem(inWords(thrown));
    }
    setBusy(false);
  };
  return (
    <div className="picture-picker">
      <input
        ref={input}
        type="file"
        accept="image/png,image/jpeg,image/webp,image/gif"
        hidden
        aria-label="Picture"
        onChange={({ target }) => {
          const file = target.files?.[0];
          if (file !== undefined) void pick(file);
          target.value = '';
        }}
      />
      <button type="button" className="button" disabled={busy} onClick={() => input.current?.click()}>
        {busy ? 'One moment…' : has ? 'Change the picture' : 'Add a picture'}
      </button>
      {has && (
        <button type="button" className="link-button" disabled={busy} onClick={() => void pick(null)}>
          Remove it
        </button>
      )}
      {problem !== null && (
        <p className="log-in-problem" role="alert">
          {problem}
        </p>
      )}
    </div>
  );
}
