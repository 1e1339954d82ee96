//! Objects of a store that speaks S3, behind feature `s3`.
//!
//! Called through [`Objects`], by threads that may wait: each call runs on a small runtime of its own. A conditional put (`If-None-Match: *`)
//! is what the fence of manifests rests on, so a store that has none is refused when it is opened ([`S3::open`]). Requests are tried again a
//! bounded number of times, with jitter; of a conditional put it is known at each try whether the one before may have been carried out, and
//! what is found there then is read and compared.

mod runtime;
mod upload;

use crate::objects::{Listed, ObjectError, Objects, Put, ReadAt, Upload, checked};
use futures_util::TryStreamExt;
use object_store::aws::{AmazonS3, AmazonS3Builder, S3ConditionalPut};
use object_store::path::Path;
use object_store::{
    BackoffConfig, ClientOptions, Error, GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions,
    PutPayload, RetryConfig,
};
use runtime::Background;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// The most objects of one listing.
const LISTED_MAX: usize = 4 << 20;
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// No wait between two tries is longer.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// After this no request is tried again.
const TRIES_TIMEOUT: Duration = Duration::from_secs(120);

/// Where the objects are. What is not said is taken from the environment (`AWS_ACCESS_KEY_ID` and the like), or from the machine's role.
#[derive(Clone, Default)]
pub struct Config {
    /// The bucket.
    pub bucket: String,
    /// What all paths begin with, without slashes at its ends; may be empty.
    pub prefix: String,
    /// Where the store is, if it is not Amazon's; `http:` is taken at its word.
    pub endpoint: Option<String>,
    /// Its region.
    pub region: Option<String>,
    /// Key id and secret.
    pub keys: Option<(String, String)>,
    /// How often a request is tried again.
    pub tries: Tries,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config").field("bucket", &self.bucket).field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

/// How often a request is tried.
#[derive(Clone, Copy, Debug)]
pub struct Tries {
    /// The most tries, at least one.
    pub n_max: u32,
    /// The wait before the second; it doubles from try to try, up to 5 s, and each is half to one and a half of that.
    pub first_wait: Duration,
}

impl Default for Tries {
    fn default() -> Self {
        Self { n_max: 7, first_wait: Duration::from_millis(100) }
    }
}

/// A store could not be opened.
#[derive(Clone, Debug, thiserror::Error)]
pub enum OpenError {
    /// The configuration makes no sense.
    #[error("the store s3://{bucket} cannot be reached as it is configured")]
    Config {
        /// The bucket.
        bucket: String,
        /// Why.
        #[source]
        source: Arc<Error>,
    },
    /// There are no threads.
    #[error("cannot start a thread for requests")]
    Thread(#[source] Arc<io::Error>),
    /// The store does not answer as it should.
    #[error("the store s3://{bucket} does not take objects")]
    Probe {
        /// The bucket.
        bucket: String,
        /// Why.
        #[source]
        source: ObjectError,
    },
    /// Two writers could overwrite each other.
    #[error(
        "the store s3://{bucket} replaces an object although it was told not to (If-None-Match: *); \
         two collectors could lose each other's data there: take a store with conditional writes"
    )]
    NoConditionalPut {
        /// The bucket.
        bucket: String,
    },
}

/// A bucket of objects, or a folder in one.
#[derive(Clone, Debug)]
pub struct S3(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    prefix: String,
    tries: Tries,
    /// For what may be done twice: tries again by itself.
    patient: AmazonS3,
    /// For what may not: says how each try ended.
    single: AmazonS3,
    runtime: Background,
}

impl S3 {
    /// Opens a store, and makes sure by two puts of one small object that it has conditional puts.
    ///
    /// # Errors
    /// It cannot be reached, or it has none.
    pub fn open(config: &Config) -> Result<Self, OpenError> {
        let runtime = Background::start().map_err(|error| OpenError::Thread(Arc::new(error)))?;
        let failed = |source| OpenError::Config { bucket: config.bucket.clone(), source: Arc::new(source) };
        let patient = client(config, config.tries.n_max.saturating_sub(1) as usize).map_err(failed)?;
        let single = client(config, 0).map_err(failed)?;
        let (prefix, tries) = (config.prefix.clone(), config.tries);
        let store = Self(Arc::new(Inner { prefix, tries, patient, single, runtime }));
        store.probe(&config.bucket)?;
        Ok(store)
    }

    fn probe(&self, bucket: &str) -> Result<(), OpenError> {
        let failed = |source| OpenError::Probe { bucket: bucket.to_owned(), source };
        let path = format!("probe-{:016x}", random());
        self.put_if_absent(&path, b"first").map_err(failed)?;
        let second = self.put_if_absent(&path, b"second").map_err(failed)?;
        let found = self.get(&path, 16).map_err(failed)?;
        self.delete(&path).map_err(failed)?;
        if second == Put::Taken && found.as_deref() == Some(b"first") {
            return Ok(());
        }
        Err(OpenError::NoConditionalPut { bucket: bucket.to_owned() })
    }

