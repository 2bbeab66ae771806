/** What the event stream's carrier makes of a server that takes no clients now. */
import { expect, test } from 'vitest';
import type { Incoming } from '../src/machine.ts';
import type { Malformed } from '../src/protocol.ts';
import { sseCarrier } from '../src/sse.ts';
import type { Problem } from '../src/subscription.ts';

const FINE = () => new Response('[]');
const UNAVAILABLE = {
  error: { code: 'unavailable', message: 'this node takes 5 new clients a second', retry_ms: 1234 },
};

/** What is heard when `/v1/tables` answers with the first, and `/v1/stream` with the second, until nothing more is to come. */
function heard(knock: () => Response, stream: () => Response): Promise<(Incoming | Malformed | Problem)[]> {
  const all: (Incoming | Malformed | Problem)[] = [];
  return new Promise((resolve) => {
    const fetch = async (url: string) => (url === 'v1/tables' ? knock() : stream());
    const carrier = sseCarrier({ url: (path) => path, fetch })({
      message: (message) => {
        all.push(message);
        if (message.type === 'hello') {
          carrier.send({ type: 'subscribe', id: 's', channel: 'table:t' }, '');
        } else {
          carrier.close();
          resolve(all);
        }
      },
      lost: (problem) => {
        all.push(problem);
        resolve(all);
      },
    });
  });
}

test('a server that takes no clients now says when to come back', async () => {
  const refused = () => Response.json(UNAVAILABLE, { status: 503, headers: { 'retry-after': '2' } });
  const close = { type: 'close', reason: 'unavailable', message: UNAVAILABLE.error.message, retry_ms: 1234 };
  expect(await heard(refused, FINE)).toEqual([close]);
  expect((await heard(FINE, refused)).slice(1)).toEqual([close]);
});

test('a proxy that says so is believed', async () => {
  const refused = () => new Response('busy', { status: 503, headers: { 'retry-after': '3' } });
  expect(await heard(refused, FINE)).toMatchObject([{ type: 'close', reason: 'http', retry_ms: 3_000 }]);
});

test('a stream that is sent away at its beginning says when to come back', async () => {
  const body = 'retry: 1234\nevent: close\ndata: {"reason":"busy","message":"later","retry_ms":1234}\n\n';
  const stream = () => new Response(body, { headers: { 'content-type': 'text/event-stream' } });
  expect((await heard(FINE, stream))[1]).toMatchObject({ type: 'close', reason: 'busy', retry_ms: 1234 });
});

test('a database that is away is no reason to go', async () => {
  const error = { code: 'unavailable', message: 'the database does not answer' };
  const refused = () => Response.json({ error }, { status: 503, headers: { 'retry-after': '5' } });
  expect((await heard(FINE, refused))[1]).toMatchObject({ type: 'error', id: 's', code: 'unavailable' });
});

test('without a word of when, the connection is lost as any other', async () => {
  expect(await heard(() => new Response('oh', { status: 500 }), FINE)).toMatchObject([{ code: 'connection_lost' }]);
});
