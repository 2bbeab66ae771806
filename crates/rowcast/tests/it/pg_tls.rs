//! Encrypted connections to real servers, and certificates that are refused.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rowcast::postgres::{Address, ConnectError, Environment, Replication};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use servers::{Postgres, PostgresOptions};

/// An authority, and what it signs.
pub(crate) struct Authority {
    pub(crate) pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("signed").pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// A certificate and its key.
    pub(crate) fn signs(&self, common_name: &str, hosts: &[&str]) -> (String, String) {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut params = CertificateParams::new(hosts).expect("names");
        params.distinguished_name.push(DnType::CommonName, common_name);
        let key = KeyPair::generate().expect("a key");
        (params.signed_by(&key, &self.issuer).expect("signed").pem(), key.serialize_pem())
    }
}

/// A server with this certificate, which takes only encrypted connections, but for `plain`, whom it takes only without.
fn server(own: (String, String), authority: &Authority) -> Postgres {
    let hba = "hostssl all postgres 127.0.0.1/32 trust\nhostssl all scram 127.0.0.1/32 scram-sha-256\n\
               hostssl all card 127.0.0.1/32 cert\nhostnossl all plain 127.0.0.1/32 trust\nlocal all all trust\n";
    let files = [("server.crt", own.0), ("server.key", own.1), ("root.crt", authority.pem.clone())];
    let options = PostgresOptions {
        hba: Some(hba.into()),
        files: files.map(|(name, text)| (name.into(), text)).into(),
        ..PostgresOptions::default()
    };
    let options = options.set("ssl", "on").set("ssl_ca_file", "root.crt");
    Postgres::start_with(&options).expect("started")
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("permissions");
    path.display().to_string()
}

async fn is_encrypted(text: &str) -> Result<bool, ConnectError> {
    let address: Address = text.parse().expect("an address");
    entered(&address).await
}

/// Whether both kinds of connection get in, and are encrypted.
async fn entered(address: &Address) -> Result<bool, ConnectError> {
    let sql = "select ssl::text from pg_stat_ssl where pid = pg_backend_pid()";
    let client = address.connect("test").await;
    let wire = Replication::connect(address, "test").await;
    let (client, mut wire) = match (client, wire) {
        (Ok(client), Ok(wire)) => (client, wire),
        (Err(one), Err(other)) => {
            assert_eq!(one.message, other.message);
            return Err(one);
        }
        (client, wire) => panic!("{address}: {:?} and {:?}", client.err(), wire.err()),
    };
    let one: String = client.query_one(sql, &[]).await.expect("answered").get(0);
    let other = wire.query(sql).await.expect("answered");
    assert_eq!(other[0][0].as_deref(), Some(&*one));
    Ok(one == "true")
}

async fn refused(text: &str, said: &str) {
    let error = is_encrypted(text).await.expect_err(text);
    assert!(error.message.contains(said) && !error.retry, "{text}: {error}");
}

