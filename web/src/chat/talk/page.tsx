// An open talk: its head, its history, and where the next message is written.

import { type DragEvent, type ReactNode, useCallback, useEffect, useMemo, useRef, useState } from 'react';
import { navigate } from '../../shell/router';
import { copyText, Empty } from '../../ui/empty';
import { api } from '../api';
import { useCell, useChat } from '../chat';
import { type Talk, useDirectory, useTypists } from '../directory';
import { useConfig } from '../people/config';
import type { Message } from '../store/rows';
import { Dialog } from '../ui/dialog';
import { complain, dismiss, toast } from '../ui/toast';
import { Composer, type ComposerHandle } from './composer';
import { TalkHead } from './head';
import { History, type HistoryHandle } from './history';
import type { Acts } from './message';
import { SeenBy } from './seen-by';
import { useUploads } from './uploads';
import { Viewer } from './viewer';

export function TalkPage({ id, at }: { id: string; at: number | null }) {
  const directory = useDirectory();
  const { talks } = useChat();
  const history = useMemo(() => talks.history(id), [talks, id]);
  const held = useRef<Talk>(undefined);
  const found = directory.talk(id);
  // Opened once all of it is known, and not closed for the moment in which it is found out anew.
  if (directory.ready) held.current = found;
  const kept = held.current?.room.id === id ? (found ?? held.current) : undefined;
  if (kept !== undefined) return <Open key={id} talk={kept} history={history} at={at} />;
  if (!directory.ready) return <p className="edge quiet">Loading…</p>;
  return (
    <Empty title="There is no such talk">
      <p>You are not, or not any more, a member of it.</p>
      <button type="button" className="button" onClick={() => navigate('/chat')}>
        All talks
      </button>
    </Empty>
  );
}

interface OpenProps {
  readonly talk: Talk;
  readonly history: ReturnType<ReturnType<typeof useChat>['talks']['history']>;
  /** A message to jump to. */
  readonly at: number | null;
}

function Open({ talk, history, at }: OpenProps) {
  const { me, sender, talks } = useChat();
  const directory = useDirectory();
  const config = useConfig();
  const followed = useCell(talks.followed);
  const [reply, setReply] = useState<Message | null>(null);
  const [edit, setEdit] = useState<Message | null>(null);
  const [erasing, setErasing] = useState<Message | null>(null);
  const [asked, setAsked] = useState<Message | null>(null);
  const [picture, setPicture] = useState<string | null>(null);
  const [typing, setTyping] = useState(false);
  const list = useRef<HistoryHandle>(null);
  const composer = useRef<ComposerHandle>(null);
  const room = talk.room.id;
  const uploads = useUploads(room, config);
  const typists = useTypists(room, { typing });
  const { person } = directory;

  useEffect(() => dismiss(room), [room]);
  useEffect(() => {
    if (at !== null && followed > 0) list.current?.jump(at);
  }, [at, followed]);

  const nameOf = useCallback((user: string) => (user === me.id ? 'You' : person(user).name), [person, me.id]);
  const acts = useMemo<Omit<Acts, 'activate' | 'jump'>>(
    () => ({
      nameOf,
      pictureOf: (user) => person(user).picture,
      reply: (message) => {
        setEdit(null);
        setReply(message);
        composer.current?.focus();
      },
      edit: (message) => {
        setReply(null);
        setEdit(message);
      },
      erase: setErasing,
      react: (message, emoji) => {
        const given = history.shown.reactions.get(message.id) ?? [];
        const isOn = given.some((one) => one.user_id === me.id && one.emoji === emoji);
        const reaction = { message: message.id, user_id: me.id, emoji, room };
        history.react(reaction, !isOn);
        api.react(message.id, emoji, !isOn).catch((thrown: unknown) => {
          history.react(reaction, isOn);
          complain(thrown);
        });
      },
      copy: (message) => void copyText(message.body).then((done) => done && toast({ key: 'copied', title: 'Copied' })),
      info: setAsked,
      show: setPicture,
      tryAgain: (letter) => void sender.tryAgain(letter),
      discard: (letter) => void sender.discard(letter.nonce),
    }),
    [nameOf, person, history, me.id, room, sender],
  );

  const role = talk.members.find(({ user_id }) => user_id === me.id)?.role;
  const mayEraseAll = talk.room.kind === 'group' && (role === 'owner' || role === 'admin');
  const mayErase = useCallback((by: string) => mayEraseAll || by === me.id, [mayEraseAll, me.id]);

  const send = (text: string) => {
    if (edit !== null) {
      if (text !== edit.body) api.edit(edit.id, text).catch(complain);
      setEdit(null);
      return;
    }
    const files = uploads.done.map(({ id }) => id);
    const reply_to = reply?.id ?? null;
    // Each file is a message of its own; the text goes with the first.
    const drafts =
      files.length === 0 ? [{ body: text, file: null }] : files.map((file, n) => ({ body: n === 0 ? text : '', file }));
    void (async () => {
      for (const draft of drafts) await sender.post({ room, reply_to, ...draft });
    })().catch(complain);
    uploads.clear();
    setReply(null);
    list.current?.wrote();
  };
  const editLast = () => {
    const last = history.shown.window.messages.findLast(
      ({ sender: by, kind, deleted_at }) => by === me.id && kind === 'text' && deleted_at === null,
    );
    if (last !== undefined) setEdit(last);
  };
  const closed = useClosed(talk);
  return (
    <DropPlace onDrop={closed === null ? uploads.add : null}>
      <TalkHead talk={talk} typists={typists} onJump={(id) => list.current?.jump(id)} />
      <Request talk={talk} />
      <History ref={list} talk={talk} history={history} acts={acts} mayErase={mayErase} />
      <Announcer history={history} me={me.id} nameOf={nameOf} />
      {closed ?? (
        <Composer
          ref={composer}
          room={room}
          label={`Message to ${talk.title}`}
          maxText={config?.max_text ?? 8_000}
          reply={reply}
          edit={edit}
          nameOf={nameOf}
          uploads={uploads}
          onTyping={setTyping}
          onEditLast={editLast}
          onSend={send}
          onCancel={() => {
            setReply(null);
            setEdit(null);
          }}
        />
      )}
      {erasing !== null && <Erase message={erasing} onClose={() => setErasing(null)} />}
      {picture !== null && (
        <Viewer file={picture} history={history} onShow={setPicture} onClose={() => setPicture(null)} />
      )}
      {asked !== null && <SeenBy message={asked} talk={talk} onClose={() => setAsked(null)} />}
    </DropPlace>
  );
}

