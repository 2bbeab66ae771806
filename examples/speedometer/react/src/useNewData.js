// The last point that the server has told, over Socket.IO: nothing in here knows Rowcast.

import { useEffect, useState } from 'react';
import { io } from 'socket.io-client';

const SERVER = 'http://localhost:4000';

/** `{ point: { time, speed } | null, connected }`; both fields of a point are text. */
export function useNewData() {
  const [point, setPoint] = useState(null);
  const [connected, setConnected] = useState(false);

  useEffect(() => {
    const socket = io(SERVER);
    socket.on('connect', () => setConnected(true));
    socket.on('disconnect', () => setConnected(false));
    socket.on('newData', (data) => setPoint(data));
    return () => socket.disconnect();
  }, []);

  return { point, connected };
}
