// Reads a stream of NDJSON and saves each record through Sequelize, one after the other, as the tutorials' back ends do
// (with lines put together from chunks, so that it does not crash). node server.js DATABASE_URL STREAM_URL

const http = require('node:http');
const { createInterface } = require('node:readline');
const { Readable } = require('node:stream');
const { DataTypes, Sequelize } = require('sequelize');

const [databaseUrl, streamUrl] = process.argv.slice(2);
const sequelize = new Sequelize(databaseUrl, { dialect: 'mysql', logging: false });
const Data = sequelize.define(
  'Data',
  {
    time: { type: DataTypes.STRING, allowNull: false },
    speed: { type: DataTypes.STRING, allowNull: false },
  },
  { freezeTableName: true },
);

/** Returns the seconds from the first line to the last save. */
async function store() {
  const response = await fetch(streamUrl);
  const started = process.hrtime.bigint();
  for await (const line of createInterface({ input: Readable.fromWeb(response.body) })) {
    const { at, pad } = JSON.parse(line);
    await Data.create({ time: at, speed: pad });
  }
  return Number(process.hrtime.bigint() - started) / 1e9;
}

sequelize.sync().then(() => {
  const server = http.createServer(async (_, answer) => answer.end(String(await store())));
  server.requestTimeout = 0;
  server.listen(0, '127.0.0.1', () => console.log(`listening 127.0.0.1:${server.address().port}`));
});
process.stdin.on('end', () => process.exit(0)).resume();