#[tokio::test]
async fn a_certificate_is_checked_as_far_as_sslmode_says() {
    let (authority, other) = (Authority::new("ours"), Authority::new("another"));
    let server = server(authority.signs("db", &["localhost"]), &authority);
    let folder = tempfile::tempdir().expect("a folder");
    let (own, wrong) = (write(folder.path(), "own", &authority.pem), write(folder.path(), "other", &other.pem));
    let at = |user: &str, more: &str| {
        format!("host=localhost hostaddr=127.0.0.1 port={} dbname=postgres user={user} {more}", server.port())
    };
    for more in [
        "".into(),
        "sslmode=allow".into(),
        "sslmode=require".into(),
        format!("sslmode=verify-ca sslrootcert={own}"),
        format!("sslmode=verify-full sslrootcert={own}"),
        format!("sslmode=verify-full sslrootcert={own} ssl_max_protocol_version=TLSv1.2"),
        format!("sslmode=verify-full sslrootcert={own} ssl_min_protocol_version=TLSv1.3 sslsni=0"),
        format!("sslmode=verify-ca sslrootcert={own} host=127.0.0.1"),
    ] {
        assert!(is_encrypted(&at("postgres", &more)).await.unwrap_or_else(|error| panic!("{more}: {error}")), "{more}");
    }
    refused(
        &at("postgres", &format!("sslmode=verify-full sslrootcert={own} host=127.0.0.1")),
        "for another host: it is for",
    )
    .await;
    refused(&at("postgres", &format!("sslmode=verify-full sslrootcert={wrong}")), "is not trusted").await;
    refused(&at("postgres", &format!("sslmode=verify-ca sslrootcert={wrong}")), "is not trusted").await;
    // As libpq does: a root that is given is used.
    refused(&at("postgres", &format!("sslmode=require sslrootcert={wrong}")), "is not trusted").await;
    refused(&at("postgres", "sslrootcert=system"), "is not trusted").await;
    refused(&at("postgres", "sslmode=verify-full"), "`sslrootcert`").await;
    refused(&at("postgres", "sslmode=verify-ca sslrootcert=/nowhere"), "/nowhere does not exist").await;
    refused(&at("postgres", "sslmode=disable"), "pg_hba.conf").await;
    let direct = at("postgres", "sslmode=require sslnegotiation=direct");
    match is_encrypted(&direct).await {
        Ok(encrypted) => assert!(encrypted),
        Err(error) => assert!(error.message.contains("PostgreSQL 17"), "{error}"),
    }

    std::fs::create_dir(folder.path().join(".postgresql")).expect("a folder");
    write(&folder.path().join(".postgresql"), "root.crt", &other.pem);
    let home = Environment { home: Some(folder.path().into()), ..Environment::default() };
    let usual = Address::parse(&at("postgres", "sslmode=require"), &home).expect("an address");
    assert!(entered(&usual).await.expect_err("the wrong root").message.contains("is not trusted"));
}

#[tokio::test]
async fn the_other_way_is_tried_where_sslmode_leaves_it_open() {
    let authority = Authority::new("ours");
    let server = server(authority.signs("db", &["localhost"]), &authority);
    make_users(&server).await;
    let at = |more: &str| format!("postgres://plain@127.0.0.1:{}/postgres?{more}", server.port());
    assert!(!is_encrypted(&at("sslmode=prefer")).await.expect("in"));
    assert!(!is_encrypted(&at("sslmode=allow")).await.expect("in"));
    refused(&at("sslmode=require"), "pg_hba.conf").await;
}

#[tokio::test]
async fn a_password_can_be_bound_to_the_encryption() {
    let authority = Authority::new("ours");
    let server = server(authority.signs("db", &["localhost"]), &authority);
    make_users(&server).await;
    let at = |more: &str| format!("postgres://scram:secret@127.0.0.1:{}/postgres?{more}", server.port());
    for binding in ["require", "prefer", "disable"] {
        assert!(
            is_encrypted(&at(&format!("sslmode=require&channel_binding={binding}"))).await.expect(binding),
            "{binding}"
        );
    }
    let trusted = format!("postgres://postgres@127.0.0.1:{}/postgres?channel_binding=require", server.port());
    assert!(!is_encrypted(&trusted).await.expect_err("there is nothing to bind").retry);
}

