// npm's own Socket.IO server, behaving as the clients in `client.cjs` expect: `node stage.cjs socket.io|socket.io-2`. Prints two ports: that
// of a server, and that of one whose clients recover their state (where the version can).
// What it does is the contract that Rowcast's server in `crates/rowcast-server/tests/it/socketio/stage.rs` keeps, too.
'use strict';

const http = require('node:http');
const name = process.argv[2];
const library = require(name);
const modern = name === 'socket.io';

const common = { pingInterval: 300, pingTimeout: 5000, maxHttpBufferSize: 1_000_000 };

function start(more) {
  const server = http.createServer();
  const options = { ...common, ...more };
  const io = modern
    ? new library.Server(server, { ...options, allowEIO3: true, cors: { origin: true, credentials: true } })
    : library(server, options);
  io.on('connection', serve);
  io.of('/chat').on('connection', serve);
  // As the others, but says nothing first.
  io.of('/quiet').on('connection', (socket) => listen(socket));
  io.of('/closed').use((socket, next) => {
    const error = new Error('not authorized');
    error.data = { code: 'E1' };
    next(error);
  });
  return new Promise((done) => server.listen(0, '127.0.0.1', () => done(server.address().port)));
}

/** What a client showed when it connected. */
const shown = (socket) => (modern && socket.client.conn.protocol === 4 ? socket.handshake.auth : { token: socket.handshake.query.token });

function serve(socket) {
  socket.emit('auth', shown(socket));
  listen(socket);
}

function listen(socket) {
  socket.on('message', (...args) => socket.emit('message-back', ...args));
  socket.on('message-with-ack', (...args) => args.pop()(...args));
  // The characters of a text, and the text of characters.
  socket.on('code-points', (text, done) => done(Array.from(text, (one) => one.codePointAt(0))));
  socket.on('from-code-points', (points, done) => done(String.fromCodePoint(...points)));
  // Never answered.
  socket.on('silence', () => {});
  // The server asks, and tells what it was answered.
  socket.on('ask', (...args) => socket.emit('question', ...args, (...answer) => socket.emit('answered', ...answer)));
  socket.on('join', (room, done) => {
    socket.join(room);
    done();
  });
  socket.on('leave', (room, done) => {
    socket.leave(room);
    done();
  });
  // To a room, the speaker included; to a room without the speaker; to everybody else; to everybody.
  socket.on('say', (room, what) => socket.nsp.to(room).emit('said', room, what));
  socket.on('whisper', (room, what) => socket.to(room).emit('said', room, what));
  socket.on('tell', (what) => socket.broadcast.emit('told', what));
  socket.on('tell-all', (what) => socket.nsp.emit('told', what));
  socket.on('kick', () => socket.disconnect());
  socket.on('kick-out', () => {
    socket.emit('said', 'for the last time');
    socket.disconnect(true);
  });
  // The connection below is closed, as by a network's fault.
  socket.on('cut', () => socket.conn.close());
  socket.on('disconnect', (reason) => socket.nsp.emit('left', socket.id, reason));
}

Promise.all([start({}), start({ connectionStateRecovery: {} })]).then((ports) => console.log(ports.join(' ')));
process.stdin.resume().on('end', () => process.exit(0));
