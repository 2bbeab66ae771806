// The page: what the server says, as a speedometer.

import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { Speedometer } from './Speedometer.jsx';
import './style.css';
import { useNewData } from './useNewData.js';

function App() {
  const { point, connected } = useNewData();
  return (
    <main>
      <Speedometer speed={point === null ? null : Number(point.speed)} />
      <p className="time">
        {point === null ? 'no point yet' : <time>{new Date(Number(point.time)).toLocaleTimeString()}</time>}
      </p>
      <p role="status" data-state={connected ? 'live' : 'waiting'}>
        {connected ? 'live' : 'not connected'}
      </p>
    </main>
  );
}

createRoot(document.getElementById('root')).render(
  <StrictMode>
    <App />
  </StrictMode>,
);
