// Search in one talk.

import { useState } from 'react';
import type { Talk } from '../directory';
import { Dialog } from '../ui/dialog';
import { Found } from './found';

interface Props {
  readonly talk: Talk;
  readonly onClose: () => void;
  readonly onPick: (id: number) => void;
}

export function SearchDialog({ talk, onClose, onPick }: Props) {
  const [words, setWords] = useState('');
  return (
    <Dialog title={`Search in ${talk.title}`} onClose={onClose} className="search-dialog">
      <input
        type="search"
        className="text-input"
        aria-label="Words to search for"
        placeholder="Words to search for"
        value={words}
        onChange={(event) => setWords(event.target.value)}
      />
      <Found words={words} room={talk.room.id} onPick={(message) => onPick(message.id)} />
    </Dialog>
  );
}
