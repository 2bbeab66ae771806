// One message: who, what, when, how far it has come, what others gave it, and what can be done with it.

import { memo, useRef, useState } from 'react';
import { Avatar } from '../people/avatar';
import type { Line } from '../store/lines';
import type { Mark } from '../store/marks';
import type { Letter } from '../store/outbox';
import { pillsOf } from '../store/reactions';
import { type Message, momentOf, type Reaction } from '../store/rows';
import { clockOf, wholeOf } from '../store/when';
import { Floating } from '../ui/floating';
import { Icon } from '../ui/icon';
import { Menu, useOutside } from '../ui/menu';
import { Attachment, useFile } from './attachment';
import { Body } from './body';
import { QUICK } from './emoji';
import { EmojiPicker } from './emoji-picker';
import { summary } from './words';

/** What a message may ask its talk for. */
export interface Acts {
  readonly reply: (message: Message) => void;
  readonly edit: (message: Message) => void;
  readonly erase: (message: Message) => void;
  readonly react: (message: Message, emoji: string) => void;
  readonly jump: (id: number) => void;
  readonly copy: (message: Message) => void;
  readonly info: (message: Message) => void;
  /** A picture, as large as the page. */
  readonly show: (file: string) => void;
  readonly activate: (key: string) => void;
  readonly tryAgain: (letter: Letter) => void;
  readonly discard: (letter: Letter) => void;
  readonly nameOf: (user: string) => string;
  readonly pictureOf: (user: string) => string | null;
}

interface Props {
  readonly line: Line & { readonly type: 'message' };
  readonly isGroup: boolean;
  readonly me: string;
  readonly active: boolean;
  readonly flash: boolean;
  readonly mark: Mark | null;
  readonly reactions: readonly Reaction[];
  /** `undefined`: not read yet; `null`: there is none. */
  readonly quote: Message | null | undefined;
  readonly mayErase: boolean;
  /** Names may have changed. */
  readonly names: unknown;
  readonly acts: Acts;
}

export const MessageLine = memo(function MessageLine(props: Props) {
  const { line, isGroup, me, active, flash, reactions, acts } = props;
  const { message, first, last, key } = line;
  const isMine = message.sender === me;
  const name = isMine ? 'You' : acts.nameOf(message.sender);
  const tab = active ? 0 : -1;
  const classes = [
    'message',
    isMine && 'mine',
    first && 'first',
    last && 'last',
    flash && 'flash',
    isGroup && 'in-group',
  ];
  return (
    <li
      data-key={key}
      data-id={message.id}
      className={classes.filter(Boolean).join(' ')}
      tabIndex={tab}
      onFocus={() => acts.activate(key)}
    >
      {isGroup && !isMine && (
        <span className="message-avatar">
          {last && <Avatar id={message.sender} name={name} picture={acts.pictureOf(message.sender)} size="small" />}
        </span>
      )}
      <div className="message-main">
        <div className="message-row">
          <div className={bubbleClass(message)}>
            {isGroup && !isMine && first ? (
              <span className="sender" dir="auto">
                {name}
              </span>
            ) : (
              <span className="visually-hidden">{name}: </span>
            )}
            <Content {...props} tab={tab} />
          </div>
          {message.deleted_at === null && <Tools {...props} isMine={isMine} tab={tab} />}
        </div>
        {reactions.length > 0 && <Pills message={message} reactions={reactions} me={me} tab={tab} acts={acts} />}
      </div>
    </li>
  );
}, isSame);

/** A line is made anew with each change of the talk, and is mostly the same. */
function isSame({ line, ...props }: Props, { line: nextLine, ...next }: Props): boolean {
  const names = Object.keys(props) as (keyof typeof props)[];
  if (names.some((name) => props[name] !== next[name])) return false;
  return line.message === nextLine.message && line.first === nextLine.first && line.last === nextLine.last;
}

