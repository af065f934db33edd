//! The two AEAD algorithms behind one type. The only file that names `aes_gcm` (through `xaes_256_gcm`) and
//! `chacha20poly1305`.
//!
//! A nonce must never be used twice with one key. Both algorithms take 192-bit nonces, so that random ones from the
//! operating system are safe for any number of replicas (NIST SP 800-38D §8.3 would allow only 2^32 with 96 bits).

use std::fmt;

use chacha20poly1305::XChaCha20Poly1305;
use serde::{Deserialize, Serialize};
use xaes_256_gcm::Xaes256Gcm;
use xaes_256_gcm::aead::{Aead as _, KeyInit as _, Payload};
use zeroize::Zeroizing;

/// Bytes of a key, and of a subkey.
pub const KEY_BYTES: usize = 32;
/// Bytes of a nonce.
pub const NONCE_BYTES: usize = 24;
/// Bytes of the tag behind the ciphertext.
pub const TAG_BYTES: usize = 16;

/// An AEAD algorithm; it belongs to a key, never to a cookie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Algorithm {
    /// XAES-256-GCM (C2SP): AES-256-GCM with a 192-bit nonce; for processors with AES instructions.
    #[default]
    #[serde(rename = "xaes-256-gcm")]
    Xaes256Gcm,
    /// XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha): for processors without AES instructions.
    #[serde(rename = "xchacha20-poly1305")]
    XChaCha20Poly1305,
}

impl Algorithm {
    /// The name in the key ring, and in key derivation.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Xaes256Gcm => "xaes-256-gcm",
            Self::XChaCha20Poly1305 => "xchacha20-poly1305",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A cipher under one subkey, ready to seal and open.
#[derive(Clone)]
pub struct Cipher(Inner);

#[derive(Clone)]
enum Inner {
    Xaes256Gcm(Box<Xaes256Gcm>),
    XChaCha20Poly1305(Box<XChaCha20Poly1305>),
}

impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cipher([redacted])")
    }
}

/// The ciphertext, nonce, associated data and key do not belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the authentication tag does not match")]
pub struct AeadError;

impl Cipher {
    /// Prepares `algorithm` under `key`.
    pub fn new(algorithm: Algorithm, key: &[u8; KEY_BYTES]) -> Self {
        Self(match algorithm {
            Algorithm::Xaes256Gcm => Inner::Xaes256Gcm(Box::new(Xaes256Gcm::new(key.into()))),
            Algorithm::XChaCha20Poly1305 => Inner::XChaCha20Poly1305(Box::new(XChaCha20Poly1305::new(key.into()))),
        })
    }

    /// Encrypts `plaintext`; returns the ciphertext and, behind it, the tag of [`TAG_BYTES`].
    ///
    /// # Errors
    /// Only for inputs beyond the algorithm's bounds (GiB).
    pub fn seal(&self, nonce: &[u8; NONCE_BYTES], aad: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, AeadError> {
        let payload = Payload { msg: plaintext, aad };
        match &self.0 {
            Inner::Xaes256Gcm(cipher) => cipher.encrypt(nonce.into(), payload),
            Inner::XChaCha20Poly1305(cipher) => cipher.encrypt(nonce.into(), payload),
        }
        .map_err(|_| AeadError)
    }

    /// Decrypts `ciphertext` (with its tag), or fails without a hint as to why.
    ///
    /// # Errors
    /// [`AeadError`] when anything was changed.
    pub fn open(
        &self,
        nonce: &[u8; NONCE_BYTES],
        aad: &[u8],
        ciphertext: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, AeadError> {
        let payload = Payload { msg: ciphertext, aad };
        match &self.0 {
            Inner::Xaes256Gcm(cipher) => cipher.decrypt(nonce.into(), payload),
            Inner::XChaCha20Poly1305(cipher) => cipher.decrypt(nonce.into(), payload),
        }
        .map(Zeroizing::new)
        .map_err(|_| AeadError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// C2SP XAES-256-GCM, the two vectors of the specification.
    #[test]
    fn xaes_256_gcm_gives_the_specification_s_ciphertexts() {
        let nonce = b"ABCDEFGHIJKLMNOPQRSTUVWX";
        let sealed = Cipher::new(Algorithm::Xaes256Gcm, &[1; 32]).seal(nonce, b"", b"XAES-256-GCM").expect("short");
        assert_eq!(hex(&sealed), "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271");
        let cipher = Cipher::new(Algorithm::Xaes256Gcm, &[3; 32]);
        let sealed = cipher.seal(nonce, b"c2sp.org/XAES-256-GCM", b"XAES-256-GCM").expect("short");
        assert_eq!(hex(&sealed), "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d");
    }

    #[test]
    fn both_algorithms_open_what_they_sealed_and_nothing_else() {
        for algorithm in [Algorithm::Xaes256Gcm, Algorithm::XChaCha20Poly1305] {
            let cipher = Cipher::new(algorithm, &[7; 32]);
            let (nonce, aad, text) = ([9; 24], b"purpose".as_slice(), b"the tokens".as_slice());
            let sealed = cipher.seal(&nonce, aad, text).expect("short");
            assert_eq!(sealed.len(), text.len() + TAG_BYTES);
            assert_eq!(cipher.open(&nonce, aad, &sealed).expect("ours").as_slice(), text);
            for at in 0..sealed.len() {
                let mut changed = sealed.clone();
                changed[at] ^= 1;
                assert_eq!(cipher.open(&nonce, aad, &changed), Err(AeadError), "byte {at}");
            }
            assert_eq!(cipher.open(&nonce, b"other", &sealed), Err(AeadError));
            assert_eq!(cipher.open(&[8; 24], aad, &sealed), Err(AeadError));
            assert_eq!(Cipher::new(algorithm, &[6; 32]).open(&nonce, aad, &sealed), Err(AeadError));
            assert_eq!(cipher.open(&nonce, aad, &sealed[..10]), Err(AeadError));
        }
    }

    #[test]
    fn debug_shows_no_key() {
        assert_eq!(format!("{:?}", Cipher::new(Algorithm::Xaes256Gcm, &[7; 32])), "Cipher([redacted])");
    }
}
