//! The certificates by which agents, collectors and people know each other: PEM files, read and checked before anybody uses them.
//!
//! Called by the agent and by `backsight` each time they dial, and by the collector when it starts and when it is told to read them again. Every
//! error names the file, and the key or flag that names it. Which side asks for what stands in `docs/spec/wire.md`.

mod check;
mod refusal;
#[cfg(any(test, feature = "tls-testing"))]
pub mod testing;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::TLS13;
use rustls::{RootCertStore, ServerConfig};
use serde::Deserialize;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tonic::transport::{ClientTlsConfig, Identity};

/// The files of one side. All are PEM, and may hold more than what is looked for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// The certificates of those who sign the other side's.
    pub ca: PathBuf,
    /// This side's own certificate, with those between it and its authority, if there are any.
    pub cert: PathBuf,
    /// Its private key, without a password.
    pub key: PathBuf,
}

/// What a certificate is shown for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// Dialling.
    Client,
    /// Being dialled.
    Server,
}

/// What the files of one side hold, checked as far as one side can.
#[derive(Debug)]
pub struct Credentials {
    /// Those who sign the other side's certificates: of the file, those that are valid now.
    authorities: Arc<RootCertStore>,
    /// What this side shows.
    own: Arc<CertifiedKey>,
    identity: Identity,
}

/// A file, and the key of a configuration or the flag that names it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Named {
    key: String,
    path: PathBuf,
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.path.display())
    }
}

/// Files that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// It cannot be read.
    #[error("{0} cannot be read")]
    Read(Named, #[source] std::io::Error),
    /// It holds nothing that is looked for.
    #[error("{0} holds no certificate; one in PEM begins with -----BEGIN CERTIFICATE-----")]
    NoCertificate(Named),
    /// As above.
    #[error("{0} holds no private key that is without a password; one in PEM begins with -----BEGIN PRIVATE KEY-----")]
    NoKey(Named),
    /// What it holds is damaged.
    #[error("{0} is damaged")]
    BadPem(Named, #[source] pem::Error),
    /// What it holds is damaged, or made in a way that is not known.
    #[error("{0} holds a certificate that cannot be used")]
    BadCertificate(Named, #[source] webpki::Error),
    /// As above.
    #[error("{0} holds a key that cannot be used")]
    BadKey(Named, #[source] rustls::Error),
    /// A certificate of the first version of the standard, which cannot say what it is for.
    #[error("{0} is a certificate of version 1: have one made that has the host's names (subjectAltName)")]
    Version1(Named),
    /// It was valid once.
    #[error("{0} expired {since} ago: have it renewed", since = check::Time(*.1))]
    Expired(Named, u64),
    /// It will be.
    #[error("{0} is not valid for another {until}: is this host's clock right?", until = check::Time(*.1))]
    NotYet(Named, u64),
    /// It signs others, and stands for no host.
    #[error("{0} is an authority's own certificate: have the authority sign one for this host")]
    IsAuthority(Named),
    /// It signs no others.
    #[error("{0} is no authority's certificate: name that of who signs the other side's certificates")]
    IsNoAuthority(Named),
    /// Its extended key usage does not have what it is shown for.
    #[error("{0} may not be used {by} (extended key usage): have one made with {oid}", by = check::by(*.1), oid = check::oid(*.1))]
    Usage(Named, Side),
    /// The key is another one's.
    #[error("{key} is not the key of the certificate of {cert}")]
    Mismatch {
        /// The file of the key.
        key: Named,
        /// The file of the certificate.
        cert: Named,
    },
    /// All is right with the files, and they are of no use.
    #[error("the certificates are refused by what is to use them")]
    Refused(#[source] rustls::Error),
}

impl TlsError {
    /// Returns whether nothing is wrong but the time.
    #[must_use]
    pub const fn is_of_time(&self) -> bool {
        matches!(self, Self::Expired(..) | Self::NotYet(..))
    }
}

impl TlsFiles {
    /// Reads the files, to be used as `side`; `prefix` and `ca`, `cert` or `key` are what people call them.
    ///
    /// # Errors
    /// One of them cannot be read, is not what it should be, does not go with another, or is not valid now. That is the error only if nothing
    /// else is wrong.
    pub fn read(&self, prefix: &str, side: Side) -> Result<Credentials, TlsError> {
        let named = |name: &str, path: &Path| Named { key: format!("{prefix}{name}"), path: path.to_owned() };
        let (ca, cert, key) = (named("ca", &self.ca), named("cert", &self.cert), named("key", &self.key));
        let now = UnixTime::now();
        let cert_pem = bytes(&cert)?;
        let chain = certificates(&cert, &cert_pem)?;
        let untimely = check::of_host(&cert, &chain[0], side, now)?;
        let key_pem = bytes(&key)?;
        let own = Arc::new(certified(chain, &cert, &key, &key_pem)?);
        let authorities = Arc::new(check::authorities(&ca, certificates(&ca, &bytes(&ca)?)?, now)?);
        let identity = Identity::from_pem(cert_pem, key_pem);
        untimely.map_or(Ok(Credentials { authorities, own, identity }), Err)
    }
}

impl Credentials {
    /// Returns how a client connects with these: it shows its certificate, and wants one of the authorities for the name that it dialled.
    #[must_use]
    pub fn for_client(&self) -> ClientTlsConfig {
        ClientTlsConfig::new().trust_anchors(self.authorities.roots.iter().cloned()).identity(self.identity.clone())
    }

    /// Returns how a server accepts with these: it shows its certificate, and wants one of the authorities, on each connection anew.
    ///
    /// # Errors
    /// The cryptography refuses.
    pub fn for_server(&self) -> Result<ServerConfig, TlsError> {
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(&self.authorities), provider());
        let refused = |error: VerifierBuilderError| TlsError::Refused(rustls::Error::General(error.to_string()));
        let verifier = verifier.build().map_err(refused)?;
        let builder = ServerConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS13]);
        let builder = builder.map_err(TlsError::Refused)?;
        let own = SingleCertAndKey::from(Arc::clone(&self.own));
        let mut config = builder.with_client_cert_verifier(verifier).with_cert_resolver(Arc::new(own));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // A session that was resumed would outlive the certificate that it began with.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(config)
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn bytes(file: &Named) -> Result<Vec<u8>, TlsError> {
    std::fs::read(&file.path).map_err(|source| TlsError::Read(file.clone(), source))
}

/// Returns all certificates in a file, of which there is one at least.
fn certificates(file: &Named, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|source| TlsError::BadPem(file.clone(), source))?;
    if found.is_empty() { Err(TlsError::NoCertificate(file.clone())) } else { Ok(found) }
}

/// Puts a certificate and its key together.
fn certified(
    chain: Vec<CertificateDer<'static>>,
    cert: &Named,
    key: &Named,
    key_pem: &[u8],
) -> Result<CertifiedKey, TlsError> {
    let key_der = PrivateKeyDer::from_pem_slice(key_pem).map_err(|error| match error {
        pem::Error::NoItemsFound => TlsError::NoKey(key.clone()),
        error => TlsError::BadPem(key.clone(), error),
    })?;
    CertifiedKey::from_der(chain, key_der, &provider()).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => TlsError::Mismatch { key: key.clone(), cert: cert.clone() },
        error => TlsError::BadKey(key.clone(), error),
    })
}

#[cfg(test)]
mod tests;
