//! Certificates for tests: an authority made on the spot, and what it signs.
//!
//! Built for tests alone, behind the feature `tls-testing`.
#![allow(clippy::unwrap_used, reason = "a test that cannot make its certificates fails")]

use super::TlsFiles;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, date_time_ymd,
};
use std::path::Path;

/// An authority of its own.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// What a certificate says.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The names and addresses of its host.
    pub names: &'a [&'a str],
    /// The years in which it begins and ends.
    pub years: (i32, i32),
    /// What it may be used for; anything where there is nothing.
    pub usages: &'a [ExtendedKeyUsagePurpose],
}

impl Default for Wanted<'_> {
    fn default() -> Self {
        Self { names: &["localhost", "127.0.0.1"], years: (2000, 3000), usages: &[] }
    }
}

impl Authority {
    /// Makes one of this name.
    ///
    /// # Panics
    /// It cannot be made.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self::valid_in(name, (2000, 3000))
    }

    /// As [`Authority::new`], valid from the beginning of one year to that of another.
    ///
    /// # Panics
    /// As [`Authority::new`].
    #[must_use]
    pub fn valid_in(name: &str, (from, to): (i32, i32)) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(to, 1, 1));
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Writes its certificate, one that it signs and the key of that into `folder`, in place of those that are there.
    ///
    /// # Panics
    /// They cannot be made or written.
    #[must_use]
    pub fn issue(&self, folder: &Path, wanted: Wanted<'_>) -> TlsFiles {
        let names: Vec<String> = wanted.names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, "a host");
        (params.not_before, params.not_after) =
            (date_time_ymd(wanted.years.0, 1, 1), date_time_ymd(wanted.years.1, 1, 1));
        params.extended_key_usages = wanted.usages.to_vec();
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let (ca, cert) = (file("ca.pem", &self.pem), file("cert.pem", &cert.pem()));
        TlsFiles { ca, cert, key: file("key.pem", &key.serialize_pem()) }
    }
}
