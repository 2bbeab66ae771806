// A file in a message: a picture with its viewer, or a name to download.

import { useEffect, useState } from 'react';
import { fileUrl, thumbnailUrl } from '../api';
import { useCell, useChat } from '../chat';
import { type FileRow, isTrue } from '../store/rows';
import { Dialog } from '../ui/dialog';
import { Icon } from '../ui/icon';
import { bytesOf } from './words';

const THUMB_MAX = 320;

export function useFile(id: string | null): FileRow | undefined {
  const { files } = useChat();
  const known = useCell(files.cell);
  const file = id === null ? undefined : known.get(id);
  useEffect(() => {
    if (id !== null && file === undefined) files.want(id);
  }, [files, id, file]);
  return file;
}

export function Attachment({ id, tabIndex }: { id: string; tabIndex: number }) {
  const file = useFile(id);
  const [open, setOpen] = useState(false);
  if (file === undefined) return <span className="attachment loading" role="img" aria-label="A file, loading" />;
  const isPicture = file.type.startsWith('image/');
  if (!isPicture || file.width === null || file.height === null) return <Named file={file} tabIndex={tabIndex} />;
  const scale = Math.min(1, THUMB_MAX / file.width, THUMB_MAX / file.height);
  return (
    <>
      <button
        type="button"
        className="picture"
        tabIndex={tabIndex}
        aria-label={`Show the picture ${file.name}`}
        onClick={() => setOpen(true)}
      >
        <img
          src={isTrue(file.thumbnail) ? thumbnailUrl(file.id) : fileUrl(file.id)}
          alt=""
          width={Math.max(48, Math.round(file.width * scale))}
          height={Math.max(48, Math.round(file.height * scale))}
          draggable={false}
        />
      </button>
      {open && <Viewer file={file} onClose={() => setOpen(false)} />}
    </>
  );
}

function Named({ file, tabIndex }: { file: FileRow; tabIndex: number }) {
  return (
    <a className="attachment" href={fileUrl(file.id)} download={file.name} tabIndex={tabIndex}>
      <Icon name="file" />
      <span className="attachment-name" dir="auto">
        {file.name}
      </span>
      <span className="quiet">{bytesOf(file.bytes)}</span>
      <Icon name="download" />
    </a>
  );
}

function Viewer({ file, onClose }: { file: FileRow; onClose: () => void }) {
  return (
    <Dialog title={file.name} onClose={onClose} className="viewer">
      <img className="viewer-image" src={fileUrl(file.id)} alt={file.name} />
      <p className="viewer-foot">
        <span className="quiet">
          {file.width} × {file.height}, {bytesOf(file.bytes)}
        </span>
        <a className="button" href={fileUrl(file.id)} download={file.name}>
          <Icon name="download" />
          Download
        </a>
      </p>
    </Dialog>
  );
}
