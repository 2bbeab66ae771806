// The real server, as a user starts it, with a data folder of its own.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';

export const ROOT = resolve(import.meta.dirname, '../../..');
const READY_MS = 20_000;
/** The port of the PostgreSQL that the tests share. */
const POSTGRES = 'ROWCAST_TEST_POSTGRES';
/** The port of the MariaDB that the tests share. */
const MYSQL = 'ROWCAST_TEST_MYSQL';

function shared(variable: string): string {
  const port = process.env[variable];
  if (port === undefined) {
    throw new Error(
      `${variable} is not set: run the tests by \`./target/debug/servers npm test\`, which starts a server`,
    );
  }
  return port;
}

function sqlite(file: string): [string, ...string[]] {
  return ['sqlite3', '-cmd', '.timeout 5000', file];
}

/** The binary under test: `ROWCAST_BIN`, else the release build, else the debug build. */
export function binary(): string {
  const named = process.env.ROWCAST_BIN;
  const places =
    named === undefined ? ['release', 'debug'].map((kind) => join(ROOT, 'target', kind, 'rowcast')) : [named];
  const found = places.find((place) => existsSync(place));
  if (found === undefined) {
    throw new Error(
      `no Rowcast binary at ${places.join(' or ')}: build it (\`make build\`), or name it with ROWCAST_BIN`,
    );
  }
  return found;
}

/** The arguments for an example's configuration, as it is but for where its page and its stream are. */
function configured(example: string, folder: string, stream = '', page = join(example, 'page')): string[] {
  const config = join(folder, 'rowcast.toml');
  const text = readFileSync(join(example, 'rowcast.toml'), 'utf8')
    .replace('files = "page"', `files = ${JSON.stringify(page)}`)
    .replace(/http:\/\/127.0.0.1:\d+\/stream/, stream);
  writeFileSync(config, text);
  return ['--config', config];
}

/** Starts the binary and waits for the line that says where it listens. `said` is what it writes to its log. */
async function announced(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<[ChildProcess, string, said: () => string]> {
  const child = spawn(binary(), args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } });
  let said = '';
  child.stderr.on('data', (text) => {
    said += text;
  });
  const address = await new Promise<string>((resolve, reject) => {
    const fail = (why: string) => reject(new Error(`rowcast ${args.join(' ')}: ${why}\n${said}`));
    const timer = setTimeout(() => fail('not ready in time'), READY_MS);
    child.once('error', (error) => fail(error.message));
    child.once('exit', (code) => fail(`ended with ${code}`));
    createInterface({ input: child.stdout }).on('line', (line) => {
      const found = /listening on http:\/\/(\S+)/.exec(line)?.[1];
      if (found === undefined) return;
      clearTimeout(timer);
      resolve(found);
    });
  });
  return [child, address, () => said];
}

/** A new database, and how another program talks to it. */
interface Fresh {
  readonly url: string;
  readonly query: readonly [program: string, ...args: string[]];
  /** What the server has to be told beside the address. */
  readonly env?: Readonly<Record<string, string>>;
}

function newSqlite(folder: string): Fresh {
  const file = join(folder, 'own.db');
  return { url: `sqlite:${file}`, query: sqlite(file), env: { ROWCAST__DATABASE__CREATE: 'true' } };
}

/** In the PostgreSQL that the tests share. */
function newPostgres(): Fresh {
  const name = `browser_${randomUUID().replaceAll('-', '')}`;
  const url = `postgres://postgres@127.0.0.1:${shared(POSTGRES)}`;
  const psql = ['psql', '--quiet', '--no-psqlrc', '--tuples-only', '--no-align', '-v', 'ON_ERROR_STOP=1'] as const;
  execFileSync(psql[0], [...psql.slice(1), `${url}/postgres`, '-c', `create database ${name}`]);
  const env = { ROWCAST__POSTGRES__SLOT: name, ROWCAST__POSTGRES__PUBLICATION: name };
  return { url: `${url}/${name}`, query: [...psql, `${url}/${name}`, '-c'], env };
}

/** In the MariaDB that the tests share. */
function newMariadb(): Fresh {
  const name = `browser_${randomUUID().replaceAll('-', '')}`;
  const mariadb = ['mariadb', '--no-defaults', '--host=127.0.0.1', `--port=${shared(MYSQL)}`, '--user=root'] as const;
  execFileSync(mariadb[0], [...mariadb.slice(1), '-e', `create database ${name}`]);
  const query = [...mariadb, '--skip-column-names', '--batch', `--database=${name}`, '-e'] as const;
  return { url: `mysql://root@127.0.0.1:${shared(MYSQL)}/${name}`, query };
}

const FRESH = { SQLite: newSqlite, PostgreSQL: newPostgres, MariaDB: newMariadb } as const;

/** The databases that a chat can be on. */
export const DATABASES = ['SQLite', 'PostgreSQL', 'MariaDB'] as const;

/** `rowcast simulate`, on a port that it keeps. */
export class Simulator {
  private child: ChildProcess | null = null;
  private listen = '127.0.0.1:0';

  private constructor(private readonly args: readonly string[]) {}

  static async start(...args: string[]): Promise<Simulator> {
    const simulator = new Simulator(args);
    await simulator.restart();
    return simulator;
  }

  get url(): string {
    return `http://${this.listen}`;
  }

  async restart(): Promise<void> {
    await this.close();
    [this.child, this.listen] = await announced(['simulate', '--listen', this.listen, ...this.args]);
  }

  async close(): Promise<void> {
    const { child } = this;
    if (child === null) return;
    this.child = null;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await gone;
  }
}

