// npm's `ws` and `socket.io` as `rowcast bench` measures them: each message that comes in on the control port goes to
// every client. Lines there: before each batch of messages a line with their number.
const http = require('node:http')
const net = require('node:net')
const readline = require('node:readline')

const kind = process.argv[2]
const server = http.createServer()
let tell
if (kind === 'ws') {
  const { WebSocketServer } = require('ws')
  const sockets = new WebSocketServer({ server })
  tell = (line) => sockets.clients.forEach((socket) => socket.send(line))
} else {
  const { Server } = require('socket.io')
  const io = new Server(server)
  io.on('connection', (socket) => socket.on('subscribe', (_what, answer) => answer?.({ ok: true })))
  tell = (line) => io.emit('change', JSON.parse(line))
}

const control = net.createServer((socket) => {
  let left = 0
  readline.createInterface({ input: socket }).on('line', (line) => {
    if (left === 0) left = Number(line)
    else {
      left -= 1
      tell(line)
    }
  })
})
control.listen(0, '127.0.0.1', () => {
  server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 }, () => {
    console.log(`control 127.0.0.1:${control.address().port}`)
    console.log(`listening 127.0.0.1:${server.address().port}`)
  })
})
process.stdin.on('end', () => process.exit(0)).resume()