#[tokio::test]
async fn a_certificate_of_ours_is_shown() {
    let (authority, other) = (Authority::new("ours"), Authority::new("another"));
    let server = server(authority.signs("db", &["localhost"]), &authority);
    make_users(&server).await;
    let folder = tempfile::tempdir().expect("a folder");
    let files = |name: &str, (certificate, key): (String, String)| {
        let certificate = write(folder.path(), &format!("{name}.crt"), &certificate);
        let key = write(folder.path(), &format!("{name}.key"), &key);
        format!("sslcert={certificate} sslkey={key}")
    };
    let at =
        |more: &str| format!("host=127.0.0.1 port={} dbname=postgres user=card sslmode=require {more}", server.port());
    let own = files("own", authority.signs("card", &[]));
    assert!(is_encrypted(&at(&own)).await.expect("in"));
    refused(&at(&files("stranger", other.signs("card", &[]))), "our certificate").await;
    refused(&at(""), "does not let us in").await;
    refused(&at("sslcert=/nowhere"), "/nowhere").await;
    let key = folder.path().join("own.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).expect("permissions");
    refused(&at(&own), "chmod 600").await;
}

#[tokio::test]
async fn certificates_made_by_hand_are_understood() {
    let authority = Authority::new("ours");
    let folder = tempfile::tempdir().expect("a folder");
    let root = write(folder.path(), "root", &authority.pem);
    // Only a common name, as openssl makes it when nobody asks for more.
    let named = server(authority.signs("localhost", &[]), &authority);
    let at = |server: &Postgres, host: &str, root: &str| {
        let port = server.port();
        format!(
            "host={host} hostaddr=127.0.0.1 port={port} dbname=postgres user=postgres sslmode=verify-full sslrootcert={root}"
        )
    };
    assert!(is_encrypted(&at(&named, "localhost", &root)).await.expect("in"));
    refused(&at(&named, "other", &root), "for another host").await;

    // One that signed itself, and is its own root.
    let mut params = CertificateParams::new(vec!["localhost".into()]).expect("names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let own = params.self_signed(&key).expect("signed").pem();
    let alone = server((own.clone(), key.serialize_pem()), &authority);
    let own = write(folder.path(), "alone", &own);
    assert!(is_encrypted(&at(&alone, "localhost", &own)).await.expect("in"));
    refused(&at(&alone, "other", &own), "for another host").await;
    refused(&at(&alone, "localhost", &root), "is not trusted").await;
}

#[tokio::test]
async fn a_certificate_of_version_1_will_do_where_none_is_checked() {
    let authority = Authority::new("ours");
    let (pem, key) = authority.signs("localhost", &[]);
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM");
    let old = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", base64(&version_1(&der)));
    let folder = tempfile::tempdir().expect("a folder");
    let root = write(folder.path(), "root", &authority.pem);
    let server = server((old, key), &authority);
    let at = |more: &str| format!("host=localhost hostaddr=127.0.0.1 port={} user=postgres {more}", server.port());
    assert!(is_encrypted(&at("sslmode=require")).await.expect("in"));
    refused(&at(&format!("sslmode=verify-ca sslrootcert={root}")), "version 3").await;
}

/// The same certificate without what came with later versions; its signature is not right any more.
fn version_1(der: &[u8]) -> Vec<u8> {
    /// The first element's head and its length with that.
    fn lengths(der: &[u8]) -> (usize, usize) {
        match der[1] {
            0x81 => (3, 3 + usize::from(der[2])),
            0x82 => (4, 4 + usize::from(der[2]) * 256 + usize::from(der[3])),
            short => (2, 2 + usize::from(short)),
        }
    }
    let sequence = |content: Vec<u8>| {
        let length = u16::try_from(content.len()).expect("short").to_be_bytes();
        [&[0x30, 0x82, length[0], length[1]][..], &content].concat()
    };
    let whole = &der[lengths(der).0..];
    let (head, length) = lengths(whole);
    let (mut fields, mut kept) = (&whole[head..length], Vec::new());
    while !fields.is_empty() {
        let (field, rest) = fields.split_at(lengths(fields).1);
        // The version and the extensions.
        if !matches!(field[0], 0xA0 | 0xA3) {
            kept.extend_from_slice(field);
        }
        fields = rest;
    }
    sequence([&sequence(kept), &whole[length..]].concat())
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let four = |three: &[u8]| {
        let bits = three.iter().fold(0, |bits, byte| bits << 8 | usize::from(*byte)) << (8 * (3 - three.len()));
        (0..4)
            .map(|at| if at > three.len() { '=' } else { char::from(DIGITS[bits >> (18 - 6 * at) & 63]) })
            .collect::<String>()
    };
    let lines: Vec<String> = bytes.chunks(48).map(|line| line.chunks(3).map(four).collect()).collect();
    lines.join("\n")
}

async fn make_users(server: &Postgres) {
    let local: Address =
        format!("host={} port={} user=postgres", server.folder().display(), server.port()).parse().expect("an address");
    let client = local.connect("test").await.expect("connected");
    let sql =
        "create user plain replication; create user card replication; create user scram replication password 'secret'";
    client.batch_execute(sql).await.expect("users");
}
