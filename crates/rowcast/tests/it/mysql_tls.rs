//! Encrypted connections to real servers, and certificates that are refused.

use std::path::Path;

use mysql_async::prelude::Queryable;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rowcast::mysql::{Address, ConnectError};
use servers::{Mysql, MysqlOptions};

/// An authority, and what it signs.
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

    /// A certificate and its key.
    fn signs(&self, common_name: &str, hosts: &[&str]) -> (String, String) {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut params = CertificateParams::new(hosts).expect("names");
        params.distinguished_name.push(DnType::CommonName, common_name);
        let key = KeyPair::generate().expect("a key");
        (params.signed_by(&key, &self.issuer).expect("signed").pem(), key.serialize_pem())
    }
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).expect("written");
    path.display().to_string()
}

async fn is_encrypted(url: &str) -> Result<bool, ConnectError> {
    let mut conn = Address::parse(url)?.connect().await?;
    let row: Option<(String, String)> = conn.query_first("show status like 'Ssl_cipher'").await.expect("answered");
    Ok(row.is_some_and(|(_, cipher)| !cipher.is_empty()))
}

async fn refused(url: &str, said: &str) {
    let error = is_encrypted(url).await.expect_err(url);
    assert!(error.message.contains(said) && !error.retry, "{url}: {error}");
}

#[tokio::test]
async fn a_certificate_is_checked_as_far_as_ssl_mode_says() {
    let (authority, other) = (Authority::new("ours"), Authority::new("another"));
    let (cert, key) = authority.signs("db", &["localhost"]);
    let files = [("server.crt", cert), ("server.key", key), ("root.crt", authority.pem.clone())];
    let options =
        MysqlOptions { files: files.map(|(name, text)| (name.into(), text)).into(), ..MysqlOptions::default() };
    let options = options.set("ssl-ca", "root.crt").set("ssl-cert", "server.crt").set("ssl-key", "server.key");
    let server = Mysql::start_with(&options).expect("started");
    let folder = tempfile::tempdir().expect("a folder");
    let (own, wrong) = (write(folder.path(), "own", &authority.pem), write(folder.path(), "other", &other.pem));
    let at = |host: &str, user: &str, more: &str| format!("mysql://{user}@{host}:{}/mysql?{more}", server.port());
    for more in [
        "".into(),
        "ssl-mode=preferred".into(),
        "sslmode=require".into(),
        format!("ssl-ca={own}"),
        format!("ssl-mode=VERIFY_CA&ssl-ca={own}"),
        format!("ssl-mode=verify-identity&ssl-ca={own}"),
    ] {
        let encrypted = is_encrypted(&at("localhost", "root", &more)).await;
        assert!(encrypted.unwrap_or_else(|error| panic!("{more}: {error}")), "{more}");
    }
    assert!(!is_encrypted(&at("localhost", "root", "ssl-mode=disabled")).await.expect("connected"));
    let verified = format!("ssl-mode=verify-ca&ssl-ca={own}");
    assert!(is_encrypted(&at("127.0.0.1", "root", &verified)).await.expect("connected"));
    let identity = format!("ssl-mode=verify-identity&ssl-ca={own}");
    refused(&at("127.0.0.1", "root", &identity), "is for another host").await;
    refused(&at("localhost", "root", &format!("ssl-ca={wrong}")), "name the authority that signed").await;
    refused(&at("localhost", "root", "ssl-mode=verify-ca"), "name the authority that signed").await;

    let mut admin = server.connect("mysql").await.expect("connected");
    for sql in ["create user card@'%' require x509", "grant all on *.* to card@'%'"] {
        admin.query_drop(sql).await.expect(sql);
    }
    let (cert, key) = authority.signs("card", &[]);
    let (cert, key) = (write(folder.path(), "card.crt", &cert), write(folder.path(), "card.key", &key));
    let own = format!("ssl-ca={own}&ssl-cert={cert}&ssl-key={key}");
    assert!(is_encrypted(&at("localhost", "card", &own)).await.expect("connected"));
    refused(&at("localhost", "card", ""), "does not let `card` in without a password").await;
}

#[tokio::test]
async fn a_server_without_tls_is_used_without_unless_the_url_forbids_it() {
    let probe = Mysql::start_with(&MysqlOptions::default()).expect("started");
    let at = |more: &str| format!("mysql://root@127.0.0.1:{}/mysql?{more}", probe.port());
    if is_encrypted(&at("")).await.expect("connected") {
        // MySQL, and newer MariaDB, make a certificate of their own.
        return;
    }
    refused(&at("ssl-mode=required"), "offers no TLS").await;
}
