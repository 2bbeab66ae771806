// Starts the pages: one connection to the server that they came from, shared by all of them.

import { connect } from '@rowcast/client';
import { RowcastProvider } from '@rowcast/client/react';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import 'uplot/dist/uPlot.min.css';
import './styles/tokens.css';
import './styles/elements.css';
import './styles/shell.css';
import './styles/controls.css';
import './styles/charts.css';
import './styles/tables.css';
import './styles/console.css';
import './styles/access.css';
import { enter } from './access/store';
import { App } from './shell/app';
import { applyTheme } from './shell/theme';

applyTheme();
void enter();

const root = document.getElementById('root');
if (root === null) throw new Error('index.html has no #root');

const db = connect(location.origin, { idleMs: 60_000, backoff: { capMs: 5_000 } });

createRoot(root).render(
  <StrictMode>
    <RowcastProvider db={db}>
      <App />
    </RowcastProvider>
  </StrictMode>,
);
