// A chat as one writes it with socket.io and pg: for each message the sender's membership is looked up, a row is inserted, and the
// room is told, one after the other. As the seed does, it believes `?userId=`. node server.js DATABASE_URL [receipt]

const http = require('node:http');
const { Pool } = require('pg');
const { Server } = require('socket.io');

const [databaseUrl, receipt] = process.argv.slice(2);
const pool = new Pool({ connectionString: databaseUrl });
const server = http.createServer();
const io = new Server(server);

io.on('connection', async (socket) => {
  const user = socket.handshake.query.userId;
  socket.on('message', (said) => take(user, said).catch((error) => console.error(error)));
  const { rows } = await pool.query('select room from members where user_id = $1', [user]);
  await socket.join(rows.map(({ room }) => room));
  socket.emit('ready');
});

async function take(user, { room, body }) {
  const member = await pool.query('select 1 from members where room = $1 and user_id = $2', [room, user]);
  if (member.rowCount === 0) return;
  const insert = 'insert into messages (room, sender, body) values ($1, $2, $3) returning *';
  const { rows } = await pool.query(insert, [room, user, body]);
  io.to(room).emit('message', rows[0]);
  if (receipt === undefined) return;
  const update = 'update receipts set delivered = greatest(delivered, $1) where room = $2 and user_id = $3';
  await pool.query(update, [rows[0].id, room, user]);
}

server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 }, () => {
  console.log(`listening 127.0.0.1:${server.address().port}`);
});
process.stdin.on('end', () => process.exit(0)).resume();
