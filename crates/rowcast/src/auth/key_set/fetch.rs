//! One fetch of a key set.

use std::net::IpAddr;
use std::time::Duration;

use reqwest::header::{ACCEPT, CACHE_CONTROL, HeaderMap};
use reqwest::redirect::Policy;
use reqwest::{Response, Url};

use super::super::key::Set;
use super::KeySetSettings;

/// A body that is larger is no key set.
const BODY_MAX: usize = 1 << 20;

const REDIRECTS_MAX: usize = 3;

/// What was fetched.
pub(super) struct Fetched {
    pub(super) set: Set,
    /// For how long the server says that it is good.
    pub(super) life: Option<Duration>,
}

/// Fetches a set, or says why not, without its URL.
pub(super) async fn fetch(settings: &KeySetSettings) -> Result<Fetched, String> {
    let request =
        settings.client.get(settings.url.clone()).header(ACCEPT, "application/jwk-set+json, application/json");
    let response = request.send().await.map_err(|error| sentence(&error))?;
    let status = response.status();
    if !status.is_success() {
        return Err(format!("the server answers {status}"));
    }
    let life = life(response.headers());
    let body = body(response).await?;
    let set = Set::read(&body, true).map_err(|error| error.to_string())?;
    if set.keys.is_empty() && !set.refused.is_empty() {
        return Err(format!("there is no key in it that can be used: {}", set.refused[0]));
    }
    Ok(Fetched { set, life })
}

/// Whether nobody on the way can change what is fetched.
pub(super) fn is_safe(url: &Url) -> bool {
    let is_own = || {
        let host = url.host_str().unwrap_or_default();
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    };
    url.scheme() == "https" || (url.scheme() == "http" && is_own())
}

/// A few, and never from https to http, nor from elsewhere to this machine.
pub(super) fn redirects() -> Policy {
    Policy::custom(|attempt| {
        let was_https = attempt.previous().iter().any(|url| url.scheme() == "https");
        if attempt.previous().len() > REDIRECTS_MAX {
            attempt.error("too many redirects")
        } else if !is_safe(attempt.url()) || (was_https && attempt.url().scheme() != "https") {
            attempt.error("redirected to http")
        } else {
            attempt.follow()
        }
    })
}

async fn body(mut response: Response) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(|error| sentence(&error))? {
        if body.len() + piece.len() > BODY_MAX {
            return Err("the answer is larger than 1 MiB".into());
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

/// `max-age` of Cache-Control.
fn life(headers: &HeaderMap) -> Option<Duration> {
    let directives = headers.get(CACHE_CONTROL)?.to_str().ok()?;
    let age = directives.split(',').find_map(|directive| directive.trim().strip_prefix("max-age="))?;
    age.trim().parse().ok().map(Duration::from_secs)
}

/// An error with its last cause: reqwest's own message stops at the first, and has the URL in it.
fn sentence(error: &reqwest::Error) -> String {
    let mut last: &dyn std::error::Error = error;
    let mut depth = 0;
    while let Some(cause) = last.source() {
        (last, depth) = (cause, depth + 1);
    }
    if depth == 0 { "the request failed".into() } else { last.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_life_of_a_set_is_its_max_age() {
        let life = |text: &str| life(&HeaderMap::from_iter([(CACHE_CONTROL, text.parse().expect("a value"))]));
        assert_eq!(life("public, max-age=21600, must-revalidate"), Some(Duration::from_secs(21_600)));
        assert_eq!(life("max-age=0"), Some(Duration::ZERO));
        for none in ["no-store", "max-age=", "max-age=soon", "max-age=-1", "s-maxage=60"] {
            assert_eq!(life(none), None, "{none}");
        }
        assert_eq!(super::life(&HeaderMap::new()), None);
    }
}
