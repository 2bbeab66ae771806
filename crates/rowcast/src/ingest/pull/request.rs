//! How a web server is asked: method, headers, body, TLS, redirects.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, RequestBuilder, Url};

use super::feed::{FeedError, Secret};
use super::tls;

/// How long a server may take to answer with headers.
pub(super) const ANSWER_WAIT: Duration = Duration::from_secs(30);

/// How long a connection may take to be made.
pub(super) const CONNECT_WAIT: Duration = Duration::from_secs(10);

/// What goes with a request.
#[derive(Debug, Clone)]
pub struct HttpRequest {
    /// Further headers. Their values are never printed.
    pub headers: Headers,
    /// Whether it is a POST.
    pub post: bool,
    /// What is sent with it.
    pub body: Option<Secret>,
    /// Authorities that may sign the server's certificate, as PEM. `None`: those that this machine trusts.
    pub ca: Option<Arc<[u8]>>,
    /// How many redirects are followed. With own headers, only within the same host.
    pub redirects: usize,
}

impl Default for HttpRequest {
    fn default() -> Self {
        Self { headers: Headers::default(), post: false, body: None, ca: None, redirects: 5 }
    }
}

/// Headers whose values are never printed.
#[derive(Debug, Clone, Default)]
pub struct Headers(HeaderMap);

impl Headers {
    /// Adds one.
    pub fn add(&mut self, name: &str, value: &str) -> Result<(), FeedError> {
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| FeedError(format!("{name:?} is not a header's name")))?;
        let mut value = HeaderValue::from_str(value).map_err(|_| {
            FeedError(format!("the value of the header `{name}` has characters that no header may have"))
        })?;
        value.set_sensitive(true);
        self.0.append(name, value);
        Ok(())
    }

    pub(super) fn map(&self) -> &HeaderMap {
        &self.0
    }
}

impl HttpRequest {
    /// A client that follows these rules.
    pub(super) fn client(&self) -> Result<Client, FeedError> {
        let (redirects, own_headers) = (self.redirects, !self.headers.0.is_empty());
        let policy = reqwest::redirect::Policy::custom(move |attempt| {
            let first = attempt.previous().first();
            let from = |url: &Url| (url.host_str().map(str::to_owned), url.port_or_known_default());
            if attempt.previous().len() > redirects {
                attempt.error("too many redirects")
            } else if own_headers && first.is_some_and(|first| from(first) != from(attempt.url())) {
                attempt.error("redirected to another host, to which the configured headers are not sent")
            } else if first.is_some_and(|first| first.scheme() == "https") && attempt.url().scheme() != "https" {
                attempt.error("redirected from https to http")
            } else {
                attempt.follow()
            }
        });
        let mut client = Client::builder()
            .user_agent(concat!("rowcast/", env!("CARGO_PKG_VERSION")))
            // A library reads no environment, which is where reqwest would look for a proxy.
            .no_proxy()
            .redirect(policy)
            .connect_timeout(CONNECT_WAIT)
            .tcp_keepalive(Duration::from_secs(15));
        if let Some(ca) = &self.ca {
            client = client.tls_backend_preconfigured((*tls::config(Some(ca))?).clone());
        }
        client.build().map_err(|error| FeedError(error.to_string()))
    }

    /// The request, to be sent.
    pub(super) fn to(&self, client: &Client, url: &Url) -> RequestBuilder {
        let request = if self.post { client.post(url.clone()) } else { client.get(url.clone()) };
        let request = request.headers(self.headers.0.clone());
        match &self.body {
            Some(body) => request.body(body.expose().to_owned()),
            None => request,
        }
    }
}

/// An error with its causes: reqwest's own message stops at the first. Without the URL, which may hold a password.
pub(super) fn sentence(error: &reqwest::Error) -> String {
    let mut parts = Vec::new();
    let mut cause: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(error);
    while let Some(error) = cause {
        parts.push(error.to_string());
        cause = error.source();
    }
    let kind = if error.is_connect() {
        "cannot connect"
    } else if error.is_body() || error.is_decode() {
        "the stream broke off"
    } else {
        "the request failed"
    };
    match parts.last() {
        Some(last) => format!("{kind}: {last}"),
        None => kind.to_owned(),
    }
}
