//! Objects in memory for tests, which stop at a chosen step as a process or its network would.
//!
//! Called by tests of parts and manifests.

use super::{Listed, ObjectError, Objects, Put, ReadAt, Upload, checked};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

/// What happens at the step that fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// Nothing is done.
    Refused,
    /// It is done, and nobody is told.
    AnswerLost,
}

#[derive(Debug, Default)]
struct Inner {
    objects: BTreeMap<String, (Vec<u8>, i64)>,
    now_ns: i64,
    /// Writing steps until the fault, and whether all that comes after it fails, too.
    fault: Option<(usize, Fault, After)>,
    n_steps: usize,
}

/// What happens after the fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum After {
    /// The process is gone.
    Dead,
    /// The network is back.
    Well,
}

/// Objects in memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory(Arc<Mutex<Inner>>);

impl Memory {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    /// Fails the writing step with number `step`, counted from now on.
    pub(crate) fn fail_at(&self, step: usize, fault: Fault, after: After) {
        self.inner().n_steps = 0;
        self.inner().fault = Some((step, fault, after));
    }

    /// Ends all faults, and returns how many steps were tried.
    pub(crate) fn heal(&self) -> usize {
        self.inner().fault = None;
        std::mem::take(&mut self.inner().n_steps)
    }

    pub(crate) fn set_now(&self, now_ns: i64) {
        self.inner().now_ns = now_ns;
    }

    pub(crate) fn paths(&self) -> Vec<String> {
        self.inner().objects.keys().cloned().collect()
    }

    /// Replaces the bytes of an object.
    pub(crate) fn change(&self, path: &str, change: impl FnOnce(&mut Vec<u8>)) {
        change(&mut self.inner().objects.get_mut(path).unwrap().0);
    }

    /// Does a writing step, or what a fault leaves of it.
    fn step<T>(&self, path: &str, act: impl FnOnce(&mut Inner) -> T) -> Result<T, ObjectError> {
        let mut inner = self.inner();
        let step = inner.n_steps;
        inner.n_steps += 1;
        let fault = inner.fault.and_then(|(at, fault, after)| match step.cmp(&at) {
            std::cmp::Ordering::Less => None,
            std::cmp::Ordering::Equal => Some(fault),
            std::cmp::Ordering::Greater => (after == After::Dead).then_some(Fault::Refused),
        });
        if fault != Some(Fault::Refused) {
            let done = act(&mut inner);
            if fault.is_none() {
                return Ok(done);
            }
        }
        let source = Arc::new(io::Error::new(io::ErrorKind::TimedOut, "the store does not answer"));
        Err(ObjectError::Io { what: "write", path: path.to_owned(), source })
    }
}

impl Objects for Memory {
    fn put_if_absent(&self, path: &str, bytes: &[u8]) -> Result<Put, ObjectError> {
        let path = checked(path)?;
        self.step(path, |inner| {
            if inner.objects.contains_key(path) {
                return Put::Taken;
            }
            inner.objects.insert(path.to_owned(), (bytes.to_vec(), inner.now_ns));
            Put::Created
        })
    }

    fn put(&self, path: &str, bytes: &[u8]) -> Result<(), ObjectError> {
        let path = checked(path)?;
        self.step(path, |inner| {
            inner.objects.insert(path.to_owned(), (bytes.to_vec(), inner.now_ns));
        })
    }

    fn create(&self, path: &str) -> Result<Box<dyn Upload>, ObjectError> {
        Ok(Box::new(MemoryUpload { memory: self.clone(), path: checked(path)?.to_owned(), bytes: Vec::new() }))
    }

    fn get(&self, path: &str, max_bytes: u64) -> Result<Option<Vec<u8>>, ObjectError> {
        let found = self.inner().objects.get(checked(path)?).map(|(bytes, _)| bytes.clone());
        match found {
            Some(bytes) if bytes.len() as u64 > max_bytes => {
                Err(ObjectError::TooLong { path: path.to_owned(), bytes: bytes.len() as u64, max_bytes })
            }
            found => Ok(found),
        }
    }

    fn open(&self, path: &str) -> Result<Arc<dyn ReadAt>, ObjectError> {
        let bytes = self.get(path, u64::MAX)?.ok_or_else(|| ObjectError::Missing { path: path.to_owned() })?;
        Ok(Arc::new(MemoryObject { path: path.to_owned(), bytes }))
    }

    fn list(&self, folder: &str) -> Result<Vec<Listed>, ObjectError> {
        let folder = format!("{}/", checked(folder)?);
        let listed = |(path, (bytes, modified_ns)): (&String, &(Vec<u8>, i64))| Listed {
            path: path.clone(),
            bytes: bytes.len() as u64,
            modified_ns: *modified_ns,
        };
        Ok(self.inner().objects.iter().filter(|(path, _)| path.starts_with(&folder)).map(listed).collect())
    }

    fn delete(&self, path: &str) -> Result<(), ObjectError> {
        let path = checked(path)?;
        self.step(path, |inner| {
            inner.objects.remove(path);
        })
    }
}

struct MemoryUpload {
    memory: Memory,
    path: String,
    bytes: Vec<u8>,
}

impl io::Write for MemoryUpload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Upload for MemoryUpload {
    fn finish(self: Box<Self>) -> Result<(), ObjectError> {
        match self.memory.put_if_absent(&self.path, &self.bytes)? {
            Put::Created => Ok(()),
            Put::Taken => Err(ObjectError::Taken { path: self.path }),
        }
    }
}

/// An object whose bytes are there.
#[derive(Debug)]
pub(crate) struct MemoryObject {
    pub(crate) path: String,
    pub(crate) bytes: Vec<u8>,
}

impl ReadAt for MemoryObject {
    fn path(&self) -> &str {
        &self.path
    }

    fn bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ObjectError> {
        let range = offset as usize..offset as usize + buffer.len();
        let bytes = self.bytes.get(range.clone()).ok_or_else(|| ObjectError::Short {
            path: self.path.clone(),
            bytes: self.bytes.len() as u64,
            end: range.end as u64,
        })?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }
}