/** The other one asks to be a contact; who answers says yes, too. */
function Request({ talk }: { talk: Talk }) {
  const { contact } = useDirectory();
  const { peer } = talk;
  const asked = peer === null ? undefined : contact(peer);
  if (peer === null || asked?.state !== 'pending' || asked.requested_by !== peer) return null;
  return (
    <div className="request">
      <p>
        <bdi>{talk.title}</bdi> asks to be your contact.
      </p>
      <button type="button" className="button primary" onClick={() => void api.accept(peer).catch(complain)}>
        Accept
      </button>
      <button type="button" className="button" onClick={() => void api.block(peer).catch(complain)}>
        Block
      </button>
    </div>
  );
}

/** Why nothing can be written here. */
function useClosed(talk: Talk): ReactNode | null {
  const { contact } = useDirectory();
  const { peer } = talk;
  if (peer === null || contact(peer)?.state !== 'blocked') return null;
  return (
    <p className="composer closed">
      You have blocked <bdi>{talk.title}</bdi>.{' '}
      <button type="button" className="link-button" onClick={() => void api.unblock(peer).catch(complain)}>
        Unblock
      </button>
    </p>
  );
}

function Erase({ message, onClose }: { message: Message; onClose: () => void }) {
  const erase = () => {
    onClose();
    api.erase(message.id).catch(complain);
  };
  return (
    <Dialog title="Delete this message?" onClose={onClose} className="narrow">
      <p>It is gone for everybody in this talk.</p>
      <p className="dialog-actions">
        <button type="button" className="button" onClick={onClose}>
          Keep it
        </button>
        <button type="button" className="button danger" onClick={erase}>
          Delete
        </button>
      </p>
    </Dialog>
  );
}

/** Takes files that are dropped anywhere on the talk. */
function DropPlace({ onDrop, children }: { onDrop: ((files: readonly File[]) => void) | null; children: ReactNode }) {
  const [over, setOver] = useState(false);
  const hasFiles = (event: DragEvent) => onDrop !== null && event.dataTransfer.types.includes('Files');
  return (
    <section
      className="talk"
      aria-label="Talk"
      data-over={over || undefined}
      onDragOver={(event) => {
        if (!hasFiles(event)) return;
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={(event) => {
        if (!event.currentTarget.contains(event.relatedTarget as Node | null)) setOver(false);
      }}
      onDrop={(event) => {
        if (!hasFiles(event)) return;
        event.preventDefault();
        setOver(false);
        onDrop?.([...event.dataTransfer.files]);
      }}
    >
      {children}
      {over && <p className="drop-note">Drop files to attach them</p>}
    </section>
  );
}

interface AnnouncerProps {
  readonly history: OpenProps['history'];
  readonly me: string;
  readonly nameOf: (user: string) => string;
}

/** Reads what comes aloud: the list itself cannot, since lines come into it by scrolling, too. */
function Announcer({ history, me, nameOf }: AnnouncerProps) {
  const { window } = useCell(history.cell);
  const last = window.newer ? undefined : window.messages.at(-1);
  const before = useRef(last?.id);
  const [said, setSaid] = useState('');
  useEffect(() => {
    const isNew = last !== undefined && before.current !== undefined && last.id > before.current;
    if (isNew && last.sender !== me && last.kind === 'text')
      setSaid(`${nameOf(last.sender)}: ${last.body || 'a file'}`);
    before.current = last?.id ?? before.current;
  }, [last, me, nameOf]);
  return (
    <p className="visually-hidden" aria-live="polite">
      {said}
    </p>
  );
}
