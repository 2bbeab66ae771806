/**
 * The carrier for where no WebSocket comes through: one event stream for each subscription, requests over HTTP.
 *
 * Looks to the runtime like one connection: when one stream breaks, all of it is lost and everything is resumed.
 */
import type { Carrier, CarrierListener, OpenCarrier } from './carrier.ts';
import { EventStreamReader, type StreamEvent } from './event-stream.ts';
import { awayMs, errorOf, type Http, problemOf, type Query, readJson } from './http.ts';
import type { Incoming } from './machine.ts';
import type { ClientMessage, RequestMessage, Subscribe } from './protocol.ts';
import type { Problem } from './subscription.ts';
import { bearing } from './tokens.ts';
import { checkMessage, toJson } from './wire.ts';

/** A stream says something every heartbeat; the server's own is not known here, so this is a generous guess. */
const HEARTBEAT_MS = 20_000;
const SILENT_MS = 2.5 * HEARTBEAT_MS;

const ONLY_WEBSOCKET: Problem = { code: 'no_websocket', message: 'only a WebSocket can say who is here' };

type SubscribeMessage = ClientMessage & { readonly type: 'subscribe' };

/** Connects when called. */
export function sseCarrier(http: Http): OpenCarrier {
  return (listener) => {
    const carrier = new SseCarrier(http, listener);
    void carrier.open();
    return carrier;
  };
}

class SseCarrier implements Carrier {
  readonly #http: Http;
  readonly #listener: CarrierListener;
  readonly #streams = new Map<string, { readonly abort: AbortController; heardAt: number }>();
  readonly #abort = new AbortController();
  #token: string | undefined;
  #watch: ReturnType<typeof setInterval> | undefined;

  constructor(http: Http, listener: CarrierListener) {
    this.#http = http;
    this.#listener = listener;
  }

  /** Says `hello` once the server answers anything at all. */
  async open(): Promise<void> {
    await this.#guarded(async () => {
      await this.#knock();
      if (this.#abort.signal.aborted) {
        return;
      }
      this.#watch = setInterval(() => this.#checkSilence(), HEARTBEAT_MS / 2);
      const limits = { frame_bytes: Number.MAX_SAFE_INTEGER, subscriptions: Number.MAX_SAFE_INTEGER };
      const names = { protocol: 1, server: '', session: '', position: '' };
      this.#tell({ type: 'hello', ...names, heartbeat_ms: HEARTBEAT_MS, limits });
    });
  }

  readonly send = (message: ClientMessage): void => {
    switch (message.type) {
      case 'subscribe':
        void this.#guarded(() => this.#stream(message));
        break;
      case 'unsubscribe':
        this.#end(message.id);
        queueMicrotask(() => this.#tell({ type: 'unsubscribed', id: message.id }));
        break;
      case 'auth':
        this.#token = message.token;
        void this.#guarded(() => this.#introduce(message.ref));
        break;
      case 'track':
      case 'untrack':
        queueMicrotask(() => this.#tell(errorMessage(ONLY_WEBSOCKET, { ref: message.ref })));
        break;
      case 'ping':
        void this.#guarded(async () => {
          await this.#knock();
          this.#tell({ type: 'pong', position: '' });
        });
        break;
      default:
        void this.#guarded(() => this.#request(message));
    }
  };

  readonly close = (): void => {
    clearInterval(this.#watch);
    this.#abort.abort();
    for (const { abort } of this.#streams.values()) {
      abort.abort();
    }
  };

  /** Asks a door under /v1, which other origins may use and which a gateway inside another program has, too. */
  async #knock(): Promise<void> {
    const response = await this.#http.fetch(this.#http.url('v1/tables'), {
      signal: this.#abort.signal,
      cache: 'no-store',
    });
    if (response.status < 500 && response.status !== 429) {
      await response.body?.cancel();
      return;
    }
    const body = await readJson(response);
    if (!this.#isSentAway(response, body)) {
      throw errorOf(problemOf(response, undefined));
    }
  }

  /** Asks whether the server takes the token. One that knows nothing of tokens takes any. */
  async #introduce(ref: string | undefined): Promise<void> {
    const response = await this.#fetch('v1/whoami', { signal: this.#abort.signal, cache: 'no-store' });
    const body = await readJson(response);
    if (response.status !== 401 && this.#isSentAway(response, body)) {
      return;
    }
    const problem = problemOf(response, body);
    if (problem.code === 'http' && response.status >= 500) {
      throw errorOf(problem);
    }
    const name = ref === undefined ? {} : { ref };
    if (response.status === 401) {
      this.#tell(errorMessage({ ...problem, code: 'unauthenticated' }, name));
      return;
    }
    const { user, expires_ms, claims } = (body ?? {}) as Readonly<Record<'user' | 'expires_ms' | 'claims', unknown>>;
    const who = typeof user === 'string' ? { user } : {};
    const until = typeof expires_ms === 'number' ? { expires_ms } : {};
    const sealed = typeof claims === 'string' ? { claims } : {};
    this.#tell({ type: 'authenticated', ...name, ...who, ...until, ...sealed });
  }

  /** With the token, in a header. */
  #fetch(path: string, init: RequestInit, query: Query = {}): Promise<Response> {
    const url = this.#http.url(path, query);
    return this.#http.fetch(url, this.#token === undefined ? init : bearing(this.#token, init));
  }

  /** Whether the server takes no clients now; then the runtime hears when to come back. */
  #isSentAway(response: Response, body: unknown): boolean {
    const retryMs = awayMs(response, body);
    if (retryMs === undefined) {
      return false;
    }
    const { code, message } = problemOf(response, body);
    this.#tell({ type: 'close', reason: code, message, retry_ms: retryMs });
    this.close();
    return true;
  }

  async #stream(message: SubscribeMessage): Promise<void> {
    const abort = new AbortController();
    const stream = { abort, heardAt: Date.now() };
    this.#streams.set(message.id, stream);
    try {
      const headers = { accept: 'text/event-stream' };
      const init: RequestInit = { signal: abort.signal, headers, cache: 'no-store' };
      const response = await this.#fetch('v1/stream', init, streamQuery(message));
      if (!response.ok || response.body === null) {
        await this.#refused(message.id, response);
        return;
      }
      const reader = new EventStreamReader();
      for await (const text of texts(response.body)) {
        stream.heardAt = Date.now();
        for (const event of reader.read(text)) {
          this.#event(message.id, event);
        }
      }
    } catch (thrown) {
      if (!abort.signal.aborted) {
        throw thrown;
      }
    }
    if (!abort.signal.aborted) {
      throw new Error('the event stream has ended');
    }
  }

  /** A refusal ends one subscription; a server that cannot answer, all of them. */
  async #refused(id: string, response: Response): Promise<void> {
    const body = await readJson(response);
    const problem = problemOf(response, body);
    if (problem.code !== 'rate_limited' && this.#isSentAway(response, body)) {
      return;
    }
    if (problem.code === 'http' && (response.status >= 500 || response.status === 429 || response.ok)) {
      throw errorOf(problem);
    }
    this.#end(id);
    this.#tell(errorMessage(problem, { id }));
  }

  #event(id: string, { event, data, id: position }: StreamEvent): void {
    if (!this.#streams.has(id)) {
      return;
    }
    if (data === '') {
      if (position !== undefined) {
        this.#tell({ type: 'reached', id, position });
      }
      return;
    }
    const message = checkMessage(fieldsOf(data, event, id));
    if (event === 'error') {
      this.#end(id);
    }
    this.#listener.message(message, data);
  }

  async #request(message: RequestMessage): Promise<void> {
    const { ref } = message;
    const [path, type, body] = posted(message);
    const response = await this.#fetch(path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: toJson(body),
      signal: this.#abort.signal,
    });
    const answer = await readJson(response);
    const counts = (answer as { written?: unknown } | null | undefined)?.written;
    const checked = checkMessage({ ...(answer as object), counts, type, ref });
    const isAnswer = checked.type === type && (response.ok || response.status === 422);
    this.#listener.message(isAnswer ? checked : errorMessage(problemOf(response, answer), { ref }), '');
  }

  #end(id: string): void {
    this.#streams.get(id)?.abort.abort();
    this.#streams.delete(id);
  }

  #checkSilence(): void {
    const streams = [...this.#streams.values()];
    if (streams.some(({ heardAt }) => Date.now() - heardAt > SILENT_MS)) {
      this.#lose({ code: 'timeout', message: 'the event stream has gone silent' });
    }
  }

  #tell(message: Incoming): void {
    if (!this.#abort.signal.aborted) {
      this.#listener.message(message, JSON.stringify(message));
    }
  }

  #lose(problem: Problem): void {
    if (!this.#abort.signal.aborted) {
      this.close();
      this.#listener.lost(problem);
    }
  }

  async #guarded(run: () => Promise<void>): Promise<void> {
    try {
      await run();
    } catch (thrown) {
      const message = thrown instanceof Error ? thrown.message : String(thrown);
      this.#lose({ code: 'connection_lost', message });
    }
  }
}

