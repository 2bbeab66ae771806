//! A mail server: what is sent to it can be read here.

use std::net::SocketAddr;
use std::time::Duration;

use rowcast_chat::{Settings, Smtp};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

/// A mail as it came.
#[derive(Debug)]
pub(crate) struct Letter {
    pub(crate) to: String,
    pub(crate) text: String,
}

/// How a server is spoken to.
#[derive(Clone)]
pub(crate) enum Manner {
    Plain,
    /// Encrypted from the first byte on.
    Wrapped(TlsAcceptor),
    /// Encrypted once `STARTTLS` was said; before that it takes mail as well, as a careless server does.
    StartTls(TlsAcceptor),
}

/// A server that takes every mail.
pub(crate) struct Postbox {
    address: SocketAddr,
    letters: mpsc::Receiver<Letter>,
}

impl Postbox {
    pub(crate) async fn open() -> Self {
        Self::open_as(Manner::Plain).await
    }

    pub(crate) async fn open_as(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (sender, letters) = mpsc::channel(64);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, manner.clone(), sender.clone()));
            }
        });
        Self { address, letters }
    }

    /// A chat that verifies addresses by it.
    pub(crate) fn settings(&self) -> Settings {
        self.settings_as(&format!("smtp://{}", self.address), None)
    }

    /// The same by another URL, in which `HOST` stands for the server's address as certificates have it.
    pub(crate) fn settings_as(&self, url: &str, ca: Option<String>) -> Settings {
        let url = url.replace("HOST", &format!("localhost:{}", self.address.port()));
        let smtp = Smtp { url, from: "Chat <chat@example.com>".into(), ca };
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

async fn serve(stream: TcpStream, manner: Manner, letters: mpsc::Sender<Letter>) -> std::io::Result<()> {
    match manner {
        Manner::Plain => talk(BufReader::new(stream), true, None, &letters).await.map(drop),
        Manner::Wrapped(tls) => talk(BufReader::new(tls.accept(stream).await?), true, None, &letters).await.map(drop),
        Manner::StartTls(tls) => {
            let offer = Some("250-STARTTLS\r\n");
            let Some(stream) = talk(BufReader::new(stream), true, offer, &letters).await? else { return Ok(()) };
            talk(BufReader::new(tls.accept(stream.into_inner()).await?), false, None, &letters).await.map(drop)
        }
    }
}

/// RFC 5321, as much of it as a client needs that sends one mail after the other. Gives the connection back where `STARTTLS` is said.
async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: BufReader<S>,
    greets: bool,
    offer: Option<&str>,
    letters: &mpsc::Sender<Letter>,
) -> std::io::Result<Option<BufReader<S>>> {
    if greets {
        stream.write_all(b"220 postbox ESMTP\r\n").await?;
    }
    let (mut to, mut text, mut in_data) = (String::new(), String::new(), false);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(None);
        }
        let line = line.trim_end_matches(['\r', '\n']);
        if in_data && line == "." {
            let letter = Letter { to: std::mem::take(&mut to), text: std::mem::take(&mut text) };
            let _ = letters.send(letter).await;
            in_data = false;
            stream.write_all(b"250 taken\r\n").await?;
            continue;
        }
        if in_data {
            text.push_str(line);
            text.push('\n');
            continue;
        }
        let answer = match line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase().as_str() {
            "EHLO" => format!("250-postbox\r\n{}250 8BITMIME\r\n", offer.unwrap_or_default()),
            "STARTTLS" if offer.is_some() => {
                stream.write_all(b"220 go on\r\n").await?;
                return Ok(Some(stream));
            }
            "RCPT" => {
                let address = line.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
                to = address.map(|(address, _)| address.to_owned()).unwrap_or_default();
                "250 known\r\n".into()
            }
            "DATA" => {
                in_data = true;
                "354 go on\r\n".into()
            }
            "QUIT" => {
                stream.write_all(b"221 bye\r\n").await?;
                return Ok(None);
            }
            _ => "250 well\r\n".into(),
        };
        stream.write_all(answer.as_bytes()).await?;
    }
}
