//! The files with roots, with our own certificate and with its key.

use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::super::ConnectError;
use super::{Roots, TlsMode, TlsSettings};

/// Who is trusted to sign; `None` when certificates are not to be checked.
pub(super) fn roots(settings: &TlsSettings) -> Result<Option<Vec<CertificateDer<'static>>>, ConnectError> {
    let (path, needed) = match &settings.roots {
        Roots::System => {
            let found = rustls_native_certs::load_native_certs().certs;
            let none = "this machine trusts no certificates: install its package `ca-certificates`, or give `sslrootcert` a file";
            return if found.is_empty() { Err(ConnectError::wrong(none)) } else { Ok(Some(found)) };
        }
        Roots::File(path) => (Some(path), settings.mode >= TlsMode::VerifyCa),
        Roots::Usual(path) => (path.as_ref(), settings.mode >= TlsMode::VerifyCa),
    };
    match path.filter(|path| path.exists()) {
        // As in libpq, a root that is there is used, though `require` does not ask for it.
        Some(path) if settings.mode >= TlsMode::Require => certificates(path, "sslrootcert").map(Some),
        None if needed => {
            let place = path.map(|path| format!("{} does not exist: ", path.display())).unwrap_or_default();
            Err(ConnectError::wrong(format!(
                "{place}a certificate can only be checked against roots: give `sslrootcert` the file of the authority that \
                 signed the server's, or `system` for those that the operating system trusts"
            )))
        }
        _ => Ok(None),
    }
}

/// Our own certificate with its chain, and its key; `None` if we have none.
pub(super) fn identity(
    settings: &TlsSettings,
) -> Result<Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>, ConnectError> {
    let usual = |path: &Option<PathBuf>| path.clone().filter(|path| path.exists());
    let Some(path) = settings.certificate.clone().or_else(|| usual(&settings.usual_certificate)) else {
        return Ok(None);
    };
    let chain = certificates(&path, "sslcert")?;
    let Some(key) = settings.key.clone().or_else(|| usual(&settings.usual_key)) else {
        return Err(ConnectError::wrong(format!(
            "`sslcert` is {}, and its key is missing: give `sslkey`",
            path.display()
        )));
    };
    if open_to_others(&key) {
        let key = key.display();
        return Err(ConnectError::wrong(format!("the key {key} may be read by others: run `chmod 600 {key}`")));
    }
    let read = PrivateKeyDer::from_pem_file(&key);
    let unreadable = |error| unreadable(&key, "sslkey", &error);
    Ok(Some((chain, read.map_err(unreadable)?)))
}

fn certificates(path: &Path, parameter: &str) -> Result<Vec<CertificateDer<'static>>, ConnectError> {
    let unreadable = |error| unreadable(path, parameter, &error);
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).map_err(unreadable)?.collect();
    let found = found.map_err(unreadable)?;
    match found.is_empty() {
        true => Err(ConnectError::wrong(format!("there is no certificate in {} (`{parameter}`)", path.display()))),
        false => Ok(found),
    }
}

fn unreadable(path: &Path, parameter: &str, error: &rustls::pki_types::pem::Error) -> ConnectError {
    ConnectError::wrong(format!("{} (`{parameter}`) cannot be used: {error}", path.display()))
}

/// As in libpq: a key of root's may be read by its group.
#[cfg(unix)]
fn open_to_others(path: &Path) -> bool {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    std::fs::metadata(path).is_ok_and(|state| {
        let others = if state.uid() == 0 { 0o037 } else { 0o077 };
        state.is_file() && state.permissions().mode() & others != 0
    })
}

#[cfg(not(unix))]
fn open_to_others(_: &Path) -> bool {
    false
}
