//! Heads and chunks of answers without a connection, for benchmarks.

use bytes::{Bytes, BytesMut};

use super::chunks::Chunks;
use super::{ExchangeError, Head, Piece};

/// Takes the head of an answer to a GET out of `read`, with all that a connection asks of it; none while it is not whole.
pub(in crate::proxy) fn read_head(read: &mut BytesMut) -> Result<Option<Head>, ExchangeError> {
    let Some(head) = Head::take(read, &mut 0)? else { return Ok(None) };
    // Neither is left out for not being used.
    std::hint::black_box((head.framing(false)?, head.keeps_connection()));
    Ok(Some(head))
}

/// Hands the data of a body in chunks (RFC 9112 §7.1) to `piece` as it stands in `read`, which loses what was read.
/// Whether the body has come to its end; if not, more of it is missing.
///
/// # Errors
/// [`ExchangeError::Chunks`].
pub fn decode_chunks(read: &mut BytesMut, mut piece: impl FnMut(Bytes)) -> Result<bool, ExchangeError> {
    let mut chunks = Chunks::new();
    loop {
        match chunks.next(read)? {
            Piece::Some(data) => piece(data),
            Piece::Missing => return Ok(false),
            Piece::End => return Ok(true),
        }
    }
}