function bubbleClass({ deleted_at, file, body }: Message): string {
  if (deleted_at !== null) return 'bubble deleted';
  return file !== null && body === '' ? 'bubble bare' : 'bubble';
}

function Content({ line: { message }, mark, quote, acts, tab }: Props & { tab: number }) {
  const at = momentOf(message.created_at);
  return (
    <>
      {message.reply_to !== null && message.deleted_at === null && (
        <Quote id={message.reply_to} quote={quote} acts={acts} tab={tab} />
      )}
      {message.deleted_at !== null && <p className="body quiet">This message was deleted</p>}
      {message.file !== null && <Attachment id={message.file} tabIndex={tab} onShow={acts.show} />}
      {message.body !== '' && <Body text={message.body} space={metaSpace(message, mark !== null)} />}
      <span className="meta">
        {message.edited_at !== null && message.deleted_at === null && <span>edited </span>}
        <time dateTime={isoOf(at)} title={wholeOf(at)}>
          {clockOf(at)}
        </time>
        {mark !== null && message.deleted_at === null && <MarkSign mark={mark} />}
      </span>
    </>
  );
}

/** As wide as what stands in the corner, so that the last line leaves room for it. */
function metaSpace({ created_at, edited_at }: Message, hasMark: boolean): string {
  return `${edited_at === null ? '' : 'edited '}${clockOf(momentOf(created_at))}${hasMark ? ' ✓✓' : ''}`;
}

function isoOf(at: number): string | undefined {
  return Number.isFinite(at) ? new Date(at).toISOString() : undefined;
}

const MARKS = { sent: 'Sent', delivered: 'Delivered', read: 'Read' } as const;

function MarkSign({ mark }: { mark: Mark }) {
  return (
    <span className="mark" data-mark={mark} title={MARKS[mark]}>
      <Icon name={mark === 'sent' ? 'check' : 'checks'} />
      <span className="visually-hidden">{MARKS[mark]}</span>
    </span>
  );
}

interface QuoteProps {
  readonly id: number;
  readonly quote: Message | null | undefined;
  readonly acts: Acts;
  readonly tab: number;
}

function Quote({ id, quote, acts, tab }: QuoteProps) {
  const file = useFile(quote?.file ?? null);
  if (quote === null) return <p className="quote gone quiet">The message is not there any more</p>;
  return (
    <button type="button" className="quote" tabIndex={tab} title="Go to this message" onClick={() => acts.jump(id)}>
      <strong dir="auto">{quote === undefined ? '…' : acts.nameOf(quote.sender)}</strong>
      <span dir="auto">{quote === undefined ? '' : summary(quote, file)}</span>
    </button>
  );
}

interface PillsProps {
  readonly message: Message;
  readonly reactions: readonly Reaction[];
  readonly me: string;
  readonly tab: number;
  readonly acts: Acts;
}

function Pills({ message, reactions, me, tab, acts }: PillsProps) {
  return (
    <div className="pills">
      {pillsOf(reactions).map(({ emoji, users }) => {
        const names = users.map((user) => (user === me ? 'you' : acts.nameOf(user))).join(', ');
        return (
          <button
            key={emoji}
            type="button"
            className="pill"
            tabIndex={tab}
            aria-pressed={users.includes(me)}
            aria-label={`${emoji} by ${names}`}
            title={names}
            onClick={() => acts.react(message, emoji)}
          >
            <span>{emoji}</span>
            {users.length > 1 && <span className="pill-count">{users.length}</span>}
          </button>
        );
      })}
    </div>
  );
}

