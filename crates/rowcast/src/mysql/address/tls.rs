//! How much of TLS is asked for, by MySQL's rules.

use std::path::PathBuf;
use std::sync::OnceLock;

use mysql_async::{ClientIdentity, SslOpts};

/// How a connection is encrypted.
pub(in super::super) struct Tls {
    pub(in super::super) mode: TlsMode,
    ca: Option<PathBuf>,
    identity: Option<(PathBuf, PathBuf)>,
}

/// What the first connection has found out for those that follow.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct Found {
    /// `preferred` need not ask for TLS.
    pub(in super::super) without_tls: bool,
    /// The name in the certificate, where any will do.
    pub(in super::super) name: Option<String>,
}

/// How much of TLS is asked for, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) enum TlsMode {
    /// None.
    Disabled,
    /// If the server can.
    Preferred,
    /// Always, with any certificate.
    Required,
    /// Always, with a certificate that is signed by one who is trusted.
    VerifyCa,
    /// Always, with a certificate that is also the host's own.
    VerifyIdentity,
}

impl TlsMode {
    /// Reads a mode in MySQL's spelling, MariaDB's or PostgreSQL's.
    pub(super) fn read(name: &str, value: &str) -> Result<Self, String> {
        Ok(match value.to_ascii_lowercase().replace('_', "-").as_str() {
            "disabled" | "disable" => Self::Disabled,
            "preferred" | "prefer" => Self::Preferred,
            "required" | "require" => Self::Required,
            "verify-ca" => Self::VerifyCa,
            "verify-identity" | "verify-full" => Self::VerifyIdentity,
            _ => {
                return Err(format!(
                    "`{name}` is one of disabled, preferred, required, verify-ca and verify-identity, and not `{value}`"
                ));
            }
        })
    }
}

impl Tls {
    /// A given authority without a mode asks for it to be used, as in MySQL's own client.
    pub(super) fn new(
        mode: Option<TlsMode>,
        ca: Option<String>,
        cert: Option<String>,
        key: Option<String>,
    ) -> Result<Self, String> {
        let mode = mode.unwrap_or(if ca.is_some() { TlsMode::VerifyCa } else { TlsMode::Preferred });
        let identity = match (cert, key) {
            (Some(cert), Some(key)) => Some((cert.into(), key.into())),
            (None, None) => None,
            _ => return Err("`ssl-cert` and `ssl-key` are given together: the certificate and its key".into()),
        };
        Ok(Self { mode, ca: ca.map(PathBuf::from), identity })
    }

    /// What is wrong with the files that were named.
    pub(in super::super) async fn mistake(&self) -> Option<String> {
        if self.mode == TlsMode::Disabled {
            return None;
        }
        let (cert, key) = match &self.identity {
            Some((cert, key)) => (Some(cert), Some(key)),
            None => (None, None),
        };
        for (name, path) in [("ssl-ca", self.ca.as_ref()), ("ssl-cert", cert), ("ssl-key", key)] {
            let Some(path) = path else { continue };
            if let Err(error) = tokio::fs::File::open(path).await {
                return Some(format!("the file {} of `{name}` cannot be read: {error}", path.display()));
            }
        }
        None
    }

    /// As the driver takes it; `None` for no TLS at all.
    pub(super) fn options(&self, found: &Found) -> Option<SslOpts> {
        if self.mode == TlsMode::Disabled || (self.mode == TlsMode::Preferred && found.without_tls) {
            return None;
        }
        provider();
        let identity = self.identity.clone().map(|(cert, key)| ClientIdentity::new(cert.into(), key.into()));
        let options = SslOpts::default().with_client_identity(identity);
        if self.mode < TlsMode::VerifyCa {
            return Some(options.with_danger_accept_invalid_certs(true));
        }
        let mut options = options.with_disable_built_in_roots(true);
        // The driver cannot check a certificate without its name: it is asked for the name that the certificate has.
        if let (TlsMode::VerifyCa, Some(name)) = (self.mode, &found.name) {
            options = options.with_danger_tls_hostname_override(Some(name.clone()));
        }
        Some(match &self.ca {
            Some(file) => options.with_root_certs(vec![file.clone().into()]),
            None => options.with_root_certs(system_roots().iter().cloned().map(Into::into).collect()),
        })
    }
}

/// Whom the operating system trusts, read once.
fn system_roots() -> &'static [Vec<u8>] {
    static ROOTS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    ROOTS.get_or_init(|| rustls_native_certs::load_native_certs().certs.iter().map(|cert| cert.to_vec()).collect())
}

/// The driver takes the process's provider of cryptography: it has to have one.
fn provider() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // An error says that another thread was quicker.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    }
}
