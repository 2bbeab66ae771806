//! Keys that are fetched by https: only from a server that an accepted authority has signed.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::Listener;
use rowcast::auth::{KeySetSettings, Rejected};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::{Answer, Provider, RSA, accepted, refused, token};
use crate::pg_tls::Authority;

/// Takes encrypted connections only.
struct Encrypted {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for Encrypted {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let Ok((stream, address)) = self.listener.accept().await else { continue };
            // A client that does not like the certificate goes here.
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// A provider whose certificate is signed by this authority, for these hosts.
async fn provider(authority: &Authority, hosts: &[&str]) -> Provider {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let (certificate, key) = authority.signs("provider", hosts);
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).expect("a certificate")];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).expect("a pair");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("https://localhost:{}/keys", listener.local_addr().expect("bound").port());
    let encrypted = Encrypted { listener, acceptor: TlsAcceptor::from(Arc::new(config)) };
    Provider::serve(encrypted, url, Answer::Keys(vec![RSA.jwk("1")]))
}

fn trusting(provider: &Provider, authority: Option<&Authority>) -> KeySetSettings {
    let ca = authority.map(|authority| authority.pem.as_bytes());
    let mut settings = KeySetSettings::new(&provider.url, ca).expect("settings");
    settings.refresh = Duration::from_millis(20);
    settings.pause = Duration::ZERO;
    settings
}

#[tokio::test]
async fn keys_come_from_a_server_that_the_configured_authority_has_signed() {
    let authority = Authority::new("ours");
    let provider = provider(&authority, &["localhost"]).await;
    let running = provider.run(trusting(&provider, Some(&authority))).await;
    running.knows(1).await;
    accepted(&running.tokens, &token(&RSA, "RS256", "1")).await;
}

#[tokio::test]
async fn keys_of_a_server_that_somebody_else_has_signed_are_not_taken() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    for (provider, trusted) in [
        (provider(&theirs, &["localhost"]).await, Some(&ours)),
        (provider(&ours, &["elsewhere.example"]).await, Some(&ours)),
        // Not among those that this machine trusts.
        (provider(&ours, &["localhost"]).await, None),
    ] {
        let running = provider.begin(trusting(&provider, trusted));
        // It looks for the key that the token names, and waits for that fetch.
        refused(&running.tokens, &token(&RSA, "RS256", "1"), Rejected::Invalid, "no key").await;
        assert_eq!(provider.fetches(), 0, "a request was sent to a server that is not known to be the one");
        assert!(running.tokens.known_keys().is_empty());
    }
}

#[tokio::test]
async fn a_redirect_from_https_to_http_is_not_followed() {
    let authority = Authority::new("ours");
    let plain = Provider::start(Answer::Keys(vec![RSA.jwk("1")])).await;
    let provider = provider(&authority, &["localhost"]).await;
    provider.answers(Answer::Redirect(plain.url.clone()));
    let running = provider.run(trusting(&provider, Some(&authority))).await;
    provider.fetched(provider.fetches() + 2).await;
    assert_eq!(plain.fetches(), 0);
    assert!(running.tokens.known_keys().is_empty());
}
