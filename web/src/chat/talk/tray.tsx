// The files that go with the next message, and how far they are.

import { Icon } from '../ui/icon';
import type { Going, Uploads } from './uploads';
import { bytesOf } from './words';

export function Tray({ uploads }: { uploads: Uploads }) {
  if (uploads.all.length === 0) return null;
  return (
    <ul className="tray" aria-label="Files to send">
      {uploads.all.map((going) => (
        <Item key={going.key} going={going} uploads={uploads} />
      ))}
    </ul>
  );
}

function Item({ going, uploads }: { going: Going; uploads: Uploads }) {
  const { key, file, preview, progress, row, problem } = going;
  return (
    <li className={problem === null ? 'tray-item' : 'tray-item bad'}>
      {preview === null ? <Icon name="file" /> : <img src={preview} alt="" className="tray-preview" />}
      <span className="tray-text">
        <span className="tray-name" dir="auto">
          {file.name}
        </span>
        {problem === null ? (
          <span className="quiet">{bytesOf(file.size)}</span>
        ) : (
          <span role="alert">
            {problem}{' '}
            {!problem.startsWith('Larger') && (
              <button type="button" className="link-button" onClick={() => uploads.again(key)}>
                Try again
              </button>
            )}
          </span>
        )}
        {row === null && problem === null && <progress value={progress} max={1} aria-label={`Sending ${file.name}`} />}
      </span>
      <button
        type="button"
        className="icon-button small"
        aria-label={`Remove ${file.name}`}
        onClick={() => uploads.remove(key)}
      >
        <Icon name="close" />
      </button>
    </li>
  );
}
