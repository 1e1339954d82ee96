//! Objects in memory, whose bytes a test may change or take away.
//!
//! Called by all tests of this folder.

use backsight_store::objects::{Listed, ObjectError, Objects, Put, ReadAt, Upload};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

#[derive(Clone, Debug, Default)]
pub(super) struct Memory(Arc<Mutex<BTreeMap<String, Arc<Vec<u8>>>>>);

impl Memory {
    /// Replaces the bytes of an object.
    pub(super) fn change(&self, path: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut objects = self.0.lock().unwrap();
        change(Arc::make_mut(objects.get_mut(path).unwrap()));
    }
}

impl Objects for Memory {
    fn put_if_absent(&self, path: &str, bytes: &[u8]) -> Result<Put, ObjectError> {
        let mut objects = self.0.lock().unwrap();
        if objects.contains_key(path) {
            return Ok(Put::Taken);
        }
        objects.insert(path.to_owned(), Arc::new(bytes.to_vec()));
        Ok(Put::Created)
    }

    fn put(&self, path: &str, bytes: &[u8]) -> Result<(), ObjectError> {
        self.0.lock().unwrap().insert(path.to_owned(), Arc::new(bytes.to_vec()));
        Ok(())
    }

    fn create(&self, path: &str) -> Result<Box<dyn Upload>, ObjectError> {
        Ok(Box::new(MemoryUpload { memory: self.clone(), path: path.to_owned(), bytes: Vec::new() }))
    }

    fn get(&self, path: &str, _max_bytes: u64) -> Result<Option<Vec<u8>>, ObjectError> {
        Ok(self.0.lock().unwrap().get(path).map(|bytes| bytes.to_vec()))
    }

    fn open(&self, path: &str) -> Result<Arc<dyn ReadAt>, ObjectError> {
        let bytes = self.0.lock().unwrap().get(path).cloned();
        let bytes = bytes.ok_or_else(|| ObjectError::Missing { path: path.to_owned() })?;
        Ok(Arc::new(MemoryObject { path: path.to_owned(), bytes }))
    }

    fn list(&self, folder: &str) -> Result<Vec<Listed>, ObjectError> {
        let listed = |(path, bytes): (&String, &Arc<Vec<u8>>)| Listed {
            path: path.clone(),
            bytes: bytes.len() as u64,
            modified_ns: 0,
        };
        Ok(self.0.lock().unwrap().iter().filter(|(path, _)| path.starts_with(folder)).map(listed).collect())
    }

    fn delete(&self, path: &str) -> Result<(), ObjectError> {
        self.0.lock().unwrap().remove(path);
        Ok(())
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
        self.memory.put(&self.path, &self.bytes)
    }
}

#[derive(Debug)]
struct MemoryObject {
    path: String,
    bytes: Arc<Vec<u8>>,
}

impl ReadAt for MemoryObject {
    fn path(&self) -> &str {
        &self.path
    }

    fn bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ObjectError> {
        let end = offset + buffer.len() as u64;
        let bytes = self.bytes.get(offset as usize..end as usize);
        let short = || ObjectError::Short { path: self.path.clone(), bytes: self.bytes(), end };
        buffer.copy_from_slice(bytes.ok_or_else(short)?);
        Ok(())
    }
}
