// Clients of the native protocol from npm: `node native.cjs eventsource|ws URL`, or `socketio URL CLIENT`. Each prints a line for whatever comes:
// `eventsource` with the event's name, id and data; `ws` with the message as it is. What it is told on standard input, `ws` sends.
'use strict';

const { createInterface } = require('node:readline');
const [what, url, name] = process.argv.slice(2);
const say = (...words) => console.log(words.join(' '));

const clients = {
  eventsource() {
    const { EventSource } = require('eventsource');
    const source = new EventSource(url);
    source.addEventListener('open', () => say('open'));
    source.addEventListener('error', () => say(source.readyState === EventSource.CLOSED ? 'closed' : 'away'));
    for (const name of ['subscribed', 'gap', 'newData']) {
      source.addEventListener(name, ({ lastEventId, data }) => say(name, lastEventId, data));
    }
  },

  ws() {
    const { WebSocket } = require('ws');
    // The compression that `ws` asks for unless told otherwise, and with every parameter that it knows.
    const socket = new WebSocket(url, { perMessageDeflate: { serverMaxWindowBits: 10, clientMaxWindowBits: true, serverNoContextTakeover: true, threshold: 0 } });
    socket.on('open', () => say('open', `[${socket.extensions}]`));
    socket.on('message', (data, binary) => say(binary ? 'binary' : 'text', data.toString()));
    socket.on('close', (code, reason) => say('closed', code, reason.toString()));
    socket.on('error', (error) => say('error', error.message));
    socket.on('ping', () => say('ping'));
    createInterface({ input: process.stdin }).on('line', (line) => (line === 'close' ? socket.close(1000, 'enough') : socket.send(line)));
  },

  socketio() {
    const socket = require(name)(url, { reconnectionDelay: 20, reconnectionDelayMax: 100 });
    socket.on('connect', () => say('connected', socket.recovered ?? false, socket.id));
    socket.on('disconnect', () => say('away'));
    socket.on('newData', (data) => say('newData', JSON.stringify(data)));
  },
};

clients[what]();
process.stdin.resume().on('end', () => process.exit(0));
