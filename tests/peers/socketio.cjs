// A real Socket.IO server: `node socketio.cjs socket.io|socket.io-2`. Prints its port. Each client that connects to /live gets an
// event of one record, one of two records that asks for an acknowledgement, and one of another name; what is acknowledged is printed.
'use strict';

const http = require('node:http');
const name = process.argv[2];
const library = require(name);

const server = http.createServer();
const options = { pingInterval: 300, pingTimeout: 2000 };
const io = name === 'socket.io' ? new library.Server(server, { ...options, connectionStateRecovery: {} }) : library(server, options);

let emitted = 0;
const point = () => ({ time: String(1718000000000 + emitted), speed: String(++emitted) });

io.of('/live').on('connection', (socket) => {
  const token = name === 'socket.io' ? socket.handshake.auth.token : socket.handshake.query.token;
  console.log(`connected ${token} ${socket.recovered ?? false}`);
  socket.emit('newData', point());
  socket.emit('other', { speed: '99' });
  socket.emit('newData', [point(), point()], () => console.log('acknowledged'));
});

// Each line of standard input: what everybody gets while the connections stay, or are cut.
process.stdin.setEncoding('utf8');
process.stdin.on('data', (text) => {
  for (const word of text.trim().split('\n')) {
    if (word === 'emit') io.of('/live').emit('newData', point());
    if (word === 'cut') for (const socket of io.of('/live').sockets.values?.() ?? Object.values(io.of('/live').sockets)) socket.conn.close();
  }
});
process.stdin.on('end', () => process.exit(0));

server.listen(0, '127.0.0.1', () => console.log(server.address().port));