    /// Returns where the store has `path`.
    fn at(&self, path: &str) -> Result<Path, ObjectError> {
        let whole = match self.0.prefix.as_str() {
            "" => checked(path)?.to_owned(),
            prefix => format!("{prefix}/{}", checked(path)?),
        };
        Path::parse(whole).map_err(|_| ObjectError::BadPath { path: path.to_owned() })
    }

    fn meta(&self, path: &str) -> Result<Option<ObjectMeta>, ObjectError> {
        let at = self.at(path)?;
        self.0.runtime.wait(self.0.patient.head(&at)).map(Some).or_else(|error| none_if_missing("look up", path, error))
    }

    /// Reads bytes of an object; `None` where it is missing.
    fn bytes(&self, path: &str, range: Option<Range<u64>>) -> Result<Option<Vec<u8>>, ObjectError> {
        let (at, store) = (self.at(path)?, &self.0.patient);
        let options = GetOptions::new().with_range(range);
        let read = self.0.runtime.wait(async { store.get_opts(&at, options).await?.bytes().await });
        read.map(|bytes| Some(bytes.to_vec())).or_else(|error| none_if_missing("read", path, error))
    }

    /// Puts an object if there is none, once, and returns how that ended.
    fn try_put(&self, at: &Path, payload: &PutPayload) -> Tried {
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match self.0.runtime.wait(self.0.single.put_opts(at, payload.clone(), options)) {
            Ok(_) => Tried::Created,
            Err(error) => tried(error),
        }
    }
}

/// How one try of a conditional put ended.
#[derive(Debug)]
enum Tried {
    Created,
    Taken,
    /// Nothing was done: another put was under way.
    Conflict(Error),
    /// Nothing was done, and it will be the same next time.
    Refused(Error),
    /// It is not known whether it was done.
    Unsure(Error),
}

fn tried(error: Error) -> Tried {
    match error {
        // Answers 412 and 409 come under one name.
        Error::AlreadyExists { path, source } => {
            let is_taken =
                matches!(source.downcast_ref::<Error>(), Some(Error::Precondition { .. } | Error::NotModified { .. }));
            let error = Error::AlreadyExists { path, source };
            if is_taken { Tried::Taken } else { Tried::Conflict(error) }
        }
        Error::Generic { .. } => Tried::Unsure(error),
        error => Tried::Refused(error),
    }
}

impl Objects for S3 {
    fn put_if_absent(&self, path: &str, bytes: &[u8]) -> Result<Put, ObjectError> {
        let (at, payload) = (self.at(path)?, PutPayload::from(bytes.to_vec()));
        let mut may_be_ours = false;
        let mut waits = waits(self.0.tries);
        loop {
            let error = match self.try_put(&at, &payload) {
                Tried::Created => return Ok(Put::Created),
                // An earlier try may have been carried out, and its answer lost: bytes say who wrote them.
                Tried::Taken if may_be_ours => {
                    let is_ours = self.bytes(path, None)?.is_some_and(|found| found == bytes);
                    return Ok(if is_ours { Put::Created } else { Put::Taken });
                }
                Tried::Taken => return Ok(Put::Taken),
                Tried::Conflict(error) => error,
                Tried::Refused(error) => return Err(failed("write", path, error)),
                Tried::Unsure(error) => {
                    may_be_ours = true;
                    error
                }
            };
            match waits.next() {
                Some(wait) => std::thread::sleep(wait),
                None => return Err(failed("write", path, error)),
            }
        }
    }

    fn put(&self, path: &str, bytes: &[u8]) -> Result<(), ObjectError> {
        let at = self.at(path)?;
        let put = self.0.runtime.wait(self.0.patient.put(&at, PutPayload::from(bytes.to_vec())));
        put.map(|_| ()).map_err(|error| failed("write", path, error))
    }

    fn create(&self, path: &str) -> Result<Box<dyn Upload>, ObjectError> {
        Ok(Box::new(upload::S3Upload::new(self.clone(), path, self.at(path)?)))
    }

    fn get(&self, path: &str, max_bytes: u64) -> Result<Option<Vec<u8>>, ObjectError> {
        let too_long = |bytes| ObjectError::TooLong { path: path.to_owned(), bytes, max_bytes };
        let (at, store) = (self.at(path)?, &self.0.patient);
        let read = self.0.runtime.wait(async {
            let found = store.get(&at).await?;
            // Whoever does not read on leaves the body where it is.
            if found.meta.size > max_bytes { Ok(Err(found.meta.size)) } else { found.bytes().await.map(Ok) }
        });
        match read {
            Ok(Ok(bytes)) => Ok(Some(bytes.to_vec())),
            Ok(Err(bytes)) => Err(too_long(bytes)),
            Err(error) => none_if_missing("read", path, error),
        }
    }

