//! Bearer tokens: who may read, report and administer, by a file that holds only hashes of them.
//!
//! Read by the daemon at the start and on SIGHUP, asked by the HTTP API. A token is never logged, and the file lets nobody make one.
//!
//! # Shape
//! A token is `bks_` and the salt of its hash, a point, and a secret, both URL-safe base64: the salt finds the line, so that one hash at most is
//! computed for a request. The file has lines `role hash name`; the hash is Argon2id in PHC's form. `#` begins a comment.

mod phc;

use backsight_proto::base64;
use backsight_query::api::{Admission, Refusal};
use phc::Phc;
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock, PoisonError, RwLock}; // it counts, and orders nothing

/// What tokens begin with: so that those who look for secrets in the wrong places find them.
const PREFIX: &str = "bks_";
/// The longest token that is looked at.
const TOKEN_MAX_BYTES: usize = 256;
/// Tokens of one file.
pub const TOKENS_MAX: usize = 1024;
/// Tokens that are proved at a time: each takes a core and tens of megabytes for a moment.
const PROOFS_MAX: usize = 2;
const SECRET_BYTES: usize = 32;
const SALT_BYTES: usize = 16;

/// What somebody may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// Report traces.
    Ingest,
    /// Read them.
    Read,
    /// All of it.
    Admin,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 3] = [Self::Ingest, Self::Read, Self::Admin];

    /// Returns its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Read => "read",
            Self::Admin => "admin",
        }
    }

    const fn may_read(self) -> bool {
        matches!(self, Self::Read | Self::Admin)
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|role| role.name() == name);
        known.ok_or_else(|| format!("found `{name}`, expected one of {}", Self::ALL.map(Self::name).join(", ")))
    }
}

/// A file of tokens that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokensError {
    /// It cannot be read.
    #[error("read auth.tokens: {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A line is none.
    #[error("auth.tokens: {}, line {line}: {why}", .path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Which, counted from 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
    /// No random numbers are to be had.
    #[error("the system gives no random numbers")]
    Random,
}

/// A token that was made.
#[derive(Clone, PartialEq, Eq)]
pub struct Made {
    /// The token, for whoever shows it.
    pub token: String,
    /// The line for the file.
    pub line: String,
}

impl fmt::Debug for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Made").field("line", &self.line).finish_non_exhaustive()
    }
}

/// Makes a token.
///
/// # Errors
/// The system gives no random numbers.
/// # Cost
/// One hash, tens of milliseconds.
pub fn make(role: Role, name: &str) -> Result<Made, TokensError> {
    let (salt, secret): ([u8; SALT_BYTES], [u8; SECRET_BYTES]) = (random()?, random()?);
    let token = format!("{PREFIX}{}.{}", base64::encode_url(&salt), base64::encode_url(&secret));
    let phc = Phc::of(token.as_bytes(), &salt).ok_or(TokensError::Random)?;
    Ok(Made { line: format!("{} {phc} {name}", role.name()), token })
}

/// Returns bytes that nobody can guess.
///
/// # Errors
/// The system gives none.
pub fn random<const N: usize>() -> Result<[u8; N], TokensError> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| TokensError::Random)?;
    Ok(bytes)
}

/// The tokens that are known.
#[derive(Debug)]
pub struct Tokens {
    path: PathBuf,
    known: RwLock<Arc<Known>>,
    n_proofs: AtomicUsize,
}

/// What one reading of the file found.
#[derive(Debug)]
struct Known {
    /// By salt.
    lines: BTreeMap<Vec<u8>, Line>,
    /// Under which tokens that were proved are remembered, for this reading alone.
    key: hmac::Key,
}

struct Line {
    role: Role,
    phc: Phc,
    /// Of the token that was proved to be this line's.
    proved: OnceLock<hmac::Tag>,
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").field("role", &self.role).finish_non_exhaustive()
    }
}

impl Tokens {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// It cannot be read, or holds a line that is none.
    pub fn read(path: &Path) -> Result<Self, TokensError> {
        let known = RwLock::new(Arc::new(Known::read(path)?));
        Ok(Self { path: path.to_owned(), known, n_proofs: AtomicUsize::new(0) })
    }

