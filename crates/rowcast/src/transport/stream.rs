//! An event stream on its bare connection: one request, and then nothing but events until one of the two has enough.
//!
//! A server that has its own listener gives connections here that begin with [`is_stream`]; the request goes through the same router as all
//! others. What comes by another way, such as HTTP/2 or TLS, is streamed by the HTTP server, and reads the same.

use std::io::{Error, ErrorKind, Result};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Extensions, HeaderName, HeaderValue, Method, Request, Response, Version, header};
use axum::response::IntoResponse;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tower::ServiceExt;

use super::io::Io;
use super::reply::Refusal;
use super::sse::Streaming;
use crate::protocol::{Code, Problem};

/// What a connection begins with that [`serve`] takes.
const BEGINNING: &[u8] = b"GET /v1/stream";
/// The longest head of a request.
const HEAD_MAX: usize = 64 << 10;
const HEADERS_MAX: usize = 100;
/// The longest answer that is no stream.
const ANSWER_MAX: usize = 1 << 20;

/// Where the door leaves a stream that is to go on here.
#[derive(Clone, Default)]
pub(super) struct Bare(Arc<Mutex<Option<Box<Streaming>>>>);

impl Bare {
    pub(super) fn leave(&self, streaming: Streaming) {
        *self.0.lock() = Some(Box::new(streaming));
    }
}

/// Whether a connection's first bytes ask for an event stream.
pub fn is_stream(first: &[u8]) -> bool {
    first.strip_prefix(BEGINNING).is_some_and(|rest| matches!(rest.first(), Some(b'?' | b' ')))
}

/// Reads a request and answers it, to the stream's end. Its extensions are those that the router's doors expect.
pub fn serve(
    stream: TcpStream,
    router: Router,
    extensions: Extensions,
    handshake: Duration,
) -> impl Future<Output = Result<()>> + Send {
    // In a box: an idle stream has no room for how it began.
    let beginning = Box::pin(begin(stream, router, extensions, handshake));
    async move {
        if let Some((streaming, io)) = beginning.await? {
            streaming.run(io).await;
        }
        Ok(())
    }
}

/// Up to the first words; `None` where the answer was no stream.
async fn begin(
    mut stream: TcpStream,
    router: Router,
    extensions: Extensions,
    handshake: Duration,
) -> Result<Option<(Box<Streaming>, Io)>> {
    let head = timeout(handshake, read_head(&mut stream)).await.map_err(|_| ErrorKind::TimedOut)??;
    let mut io = Io::from(stream);
    match answer(&mut io, &head, router, extensions, handshake).await? {
        Some(streaming) => Ok(Some((streaming, io))),
        None => {
            io.shut(handshake).await;
            Ok(None)
        }
    }
}

/// Answers; a stream has only begun then.
async fn answer(
    io: &mut Io,
    head: &[u8],
    router: Router,
    extensions: Extensions,
    handshake: Duration,
) -> Result<Option<Box<Streaming>>> {
    let mut request = match parse(head) {
        Ok(request) => request,
        Err(error) => return refuse(io, &error, handshake).await.map(|()| None),
    };
    *request.extensions_mut() = extensions;
    let bare = Bare::default();
    request.extensions_mut().insert(bare.clone());
    let Ok(response) = router.oneshot(request).await;
    let streaming = bare.0.lock().take();
    let (head, body) = response.into_parts();
    let head = Response::from_parts(head, ());
    let mut all = match &streaming {
        Some(_) => vec![write_head(&head, None)],
        None => {
            let body = to_bytes(body, ANSWER_MAX).await.map_err(Error::other)?;
            vec![write_head(&head, Some(body.len())), body]
        }
    };
    io.write_all(&mut all, handshake).await?;
    Ok(streaming)
}

/// Says what is wrong with a request that cannot be read.
async fn refuse(io: &mut Io, error: &Error, within: Duration) -> Result<()> {
    let refusal =
        Refusal(Problem::new(Code::BadMessage, format!("the request cannot be read: {error}"))).into_response();
    let (head, body) = refusal.into_parts();
    let body = to_bytes(body, ANSWER_MAX).await.map_err(Error::other)?;
    let mut all = vec![write_head(&Response::from_parts(head, ()), Some(body.len())), body];
    io.write_all(&mut all, within).await
}

async fn read_head(stream: &mut TcpStream) -> Result<Vec<u8>> {
    let mut head = Vec::with_capacity(1 << 10);
    loop {
        if stream.read_buf(&mut head).await? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        if head.windows(4).any(|end| end == b"\r\n\r\n") {
            return Ok(head);
        }
        if head.len() > HEAD_MAX {
            return Err(Error::new(ErrorKind::InvalidData, "the request's head is too long"));
        }
    }
}

fn parse(head: &[u8]) -> Result<Request<Body>> {
    let wrong = |what: &dyn std::fmt::Display| Error::new(ErrorKind::InvalidData, what.to_string());
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut headers);
    parsed.parse(head).map_err(|error| wrong(&error))?;
    let mut request = Request::new(Body::empty());
    *request.method_mut() = Method::GET;
    *request.uri_mut() = parsed.path.unwrap_or("/").parse().map_err(|error| wrong(&error))?;
    *request.version_mut() = if parsed.version == Some(0) { Version::HTTP_10 } else { Version::HTTP_11 };
    for field in parsed.headers {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|error| wrong(&error))?;
        request.headers_mut().append(name, HeaderValue::from_bytes(field.value).map_err(|error| wrong(&error))?);
    }
    Ok(request)
}

/// Without a length the answer ends with the connection (RFC 9112, section 6.3).
fn write_head(response: &Response<()>, length: Option<usize>) -> Bytes {
    let mut out = format!("HTTP/1.1 {}\r\n", response.status()).into_bytes();
    for (name, value) in response.headers().iter().filter(|(name, _)| *name != header::CONTENT_LENGTH) {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            out.extend_from_slice(part);
        }
    }
    if let Some(length) = length {
        out.extend_from_slice(format!("content-length: {length}\r\n").as_bytes());
    }
    out.extend_from_slice(b"connection: close\r\n\r\n");
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_requests_for_the_stream_are_taken() {
        for first in ["GET /v1/stream?channel=table:t HTTP/1.1", "GET /v1/stream HTTP/1.1"] {
            assert!(is_stream(first.as_bytes()), "{first}");
        }
        for first in ["GET /v1/streams", "GET /v1/stream", "POST /v1/stream?x", "GET /v1/str", "PRI * HTTP/2.0", ""] {
            assert!(!is_stream(first.as_bytes()), "{first}");
        }
    }

    #[test]
    fn a_head_is_read_as_it_was_written() {
        let head = b"GET /v1/stream?channel=table%3At HTTP/1.1\r\nHost: x\r\nLast-Event-ID: 1-2\r\n\r\n";
        let request = parse(head).expect("a request");
        assert_eq!(request.uri(), "/v1/stream?channel=table%3At");
        assert_eq!(request.headers()["last-event-id"], "1-2");
        for head in [&b"GET /v1/stream x y z\r\n\r\n"[..], b"GET /v1/stream HTTP/1.1\r\nno colon\r\n\r\n"] {
            assert!(parse(head).is_err());
        }
    }

    #[test]
    fn an_answer_says_how_it_ends() {
        let mut response = Response::new(());
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        let text = |length| String::from_utf8(write_head(&response, length).to_vec()).expect("text");
        assert_eq!(text(None), "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\n");
        assert!(text(Some(7)).contains("\r\ncontent-length: 7\r\n"));
    }
}
