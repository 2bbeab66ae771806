/**
 * The native carrier: one JSON message in each text frame of a WebSocket.
 */
import type { Carrier, CarrierListener, OpenCarrier } from './carrier.ts';
import type { Problem } from './subscription.ts';
import type { WebSocketClass, WebSocketLike } from './types.ts';
import { readMessage } from './wire.ts';

/** Asks why a connection was refused: a browser does not say. `undefined`: it may have been the network. */
export type Refusal = () => Promise<Problem | undefined>;

/** Connects when called. */
export function webSocketCarrier(
  url: string,
  WebSocket: WebSocketClass | undefined,
  refusal: Refusal = async () => undefined,
): OpenCarrier {
  return (listener) => {
    if (WebSocket === undefined) {
      const message = 'there is no WebSocket here; give a class as `webSocket`, or choose the transport `sse`';
      return lostAtOnce(listener, { code: 'no_websocket', message });
    }
    try {
      return attach(new WebSocket(url), listener, refusal);
    } catch (thrown) {
      return lostAtOnce(listener, { code: 'network', message: `cannot open a WebSocket: ${String(thrown)}` });
    }
  };
}

function attach(socket: WebSocketLike, listener: CarrierListener, refusal: Refusal): Carrier {
  let heard = false;
  let closed = false;
  socket.onmessage = ({ data }: { readonly data: unknown }) => {
    heard = true;
    listener.message(readMessage(data), typeof data === 'string' ? data : '');
  };
  socket.onclose = ({ code, reason }: { readonly code: number; readonly reason: string }) => {
    detach(socket);
    const lost: Problem = { code: PUT_OUT[code] ?? 'connection_lost', message: describe(code, String(reason ?? '')) };
    if (heard) {
      listener.lost(lost);
      return;
    }
    const tell = (refused?: Problem) => !closed && listener.lost(refused ?? lost);
    refusal().then(tell, () => tell());
  };
  // What happened is in `close`, which follows; browsers tell nothing here.
  socket.onerror = () => {};
  return {
    send: (_, text) => {
      try {
        socket.send(text);
      } catch {
        // Closing already: `close` follows, or the runtime has let go of this socket.
      }
    },
    close: () => {
      closed = true;
      detach(socket);
      socket.close(1000);
    },
  };
}

/** Why the server has ended it for good, though its last message did not come through. */
const PUT_OUT: Readonly<Record<number, string>> = { 4401: 'unauthenticated', 4403: 'revoked' };

/** Some classes throw an error that nobody listens to, so that listener stays. */
function detach(socket: WebSocketLike): void {
  socket.onmessage = null;
  socket.onclose = null;
}

function describe(code: number, reason: string): string {
  const known: Record<number, string> = {
    1001: 'the server stops',
    1006: 'the connection broke or was refused',
    1008: 'the server refuses this client',
    1009: 'a message was too large for the server',
    1011: 'the server made a mistake',
    1013: 'the server has too many connections',
    4000: 'this client could not keep up',
    4001: 'this client did not answer pings',
    4401: 'no valid token was shown',
    4403: 'this client was put out',
  };
  return `${reason || (known[code] ?? 'the connection was closed')} (${code})`;
}

function lostAtOnce(listener: CarrierListener, problem: Problem): Carrier {
  let closed = false;
  queueMicrotask(() => {
    if (!closed) {
      listener.lost(problem);
    }
  });
  return {
    send: () => {},
    close: () => {
      closed = true;
    },
  };
}
