//! The ring's file: read only when nobody else can, written whole or not at all.
//!
//! Writers hold the lock file beside the ring (`ring.json.lock`) from the reading to the rename, so that no two
//! changes meet. Readers need no lock: a rename is atomic. Must never leave a half-written ring under the ring's name,
//! and never make a file that others can read.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, PersistError};
use zeroize::Zeroizing;

use super::{KeyRing, RingError};
use crate::file_watch::directory;

/// No key ring is larger: hundreds of keys with their notes.
pub const MAX_RING_BYTES: u64 = 1024 * 1024;

const MODE_BITS: u32 = 0o7777;
/// Any of these and no others: 0400, 0440, 0600 and 0640 are the useful ones.
const ACCEPTED_MODE_BITS: u32 = 0o640;
const NEW_FILE_MODE: u32 = 0o600;
const NEW_DIRECTORY_MODE: u32 = 0o700;

/// Why a ring's file was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RingFileError {
    /// There is none.
    #[error("{path}: there is no key ring; make one with `sealgate keys generate --ring {path}`", path = .0.display())]
    Missing(PathBuf),
    /// A directory, a socket, a pipe.
    #[error("{path}: this is not a file; name the key ring's file", path = .0.display())]
    NotAFile(PathBuf),
    /// Others than the owner could read the keys, or more than the owner could change them.
    #[error(
        "{path}: mode {mode:04o} is not private; run `chmod 600 {path}` (0400, 0440, 0600 and 0640 are accepted)",
        path = .path.display()
    )]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Larger than [`MAX_RING_BYTES`].
    #[error("{path}: larger than 1 MiB, which no key ring is; name the key ring's file", path = .0.display())]
    TooLarge(PathBuf),
    /// The system refused.
    #[error(
        "{path}: cannot be read ({reason}); make it readable for the user that sealgate runs as",
        path = .path.display()
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: io::Error,
    },
    /// Read, and not a valid ring.
    #[error("{path}: {reason}", path = .path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: RingError,
    },
    /// An older ring than the one in use, which may lack a key that seals already.
    #[error(
        "{path}: generation {found} is older than generation {running}, which is in use; put the newest ring back",
        path = .path.display()
    )]
    Older {
        /// The file.
        path: PathBuf,
        /// The generation in the file.
        found: u64,
        /// The generation in use.
        running: u64,
    },
}

/// Why a ring was not written. The file is as it was, unless a disk failed at the last step.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RingUpdateError {
    /// The ring that was to be changed cannot be read.
    #[error(transparent)]
    Read(RingFileError),
    /// A new ring never takes an old one's place: its sessions would be lost.
    #[error(
        "{path}: there is a key ring already, and a new one would sign everybody out; use `sealgate keys rotate --ring {path}`",
        path = .0.display()
    )]
    Exists(PathBuf),
    /// The lock file cannot be opened or locked.
    #[error("{path}: cannot be locked ({reason}); make it writable for this user", path = .path.display())]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// What the system said.
        reason: io::Error,
    },
    /// The new ring cannot be written.
    #[error("{path}: cannot be written ({reason}); make its directory writable for this user", path = .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: io::Error,
    },
    /// Replicas that run as the old file's owner or group could not read the new one.
    #[error(
        "{path}: its owner {uid} and group {gid} cannot be kept ({reason}); run the command as that user or as root",
        path = .path.display()
    )]
    Owner {
        /// The file.
        path: PathBuf,
        /// The owner of the file that is to be replaced.
        uid: u32,
        /// The group of the file that is to be replaced.
        gid: u32,
        /// What the system said.
        reason: io::Error,
    },
    /// The result would be refused by every reader.
    #[error("{path}: the change would make the ring invalid: {reason}", path = .path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What would be wrong with it.
        reason: RingError,
    },
}

/// What tells one state of a file from another without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint {
    device_and_inode: (u64, u64),
    size: u64,
    modified: (i64, i64),
    /// Permissions and owner change this one only.
    changed: (i64, i64),
}

