//! TLS to a PostgreSQL server, by libpq's rules.
//!
//! Leaves judging certificates to `verify`.

mod certificate;
mod error;
mod files;
mod verify;

pub(super) use error::alert;

use std::path::PathBuf;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::ConnectError;
use super::address::{Host, Place};
use super::connect::Stream;

/// The name of PostgreSQL's protocol in TLS, which a direct start needs.
const PROTOCOL: &[u8] = b"postgresql";

/// How a connection is encrypted.
#[derive(Debug, Clone)]
pub(super) struct TlsSettings {
    pub(super) mode: TlsMode,
    pub(super) roots: Roots,
    /// Whether TLS begins at once, without asking the server first (PostgreSQL 17).
    pub(super) direct: bool,
    pub(super) certificate: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
    /// Used where no other is given and this one exists.
    pub(super) usual_certificate: Option<PathBuf>,
    pub(super) usual_key: Option<PathBuf>,
    /// Whether the host's name is told in the clear.
    pub(super) sni: bool,
    pub(super) only_13: bool,
    pub(super) also_13: bool,
}

/// How much of TLS is asked for, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum TlsMode {
    /// None.
    Disable,
    /// Only if the server refuses without.
    Allow,
    /// If the server can.
    Prefer,
    /// Always; the certificate is checked only where a file of roots is at hand.
    Require,
    /// Always, with a certificate that is signed by one of the roots.
    VerifyCa,
    /// Always, with a certificate that is also the host's own.
    VerifyFull,
}

/// Who is trusted to sign certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Roots {
    /// Whom the operating system trusts.
    System,
    /// The certificates of a file.
    File(PathBuf),
    /// The certificates of a file, if it is there.
    Usual(Option<PathBuf>),
}

/// Encrypts a connection that was just opened, or leaves it as it is where the server cannot and the settings allow it.
pub(super) async fn encrypt(
    mut stream: TcpStream,
    place: &Place,
    settings: &TlsSettings,
) -> Result<Stream, ConnectError> {
    let name = match &place.host {
        Host::Name(name) => name.as_str(),
        Host::Folder(_) | Host::Own => "localhost",
    };
    let name = ServerName::try_from(name.to_owned()).ok();
    if name.is_none() && settings.mode == TlsMode::VerifyFull {
        return Err(ConnectError::wrong(format!("{place} is no host name that a certificate could have")));
    }
    let mut config = client_config(settings)?;
    config.enable_sni = settings.sni && name.is_some();
    let name = name.unwrap_or(ServerName::IpAddress(std::net::Ipv4Addr::UNSPECIFIED.into()));
    if settings.direct {
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
    } else if !asked(&mut stream).await.map_err(|cause| error::broken(place, cause))? {
        return match settings.mode {
            TlsMode::Prefer => Ok(Stream::Tcp(stream)),
            _ => Err(error::without(place)),
        };
    }
    let encrypted = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    let stream = Box::new(encrypted.map_err(|cause| error::failed(place, settings, cause))?);
    if settings.direct && stream.get_ref().1.alpn_protocol() != Some(PROTOCOL) {
        return Err(error::not_direct(place));
    }
    let own = stream.get_ref().1.peer_certificates().and_then(|all| all.first());
    let binding = own.and_then(|certificate| certificate::end_point(certificate));
    Ok(Stream::Tls { stream, binding })
}

/// Asks the server whether it can.
async fn asked(stream: &mut TcpStream) -> std::io::Result<bool> {
    let mut request = bytes::BytesMut::new();
    postgres_protocol::message::frontend::ssl_request(&mut request);
    stream.write_all(&request).await?;
    match stream.read_u8().await? {
        b'S' => Ok(true),
        b'N' => Ok(false),
        _ => Err(std::io::Error::new(std::io::ErrorKind::InvalidData, "it does not answer like PostgreSQL")),
    }
}

fn client_config(settings: &TlsSettings) -> Result<ClientConfig, ConnectError> {
    let versions: &[&rustls::SupportedProtocolVersion] = match (settings.only_13, settings.also_13) {
        (true, _) => &[&TLS13],
        (false, true) => &[&TLS13, &TLS12],
        (false, false) => &[&TLS12],
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = verify::Verifier::new(settings, provider.clone())?;
    let unusable = |error: rustls::Error| ConnectError::wrong(format!("TLS cannot be set up: {error}"));
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).map_err(unusable)?;
    let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
    match files::identity(settings)? {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).map_err(|error| {
            ConnectError::wrong(format!("`sslcert` and `sslkey` do not belong together, or cannot be used: {error}"))
        }),
        None => Ok(builder.with_no_client_auth()),
    }
}
