//! A mail server: what is sent to it can be read here.

use std::net::SocketAddr;
use std::time::Duration;

use rowcast_chat::{Settings, Smtp};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// A mail as it came.
#[derive(Debug)]
pub(crate) struct Letter {
    pub(crate) to: String,
    pub(crate) text: String,
}

/// A server that takes every mail.
pub(crate) struct Postbox {
    address: SocketAddr,
    letters: mpsc::Receiver<Letter>,
}

impl Postbox {
    pub(crate) async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (sender, letters) = mpsc::channel(64);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(take(stream, sender.clone()));
            }
        });
        Self { address, letters }
    }

    /// A chat that verifies addresses by it.
    pub(crate) fn settings(&self) -> Settings {
        let smtp = Smtp { url: format!("smtp://{}", self.address), from: "Chat <chat@example.com>".into() };
        Settings { smtp: Some(smtp), ..Settings::default() }
    }

    /// The next mail.
    pub(crate) async fn letter(&mut self) -> Letter {
        let next = tokio::time::timeout(Duration::from_secs(60), self.letters.recv()).await;
        next.expect("a mail in time").expect("the server runs")
    }

    /// The code in the next mail, which is for this address.
    pub(crate) async fn code(&mut self, to: &str) -> String {
        let letter = self.letter().await;
        assert_eq!(letter.to, to);
        let (_, rest) = letter.text.split_once("Your code is ").unwrap_or_else(|| panic!("no code: {}", letter.text));
        rest[..6].to_owned()
    }

    /// Whether no other mail has come.
    pub(crate) fn is_empty(&mut self) -> bool {
        self.letters.try_recv().is_err()
    }
}

/// RFC 5321, as much of it as a client needs that sends one mail after the other.
async fn take(stream: TcpStream, letters: mpsc::Sender<Letter>) -> std::io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    write.write_all(b"220 postbox ESMTP\r\n").await?;
    let (mut to, mut text, mut in_data) = (String::new(), String::new(), false);
    while let Some(line) = lines.next_line().await? {
        if in_data && line == "." {
            let letter = Letter { to: std::mem::take(&mut to), text: std::mem::take(&mut text) };
            let _ = letters.send(letter).await;
            in_data = false;
            write.write_all(b"250 taken\r\n").await?;
            continue;
        }
        if in_data {
            text.push_str(&line);
            text.push('\n');
            continue;
        }
        let answer: &[u8] = match line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase().as_str() {
            "EHLO" => b"250-postbox\r\n250 8BITMIME\r\n",
            "RCPT" => {
                let address = line.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
                to = address.map(|(address, _)| address.to_owned()).unwrap_or_default();
                b"250 known\r\n"
            }
            "DATA" => {
                in_data = true;
                b"354 go on\r\n"
            }
            "QUIT" => return write.write_all(b"221 bye\r\n").await,
            _ => b"250 well\r\n",
        };
        write.write_all(answer).await?;
    }
    Ok(())
}
