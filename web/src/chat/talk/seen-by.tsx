// Who of a group has read a message.

import { useRows } from '@rowcast/client/react';
import { useChat } from '../chat';
import { type Talk, useDirectory } from '../directory';
import { Avatar } from '../people/avatar';
import { readers } from '../store/marks';
import { type Message, quoted, type Receipt } from '../store/rows';
import { Dialog } from '../ui/dialog';

export function SeenBy({ message, talk, onClose }: { message: Message; talk: Talk; onClose: () => void }) {
  const { me } = useChat();
  const { person } = useDirectory();
  const { rows } = useRows<Receipt>('chat_receipts', { where: `room = ${quoted(talk.room.id)}` });
  const others = talk.members.map(({ user_id }) => user_id).filter((user) => user !== me.id);
  const who = readers(message.id, rows, others);
  return (
    <Dialog title={`Seen by ${who.length} of ${others.length}`} onClose={onClose} className="narrow">
      {who.length === 0 && <p className="quiet">Nobody has seen it yet.</p>}
      <ul className="people">
        {who.map((user) => (
          <li key={user} className="person-row">
            <Avatar {...person(user)} size="small" />
            <span dir="auto">{person(user).name}</span>
          </li>
        ))}
      </ul>
    </Dialog>
  );
}
