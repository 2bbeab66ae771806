// The pictures of a talk, one at a time: arrow keys and buttons lead from one to the next, in the order in which they were sent.

import { type KeyboardEvent, useEffect, useRef } from 'react';
import { fileUrl } from '../api';
import { useCell, useChat } from '../chat';
import type { Message } from '../store/rows';
import type { TalkHistory } from '../store/talk';
import { Dialog } from '../ui/dialog';
import { Icon } from '../ui/icon';
import { isPicture, useFile } from './attachment';
import { bytesOf } from './words';

/** So near to the end of what is read, more is read; so often for each picture, as there may be none. */
const NEAR = 3;
const PAGES = 8;

interface Props {
  readonly file: string;
  readonly history: TalkHistory;
  readonly onShow: (file: string) => void;
  readonly onClose: () => void;
}

export function Viewer({ file: id, history, onShow, onClose }: Props) {
  const file = useFile(id);
  const { window } = useCell(history.cell);
  const pictures = usePictures(window.messages);
  const at = pictures.indexOf(id);
  const pages = useRef(0);
  useEffect(() => {
    const [wantsOlder, wantsNewer] = [window.older && at < NEAR, window.newer && at >= pictures.length - NEAR];
    if (pages.current >= PAGES || !(wantsOlder || wantsNewer)) return;
    pages.current++;
    void (wantsOlder ? history.older() : history.newer());
  }, [history, window, at, pictures.length]);
  const go = (step: number) => {
    const next = at < 0 ? undefined : pictures[at + step];
    if (next === undefined) return;
    pages.current = 0;
    onShow(next);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    go(step);
  };
  if (!isPicture(file)) return null;
  const isMany = at >= 0 && pictures.length > 1;
  return (
    <Dialog title={file.name} onClose={onClose} onKeyDown={onKeyDown} className={isMany ? 'viewer many' : 'viewer'}>
      <div className="viewer-stage">
        <img className="viewer-image" src={fileUrl(id)} alt={file.name} width={file.width} height={file.height} />
        {isMany && (
          <>
            <Step label="Previous picture" icon="back" off={at === 0} onClick={() => go(-1)} />
            <Step label="Next picture" icon="next" off={at === pictures.length - 1} onClick={() => go(1)} />
          </>
        )}
      </div>
      <p className="viewer-foot">
        <span className="quiet">
          {isMany && (
            <span role="status">
              Picture {at + 1} of {pictures.length},{' '}
            </span>
          )}
          {file.width} × {file.height}, {bytesOf(file.bytes)}
        </span>
        <a className="button" href={fileUrl(id)} download={file.name}>
          <Icon name="download" />
          Download
        </a>
      </p>
    </Dialog>
  );
}

interface StepProps {
  readonly label: string;
  readonly icon: 'back' | 'next';
  readonly off: boolean;
  readonly onClick: () => void;
}

/** It keeps the focus at the last picture, so that the keys go on working. */
function Step({ label, icon, off, onClick }: StepProps) {
  return (
    <button
      type="button"
      className={`icon-button viewer-step ${icon}`}
      aria-label={label}
      title={label}
      aria-disabled={off}
      onClick={onClick}
    >
      <Icon name={icon} />
    </button>
  );
}

/** The pictures among messages. */
function usePictures(messages: readonly Message[]): readonly string[] {
  const { files } = useChat();
  const known = useCell(files.cell);
  const ids = messages.flatMap(({ file, deleted_at }) => (file === null || deleted_at !== null ? [] : [file]));
  useEffect(() => {
    for (const id of ids) files.want(id);
  });
  return ids.filter((id) => isPicture(known.get(id)));
}
