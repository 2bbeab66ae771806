//! As much of HTTP/1.1 as a client needs that reads one answer after another, or one without end.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use memchr::memmem;

/// The head of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) status: u16,
    /// Bytes of the head.
    pub(crate) size: usize,
    /// How the body ends.
    pub(crate) body: Body,
    /// After so long the server wants to be asked again.
    pub(crate) retry: Option<Duration>,
}

/// How long a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Body {
    Length(usize),
    Chunked,
    /// Until the connection ends.
    Open,
}

/// The head at the beginning of `bytes`, or `None` when its end is still to come.
pub(crate) fn head(bytes: &[u8]) -> Result<Option<Head>> {
    let Some(end) = memmem::find(bytes, b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(&bytes[..end]).context("the server's head is not text")?;
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok());
    let status = status.with_context(|| format!("not HTTP/1.1: {text}"))?;
    let (mut body, mut retry) = (Body::Open, None);
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("content-length") {
            body = Body::Length(value.trim().parse().context("content-length")?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") && value.trim().eq_ignore_ascii_case("chunked") {
            body = Body::Chunked;
        } else if name.eq_ignore_ascii_case("retry-after") {
            // A date is not understood: as if nothing were said.
            retry = value.trim().parse().ok().map(Duration::from_secs);
        }
    }
    Ok(Some(Head { status, size: end + 4, body, retry }))
}

/// The first chunk of a chunked body, and how many bytes it takes with its size; an empty one is the last.
pub(crate) fn chunk(bytes: &[u8]) -> Result<Option<(&[u8], usize)>> {
    let Some(line) = memmem::find(bytes, b"\r\n") else {
        return if bytes.len() > 100 { bail!("a chunk without a size") } else { Ok(None) };
    };
    let size = std::str::from_utf8(&bytes[..line])?.split(';').next().unwrap_or_default();
    let size = usize::from_str_radix(size.trim(), 16).context("the size of a chunk")?;
    let start = line + 2;
    let end = start.checked_add(size).and_then(|end| end.checked_add(2)).context("the size of a chunk")?;
    Ok(bytes.get(start..end).map(|chunk| (&chunk[..size], end)))
}

/// A whole body, and how many of `bytes` it takes, or `None` when its end is still to come.
pub(crate) fn body(head: &Head, bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>> {
    let rest = &bytes[head.size..];
    match head.body {
        Body::Length(length) => Ok(rest.get(..length).map(|body| (body.to_vec(), head.size + length))),
        Body::Open => bail!("an answer without a length"),
        Body::Chunked => {
            let (mut whole, mut used) = (Vec::new(), 0);
            while let Some((data, size)) = chunk(&rest[used..])? {
                used += size;
                if data.is_empty() {
                    return Ok(Some((whole, head.size + used)));
                }
                whole.extend_from_slice(data);
            }
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_read_when_it_is_whole() {
        let length = &b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP"[..];
        let chunked =
            &b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\no\r\n1;x=y\r\nk\r\n0\r\n\r\nHTTP"[..];
        for bytes in [length, chunked] {
            let whole = bytes.len() - 4;
            let parsed = head(bytes).expect("a head").expect("whole");
            assert_eq!(parsed.status, 200);
            for cut in parsed.size..whole {
                assert_eq!(body(&parsed, &bytes[..cut]).expect("no error"), None);
            }
            assert_eq!(body(&parsed, bytes).expect("no error"), Some((b"ok".to_vec(), whole)));
        }
    }

    #[test]
    fn a_server_may_want_to_be_asked_later() {
        let bytes = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 3\r\n\r\n";
        let parsed = head(bytes).expect("a head").expect("whole");
        assert_eq!((parsed.status, parsed.retry), (503, Some(Duration::from_secs(3))));
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        assert!(head(b"SSH-2.0\r\n\r\n").is_err());
        assert!(chunk(b"zz\r\n").is_err());
        assert!(chunk(b"ffffffffffffffff\r\n").is_err());
        assert_eq!(head(b"HTTP/1.1 200 OK\r\n").expect("no error"), None);
    }
}
