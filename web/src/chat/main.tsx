// Starts the chat's pages: one connection to the server that they came from.

import { connect } from '@rowcast/client';
import { RowcastProvider } from '@rowcast/client/react';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import '../styles/tokens.css';
import '../styles/elements.css';
import '../styles/controls.css';
import '../styles/access.css';
import '../styles/chat.css';
import '../styles/chat-talk.css';
import '../styles/chat-message.css';
import '../styles/chat-composer.css';
import '../styles/chat-people.css';
import '../styles/chat-windows.css';
import { applyTheme } from '../shell/theme';
import { App } from './app';
import { enter } from './session';

applyTheme();

const root = document.getElementById('root');
if (root === null) throw new Error('chat.html has no #root');

const db = connect(location.origin, { idleMs: 600_000, backoff: { capMs: 5_000 } });
void enter(db);

createRoot(root).render(
  <StrictMode>
    <RowcastProvider db={db}>
      <App />
    </RowcastProvider>
  </StrictMode>,
);
