// A cable between a browser and the server that can be pulled out.

import type { AddressInfo } from 'node:net';
import { connect, createServer, type Socket } from 'node:net';

export interface Cable {
  readonly url: string;
  /** Nothing goes through any more. `hang`: and nobody is told so, as when a lid is closed. */
  readonly cut: (how?: 'hang') => void;
  readonly mend: () => void;
  readonly close: () => void;
}

/** Leads to `address`, which may change its server behind it. */
export async function cable(address: string): Promise<Cable> {
  const [host = '', port = ''] = address.split(':');
  const ends = new Set<Socket>();
  let state: 'whole' | 'cut' | 'hanging' = 'whole';
  const drop = () => {
    for (const end of ends) end.destroy();
    ends.clear();
  };
  const server = createServer((near) => {
    if (state === 'cut') {
      near.destroy();
      return;
    }
    const far = connect(Number(port), host);
    for (const end of [near, far]) {
      ends.add(end);
      end.on('error', () => undefined);
      end.on('close', () => {
        ends.delete(end);
        near.destroy();
        far.destroy();
      });
    }
    near.on('data', (bytes) => state === 'whole' && far.write(bytes));
    far.on('data', (bytes) => state === 'whole' && near.write(bytes));
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    cut: (how) => {
      state = how === 'hang' ? 'hanging' : 'cut';
      if (how !== 'hang') drop();
    },
    mend: () => {
      // What hung has lost bytes: it never comes back.
      if (state === 'hanging') drop();
      state = 'whole';
    },
    close: () => {
      drop();
      server.close();
    },
  };
}
