// The clients of one scenario, whatever their version: what differs between 1.x and 4.x is here.
'use strict';

const LIMIT_MS = 10_000;
const TRANSPORTS = { polling: ['polling'], websocket: ['websocket'], upgrade: ['polling', 'websocket'] };

class Company {
  #sockets = [];

  constructor(name, transport, server, url) {
    this.io = require(name);
    this.transport = transport;
    this.server = server;
    this.url = url;
    this.major = Number(require(`${name}/package.json`).version.split('.')[0]);
    /** Whether the client sends what it shows in the CONNECT packet; before 3.x it goes into the query. */
    this.modern = this.major >= 3;
  }

  /** A client of a connection of its own, which connects now. */
  open(namespace = '/', more = {}) {
    const { token = 'secret', ...options } = more;
    const shown = this.modern ? { auth: { token } } : { query: { token } };
    const socket = this.io(this.url + namespace, {
      forceNew: true,
      transports: TRANSPORTS[this.transport],
      reconnectionDelay: 20,
      reconnectionDelayMax: 50,
      ...shown,
      ...options,
    });
    socket.heard = [];
    this.#hear(socket);
    this.#sockets.push(socket);
    return socket;
  }

  /** Another namespace over the connection of `socket`. */
  beside(socket, namespace, options = {}) {
    const other = socket.io.socket(namespace, options);
    other.heard = [];
    this.#hear(other);
    this.#sockets.push(other);
    return other;
  }

  /** A client that is connected. */
  async connected(namespace, more) {
    const socket = this.open(namespace, more);
    await this.until(socket, 'connect');
    if (this.transport === 'upgrade') await this.upgraded(socket);
    return socket;
  }

  /** Waits until the connection is a WebSocket. */
  upgraded(socket) {
    const { engine } = socket.io;
    if (engine.transport.name === 'websocket') return undefined;
    return within('the upgrade', (done) => engine.on('upgrade', done));
  }

  /** Waits for the next ping, whoever sends it in this version. */
  alive(socket) {
    return within('a ping', (done) => socket.io.engine.once('pong', done));
  }

  /** The arguments of the first event of this name, from the beginning of the socket, that is not yet taken and that `fits`. */
  until(socket, event, fits = () => true) {
    const found = () => socket.heard.findIndex(([name, ...args]) => name === event && fits(...args));
    return within(`${event} (heard: ${show(socket.heard)})`, (done) => {
      const look = () => {
        const at = found();
        if (at < 0) return;
        socket.looks.delete(look);
        done(socket.heard.splice(at, 1)[0].slice(1));
      };
      socket.looks.add(look);
      look();
    });
  }

  /** All arguments of the events of this name that are not yet taken. */
  taken(socket, event) {
    return socket.heard.filter(([name]) => name === event).map(([, ...args]) => args);
  }

  /** What the server answers. */
  ask(socket, event, ...args) {
    return within(`the answer to ${event}`, (done) => socket.emit(event, ...args, (...answer) => done(answer)));
  }

  /** What the server refuses a namespace with: its message, and its data where the version has any. */
  async refused(socket) {
    const [error] = await this.until(socket, this.modern ? 'connect_error' : 'error');
    return this.modern ? { message: error.message, data: error.data } : error;
  }

  close() {
    for (const socket of this.#sockets) {
      socket.io.reconnection(false);
      socket.close();
      socket.io.engine?.close();
    }
  }

  #hear(socket) {
    socket.looks = new Set();
    const note = (name, ...args) => {
      socket.heard.push([name, ...args]);
      for (const look of [...socket.looks]) look();
    };
    for (const name of ['connect', 'disconnect', 'connect_error', 'error']) socket.on(name, (...args) => note(name, ...args));
    for (const name of ['snapshot', 'message', 'gap', 'subscribed', 'position']) socket.on(name, (...args) => note(name, ...args));
    for (const name of ['change', 'newData']) {
      socket.on(name, (...args) => {
        // What was said of the position before is of no use now.
        socket.heard = socket.heard.filter(([heard]) => heard !== 'position');
        note(name, ...args);
      });
    }
    for (const name of ['auth', 'message-back', 'answered', 'said', 'told', 'left']) {
      socket.on(name, (...args) => note(name, ...(this.offsets ? args.slice(0, -1) : args)));
    }
    socket.on('question', (...args) => args.pop()(...args));
  }
}

/** What `start` calls back with, in time. */
function within(what, start) {
  const here = new Error(`in vain for ${LIMIT_MS} ms: ${what}`);
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(here), LIMIT_MS);
    start((value) => {
      clearTimeout(timer);
      resolve(value);
    });
  });
}

function show(heard) {
  return JSON.stringify(heard.slice(-20).map((args) => args.map((arg) => (arg instanceof Error ? arg.message : arg))))?.slice(0, 500);
}

module.exports = { Company };