    fn open(&self, path: &str) -> Result<Arc<dyn ReadAt>, ObjectError> {
        let missing = || ObjectError::Missing { path: path.to_owned() };
        let bytes = self.meta(path)?.ok_or_else(missing)?.size;
        Ok(Arc::new(S3Object { store: self.clone(), path: path.to_owned(), bytes }))
    }

    fn list(&self, folder: &str) -> Result<Vec<Listed>, ObjectError> {
        let at = self.at(folder)?;
        let collected = self.0.runtime.wait(async {
            let mut metas = self.0.patient.list(Some(&at));
            let mut listed = Vec::new();
            while let Some(meta) = metas.try_next().await? {
                listed.extend(self.listed(&meta).filter(|_| listed.len() < LISTED_MAX));
            }
            Ok(listed)
        });
        let mut listed = collected.map_err(|error| failed("list", folder, error))?;
        listed.sort();
        Ok(listed)
    }

    fn delete(&self, path: &str) -> Result<(), ObjectError> {
        let at = self.at(path)?;
        let deleted = self.0.runtime.wait(self.0.patient.delete(&at));
        deleted.or_else(|error| none_if_missing("remove", path, error).map(|_: Option<()>| ()))
    }
}

impl S3 {
    /// Returns an object as a listing shows it; one whose path is none of this store is passed over.
    fn listed(&self, meta: &ObjectMeta) -> Option<Listed> {
        let path = match self.0.prefix.as_str() {
            "" => meta.location.as_ref(),
            prefix => meta.location.as_ref().strip_prefix(prefix)?.strip_prefix('/')?,
        };
        let modified_ns = meta.last_modified.timestamp_nanos_opt().unwrap_or(i64::MAX);
        Some(Listed { path: checked(path).ok()?.to_owned(), bytes: meta.size, modified_ns })
    }
}

/// An open object, whose bytes are asked for range by range.
#[derive(Debug)]
struct S3Object {
    store: S3,
    path: String,
    bytes: u64,
}

impl ReadAt for S3Object {
    fn path(&self) -> &str {
        &self.path
    }

    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ObjectError> {
        let end = offset.saturating_add(buffer.len() as u64);
        let short = || ObjectError::Short { path: self.path.clone(), bytes: self.bytes, end };
        if end > self.bytes {
            return Err(short());
        }
        if buffer.is_empty() {
            return Ok(());
        }
        let missing = || ObjectError::Missing { path: self.path.clone() };
        let read = self.store.bytes(&self.path, Some(offset..end))?.ok_or_else(missing)?;
        if read.len() != buffer.len() {
            return Err(short());
        }
        buffer.copy_from_slice(&read);
        Ok(())
    }
}

fn client(config: &Config, n_retries: usize) -> Result<AmazonS3, Error> {
    let options = ClientOptions::new().with_timeout(REQUEST_TIMEOUT).with_connect_timeout(CONNECT_TIMEOUT);
    let backoff = BackoffConfig { init_backoff: config.tries.first_wait, max_backoff: WAIT_MAX, base: 2.0 };
    let retry = RetryConfig { backoff, max_retries: n_retries, retry_timeout: TRIES_TIMEOUT };
    let mut builder = AmazonS3Builder::from_env()
        .with_bucket_name(&config.bucket)
        .with_client_options(options)
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_retry(retry);
    if let Some(endpoint) = &config.endpoint {
        builder = builder.with_endpoint(endpoint).with_allow_http(endpoint.starts_with("http:"));
    }
    if let Some(region) = &config.region {
        builder = builder.with_region(region);
    }
    if let Some((id, secret)) = &config.keys {
        builder = builder.with_access_key_id(id).with_secret_access_key(secret);
    }
    builder.build()
}

/// Returns how long to wait before each further try: twice as long each time, and half to one and a half of that.
fn waits(tries: Tries) -> impl Iterator<Item = Duration> {
    (0..tries.n_max.saturating_sub(1)).map(move |n| {
        let wait = tries.first_wait.saturating_mul(1 << n.min(16)).min(WAIT_MAX);
        wait.mul_f64(0.5 + (random() >> 11) as f64 / (1_u64 << 53) as f64)
    })
}

/// Returns random bits, for names and jitter.
fn random() -> u64 {
    RandomState::new().hash_one(0)
}

fn none_if_missing<T>(what: &'static str, path: &str, error: Error) -> Result<Option<T>, ObjectError> {
    match error {
        Error::NotFound { .. } => Ok(None),
        error => Err(failed(what, path, error)),
    }
}

fn failed(what: &'static str, path: &str, error: Error) -> ObjectError {
    let kind = match &error {
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => io::ErrorKind::PermissionDenied,
        _ => io::ErrorKind::Other,
    };
    ObjectError::Io { what, path: path.to_owned(), source: Arc::new(io::Error::new(kind, error)) }
}

#[cfg(test)]
mod tests;
