//! What can be seen of a sealed value without any key: for diagnosis, never for a decision.

use base64::Engine as _;

use super::{FORMAT_VERSION, OVERHEAD_BYTES};
use crate::base64url::BASE64URL;
use crate::keyring::KeyId;

/// The outside of a sealed value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The format's version.
    pub version: u8,
    /// The key that it names.
    pub kid: KeyId,
    /// Bytes of the whole.
    pub bytes: usize,
}

/// Why a text is no sealed value. The text is never repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// A character that is not of the alphabet, padding, or a last character with bits too many.
    #[error("it is not base64url without padding: it was changed, or cut short")]
    NotBase64Url,
    /// Shorter than an empty text would be sealed to.
    #[error("it has {0} bytes, fewer than the {OVERHEAD_BYTES} that every sealed cookie has: it was cut short")]
    TooShort(usize),
    /// Another format.
    #[error(
        "its format version is {0}, and this release reads {FORMAT_VERSION}: another release, or no cookie of ours"
    )]
    UnknownVersion(u8),
}

impl Envelope {
    /// Reads the outside of `value`.
    ///
    /// # Errors
    /// See [`EnvelopeError`].
    pub fn read(value: &str) -> Result<Self, EnvelopeError> {
        let sealed = BASE64URL.decode(value).map_err(|_| EnvelopeError::NotBase64Url)?;
        let bytes = sealed.len();
        match *sealed {
            [version, ..] if version != FORMAT_VERSION => Err(EnvelopeError::UnknownVersion(version)),
            [version, a, b, c, d, ..] if bytes >= OVERHEAD_BYTES => {
                Ok(Self { version, kid: KeyId::from_bytes([a, b, c, d]), bytes })
            }
            _ => Err(EnvelopeError::TooShort(bytes)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> String {
        BASE64URL.encode(bytes)
    }

    #[test]
    fn version_key_and_size_show_without_a_key() {
        let sealed = [&[1, 0x9f, 0x3a, 0x01, 0xc2][..], &[0; 60]].concat();
        let kid = KeyId::from_bytes([0x9f, 0x3a, 0x01, 0xc2]);
        assert_eq!(Envelope::read(&text(&sealed)), Ok(Envelope { version: 1, kid, bytes: 65 }));
    }

    #[test]
    fn what_is_no_sealed_value_is_told_apart() {
        assert_eq!(Envelope::read("not base64url"), Err(EnvelopeError::NotBase64Url));
        assert_eq!(Envelope::read("AQ=="), Err(EnvelopeError::NotBase64Url));
        assert_eq!(Envelope::read(""), Err(EnvelopeError::TooShort(0)));
        assert_eq!(Envelope::read(&text(&[1; 44])), Err(EnvelopeError::TooShort(44)));
        assert_eq!(Envelope::read(&text(&[2; 80])), Err(EnvelopeError::UnknownVersion(2)));
    }
}
