//! Keys that are fetched, from a real HTTP server that rotates them, loses them, and misbehaves.

mod tls;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Uri, header};
use axum::response::{IntoResponse, Response};
use axum::serve::Listener;
use parking_lot::Mutex;
use rowcast::auth::{KeySetSettings, Rejected, Tokens, Trust};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::forge::{ED, P256, Pair, RSA, SECRET, claims};
use super::{expect, refused};

/// What the server answers.
#[derive(Clone)]
enum Answer {
    Keys(Vec<serde_json::Value>),
    Status(u16),
    /// The headers, and then nothing.
    Slow,
    /// These keys, when it is allowed to.
    Later(Vec<serde_json::Value>, Arc<tokio::sync::Notify>),
    /// White space without end.
    Huge,
    Redirect(String),
    Text(&'static str),
}

/// An identity provider.
struct Provider {
    url: String,
    fetches: Arc<AtomicUsize>,
    answer: Arc<Mutex<Answer>>,
}

type Shared = (Arc<AtomicUsize>, Arc<Mutex<Answer>>);

impl Provider {
    async fn start(answer: Answer) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/keys", listener.local_addr().expect("bound"));
        Self::serve(listener, url, answer)
    }

    fn serve<L>(listener: L, url: String, answer: Answer) -> Self
    where
        L: Listener,
        L::Addr: std::fmt::Debug,
    {
        let (fetches, answer) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(answer)));
        let app = Router::new().fallback(give).with_state((fetches.clone(), answer.clone()));
        tokio::spawn(axum::serve(listener, app).into_future());
        Self { url, fetches, answer }
    }

    fn answers(&self, answer: Answer) {
        *self.answer.lock() = answer;
    }

    fn fetches(&self) -> usize {
        self.fetches.load(SeqCst)
    }

    fn settings(&self) -> KeySetSettings {
        KeySetSettings::new(&self.url, None).expect("settings")
    }

    fn settings_with(&self, change: impl FnOnce(&mut KeySetSettings)) -> KeySetSettings {
        let mut settings = self.settings();
        change(&mut settings);
        settings
    }

    /// Runs, and has fetched for the first time.
    async fn run(&self, settings: KeySetSettings) -> Running {
        let before = self.fetches();
        let running = self.begin(settings);
        self.fetched(before + 1).await;
        running
    }

    /// Runs.
    fn begin(&self, settings: KeySetSettings) -> Running {
        let tokens = Arc::new(Tokens::new(Trust { key_sets: vec![settings], expect: expect(), ..Trust::default() }));
        let stop = CancellationToken::new();
        let (running, stopped) = (tokens.clone(), stop.clone());
        tokio::spawn(async move { running.run(stopped).await });
        Running { tokens, _stop: stop.drop_guard() }
    }

    async fn fetched(&self, times: usize) {
        while self.fetches() < times {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

struct Running {
    tokens: Arc<Tokens>,
    _stop: DropGuard,
}

impl Running {
    /// Waits until so many keys are known.
    async fn knows(&self, keys: usize) {
        while self.tokens.known_keys().len() != keys {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn give(State((fetches, answer)): State<Shared>, uri: Uri) -> Response {
    if uri.path() == "/keys" {
        fetches.fetch_add(1, SeqCst);
    }
    let answer = if uri.path() == "/moved" { Answer::Keys(vec![RSA.jwk("moved")]) } else { answer.lock().clone() };
    match answer {
        Answer::Keys(keys) => axum::Json(json!({ "keys": keys })).into_response(),
        Answer::Later(keys, allowed) => {
            allowed.notified().await;
            axum::Json(json!({ "keys": keys })).into_response()
        }
        Answer::Status(status) => axum::http::StatusCode::from_u16(status).expect("a status").into_response(),
        Answer::Slow => {
            Body::from_stream(futures_util::stream::pending::<Result<String, std::io::Error>>()).into_response()
        }
        Answer::Huge => {
            let line = Ok::<_, std::io::Error>(" ".repeat(1 << 16));
            Body::from_stream(futures_util::stream::repeat_with(move || {
                Ok::<_, std::io::Error>(line.as_ref().expect("a line").clone())
            }))
            .into_response()
        }
        Answer::Redirect(to) => (axum::http::StatusCode::FOUND, [(header::LOCATION, to)]).into_response(),
        Answer::Text(text) => text.into_response(),
    }
}

fn token(pair: &Pair, algorithm: &str, kid: &str) -> String {
    pair.token_of(&json!({ "alg": algorithm, "kid": kid }).to_string(), algorithm, &claims().to_string())
}

async fn accepted(tokens: &Tokens, token: &str) {
    tokens.verify(token, SystemTime::now()).await.expect("accepted");
}

#[tokio::test]
async fn a_new_key_is_fetched_when_a_token_names_it_and_an_old_one_goes() {
    let provider = Provider::start(Answer::Keys(vec![RSA.jwk("1")])).await;
    let Running { tokens, _stop } = provider.run(provider.settings()).await;
    let (old, new) = (token(&RSA, "RS256", "1"), token(&P256, "ES256", "2"));
    let identity = tokens.verify(&old, SystemTime::now()).await.expect("accepted");
    provider.answers(Answer::Keys(vec![P256.jwk("2")]));
    let changes = tokens.changed();
    accepted(&tokens, &new).await;
    assert_eq!(provider.fetches(), 2);
    // It was in memory.
    refused(&tokens, &old, Rejected::Invalid, "no key").await;
    assert!(!tokens.still_trusts(&identity), "its sockets can be closed");
    assert!(changes.has_changed().expect("there"));
}

#[tokio::test]
async fn a_name_that_now_means_another_key_is_another_key() {
    let provider = Provider::start(Answer::Keys(vec![RSA.jwk("1")])).await;
    let settings = provider.settings_with(|settings| {
        settings.refresh = Duration::from_millis(20);
    });
    let running = provider.run(settings).await;
    running.knows(1).await;
    let before = running.tokens.known_keys();
    let old = running.tokens.verify(&token(&RSA, "RS256", "1"), SystemTime::now()).await.expect("accepted");
    provider.answers(Answer::Keys(vec![Pair::rsa().jwk("1")]));
    while running.tokens.known_keys() == before {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(!running.tokens.still_trusts(&old));
    refused(&running.tokens, &token(&RSA, "RS256", "1"), Rejected::Invalid, "no key").await;
}

#[tokio::test]
async fn a_flood_of_unknown_keys_is_one_fetch() {
    let provider = Provider::start(Answer::Keys(vec![RSA.jwk("1")])).await;
    let running = provider.run(provider.settings()).await;
    running.knows(1).await;
    let flood = (0..300).map(|n| {
        let tokens = running.tokens.clone();
        tokio::spawn(async move {
            let forged = token(&Pair::Secret(SECRET), "HS256", &format!("unknown {n}"));
            assert_eq!(tokens.verify(&forged, SystemTime::now()).await.err(), Some(Rejected::Invalid));
        })
    });
    for one in flood.collect::<Vec<_>>() {
        one.await.expect("refused");
    }
    assert_eq!(provider.fetches(), 2, "one at the start, and one for all of them");
    accepted(&running.tokens, &token(&RSA, "RS256", "1")).await;
    let pause = provider.settings_with(|settings| {
        settings.pause = Duration::ZERO;
    });
    let running = provider.run(pause).await;
    running.knows(1).await;
    for n in 0..3 {
        refused(
            &running.tokens,
            &token(&Pair::Secret(SECRET), "HS256", &format!("unknown {n}")),
            Rejected::Invalid,
            "no key",
        )
        .await;
    }
    assert_eq!(provider.fetches(), 3 + 6, "without the pause it would be one for each, and they are examined twice");
}

#[tokio::test]
async fn all_who_wait_for_a_new_key_get_it_by_one_fetch() {
    let provider = Provider::start(Answer::Keys(vec![RSA.jwk("1")])).await;
    let running = provider.run(provider.settings()).await;
    running.knows(1).await;
    provider.answers(Answer::Keys(vec![RSA.jwk("1"), ED.jwk("2")]));
    let new = token(&ED, "EdDSA", "2");
    let all = (0..50).map(|_| accepted(&running.tokens, &new));
    futures_util::future::join_all(all).await;
    assert_eq!(provider.fetches(), 2);
}

#[tokio::test]
async fn a_fetch_goes_on_when_the_client_that_wanted_it_has_gone() {
    let provider = Provider::start(Answer::Keys(vec![RSA.jwk("1")])).await;
    let running = provider.run(provider.settings()).await;
    running.knows(1).await;
    let allowed = Arc::new(tokio::sync::Notify::new());
    provider.answers(Answer::Later(vec![RSA.jwk("1"), ED.jwk("2")], allowed.clone()));
    let (tokens, new) = (running.tokens.clone(), token(&ED, "EdDSA", "2"));
    let gone = tokio::spawn(async move { tokens.verify(&new, SystemTime::now()).await.is_ok() });
    provider.fetched(2).await;
    gone.abort();
    allowed.notify_one();
    running.knows(2).await;
    accepted(&running.tokens, &token(&ED, "EdDSA", "2")).await;
    assert_eq!(provider.fetches(), 2);
}

#[tokio::test]
async fn a_fetch_that_fails_keeps_the_keys() {
    let provider = Provider::start(Answer::Keys(vec![RSA.jwk("1")])).await;
    let quick = Duration::from_millis(20);
    let settings = provider.settings_with(|settings| {
        settings.refresh = quick;
        settings.pause = Duration::ZERO;
        settings.wait = Duration::from_millis(150);
    });
    let running = provider.run(settings).await;
    running.knows(1).await;
    let secret = Pair::Secret(SECRET).jwk("1");
    for answer in [
        Answer::Status(500),
        Answer::Status(404),
        Answer::Slow,
        Answer::Huge,
        Answer::Text("<html>"),
        Answer::Text("{}"),
        Answer::Text(r#"{"keys":[],"keys":[]}"#),
        // Whoever reads a published secret could sign with it.
        Answer::Keys(vec![secret]),
        Answer::Keys(vec![RSA.jwk("1"); 65]),
        Answer::Redirect("http://127.0.0.2.example/keys".into()),
        Answer::Redirect("ftp://127.0.0.1/keys".into()),
        Answer::Redirect(provider.url.clone()),
    ] {
        provider.answers(answer);
        let before = provider.fetches();
        provider.fetched(before + 2).await;
        accepted(&running.tokens, &token(&RSA, "RS256", "1")).await;
        refused(&running.tokens, &token(&Pair::Secret(SECRET), "HS256", "1"), Rejected::Invalid, "no key").await;
    }
    provider.answers(Answer::Keys(vec![
        P256.jwk("2"),
        Pair::Secret(SECRET).jwk("3"),
        json!({ "kty": "AKP", "kid": "4" }),
    ]));
    let new = token(&P256, "ES256", "2");
    accepted(&running.tokens, &new).await;
    refused(&running.tokens, &token(&Pair::Secret(SECRET), "HS256", "3"), Rejected::Invalid, "no key").await;
    provider.answers(Answer::Keys(Vec::new()));
    running.knows(0).await;
    refused(&running.tokens, &new, Rejected::Invalid, "no key").await;
}

#[tokio::test]
async fn a_redirect_to_a_safe_place_is_followed() {
    let provider = Provider::start(Answer::Redirect("/moved".into())).await;
    let running = provider.run(provider.settings()).await;
    running.knows(1).await;
    accepted(&running.tokens, &token(&RSA, "RS256", "moved")).await;
}

#[tokio::test]
async fn a_provider_that_is_down_at_the_start_is_asked_again() {
    let provider = Provider::start(Answer::Status(503)).await;
    let running = provider.run(provider.settings()).await;
    let one = token(&RSA, "RS256", "1");
    refused(&running.tokens, &token(&RSA, "RS256", "0"), Rejected::Invalid, "no key").await;
    provider.answers(Answer::Keys(vec![RSA.jwk("1")]));
    let quick = provider.settings_with(|settings| {
        settings.refresh = Duration::from_millis(20);
    });
    let again = provider.run(quick).await;
    again.knows(1).await;
    accepted(&again.tokens, &one).await;
}

#[test]
fn keys_are_fetched_by_https_or_from_this_machine() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    for good in
        ["https://id.example/keys", "http://127.0.0.1:1/keys", "http://localhost/keys", "http://[::1]:8080/keys"]
    {
        KeySetSettings::new(good, None).expect(good);
    }
    for bad in [
        "http://id.example/keys",
        "http://127.0.0.1.example/keys",
        "http://10.0.0.1/keys",
        "ftp://localhost/",
        "file:///etc/keys",
    ] {
        let error = KeySetSettings::new(bad, None).expect_err(bad).to_string();
        assert!(error.starts_with("keys are fetched by https only"), "{error}");
    }
    assert!(KeySetSettings::new("keys", None).is_err());
    let error =
        KeySetSettings::new("https://id.example/keys", Some(b"nothing")).expect_err("no certificate").to_string();
    assert_eq!(error, "there is no certificate (PEM) in the file of authorities");
}
