//! Why a connection could not be encrypted, in sentences that say what to do.

use std::io;

use rustls::{AlertDescription, CertificateError, Error};

use super::super::ConnectError;
use super::super::address::Place;
use super::{Roots, TlsSettings};

/// The server cannot encrypt.
pub(super) fn without(place: &Place) -> ConnectError {
    ConnectError::wrong(format!(
        "{place} does not encrypt connections, and `sslmode` asks for it: set `ssl = on` there, or use `sslmode=disable` \
         where the network is trusted"
    ))
}

/// The server does not begin with TLS.
pub(super) fn not_direct(place: &Place) -> ConnectError {
    ConnectError::wrong(format!(
        "{place} does not begin with TLS: `sslnegotiation=direct` needs PostgreSQL 17 or later; leave it out"
    ))
}

/// The connection broke before the encryption began.
pub(super) fn broken(place: &Place, cause: io::Error) -> ConnectError {
    let message = match cause.kind() {
        io::ErrorKind::InvalidData => format!("{place} is no PostgreSQL server: {cause}"),
        _ => format!(
            "{place} closed the connection at once: does it refuse this machine, or is it no PostgreSQL server?"
        ),
    };
    ConnectError { message, retry: cause.kind() != io::ErrorKind::InvalidData, cause: Some(cause.into()) }
}

/// The two could not agree.
pub(super) fn failed(place: &Place, settings: &TlsSettings, cause: io::Error) -> ConnectError {
    let Some(error) = cause.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
        let message = match settings.direct {
            true => not_direct(place).message,
            false => format!("{place} broke off the encryption: {cause}"),
        };
        return ConnectError { message, retry: true, cause: Some(cause.into()) };
    };
    let message = alert(place, &cause).unwrap_or_else(|| match error {
        Error::InvalidCertificate(wrong) => of_certificate(place, settings, wrong),
        error => format!("{place} and we cannot agree how to encrypt: {error}"),
    });
    ConnectError { message, retry: false, cause: Some(cause.into()) }
}

/// What the server's TLS complains about, if that is what broke the line and it concerns our own certificate.
pub(in super::super) fn alert(place: &Place, cause: &io::Error) -> Option<String> {
    let Some(Error::AlertReceived(alert)) = cause.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
        return None;
    };
    match alert {
        AlertDescription::CertificateRequired => {
            Some(format!("{place} asks for a certificate of ours: give `sslcert` and `sslkey`"))
        }
        AlertDescription::UnknownCA
        | AlertDescription::BadCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::CertificateExpired
        | AlertDescription::DecryptError => {
            Some(format!("{place} does not accept our certificate (`sslcert`): {alert:?}"))
        }
        _ => None,
    }
}

fn of_certificate(place: &Place, settings: &TlsSettings, wrong: &CertificateError) -> String {
    let roots = match &settings.roots {
        Roots::System => "of those whom this machine trusts".to_owned(),
        Roots::File(path) | Roots::Usual(Some(path)) => format!("of {}", path.display()),
        Roots::Usual(None) => "of the roots".to_owned(),
    };
    match wrong {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => format!(
            "the certificate of {place} is not trusted: it is signed by none {roots}. Give `sslrootcert` the certificate of \
             the authority that signed it, or the server's own if it signed itself"
        ),
        CertificateError::NotValidForNameContext { presented, .. } if !presented.is_empty() => format!(
            "the certificate of {place} is for another host: it is for {}. Use that name in the address (with `hostaddr` for \
             the IP address), or `sslmode=verify-ca`",
            presented.join(", ")
        ),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => format!(
            "the certificate of {place} is for another host. Use its name in the address (with `hostaddr` for the IP \
             address), or `sslmode=verify-ca`"
        ),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            format!("the certificate of {place} is out of date: renew it there, or is the clock of this machine wrong?")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            format!("the certificate of {place} is not valid yet: is the clock of this machine wrong?")
        }
        wrong => format!(
            "the certificate of {place} cannot be checked: {wrong:?}. If it was made by hand, make it with \
             subjectAltName=DNS:… (X.509 version 3)"
        ),
    }
}
