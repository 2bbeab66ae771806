//! What one would take on Node: `ws` and `socket.io`, installed from npm into a folder that goes with the run.

use std::process::{Command, Stdio};

use anyhow::{Result, ensure};
use tempfile::TempDir;

use crate::process::Server;

/// Both say what they were told, line by line, to everybody.
const SERVER: &str = r#"
const http = require('http'), net = require('net'), readline = require('readline');
const server = http.createServer();
let tell;
if (process.argv[2] === 'ws') {
  const sockets = new (require('ws').WebSocketServer)({ server });
  sockets.on('connection', (socket) => socket.send('{"type":"subscribed"}'));
  tell = (line) => sockets.clients.forEach((socket) => socket.send(line));
} else {
  const { Server } = require('socket.io');
  // The clients of this measurement answer no pings of Engine.IO.
  const io = new Server(server, { path: '/v1/ws', addTrailingSlash: false, transports: ['websocket'], pingInterval: 1e9 });
  io.on('connection', (socket) => socket.emit('greeting', { type: 'subscribed' }));
  tell = (line) => io.emit('change', JSON.parse(line));
}
const control = net.createServer((socket) => readline.createInterface({ input: socket }).on('line', tell));
control.listen(0, '127.0.0.1', () => server.listen(0, '127.0.0.1', () => {
  console.log('control 127.0.0.1:' + control.address().port);
  console.log('listening 127.0.0.1:' + server.address().port);
}));
process.stdin.on('end', () => process.exit(0)).resume();
"#;

/// The packages in a folder of their own.
pub(crate) struct Npm {
    folder: TempDir,
}

impl Npm {
    pub(crate) fn install() -> Result<Self> {
        let folder = TempDir::new()?;
        std::fs::write(folder.path().join("server.js"), SERVER)?;
        let mut install = Command::new("npm");
        install.args(["install", "--no-audit", "--no-fund", "--silent", "ws@8", "socket.io@4"]);
        let status = install.current_dir(folder.path()).stdin(Stdio::null()).stdout(Stdio::null()).status()?;
        ensure!(status.success(), "npm could not install ws and socket.io");
        Ok(Self { folder })
    }

    /// `ws` or `socket.io`.
    pub(crate) fn start(&self, kind: &str) -> Result<Server> {
        let mut command = Command::new("node");
        command.arg("server.js").arg(kind).current_dir(self.folder.path());
        Server::announced(command)
    }
}
