//! Whether a server's certificate is good enough for what `sslmode` asks.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{
    CryptoProvider, verify_tls12_signature, verify_tls13_signature, verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::super::ConnectError;
use super::certificate::Certificate;
use super::{TlsMode, TlsSettings, files};

/// Judges certificates by libpq's rules.
#[derive(Debug)]
pub(super) struct Verifier {
    provider: Arc<CryptoProvider>,
    /// `None`: any certificate will do.
    trusted: Option<Trusted>,
    /// Whether it must be the host's own.
    named: bool,
}

#[derive(Debug)]
struct Trusted {
    roots: Vec<CertificateDer<'static>>,
    verifier: Arc<WebPkiServerVerifier>,
}

impl Verifier {
    pub(super) fn new(settings: &TlsSettings, provider: Arc<CryptoProvider>) -> Result<Self, ConnectError> {
        let trusted = match files::roots(settings)? {
            None => None,
            Some(roots) => {
                let mut store = RootCertStore::empty();
                store.add_parsable_certificates(roots.iter().cloned());
                let verifier = WebPkiServerVerifier::builder_with_provider(store.into(), provider.clone()).build();
                let unusable =
                    |_| ConnectError::wrong("none of the certificates of `sslrootcert` can be used as a root");
                Some(Trusted { roots, verifier: verifier.map_err(unusable)? })
            }
        };
        Ok(Self { provider, trusted, named: settings.mode == TlsMode::VerifyFull })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(trusted) = &self.trusted else { return Ok(ServerCertVerified::assertion()) };
        let read = Certificate::read(own).ok_or(CertificateError::BadEncoding)?;
        let judged = if trusted.roots.iter().any(|root| **root == **own) {
            // A server that signed its own certificate: webpki would not take it, because it may sign others, too.
            match read.is_current(now) {
                true => ParsedCertificate::try_from(own).and_then(|parsed| verify_server_name(&parsed, name)),
                false => return Err(CertificateError::Expired.into()),
            }
        } else {
            // This one looks at the name last: when it finds that wrong, all the rest is right.
            trusted.verifier.verify_server_cert(own, chain, name, ocsp, now).map(|_| ())
        };
        match judged {
            Ok(()) => Ok(ServerCertVerified::assertion()),
            Err(error) if !is_about_the_name(&error) => match read.signed_itself {
                true => Err(CertificateError::UnknownIssuer.into()),
                false => Err(error),
            },
            Err(_) if !self.named => Ok(ServerCertVerified::assertion()),
            // As libpq does: the common name counts where there are no alternative names.
            Err(_) if !read.alternative_names && read.is_of(&name.to_str()) => Ok(ServerCertVerified::assertion()),
            Err(error) => Err(error),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, own, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        if ParsedCertificate::try_from(own).is_ok() {
            return verify_tls13_signature(message, own, signed, known);
        }
        // Certificates of version 1, which OpenSSL makes when nobody asks for more, and which webpki does not read.
        let key = Certificate::read(own).ok_or(CertificateError::BadEncoding)?.key;
        verify_tls13_signature_with_raw_key(message, &SubjectPublicKeyInfoDer::from(key), signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn is_about_the_name(error: &Error) -> bool {
    use CertificateError::{NotValidForName, NotValidForNameContext};
    matches!(error, Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. }))
}