    /// Reads the file again: what is no longer there is refused from now on.
    ///
    /// # Errors
    /// As [`Tokens::read`]; what was known stays known.
    pub fn read_again(&self) -> Result<(), TokensError> {
        let known = Arc::new(Known::read(&self.path)?);
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = known;
        Ok(())
    }

    fn known(&self) -> Arc<Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns whether whoever shows `token` may read.
    ///
    /// # Cost
    /// A microsecond; whether a token is right is told in the same time wherever it is wrong.
    pub fn admission(&self, token: Option<&str>) -> Admission {
        let Some(token) = token else { return Admission::Refused(Refusal::NoToken) };
        let known = self.known();
        let Some(line) = known.line(token) else { return Admission::Refused(Refusal::BadToken) };
        match line.proved.get() {
            None => Admission::Unproved,
            Some(tag) if hmac::verify(&known.key, token.as_bytes(), tag.as_ref()).is_err() => {
                Admission::Refused(Refusal::BadToken)
            }
            Some(_) if line.role.may_read() => Admission::Admitted,
            Some(_) => Admission::Refused(Refusal::Role),
        }
    }

    /// Finds out whether whoever shows `token` may read, and remembers it.
    ///
    /// # Errors
    /// It is not known, its role may not, or two others are being proved.
    /// # Cost
    /// One hash.
    pub fn prove(&self, token: &str) -> Result<(), Refusal> {
        let _proof = Proof::begin(&self.n_proofs).ok_or(Refusal::TooMany)?;
        let known = self.known();
        let line = known.line(token).ok_or(Refusal::BadToken)?;
        if !line.phc.is_of(token.as_bytes(), &known.key) {
            return Err(Refusal::BadToken);
        }
        let _ = line.proved.set(hmac::sign(&known.key, token.as_bytes())); // another proved the same
        if line.role.may_read() { Ok(()) } else { Err(Refusal::Role) }
    }
}

/// One of the proofs that run.
struct Proof<'a>(&'a AtomicUsize);

impl<'a> Proof<'a> {
    fn begin(n: &'a AtomicUsize) -> Option<Self> {
        n.fetch_update(Relaxed, Relaxed, |n| (n < PROOFS_MAX).then_some(n + 1)).ok().map(|_| Self(n))
    }
}

impl Drop for Proof<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Known {
    fn read(path: &Path) -> Result<Self, TokensError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| TokensError::Read { path: path.to_owned(), source })?;
        let mut lines = BTreeMap::new();
        for (idx, text) in text.lines().enumerate() {
            let bad = |why: String| TokensError::Line { path: path.to_owned(), line: idx + 1, why };
            let text = text.trim();
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let line = Line::parse(text).map_err(bad)?;
            if lines.len() >= TOKENS_MAX {
                return Err(bad(format!("expected at most {TOKENS_MAX} tokens")));
            }
            if lines.insert(line.phc.salt.clone(), line).is_some() {
                return Err(bad("another line has this token's salt".to_owned()));
            }
        }
        Ok(Self { lines, key: hmac::Key::new(hmac::HMAC_SHA256, &random::<32>()?) })
    }

    /// Returns the line that a token says it is of.
    fn line(&self, token: &str) -> Option<&Line> {
        let rest = token.strip_prefix(PREFIX).filter(|_| token.len() <= TOKEN_MAX_BYTES)?;
        let (salt, _) = rest.split_once('.')?;
        self.lines.get(&base64::decode(salt)?)
    }
}

impl Line {
    fn parse(text: &str) -> Result<Self, String> {
        let mut words = text.split_ascii_whitespace();
        let (Some(role), Some(phc), Some(_)) = (words.next(), words.next(), words.next()) else {
            return Err("expected a role, a hash and a name, as `backsight-collector token new` prints them".to_owned());
        };
        Ok(Self { role: role.parse()?, phc: phc.parse()?, proved: OnceLock::new() })
    }
}

#[cfg(test)]
mod tests;
