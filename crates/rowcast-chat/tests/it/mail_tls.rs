//! Mail by TLS, to a real server whose certificate a private authority has signed: sent where it is trusted, and nowhere else.

use std::io;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tracing_subscriber::fmt::MakeWriter;

use crate::browser::{Browser, PASSWORD};
use crate::postbox::{Manner, Postbox};
use crate::world::{Kind, World};

/// An authority that no machine trusts by itself.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("signed").pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// What a server of this name shows.
    fn signs(&self, host: &str) -> TlsAcceptor {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let params = CertificateParams::new([host.to_owned()]).expect("a name");
        let key = KeyPair::generate().expect("a key");
        let pem = params.signed_by(&key, &self.issuer).expect("signed").pem();
        let chain = vec![CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate")];
        let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).expect("a key");
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).expect("a pair");
        TlsAcceptor::from(Arc::new(config))
    }
}

/// What is logged in this thread from now on, piece by piece.
#[derive(Clone)]
struct Logged(mpsc::Sender<String>);

impl io::Write for Logged {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        // More than anybody waits for is not kept.
        let _ = self.0.try_send(String::from_utf8_lossy(text).into_owned());
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Logged {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// Somebody signs up, to whom a code is mailed.
async fn sign_up(world: &World) {
    let body = json!({ "email": "ann@example.com", "password": PASSWORD, "name": "Ann" });
    let answer = Browser::new(world).post("/signup", body).await;
    assert_eq!(answer.status, 202, "{answer:?}");
}

#[tokio::test]
async fn mail_is_encrypted_to_a_server_that_the_configured_authority_has_signed() {
    let authority = Authority::new("ours");
    let tls = authority.signs("localhost");
    for (manner, url) in [
        (Manner::Wrapped(tls.clone()), "smtps://HOST"),
        (Manner::StartTls(tls.clone()), "smtp://HOST?tls=required"),
        (Manner::StartTls(tls), "smtp://HOST?tls=opportunistic"),
    ] {
        let mut postbox = Postbox::open_as(manner).await;
        let world = World::start(Kind::Sqlite, postbox.settings_as(url, Some(authority.pem.clone()))).await;
        sign_up(&world).await;
        assert_eq!(postbox.letter().await.to, "ann@example.com", "{url}");
    }
}

#[tokio::test]
async fn to_whom_is_not_trusted_nothing_is_sent_and_the_log_says_why() {
    let (sender, mut logged) = mpsc::channel(64);
    let log = tracing_subscriber::fmt().with_ansi(false).with_max_level(tracing_subscriber::filter::LevelFilter::ERROR);
    let _until_the_end = tracing::subscriber::set_default(log.with_writer(Logged(sender)).finish());
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let trusted = Some(ours.pem.clone());
    for (manner, url, ca) in [
        // Signed by another one, by one that this machine does not know, and for another host.
        (Manner::Wrapped(theirs.signs("localhost")), "smtps://HOST", trusted.clone()),
        (Manner::Wrapped(ours.signs("localhost")), "smtps://HOST", None),
        (Manner::Wrapped(ours.signs("mail.example.com")), "smtps://HOST", trusted.clone()),
        (Manner::StartTls(theirs.signs("localhost")), "smtp://HOST?tls=required", trusted.clone()),
        (Manner::StartTls(theirs.signs("localhost")), "smtp://HOST?tls=opportunistic", trusted.clone()),
        // It does not encrypt at all.
        (Manner::Plain, "smtp://HOST?tls=required", trusted),
    ] {
        let encrypts = !matches!(manner, Manner::Plain);
        let mut postbox = Postbox::open_as(manner).await;
        let world = World::start(Kind::Sqlite, postbox.settings_as(url, ca)).await;
        sign_up(&world).await;
        let line = logged.recv().await.expect("a line");
        assert!(line.contains("a mail cannot be sent"), "{url}: {line}");
        assert!(!encrypts || line.contains("certificate"), "{url}: {line}");
        assert_eq!(line.contains("UnknownIssuer"), line.contains("chat.smtp.ca"), "{url}: {line}");
        assert!(postbox.is_empty(), "{url}");
    }
}

#[test]
fn an_authority_is_of_use_with_tls_alone() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let smtp = |url: &str, ca: &str| {
        let (url, from) = (url.into(), "chat@example.com".into());
        rowcast_chat::Smtp { url, from, ca: Some(ca.into()) }.check().map_err(|error| error.to_string())
    };
    let authority = Authority::new("ours").pem;
    assert_eq!(smtp("smtps://user:p%40ss@mail.example.com", &authority), Ok(()));
    assert_eq!(smtp("smtp://user:p%40ss@mail.example.com:587?tls=required", &authority), Ok(()));
    for (url, ca, part) in [
        ("smtp://mail.example.com", &*authority, "TLS only"),
        ("smtps://user:hidden@mail.example.com", "words", "no certificate"),
    ] {
        let problem = smtp(url, ca).expect_err(url);
        assert!(problem.contains(part) && !problem.contains("hidden"), "{problem}");
    }
}
