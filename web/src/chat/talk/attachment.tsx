// A file in a message: a picture, or a name to download.

import { useEffect } from 'react';
import { fileUrl, thumbnailUrl } from '../api';
import { useCell, useChat } from '../chat';
import { type FileRow, isTrue } from '../store/rows';
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

interface Props {
  readonly id: string;
  readonly tabIndex: number;
  readonly onShow: (id: string) => void;
}

export function Attachment({ id, tabIndex, onShow }: Props) {
  const file = useFile(id);
  if (file === undefined) return <span className="attachment loading" role="img" aria-label="A file, loading" />;
  if (!isPicture(file)) return <Named file={file} tabIndex={tabIndex} />;
  const scale = Math.min(1, THUMB_MAX / file.width, THUMB_MAX / file.height);
  return (
    <button
      type="button"
      className="picture"
      tabIndex={tabIndex}
      aria-label={`Show the picture ${file.name}`}
      onClick={() => onShow(id)}
    >
      <img
        src={isTrue(file.thumbnail) ? thumbnailUrl(file.id) : fileUrl(file.id)}
        alt=""
        width={Math.max(48, Math.round(file.width * scale))}
        height={Math.max(48, Math.round(file.height * scale))}
        draggable={false}
      />
    </button>
  );
}

export type Picture = FileRow & { readonly width: number; readonly height: number };

/** One that is shown in its place. */
export function isPicture(file: FileRow | undefined): file is Picture {
  return file?.type.startsWith('image/') === true && file.width !== null && file.height !== null;
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