/** Where a request is posted, what its answer is called, and its body. */
function posted(message: RequestMessage): readonly [path: string, type: string, body: unknown] {
  switch (message.type) {
    case 'insert':
      return [`v1/tables/${encodeURIComponent(message.table)}`, 'inserted', message.rows];
    case 'write':
      return ['v1/write', 'written', { writes: message.writes }];
    default:
      return ['v1/publish', 'published', { ...message, type: undefined, ref: undefined }];
  }
}

function streamQuery(message: SubscribeMessage): Query {
  const { channel, where, columns, since, old, deliver }: Subscribe = message;
  // A WebSocket's tables have a snapshot unless told otherwise, a stream has one only when told.
  const wanted = message.snapshot ?? channel.startsWith('table:');
  const { order_by, limit } = typeof wanted === 'object' ? wanted : {};
  const snapshot = wanted === false ? undefined : true;
  const names = columns?.map((name) => (/[",]/.test(name) ? `"${name.replaceAll('"', '""')}"` : name)).join(',');
  // An application's own event would come under its own name, and could not be told from the protocol's.
  const wrapped = channel.startsWith('event:') ? true : undefined;
  const how = typeof deliver === 'object' ? JSON.stringify(deliver) : deliver;
  return { channel, where, columns: names, snapshot, order_by, limit, since, old, deliver: how, wrapped };
}

function fieldsOf(data: string, type: string, id: string): unknown {
  try {
    return { ...JSON.parse(data), type, id };
  } catch {
    return undefined;
  }
}

function errorMessage(problem: Problem, whose: { id?: string; ref?: string | undefined }): Incoming {
  const { code, message, hint, at, retryMs } = problem;
  const more = {
    ...(hint === undefined ? {} : { hint }),
    ...(at === undefined ? {} : { at }),
    ...(retryMs === undefined ? {} : { retry_ms: retryMs }),
  };
  const { id, ref } = whose;
  return {
    type: 'error',
    code,
    message,
    ...more,
    ...(id === undefined ? {} : { id }),
    ...(ref === undefined ? {} : { ref }),
  };
}

/** The body as text. Safari's streams are not iterable. */
async function* texts(body: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) {
      return;
    }
    yield decoder.decode(value, { stream: true });
  }
}
