//! Keys that an identity provider publishes (a JWK set), fetched again and again.
//!
//! A fetch that fails changes nothing. A key that is gone from the set is gone: what it signed is no longer accepted.

mod fetch;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use reqwest::{Certificate, Client, Url};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::key::{Key, KeyError};

/// Where keys are fetched, and how often.
#[derive(Debug, Clone)]
pub struct KeySetSettings {
    url: Url,
    client: Client,
    /// How often they are fetched. What the server says (`Cache-Control: max-age`) shortens it, to a minute at least.
    pub refresh: Duration,
    /// For how long after a fetch for an unknown key there is no other such fetch.
    pub pause: Duration,
    /// How long a fetch may take.
    pub wait: Duration,
}

/// So often at most, whatever the server wishes.
const REFRESH_MIN: Duration = Duration::from_secs(60);

/// How long after a fetch that failed there is another, at most.
const RETRY: Duration = Duration::from_secs(15);

impl KeySetSettings {
    /// Keys at a URL, which is https unless it is this machine's own. `ca` (PEM): authorities that may sign the server's certificate;
    /// without it, those that this machine trusts.
    pub fn new(url: &str, ca: Option<&[u8]>) -> Result<Self, KeyError> {
        let url = Url::parse(url).map_err(|error| KeyError(format!("it is not a URL: {error}")))?;
        if !fetch::is_safe(&url) {
            let why = "whoever is on the way could put keys of his own in it";
            return Err(KeyError(format!("keys are fetched by https only: {why}")));
        }
        let mut client = Client::builder()
            .user_agent(concat!("rowcast/", env!("CARGO_PKG_VERSION")))
            // A library reads no environment, which is where reqwest would look for a proxy.
            .no_proxy()
            .redirect(fetch::redirects());
        if let Some(ca) = ca {
            let authorities = Certificate::from_pem_bundle(ca).unwrap_or_default();
            if authorities.is_empty() {
                return Err(KeyError("there is no certificate (PEM) in the file of authorities".into()));
            }
            client = client.tls_certs_only(authorities);
        }
        let client = client.build().map_err(|error| KeyError(format!("no connection can be made: {error}")))?;
        let refresh = Duration::from_secs(600);
        Ok(Self { url, client, refresh, pause: Duration::from_secs(30), wait: Duration::from_secs(5) })
    }

    /// The server, which may be named in logs; the rest of the URL may hold a password.
    fn server(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }
}

/// The keys of a set, as they were when it was last fetched.
#[derive(Debug)]
pub(super) struct KeySet {
    settings: KeySetSettings,
    keys: RwLock<Arc<[Key]>>,
    /// Held by who fetches; all others who wait for it find what it has brought.
    turn: Mutex<Turn>,
}

#[derive(Debug, Default)]
struct Turn {
    /// When a key that was not known was last looked for.
    looked: Option<Instant>,
    /// Whether the last fetch failed, and was said to.
    failed: bool,
    /// The keys that cannot be used, as they were last said to be.
    refused: Vec<KeyError>,
}

impl KeySet {
    pub(super) fn new(settings: KeySetSettings) -> Self {
        Self { settings, keys: RwLock::new(Arc::new([])), turn: Mutex::default() }
    }

    pub(super) fn keys(&self) -> Arc<[Key]> {
        self.keys.read().clone()
    }

    pub(super) fn has(&self, kid: &str) -> bool {
        self.keys.read().iter().any(|key| key.kid() == Some(kid))
    }

    /// Fetches the set because a token names a key that it has not; not more often than every `pause`, for whoever asks. Whether keys
    /// have changed.
    pub(super) async fn look_for(&self, kid: &str) -> bool {
        let mut turn = self.turn.lock().await;
        if self.has(kid) || turn.looked.is_some_and(|looked| looked.elapsed() < self.settings.pause) {
            return false;
        }
        turn.looked = Some(Instant::now());
        let (_, changed) = self.fetch(&mut turn).await;
        // The pause begins when the answer is there: a slow server is not asked without end.
        turn.looked = Some(Instant::now());
        changed
    }

    /// Fetches it at once and from time to time, for ever.
    pub(super) async fn keep_fresh(&self, changed: impl Fn()) {
        loop {
            let (next, has_changed) = {
                let mut turn = self.turn.lock().await;
                self.fetch(&mut turn).await
            };
            if has_changed {
                changed();
            }
            tokio::time::sleep(next).await;
        }
    }

    /// Fetches it; says after how long to do so again, and whether keys have changed.
    async fn fetch(&self, turn: &mut Turn) -> (Duration, bool) {
        let Self { settings, .. } = self;
        let fetched = tokio::time::timeout(settings.wait, fetch::fetch(settings)).await;
        let fetched = fetched.unwrap_or_else(|_| Err(format!("there was no answer within {:?}", settings.wait)));
        let server = settings.server();
        match fetched {
            Ok(fetched) => {
                let life = fetched.life.map_or(settings.refresh, |life| life.clamp(REFRESH_MIN, Duration::MAX));
                self.say_refused(turn, fetched.set.refused);
                let changed = self.replace(fetched.set.keys);
                if std::mem::take(&mut turn.failed) {
                    tracing::info!(server, "the keys that tokens are verified with can be fetched again");
                }
                (life.min(settings.refresh), changed)
            }
            Err(error) => {
                if !std::mem::replace(&mut turn.failed, true) {
                    let kept = self.keys().len();
                    tracing::warn!(
                        server,
                        kept,
                        "the keys that tokens are verified with cannot be fetched: {error}; those that are there stay"
                    );
                }
                (RETRY.min(settings.refresh), false)
            }
        }
    }

    fn replace(&self, keys: Vec<Key>) -> bool {
        let mut place = self.keys.write();
        let changed = place.len() != keys.len() || place.iter().zip(&keys).any(|(old, new)| old.id() != new.id());
        if changed {
            let (server, count) = (self.settings.server(), keys.len());
            tracing::info!(server, count, "the keys that tokens are verified with have changed");
            *place = keys.into();
        }
        changed
    }

    fn say_refused(&self, turn: &mut Turn, refused: Vec<KeyError>) {
        if turn.refused != refused {
            for KeyError(why) in &refused {
                tracing::info!(server = self.settings.server(), "one of the fetched keys is left aside: {why}");
            }
            turn.refused = refused;
        }
    }
}
