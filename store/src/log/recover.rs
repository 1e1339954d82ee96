//! What stands in the folder when a log is opened, and the tail that a crash tore.
//!
//! Called by `Log::open`. It removes nothing that may hold an entry: only files that end within their header, and bytes behind the last
//! sound entry of the newest file.

use super::{FILE_READ_MAX_BYTES, Removed, at, path_of};
use crate::format::{FILE_HEADER_BYTES, FileHeader, scan};
use crate::{Losses, StoreError};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::path::Path;

/// What was found.
pub(super) struct Found {
    /// The files and their lengths.
    pub(super) files: BTreeMap<u64, u64>,
    /// The newest, where it can be appended to.
    pub(super) active: Option<Newest>,
    pub(super) losses: Losses,
    /// Files that were removed, as they hold no entry.
    pub(super) removed: Vec<Removed>,
}

/// The newest file, cut and synced.
pub(super) struct Newest {
    pub(super) file: File,
    pub(super) header: FileHeader,
    pub(super) len: u64,
}

/// Looks through `folder`.
pub(super) fn recover(folder: &Path) -> Result<Found, StoreError> {
    let mut files = list(folder)?;
    let mut losses = Losses::default();
    let (mut active, mut removed) = (None, Vec::new());
    while let Some((&seq, &len)) = files.last_key_value() {
        let path = path_of(folder, seq);
        if len <= FILE_HEADER_BYTES.into() {
            // A beginning: the header is durable before the first entry is written.
            fs::remove_file(&path).map_err(|error| at(folder, &path, "remove").failed(error))?;
            files.remove(&seq);
            losses.n_removed_files += 1;
            removed.push(Removed { path, bytes: len });
            continue;
        }
        let file = OpenOptions::new().read(true).write(true).open(&path);
        let file = file.map_err(|error| at(folder, &path, "open").failed(error))?;
        let bytes = read_whole(&path).map_err(|error| at(folder, &path, "read").failed(error))?.unwrap_or_default();
        let scan = scan(seq, &bytes, &mut |_, _| {});
        // Without its header the file is kept as it is, and a new one begun.
        if let Some(header) = scan.header {
            let synced = if scan.end < len { file.set_len(scan.end) } else { Ok(()) }.and_then(|()| file.sync_all());
            synced.map_err(|error| at(folder, &path, "cut the unfinished end of").failed(error))?;
            losses.cut_bytes += len - scan.end.min(len);
            files.insert(seq, scan.end);
            active = Some(Newest { file, header, len: scan.end });
        }
        break;
    }
    Ok(Found { files, active, losses, removed })
}

/// Lists the files of the store by number; whatever else lies there is left alone.
fn list(folder: &Path) -> Result<BTreeMap<u64, u64>, StoreError> {
    let failed = |error| at(folder, folder, "list").failed(error);
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let seq = name.to_str().and_then(|name| name.strip_suffix(".bks")).filter(|digits| digits.len() == 16);
        let Some(seq) = seq.and_then(|digits| u64::from_str_radix(digits, 16).ok()) else { continue };
        let meta = entry.metadata().map_err(failed)?;
        if meta.is_file() && path_of(folder, seq).file_name() == Some(&name) {
            files.insert(seq, meta.len());
        }
    }
    Ok(files)
}

/// Reads a file, or `None` where it is longer than any that this store writes.
pub(super) fn read_whole(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = File::open(path)?;
    let len = file.metadata()?.len();
    if len > FILE_READ_MAX_BYTES {
        return Ok(None);
    }
    let mut bytes = Vec::with_capacity(len as usize);
    file.take(FILE_READ_MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}
