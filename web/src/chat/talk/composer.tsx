// Where a message is written: text, emoji, files; as an answer, or as a new wording of an old one.

import {
  type ClipboardEvent,
  type KeyboardEvent,
  type Ref,
  useEffect,
  useImperativeHandle,
  useRef,
  useState,
} from 'react';
import { flushSync } from 'react-dom';
import type { Message } from '../store/rows';
import { Icon } from '../ui/icon';
import { useFile } from './attachment';
import { EmojiPicker } from './emoji-picker';
import { Tray } from './tray';
import type { Uploads } from './uploads';
import { summary } from './words';

const TYPING_MS = 4_000;
const DRAFT = 'rowcast.chat.draft.';

export interface ComposerHandle {
  readonly focus: () => void;
}

interface Props {
  readonly room: string;
  readonly label: string;
  readonly maxText: number;
  readonly reply: Message | null;
  readonly edit: Message | null;
  readonly nameOf: (user: string) => string;
  readonly uploads: Uploads;
  readonly onCancel: () => void;
  readonly onSend: (text: string) => void;
  /** Nothing is written, and the last message is wanted back. */
  readonly onEditLast: () => void;
  readonly onTyping: (typing: boolean) => void;
  readonly ref: Ref<ComposerHandle>;
}

export function Composer(props: Props) {
  const { room, label, maxText, reply, edit, uploads, onCancel, onSend, onEditLast, ref } = props;
  const [text, setText] = useState(() => sessionStorage.getItem(DRAFT + room) ?? '');
  const [picking, setPicking] = useState(false);
  const area = useRef<HTMLTextAreaElement>(null);
  const input = useRef<HTMLInputElement>(null);
  const typed = useTyping(props.onTyping);
  useImperativeHandle(ref, () => ({ focus: () => area.current?.focus() }), []);

  useEffect(() => {
    if (edit === null) return;
    setText(edit.body);
    area.current?.focus();
    return () => setText(sessionStorage.getItem(DRAFT + room) ?? '');
  }, [edit, room]);

  const write = (next: string) => {
    setText(next);
    typed(next.trim() !== '');
    if (edit === null) sessionStorage.setItem(DRAFT + room, next);
  };
  const isReady = edit !== null ? text.trim() !== '' : uploads.idle && (text.trim() !== '' || uploads.done.length > 0);
  const tooLong = [...text].length > maxText;
  const send = () => {
    if (!isReady || tooLong) return;
    onSend(text.trim());
    sessionStorage.removeItem(DRAFT + room);
    setText('');
    typed(false);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const isTouch = matchMedia('(pointer: coarse)').matches;
    if (event.key === 'Enter' && !event.shiftKey && !event.nativeEvent.isComposing && !isTouch) {
      event.preventDefault();
      send();
    } else if (event.key === 'Escape' && (reply !== null || edit !== null)) onCancel();
    else if (event.key === 'ArrowUp' && text === '' && edit === null) {
      event.preventDefault();
      onEditLast();
    }
  };
  const onPaste = (event: ClipboardEvent) => {
    const files = [...event.clipboardData.files];
    if (files.length === 0) return;
    event.preventDefault();
    uploads.add(files);
  };
  const insert = (emoji: string) => {
    const field = area.current;
    const [from, to] = [field?.selectionStart ?? text.length, field?.selectionEnd ?? text.length];
    // At once: what is typed next belongs into the field.
    flushSync(() => {
      write(text.slice(0, from) + emoji + text.slice(to));
      setPicking(false);
    });
    field?.focus();
    field?.setSelectionRange(from + emoji.length, from + emoji.length);
  };

  return (
    <div className="composer">
      {(reply ?? edit) !== null && <About {...props} />}
      <Tray uploads={uploads} />
      <div className="composer-row">
        <button
          type="button"
          className="icon-button"
          aria-label="Attach files"
          title="Attach files"
          disabled={edit !== null}
          onClick={() => input.current?.click()}
        >
          <Icon name="clip" />
        </button>
        <input
          ref={input}
          type="file"
          multiple
          hidden
          aria-label="Files"
          onChange={({ target }) => {
            uploads.add([...(target.files ?? [])]);
            target.value = '';
          }}
        />
        <div className="grow" data-text={`${text} `}>
          <textarea
            ref={area}
            rows={1}
            dir="auto"
            aria-label={label}
            placeholder="Write a message"
            value={text}
            onChange={(event) => write(event.target.value)}
            onKeyDown={onKeyDown}
            onPaste={onPaste}
            enterKeyHint="send"
          />
        </div>
        <div className="composer-emoji">
          <button
            type="button"
            className="icon-button"
            aria-label="Emoji"
            title="Emoji"
            aria-expanded={picking}
            onPointerDown={(event) => picking && event.stopPropagation()}
            onClick={() => setPicking(!picking)}
          >
            <Icon name="face" />
          </button>
          {picking && (
            <EmojiPicker
              onPick={insert}
              onClose={() => {
                setPicking(false);
                area.current?.focus();
              }}
            />
          )}
        </div>
        <button
          type="button"
          className="button primary send"
          aria-label={edit === null ? 'Send' : 'Save'}
          title={edit === null ? 'Send' : 'Save'}
          disabled={!isReady || tooLong}
          onClick={send}
        >
          <Icon name={edit === null ? 'send' : 'check'} />
        </button>
      </div>
      {tooLong && (
        <p className="composer-note" role="status">
          {[...text].length.toLocaleString()} of at most {maxText.toLocaleString()} characters
        </p>
      )}
    </div>
  );
}

/** What is answered or reworded. */
function About({ reply, edit, nameOf, onCancel }: Props) {
  const message = reply ?? edit;
  const file = useFile(message?.file ?? null);
  if (message === null) return null;
  return (
    <div className="about">
      <Icon name={edit === null ? 'reply' : 'edit'} />
      <span className="about-text">
        <strong dir="auto">{edit === null ? `Reply to ${nameOf(message.sender)}` : 'Edit message'}</strong>
        <span dir="auto">{summary(message, file)}</span>
      </span>
      <button type="button" className="icon-button small" aria-label="Cancel" onClick={onCancel}>
        <Icon name="close" />
      </button>
    </div>
  );
}

/** Says that somebody types, and takes it back when they stop. */
function useTyping(onTyping: (typing: boolean) => void): (typing: boolean) => void {
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  useEffect(() => () => clearTimeout(timer.current), []);
  return (typing) => {
    clearTimeout(timer.current);
    onTyping(typing);
    if (typing) timer.current = setTimeout(() => onTyping(false), TYPING_MS);
  };
}