impl Fingerprint {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device_and_inode: (metadata.dev(), metadata.ino()),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// The place of a ring.
#[derive(Clone, Debug)]
pub struct RingFile {
    path: PathBuf,
}

impl RingFile {
    /// The ring at `path`; nothing is touched yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the ring and checks it, after the file's mode (that of the file itself where the path is a link).
    ///
    /// # Errors
    /// [`RingFileError`].
    pub fn read(&self) -> Result<KeyRing, RingFileError> {
        self.read_with_fingerprint().map(|(ring, _)| ring)
    }

    pub(super) fn read_with_fingerprint(&self) -> Result<(KeyRing, Fingerprint), RingFileError> {
        // Asked before it is opened: opening a pipe would wait for its other end.
        self.check(&fs::metadata(&self.path).map_err(|reason| self.read_error(reason))?)?;
        let file = File::open(&self.path).map_err(|reason| self.read_error(reason))?;
        // Asked again of what was opened, which may be another file by now.
        let metadata = file.metadata().map_err(|reason| self.read_error(reason))?;
        self.check(&metadata)?;
        // One byte of room beyond the size, so that the end is found without growing, which would leave copies behind.
        let room = usize::try_from(metadata.len()).unwrap_or(usize::MAX).saturating_add(1);
        let mut json = Zeroizing::new(Vec::with_capacity(room));
        file.take(MAX_RING_BYTES).read_to_end(&mut json).map_err(|reason| self.read_error(reason))?;
        let ring =
            KeyRing::parse(&json).map_err(|reason| RingFileError::Invalid { path: self.path.clone(), reason })?;
        Ok((ring, Fingerprint::of(&metadata)))
    }

    /// The file as it is now, `None` when there is none to be seen.
    pub(super) fn fingerprint(&self) -> Option<Fingerprint> {
        fs::metadata(&self.path).ok().map(|metadata| Fingerprint::of(&metadata))
    }

    fn check(&self, metadata: &Metadata) -> Result<(), RingFileError> {
        let mode = metadata.mode() & MODE_BITS;
        if !metadata.is_file() {
            Err(RingFileError::NotAFile(self.path.clone()))
        } else if mode & !ACCEPTED_MODE_BITS != 0 {
            Err(RingFileError::Mode { path: self.path.clone(), mode })
        } else if metadata.len() > MAX_RING_BYTES {
            Err(RingFileError::TooLarge(self.path.clone()))
        } else {
            Ok(())
        }
    }

    fn read_error(&self, reason: io::Error) -> RingFileError {
        let path = self.path.clone();
        match reason.kind() {
            io::ErrorKind::NotFound => RingFileError::Missing(path),
            _ => RingFileError::Read { path, reason },
        }
    }

    /// Writes a new ring, mode 0600, and the directories that it needs, mode 0700. Never replaces a file.
    ///
    /// # Errors
    /// [`RingUpdateError::Exists`] when there is anything under the name; otherwise when the system refuses.
    pub fn create(&self, ring: &KeyRing) -> Result<(), RingUpdateError> {
        let target = Target { path: self.path.clone() };
        if fs::symlink_metadata(&target.path).is_ok() {
            return Err(RingUpdateError::Exists(target.path));
        }
        DirBuilder::new()
            .recursive(true)
            .mode(NEW_DIRECTORY_MODE)
            .create(target.directory())
            .map_err(|reason| target.write_error(reason))?;
        let _lock = target.lock()?;
        let temporary = target.write_beside(ring)?;
        temporary.persist_noclobber(&target.path).map_err(|PersistError { error, .. }| match error.kind() {
            io::ErrorKind::AlreadyExists => RingUpdateError::Exists(target.path.clone()),
            _ => target.write_error(error),
        })?;
        target.sync_directory()
    }

