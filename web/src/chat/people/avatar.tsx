// Somebody's picture, or their initials on a colour that stays theirs.

import { fileUrl } from '../api';
import { useOnline } from '../directory';
import { initials } from './words';

interface Props {
  readonly id: string;
  readonly name: string;
  readonly picture: string | null;
  readonly size?: 'small' | 'large' | 'huge';
}

const TONES = 8;

export function Avatar({ id, name, picture, size }: Props) {
  const className = `avatar ${size ?? ''}`;
  if (picture !== null) {
    return (
      <span className={className} aria-hidden="true">
        <img src={fileUrl(picture)} alt="" loading="lazy" />
      </span>
    );
  }
  return (
    <span className={className} data-tone={toneOf(id)} aria-hidden="true">
      {initials(name)}
    </span>
  );
}

/** With a dot while they are there. */
export function ContactAvatar(props: Props) {
  const online = useOnline(props.id);
  return (
    <span className="avatar-place">
      <Avatar {...props} />
      {online && (
        <span className="online-dot">
          <span className="visually-hidden">online</span>
        </span>
      )}
    </span>
  );
}

function toneOf(id: string): number {
  let sum = 0;
  for (let i = 0; i < id.length; i++) sum = (sum * 31 + id.charCodeAt(i)) >>> 0;
  return (sum % TONES) + 1;
}