export class Server {
  private child: ChildProcess | null = null;
  private listen = '127.0.0.1:0';
  private said = () => '';

  private constructor(
    readonly folder: string,
    private readonly query: readonly [program: string, ...args: string[]],
    private readonly args: readonly string[],
    private readonly env: Readonly<Record<string, string>> = {},
  ) {}

  /** `rowcast demo`, with a reading every `rateMs`. */
  static async demo(rateMs = 500): Promise<Server> {
    const folder = mkdtempSync(join(tmpdir(), 'rowcast-browser-'));
    const server = new Server(folder, sqlite(join(folder, 'demo.db')), ['demo', '--rate-ms', String(rateMs)]);
    await server.start();
    return server;
  }

  /** `rowcast demo` with its chat, on which nobody is asked for a code. */
  static chat(): Promise<Server> {
    return Server.demo(60_000);
  }

  /** `rowcast serve` with a chat, on a new database. `verify`: an address has to be shown to be one's own, by a code. */
  static async chatOn(kind: (typeof DATABASES)[number], verify = false): Promise<Server> {
    const folder = mkdtempSync(join(tmpdir(), 'rowcast-browser-'));
    const config = join(folder, 'rowcast.toml');
    // Attempts are counted for each client's address: behind a proxy each has one of its own.
    const http = '[http]\ntrusted_proxies = ["127.0.0.1"]\n';
    writeFileSync(config, `${http}[chat]\nenabled = true\nverify_email = ${verify}\n`);
    const { url, query, env } = FRESH[kind](folder);
    // Mail is printed to the log.
    const level = verify ? ['--log-level', 'info'] : [];
    const server = new Server(folder, query, ['serve', '--config', config, '--database', url, ...level], env);
    await server.start();
    return server;
  }

  /** `rowcast serve` on a new database that `schema` has made. */
  static async serve(schema: string): Promise<Server> {
    const folder = mkdtempSync(join(tmpdir(), 'rowcast-browser-'));
    const database = join(folder, 'own.db');
    const server = new Server(folder, sqlite(database), ['serve', '--database', `sqlite:${database}`]);
    server.sql(schema);
    await server.start();
    return server;
  }

  /** `rowcast serve` on a new database of the PostgreSQL that the tests share. */
  static async postgres(schema: string, example: string | null = null, page?: string): Promise<Server> {
    const { url, query, env } = newPostgres();
    const folder = mkdtempSync(join(tmpdir(), 'rowcast-browser-'));
    const config = example === null ? [] : configured(example, folder, '', page);
    const server = new Server(folder, query, ['serve', ...config, '--database', url], env);
    server.sql(schema);
    await server.start();
    return server;
  }

  /** `rowcast serve` as `examples/notify-socketio` configures it, with the tutorial's table and trigger. */
  static notifySocketio(): Promise<Server> {
    const example = join(ROOT, 'examples/notify-socketio');
    return Server.postgres(readFileSync(join(example, 'schema.sql'), 'utf8'), example);
  }

  /** `rowcast serve` as `examples/multi-tenant` configures it, with its page and the client as its README puts them together. */
  static multiTenant(): Promise<Server> {
    const example = join(ROOT, 'examples/multi-tenant');
    const page = mkdtempSync(join(tmpdir(), 'rowcast-page-'));
    cpSync(join(example, 'page'), page, { recursive: true });
    cpSync(join(ROOT, 'clients/typescript/dist'), join(page, 'client'), { recursive: true });
    return Server.postgres(readFileSync(join(example, 'schema.sql'), 'utf8'), example, page);
  }

  /**
   * `rowcast serve` as an example configures it that stores a simulator's stream, on that stream and a new database of the MariaDB
   * that the tests share.
   */
  static async speedometer(stream: string, path = 'examples/speedometer'): Promise<Server> {
    const { url, query } = newMariadb();
    const folder = mkdtempSync(join(tmpdir(), 'rowcast-browser-'));
    const config = configured(join(ROOT, path), folder, stream);
    const server = new Server(folder, query, ['serve', ...config, '--database', url]);
    await server.start();
    return server;
  }

  get url(): string {
    return `http://${this.listen}`;
  }

  get address(): string {
    return this.listen;
  }

  /** Runs SQL in the database as another process would, with `sqlite3`, `psql` or `mariadb`. Returns what that prints. */
  sql(sql: string): string {
    const [program, ...args] = this.query;
    return execFileSync(program, [...args, sql], { encoding: 'utf8' }).trim();
  }

  /** What it has written to its log since it was started. */
  get log(): string {
    return this.said();
  }

  /** A token of the server's own making, as its operator makes one. */
  token(sub: string, ...claims: readonly string[]): string {
    const args = ['token', 'make', '--sub', sub, ...claims.flatMap((claim) => ['--claim', claim])];
    // Its configuration is found there.
    return execFileSync(binary(), args, { cwd: this.folder, encoding: 'utf8' }).trim();
  }

  /** Ends the server as a power failure does. */
  async crash(): Promise<void> {
    const { child } = this;
    if (child === null) return;
    this.child = null;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await gone;
  }

  /** Starts it, after a crash on the same port. */
  async start(): Promise<void> {
    const level = this.args.includes('--log-level') ? [] : ['--log-level', 'warn'];
    const args = [...this.args, '--data', this.folder, '--listen', this.listen, ...level];
    [this.child, this.listen, this.said] = await announced(args, this.env);
  }

  async close(): Promise<void> {
    await this.crash();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
