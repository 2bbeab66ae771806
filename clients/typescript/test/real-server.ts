/** The server in memory behind real sockets: WebSocket, event streams, HTTP. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { type WebSocket, WebSocketServer } from 'ws';
import type { ClientMessage, ServerMessage } from '../src/protocol.ts';
import { FakeServer, FakeSession, type Item } from './fake-server.ts';

export class RealServer {
  readonly fake = new FakeServer();
  readonly sockets = new Set<WebSocket>();
  /** What clients sent over WebSockets. */
  readonly heard: ClientMessage[] = [];
  readonly requests: string[] = [];
  /** What event streams were asked for. */
  readonly wishes: Record<string, string>[] = [];
  upgrades = true;
  /** Takes requests in and never answers them. */
  mute = false;
  /** Refuses WebSockets as a server does that finds a cookie to be old. */
  oldCookie = false;
  readonly #http = createServer((request, response) => void this.#answer(request, response));
  readonly #wss = new WebSocketServer({ noServer: true });
  readonly #connections = new Set<Socket>();
  readonly #streams = new Set<ServerResponse>();

  static async start(): Promise<RealServer> {
    const server = new RealServer();
    await new Promise<void>((done) => server.#http.listen(0, '127.0.0.1', done));
    server.#http.on('connection', (socket) => server.#connections.add(socket));
    server.#http.on('upgrade', (request, socket, head) => {
      if (server.oldCookie) {
        socket.end('HTTP/1.1 401 Unauthorized\r\nconnection: close\r\n\r\n');
      } else if (server.upgrades && request.url === '/v1/ws') {
        server.#wss.handleUpgrade(request, socket, head, (webSocket) => server.#serve(webSocket));
      } else {
        socket.end('HTTP/1.1 404 Not Found\r\nconnection: close\r\n\r\n');
      }
    });
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#http.address() as AddressInfo).port}`;
  }

  commit(...rows: readonly Item[]): void {
    this.fake.commit(
      rows.map((to) => ({ id: to.id, to })),
      true,
    );
    this.flush();
  }

  /** Sends what is waiting, to everyone. */
  flush(): void {
    for (const session of this.fake.sessions) {
      session.write();
    }
  }

  /** Cuts every connection without a word. */
  cut(): void {
    for (const socket of this.sockets) {
      socket.terminate();
    }
    for (const stream of this.#streams) {
      stream.destroy();
    }
  }

  /** Closes every WebSocket with a code. */
  close(code: number): void {
    for (const socket of this.sockets) {
      socket.close(code);
    }
  }

  /** Sends anything at all. */
  say(text: string | Buffer): void {
    for (const socket of this.sockets) {
      socket.send(text);
    }
  }

  async stop(): Promise<void> {
    this.cut();
    this.#wss.close();
    await new Promise((done) => {
      this.#http.close(done);
      for (const socket of this.#connections) {
        socket.destroy();
      }
    });
  }

  #serve(socket: WebSocket): void {
    this.sockets.add(socket);
    const session = new FakeSession(this.fake, {
      message: (message) => socket.send(JSON.stringify(message)),
      lost: () => socket.close(1001),
    });
    session.write();
    socket.on('message', (text) => {
      const message = JSON.parse(String(text)) as ClientMessage;
      this.heard.push(message);
      if (!this.mute || message.type === 'subscribe') {
        session.send(message);
        session.read();
        this.flush();
      }
    });
    socket.on('close', () => {
      this.sockets.delete(socket);
      session.close();
      this.flush();
    });
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://x');
    this.requests.push(`${request.method} ${url.pathname}`);
    let body = '';
    for await (const part of request) {
      body += part;
    }
    const json = (value: unknown, status = 200, headers = {}) =>
      response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(value));
    const route = `${request.method} ${url.pathname}`;
    const user = this.fake.tokens?.get(request.headers.authorization?.replace('Bearer ', '') ?? '');
    if (this.oldCookie || (this.fake.tokens !== undefined && user === undefined)) {
      json({ error: { code: 'unauthenticated', message: 'no good token' } }, 401);
      return;
    }
    if (route === 'GET /v1/stream') {
      this.wishes.push(Object.fromEntries(url.searchParams));
      this.#stream(url.searchParams, response, user);
    } else if (route === 'POST /v1/publish') {
      json(this.fake.publish({ type: 'publish', ...JSON.parse(body) }));
      this.flush();
    } else if (route === 'POST /v1/tables/t') {
      const { count, ...rest } = this.fake.insert(JSON.parse(body));
      json({ count, ...rest, rejected_count: rest.rejected.length }, count === 0 ? 422 : 200);
      this.flush();
    } else if (route === 'POST /v1/write') {
      const { counts: written, error, position } = this.fake.write(JSON.parse(body).writes);
      json(error === undefined ? { written, position } : { error }, error === undefined ? 200 : 409);
      this.flush();
    } else if (route === 'GET /v1/whoami') {
      json({ user: user ?? null, standing: user === undefined ? 'trusted' : 'known' });
    } else if (route === 'GET /v1/tables') {
      json([{ name: 't', columns: [], key: ['id'] }]);
    } else if (route === 'GET /v1/tables/t') {
      const query = Object.fromEntries(url.searchParams);
      json([{ query }], 200, { 'rowcast-position': this.fake.position });
    } else if (route === 'GET /v1/tables/t/series') {
      json({ query: Object.fromEntries(url.searchParams) });
    } else {
      json({ error: { code: 'not_found', message: 'nothing here', hint: 'try /v1/tables' } }, 404);
    }
  }

  #stream(query: URLSearchParams, response: ServerResponse, user: string | undefined): void {
    const text = (name: string) => query.get(name) ?? undefined;
    const limit = text('limit');
    const wishes = { order_by: text('order_by'), limit: limit === undefined ? undefined : Number(limit) };
    const message = {
      ...{ type: 'subscribe', id: 'x', channel: text('channel'), where: text('where'), since: text('since') },
      snapshot: text('snapshot') === 'true' ? wishes : false,
    } as unknown as ClientMessage;
    const session = new FakeSession(this.fake, {
      message: (said) => writeEvent(response, said as ServerMessage),
      lost: () => response.destroy(),
    });
    session.outbox = [];
    session.user = user;
    session.send(message);
    session.read();
    const first = session.outbox[0];
    if (first?.type === 'error') {
      const { code, message, at } = first;
      response
        .writeHead(400, { 'content-type': 'application/json' })
        .end(JSON.stringify({ error: { code, message, at } }));
      session.close();
      return;
    }
    this.#streams.add(response);
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.on('close', () => {
      this.#streams.delete(response);
      session.close();
    });
    session.write();
  }
}

function writeEvent(response: ServerResponse, message: ServerMessage): void {
  const { type, id: _, ...data } = message as ServerMessage & { id?: string };
  if (type === 'position') {
    response.write(`id: ${message.type === 'position' ? message.position : ''}\n\n`);
    return;
  }
  const position = 'position' in data ? `id: ${data.position}\n` : '';
  response.write(`event: ${type}\n${position}data: ${JSON.stringify({ type, ...data })}\n\n`);
}
