//! Whom to trust when a source speaks TLS.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use super::feed::FeedError;

/// Trusts the authorities in `ca` (PEM), or those that this machine trusts.
pub(super) fn config(ca: Option<&[u8]>) -> Result<Arc<ClientConfig>, FeedError> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let added = certificate
                    .map_err(|error| error.to_string())
                    .and_then(|certificate| roots.add(certificate).map_err(|error| error.to_string()));
                added.map_err(|error| FeedError(format!("the certificates of `ca` cannot be used: {error}")))?;
            }
            if roots.is_empty() {
                return Err(FeedError("there is no certificate in the file of `ca`; it must be PEM".into()));
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                let fix = "install its package `ca-certificates`, or name the authority's file with `ca`";
                return Err(FeedError(format!("this machine trusts no certificates: {fix}")));
            }
        }
    }
    Ok(Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()))
}