    /// Reads the ring, lets `change` make its next generation, and writes it, all under the lock. Where the path is a
    /// link, the file that it leads to is replaced; mode, owner and group stay.
    ///
    /// # Errors
    /// What `change` returned, or [`RingUpdateError`] by way of `E`.
    pub fn update<T, E>(&self, change: impl FnOnce(&mut KeyRing) -> Result<T, E>) -> Result<(KeyRing, T), E>
    where
        E: From<RingUpdateError>,
    {
        let path = fs::canonicalize(&self.path).map_err(|reason| RingUpdateError::Read(self.read_error(reason)))?;
        let target = Target { path };
        let _lock = target.lock()?;
        let mut ring = Self::new(&target.path).read().map_err(RingUpdateError::Read)?;
        let outcome = change(&mut ring)?;
        let temporary = target.write_beside(&ring)?;
        target.keep_mode_and_owner(temporary.as_file())?;
        temporary.persist(&target.path).map_err(|PersistError { error, .. }| target.write_error(error))?;
        target.sync_directory()?;
        Ok((ring, outcome))
    }
}

/// The file that is to be replaced, links resolved.
struct Target {
    path: PathBuf,
}

impl Target {
    fn directory(&self) -> &Path {
        directory(&self.path)
    }

    /// Waits for the lock; it is released when the file is dropped. The lock file stays: to remove it would let two
    /// writers hold locks on two files of one name.
    fn lock(&self) -> Result<File, RingUpdateError> {
        let mut path = self.path.clone().into_os_string();
        path.push(".lock");
        let path = PathBuf::from(path);
        let open = OpenOptions::new().write(true).create(true).truncate(false).mode(NEW_FILE_MODE).open(&path);
        match open.and_then(|file| file.lock().map(|()| file)) {
            Ok(file) => Ok(file),
            Err(reason) => Err(RingUpdateError::Lock { path, reason }),
        }
    }

    /// Writes `ring` under a temporary name in the same directory, down to the disk.
    fn write_beside(&self, ring: &KeyRing) -> Result<NamedTempFile, RingUpdateError> {
        let json = ring.to_json();
        KeyRing::parse(&json).map_err(|reason| RingUpdateError::Invalid { path: self.path.clone(), reason })?;
        if json.len() as u64 > MAX_RING_BYTES {
            return Err(RingUpdateError::Read(RingFileError::TooLarge(self.path.clone())));
        }
        let mut builder = tempfile::Builder::new();
        builder.prefix(".ring-").suffix(".tmp").permissions(Permissions::from_mode(NEW_FILE_MODE));
        let written = builder.tempfile_in(self.directory()).and_then(|mut temporary| {
            temporary.write_all(&json)?;
            temporary.as_file().sync_all()?;
            Ok(temporary)
        });
        written.map_err(|reason| self.write_error(reason))
    }

    fn keep_mode_and_owner(&self, new: &File) -> Result<(), RingUpdateError> {
        let old = fs::metadata(&self.path).map_err(|reason| self.write_error(reason))?;
        let (uid, gid) = (old.uid(), old.gid());
        let made = new.metadata().map_err(|reason| self.write_error(reason))?;
        if (made.uid(), made.gid()) != (uid, gid) {
            fchown(new, Some(uid), Some(gid)).map_err(|reason| RingUpdateError::Owner {
                path: self.path.clone(),
                uid,
                gid,
                reason,
            })?;
        }
        new.set_permissions(Permissions::from_mode(old.mode() & MODE_BITS)).map_err(|reason| self.write_error(reason))
    }

    fn sync_directory(&self) -> Result<(), RingUpdateError> {
        File::open(self.directory())
            .and_then(|directory| directory.sync_all())
            .map_err(|reason| self.write_error(reason))
    }

    fn write_error(&self, reason: io::Error) -> RingUpdateError {
        RingUpdateError::Write { path: self.path.clone(), reason }
    }
}

#[cfg(test)]
mod tests;
