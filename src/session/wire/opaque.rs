//! What does not compress: random bytes, kept beside the compressed map in the order in which they are read.

use minicbor::Decoder;
use minicbor::data::Type;

use crate::session::wire::WireError;

/// The part that is still to be read.
#[derive(Clone, Copy, Debug)]
pub struct Opaque<'b>(&'b [u8]);

impl<'b> Opaque<'b> {
    /// Begins at the first of `bytes`.
    pub const fn new(bytes: &'b [u8]) -> Self {
        Self(bytes)
    }

    /// The next `length` bytes.
    ///
    /// # Errors
    /// [`WireError::Malformed`] where there are not so many.
    pub fn take(&mut self, length: u64) -> Result<&'b [u8], WireError> {
        let length = usize::try_from(length).map_err(|_| WireError::Malformed)?;
        let (taken, rest) = self.0.split_at_checked(length).ok_or(WireError::Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    /// How many bytes are left.
    pub const fn left(&self) -> usize {
        self.0.len()
    }

    /// Reads what `MapWriter::random` wrote: the bytes themselves, or how many there are beside the map.
    ///
    /// # Errors
    /// [`WireError::Malformed`].
    pub fn read_random(&mut self, decoder: &mut Decoder<'b>) -> Result<&'b [u8], WireError> {
        match decoder.datatype()? {
            Type::Bytes => Ok(decoder.bytes()?),
            _ => self.take(decoder.u64()?),
        }
    }
}
