//! Where a command finds the ring and leaves it: in its file, or in the pipe between two other programs.
//!
//! In a pipe the ring never touches a disk here. Must never write a ring that readers would refuse.

use std::cell::RefCell;
use std::io::Read;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::keyring::{KeyRing, MAX_RING_BYTES, RingFile, RingFileError, RingUpdateError};

/// The name of standard input in messages.
const INPUT: &str = "standard input";

/// The ring that a command reads or changes.
pub(super) enum Place {
    /// Its file, changed under the lock.
    File(RingFile),
    /// A ring that was read from a pipe.
    Pipe(Box<RefCell<KeyRing>>),
}

impl Place {
    /// Reads the ring from a pipe.
    pub(super) fn pipe(input: &mut dyn Read) -> Result<Self, RingFileError> {
        let path = || PathBuf::from(INPUT);
        // All the room at once: growing would leave copies of the keys behind in freed memory.
        let mut json = Zeroizing::new(Vec::with_capacity(usize::try_from(MAX_RING_BYTES).unwrap_or(0) + 2));
        let read = input.take(MAX_RING_BYTES + 1).read_to_end(&mut json);
        read.map_err(|reason| RingFileError::Read { path: path(), reason })?;
        if json.len() as u64 > MAX_RING_BYTES {
            return Err(RingFileError::TooLarge(path()));
        }
        let ring = KeyRing::parse(&json).map_err(|reason| RingFileError::Invalid { path: path(), reason })?;
        Ok(Self::Pipe(Box::new(RefCell::new(ring))))
    }

    /// The ring as it is.
    pub(super) fn read(&self) -> Result<KeyRing, RingFileError> {
        match self {
            Self::File(file) => file.read(),
            Self::Pipe(held) => Ok(held.borrow().clone()),
        }
    }

    pub(super) fn path(&self) -> &Path {
        match self {
            Self::File(file) => file.path(),
            Self::Pipe(_) => Path::new(INPUT),
        }
    }

    /// As [`RingFile::update`].
    pub(super) fn update<T, E>(&self, change: impl FnOnce(&mut KeyRing) -> Result<T, E>) -> Result<(KeyRing, T), E>
    where
        E: From<RingUpdateError>,
    {
        match self {
            Self::File(file) => file.update(change),
            Self::Pipe(held) => {
                let mut ring = held.borrow().clone();
                let outcome = change(&mut ring)?;
                let checked = KeyRing::parse(&ring.to_json());
                checked.map_err(|reason| RingUpdateError::Invalid { path: self.path().to_owned(), reason })?;
                held.replace(ring.clone());
                Ok((ring, outcome))
            }
        }
    }

    /// What is to be passed on: the ring's JSON, changed or not; nothing for a file.
    pub(super) fn passed_on(&self) -> Option<Zeroizing<Vec<u8>>> {
        match self {
            Self::File(_) => None,
            Self::Pipe(ring) => Some(ring.borrow().to_json()),
        }
    }
}
