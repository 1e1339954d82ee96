//! What can be said of a certificate before it is shown to anybody: whether it is valid now, and whether it is for what it is to be used for.
//!
//! Called when the files are read. Whether the other side takes it is not known here.

use super::{Named, Side, TlsError};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, UnixTime};
use std::fmt;
use webpki::{EndEntityCert, KeyUsage};

/// Checks a certificate that a host shows as `side`; returns what is wrong with its time, if nothing else is.
pub(super) fn of_host(
    file: &Named,
    cert: &CertificateDer<'_>,
    side: Side,
    now: UnixTime,
) -> Result<Option<TlsError>, TlsError> {
    // Time is looked at first, and may hide the rest.
    let untimely = judged(cert, side, now).err().and_then(|error| Untimely::of(&error, file));
    let when_valid = untimely.as_ref().map_or(now, |untimely| untimely.when_valid);
    match judged(cert, side, when_valid) {
        // Who signed it the other side knows.
        Ok(()) | Err(webpki::Error::UnknownIssuer) => Ok(untimely.map(|untimely| untimely.error)),
        Err(webpki::Error::UnsupportedCertVersion) => Err(TlsError::Version1(file.clone())),
        Err(webpki::Error::CaUsedAsEndEntity) => Err(TlsError::IsAuthority(file.clone())),
        Err(webpki::Error::RequiredEkuNotFoundContext(_)) => Err(TlsError::Usage(file.clone(), side)),
        Err(error) => Err(TlsError::BadCertificate(file.clone(), error)),
    }
}

/// Returns those of `found` that are authorities and valid now.
///
/// # Errors
/// None is; says of the last one why not.
pub(super) fn authorities(
    file: &Named,
    found: Vec<CertificateDer<'static>>,
    now: UnixTime,
) -> Result<RootCertStore, TlsError> {
    let mut authorities = RootCertStore::empty();
    let mut wrong = TlsError::NoCertificate(file.clone());
    for cert in found {
        match judged(&cert, Side::Server, now) {
            // Authorities of version 1 are old, and allowed.
            Err(webpki::Error::CaUsedAsEndEntity | webpki::Error::UnsupportedCertVersion) => {
                match webpki::anchor_from_trusted_cert(&cert) {
                    Ok(anchor) => authorities.roots.push(anchor.to_owned()),
                    Err(error) => wrong = TlsError::BadCertificate(file.clone(), error),
                }
            }
            Ok(()) | Err(webpki::Error::UnknownIssuer | webpki::Error::RequiredEkuNotFoundContext(_)) => {
                wrong = TlsError::IsNoAuthority(file.clone());
            }
            Err(error) => {
                let untimely = Untimely::of(&error, file).map(|untimely| untimely.error);
                wrong = untimely.unwrap_or_else(|| TlsError::BadCertificate(file.clone(), error));
            }
        }
    }
    if authorities.is_empty() { Err(wrong) } else { Ok(authorities) }
}

/// That a certificate is past its time, or before it.
struct Untimely {
    error: TlsError,
    /// The end of its time that is nearest.
    when_valid: UnixTime,
}

impl Untimely {
    fn of(error: &webpki::Error, file: &Named) -> Option<Self> {
        let between = |from: &UnixTime, to: &UnixTime| to.as_secs().saturating_sub(from.as_secs());
        let (error, when_valid) = match error {
            webpki::Error::CertExpired { time, not_after } => {
                (TlsError::Expired(file.clone(), between(not_after, time)), not_after)
            }
            webpki::Error::CertNotValidYet { time, not_before } => {
                (TlsError::NotYet(file.clone(), between(time, not_before)), not_before)
            }
            _ => return None,
        };
        Some(Self { error, when_valid: *when_valid })
    }
}

/// Judges a certificate as one that stands for a host, whoever signed it.
fn judged(cert: &CertificateDer<'_>, side: Side, now: UnixTime) -> Result<(), webpki::Error> {
    let usage = match side {
        Side::Client => KeyUsage::client_auth(),
        Side::Server => KeyUsage::server_auth(),
    };
    let algorithms = super::provider().signature_verification_algorithms.all;
    EndEntityCert::try_from(cert)?.verify_for_usage(algorithms, &[], &[], now, usage, None, None).map(|_| ())
}

/// Seconds, as people say them of something long past or far away.
pub(super) struct Time(pub(super) u64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, &str); 3] = [(86_400, "d"), (3600, "h"), (60, "min")];
        let fits = UNITS.into_iter().find(|(secs, _)| self.0 >= 2 * secs);
        let (secs, unit) = fits.unwrap_or((1, "s"));
        write!(f, "{} {unit}", self.0 / secs)
    }
}

pub(super) const fn by(side: Side) -> &'static str {
    match side {
        Side::Client => "to dial with",
        Side::Server => "to be dialled with",
    }
}

pub(super) const fn oid(side: Side) -> &'static str {
    match side {
        Side::Client => "clientAuth",
        Side::Server => "serverAuth",
    }
}
