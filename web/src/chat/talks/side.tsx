// The left side: talks, contacts, oneself.

import { useState } from 'react';
import { useAddress, useLink } from '../../shell/router';
import { useCell, useChat } from '../chat';
import { useDirectory } from '../directory';
import { Contacts } from '../people/contacts';
import { MyPage } from '../people/me';
import { total } from '../store/unread';
import { Icon, type IconName } from '../ui/icon';
import { TalkList } from './list';
import { NewGroup } from './new-group';

interface Tab {
  readonly path: string;
  readonly title: string;
  readonly icon: IconName;
}

const TABS: readonly Tab[] = [
  { path: '/chat', title: 'Talks', icon: 'talk' },
  { path: '/chat/contacts', title: 'Contacts', icon: 'group' },
  { path: '/chat/me', title: 'Me', icon: 'person' },
];

export function Side({ open }: { open: string | null }) {
  const { path } = useAddress();
  const [making, setMaking] = useState(false);
  const tab = TABS.findLast((one) => path === one.path || (one.path !== '/chat' && path.startsWith(one.path)));
  const title = (tab ?? TABS[0])?.title ?? 'Talks';
  return (
    <section className="side" aria-label="Talks and contacts">
      <header className="side-head">
        <h1>{title}</h1>
        {title === 'Talks' && (
          <button
            type="button"
            className="icon-button"
            aria-label="New group"
            title="New group"
            onClick={() => setMaking(true)}
          >
            <Icon name="plus" />
          </button>
        )}
      </header>
      <div className="side-main">
        {title === 'Talks' && <TalkList open={open} />}
        {title === 'Contacts' && <Contacts />}
        {title === 'Me' && <MyPage />}
      </div>
      <nav className="tabs" aria-label="Chat">
        {TABS.map((one) => (
          <TabLink key={one.path} tab={one} isOpen={one.title === title} />
        ))}
      </nav>
      {making && <NewGroup onClose={() => setMaking(false)} />}
    </section>
  );
}

function TabLink({ tab, isOpen }: { tab: Tab; isOpen: boolean }) {
  const { me, talks } = useChat();
  const { contacts, talks: all } = useDirectory();
  const follow = useLink();
  const unread = useCell(talks.unread);
  const requests = contacts.filter(({ state, requested_by }) => state === 'pending' && requested_by !== me.id).length;
  const waiting = all.filter(({ room, muted }) => !muted && total(unread.get(room.id) ?? NONE) > 0).length;
  const count = tab.title === 'Talks' ? waiting : tab.title === 'Contacts' ? requests : 0;
  return (
    <a className="tab" href={tab.path} onClick={follow} aria-current={isOpen ? 'page' : undefined}>
      <Icon name={tab.icon} />
      {tab.title}
      {count > 0 && (
        <span className="badge">
          {count}
          <span className="visually-hidden">{tab.title === 'Talks' ? ' unread' : ' requests'}</span>
        </span>
      )}
    </a>
  );
}

const NONE = { counted: 0, last: 0, since: [] };