function Tools({ line: { message }, isGroup, isMine, mayErase, tab, acts }: Props & { isMine: boolean; tab: number }) {
  const [picking, setPicking] = useState<'quick' | 'all' | null>(null);
  const close = () => setPicking(null);
  const pick = (emoji: string) => {
    close();
    acts.react(message, emoji);
  };
  return (
    <div className="tools" data-open={picking !== null || undefined}>
      <button
        type="button"
        className="icon-button small"
        aria-label="React"
        title="React"
        tabIndex={tab}
        aria-expanded={picking !== null}
        onClick={() => setPicking(picking === null ? 'quick' : null)}
      >
        <Icon name="face" />
      </button>
      <button
        type="button"
        className="icon-button small"
        aria-label="Reply"
        title="Reply"
        tabIndex={tab}
        onClick={() => acts.reply(message)}
      >
        <Icon name="reply" />
      </button>
      <Menu
        label="More"
        tabIndex={tab}
        className="icon-button small"
        items={[
          { label: 'Reply', icon: 'reply', act: () => acts.reply(message) },
          { label: 'React', icon: 'face', act: () => setPicking('all') },
          message.body !== '' && { label: 'Copy text', icon: 'copy', act: () => acts.copy(message) },
          isMine && { label: 'Edit', icon: 'edit', act: () => acts.edit(message) },
          isMine && isGroup && { label: 'Seen by', icon: 'info', act: () => acts.info(message) },
          mayErase && { label: 'Delete', icon: 'trash', danger: true, act: () => acts.erase(message) },
        ]}
      >
        <Icon name="more" />
      </Menu>
      {picking === 'quick' && <Quick onPick={pick} onMore={() => setPicking('all')} onClose={close} />}
      {picking === 'all' && <EmojiPicker onPick={pick} onClose={close} />}
    </div>
  );
}

interface QuickProps {
  readonly onPick: (emoji: string) => void;
  readonly onMore: () => void;
  readonly onClose: () => void;
}

function Quick({ onPick, onMore, onClose }: QuickProps) {
  const root = useRef<HTMLDivElement>(null);
  useOutside(root, true, onClose);
  return (
    <Floating className="quick-float" prefer="above" onClose={onClose}>
      {/* biome-ignore lint/a11y/useSemanticElements: these are buttons and no fields */}
      <div
        ref={root}
        className="quick"
        role="group"
        aria-label="React with"
        onKeyDown={(event) => event.key === 'Escape' && onClose()}
      >
        {QUICK.map((emoji) => (
          <button
            key={emoji}
            type="button"
            className="emoji"
            aria-label={`React ${emoji}`}
            onClick={() => onPick(emoji)}
          >
            {emoji}
          </button>
        ))}
        <button type="button" className="icon-button small" aria-label="More emoji" onClick={onMore}>
          <Icon name="plus" />
        </button>
      </div>
    </Floating>
  );
}

interface WaitingProps {
  readonly line: Line & { readonly type: 'waiting' };
  readonly acts: Acts;
}

/** What is written and not sent yet. */
export function WaitingLine({ line: { key, letter, first }, acts }: WaitingProps) {
  const file = useFile(letter.file);
  return (
    <li data-key={key} className={`message mine last waiting ${first ? 'first' : ''}`}>
      <div className="message-main">
        <div className="message-row">
          <div className={letter.refused === null ? 'bubble' : 'bubble refused'}>
            <span className="visually-hidden">You: </span>
            {letter.file !== null && <p className="body quiet">{file?.name ?? 'A file'}</p>}
            {letter.body !== '' && <Body text={letter.body} space={`${clockOf(letter.at)} ✓✓`} />}
            <span className="meta">
              {clockOf(letter.at)}
              <span className="mark" title={letter.refused === null ? 'Waiting to be sent' : 'Not sent'}>
                <Icon name={letter.refused === null ? 'clock' : 'warn'} />
                <span className="visually-hidden">{letter.refused === null ? 'Waiting to be sent' : 'Not sent'}</span>
              </span>
            </span>
          </div>
        </div>
        {letter.refused !== null && (
          <p className="refusal" role="alert">
            <span>Not sent. {letter.refused}</span>
            <button type="button" className="link-button" onClick={() => acts.tryAgain(letter)}>
              Try again
            </button>
            <button type="button" className="link-button" onClick={() => acts.discard(letter)}>
              Discard
            </button>
          </p>
        )}
      </div>
    </li>
  );
}
