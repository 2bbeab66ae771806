// The frame around every page: where you are, how the connection is, and the pages to choose from.

import { lazy, Suspense, useEffect } from 'react';
import { Gate } from '../access/gate';
import { Person } from '../access/person';
import { Empty, Skeleton } from '../ui/empty';
import { Icon } from '../ui/icon';
import { Boundary } from './boundary';
import { ConnectionState } from './connection';
import { lastAddress, useAddress, useLink } from './router';
import { applyTheme, nextTheme, useTheme } from './theme';

const ChartsPage = lazy(() => import('../pages/charts/page'));
const TablesPage = lazy(() => import('../pages/tables/page'));
const ConsolePage = lazy(() => import('../pages/console/page'));

const PAGES = [
  { path: '/charts', title: 'Charts', Page: ChartsPage },
  { path: '/tables', title: 'Tables', Page: TablesPage },
  { path: '/console', title: 'Console', Page: ConsolePage },
] as const;

export function App() {
  const { path } = useAddress();
  const wanted = path === '/' ? '/charts' : path.replace(/\/$/, '');
  const page = PAGES.find((one) => one.path === wanted);
  useEffect(() => {
    document.title = page === undefined ? 'Rowcast' : `${page.title} · Rowcast`;
  }, [page]);
  return (
    <>
      <a className="skip-link" href="#main">
        Skip to the page
      </a>
      <Header current={wanted} />
      <main id="main" tabIndex={-1} className={`page page-${wanted.slice(1)}`}>
        <Boundary key={wanted}>
          <Gate>
            <Suspense fallback={<Skeleton label="Loading the page" />}>
              {page === undefined ? <NotFound path={path} /> : <page.Page />}
            </Suspense>
          </Gate>
        </Boundary>
      </main>
    </>
  );
}

function Header({ current }: { current: string }) {
  const follow = useLink();
  return (
    <header className="header">
      <a className="brand" href="/" onClick={follow} aria-label="Rowcast, home">
        <img src="/favicon.svg" alt="" width="24" height="24" />
        <span className="brand-name">Rowcast</span>
      </a>
      <nav className="nav" aria-label="Pages">
        {PAGES.map(({ path, title }) => (
          <a
            key={path}
            href={path === current ? path : lastAddress(path)}
            onClick={follow}
            aria-current={path === current ? 'page' : undefined}
          >
            {title}
          </a>
        ))}
      </nav>
      <ConnectionState />
      <Person />
      <ThemeSwitch />
    </header>
  );
}

function ThemeSwitch() {
  const { theme } = useTheme();
  const next = nextTheme(theme);
  const icon = theme === 'light' ? 'sun' : theme === 'dark' ? 'moon' : 'system';
  return (
    <button
      type="button"
      className="icon-button"
      aria-label={`Theme: ${theme}. Change to ${next}`}
      title={`Theme: ${theme}`}
      onClick={() => applyTheme(next)}
    >
      <Icon name={icon} />
    </button>
  );
}

function NotFound({ path }: { path: string }) {
  const follow = useLink();
  return (
    <Empty title="There is no such page">
      <p>
        <code>{path}</code> is not one of the pages. Go to{' '}
        <a href="/" onClick={follow}>
          Charts
        </a>
        .
      </p>
    </Empty>
  );
}
