//! Key material: its text form, the key id and the subkeys that are derived from it.
//!
//! # Derivation
//! All with HKDF-SHA256 (RFC 5869), the 32 bytes of the key as input keying material, no salt, and `alg` the name of
//! the key's algorithm, such as `xaes-256-gcm`. The info strings are plain concatenations, without separators:
//!
//! | what | info | bytes |
//! | --- | --- | --- |
//! | key id | `kid` alg | 4 |
//! | subkey | alg `purpose/login` | 32 |
//! | subkey | alg `purpose/session` | 32 |
//! | subkey | alg `purpose/seen` | 32 |
//! | subkey | alg `purpose/tombstone` | 32 |
//! | subkey | alg `purpose/refresh-marker` | 32 |
//!
//! No two of them are equal: an algorithm's name neither begins with `kid` nor holds a `/`.
//!
//! # Text
//! `sgk1_` and the unpadded base64url of 36 bytes: the 32 of the key, then their CRC-32 (IEEE 802.3, over the raw
//! key bytes), big-endian. The checksum finds slips of hand and torn copies; it authenticates nothing.
//!
//! Key material must never be printed: nothing here implements `Display`, and `Debug` says `[redacted]`.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hkdf::Hkdf;
use rand::TryRng as _;
use rand::rngs::SysRng;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::aead::{Algorithm, Cipher, KEY_BYTES};
use crate::secret::SecretString;

/// What every key text begins with.
pub const KEY_TEXT_PREFIX: &str = "sgk1_";

const CHECKSUM_BYTES: usize = 4;
/// 36 bytes are 48 characters of base64 to the last bit, so that a key has one text only.
const ENCODED_CHARACTERS: usize = 48;
const KEY_ID_BYTES: usize = 4;
const FEWEST_DISTINCT_BYTES: usize = 16;

/// The public name of a key: four bytes derived from it, eight hexadecimal digits in text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; KEY_ID_BYTES]);

impl KeyId {
    /// The key id of these bytes, as they stand in a sealed cookie.
    pub const fn from_bytes(bytes: [u8; KEY_ID_BYTES]) -> Self {
        Self(bytes)
    }

    /// The bytes, as they stand in a sealed cookie.
    pub const fn as_bytes(&self) -> &[u8; KEY_ID_BYTES] {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{:08x}", u32::from_be_bytes(self.0)))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

/// A text that is not a key id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key id is eight hexadecimal digits such as 9f3a01c2")]
pub struct KeyIdError;

impl FromStr for KeyId {
    type Err = KeyIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() != 2 * KEY_ID_BYTES || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(KeyIdError);
        }
        u32::from_str_radix(text, 16).map(|number| Self(number.to_be_bytes())).map_err(|_| KeyIdError)
    }
}

impl serde::Serialize for KeyId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for KeyId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What a sealed cookie is for. Each purpose has a subkey of its own, so that no cookie opens as another kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// A login transaction.
    Login,
    /// A session.
    Session,
    /// The time of the last activity.
    Seen,
    /// The sessions that have been signed out.
    Tombstone,
    /// A refresh that another replica may have won.
    RefreshMarker,
    /// The `state` of a logout at the provider; no cookie, it travels in an address.
    Logout,
}

impl Purpose {
    /// All purposes, in the order in which a key holds their ciphers.
    pub const ALL: [Self; 6] =
        [Self::Login, Self::Session, Self::Seen, Self::Tombstone, Self::RefreshMarker, Self::Logout];

    /// The purpose's part in key derivation and in the associated data.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Login => "purpose/login",
            Self::Session => "purpose/session",
            Self::Seen => "purpose/seen",
            Self::Tombstone => "purpose/tombstone",
            Self::RefreshMarker => "purpose/refresh-marker",
            Self::Logout => "purpose/logout",
        }
    }
}

/// Why a key text was refused. The text itself is never repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyTextError {
    /// Not a key text of this version.
    #[error("does not begin with {KEY_TEXT_PREFIX}")]
    Prefix,
    /// Cut short, or something added.
    #[error("has {found} characters after {KEY_TEXT_PREFIX} instead of {ENCODED_CHARACTERS}")]
    Length {
        /// The number of characters there are.
        found: usize,
    },
    /// A character outside base64url.
    #[error("is not base64url")]
    Encoding,
    /// The checksum does not match: a character was changed.
    #[error("does not match its checksum, a character of it was changed")]
    Checksum,
    /// Not from a random generator: fewer than 16 distinct bytes, all printable ASCII, or equal steps between bytes.
    #[error("is not random: it was made by hand")]
    Weak,
}

/// The 32 secret bytes of a key; wiped on drop.
#[derive(Clone)]
pub struct KeyMaterial(Zeroizing<[u8; KEY_BYTES]>);

impl KeyMaterial {
    /// New key material from the operating system's random generator.
    ///
    /// # Errors
    /// When the operating system has no randomness to give.
    pub fn random() -> Result<Self, rand::rngs::SysError> {
        loop {
            let mut bytes = Zeroizing::new([0; KEY_BYTES]);
            SysRng.try_fill_bytes(bytes.as_mut_slice())?;
            let material = Self(bytes);
            if !material.is_weak() {
                return Ok(material);
            }
        }
    }

    /// Reads a key text.
    ///
    /// # Errors
    /// [`KeyTextError`], for anything that [`KeyMaterial::to_text`] would not have written.
    pub fn from_text(text: &str) -> Result<Self, KeyTextError> {
        let encoded = text.strip_prefix(KEY_TEXT_PREFIX).ok_or(KeyTextError::Prefix)?;
        if encoded.len() != ENCODED_CHARACTERS {
            return Err(KeyTextError::Length { found: encoded.chars().count() });
        }
        let mut decoded = Zeroizing::new([0; KEY_BYTES + CHECKSUM_BYTES]);
        let length =
            URL_SAFE_NO_PAD.decode_slice(encoded, decoded.as_mut_slice()).map_err(|_| KeyTextError::Encoding)?;
        let (bytes, checksum) = decoded[..length].split_at(KEY_BYTES);
        if checksum != crc32fast::hash(bytes).to_be_bytes() {
            return Err(KeyTextError::Checksum);
        }
        let mut material = Self(Zeroizing::new([0; KEY_BYTES]));
        material.0.copy_from_slice(bytes);
        if material.is_weak() { Err(KeyTextError::Weak) } else { Ok(material) }
    }

    /// The key's text, as it stands in the ring.
    pub fn to_text(&self) -> SecretString {
        let mut bytes = Zeroizing::new([0; KEY_BYTES + CHECKSUM_BYTES]);
        bytes[..KEY_BYTES].copy_from_slice(self.0.as_slice());
        bytes[KEY_BYTES..].copy_from_slice(&crc32fast::hash(self.0.as_slice()).to_be_bytes());
        let mut text = String::with_capacity(KEY_TEXT_PREFIX.len() + ENCODED_CHARACTERS);
        text.push_str(KEY_TEXT_PREFIX);
        URL_SAFE_NO_PAD.encode_string(bytes.as_slice(), &mut text);
        SecretString::new(text)
    }

    /// Whether the bytes are visibly not random: fewer than 16 distinct values among them (a random key has that with
    /// a probability of 2^-54), all printable ASCII as in a passphrase or in hexadecimal text (2^-45), or equal steps
    /// from byte to byte as in `00 01 02 …` (2^-240).
    fn is_weak(&self) -> bool {
        let mut seen = [false; 256];
        self.0.iter().for_each(|&byte| seen[usize::from(byte)] = true);
        let few_values = seen.iter().filter(|&&there| there).count() < FEWEST_DISTINCT_BYTES;
        let printable = self.0.iter().all(|byte| matches!(byte, b' '..=b'~'));
        let step = self.0[1].wrapping_sub(self.0[0]);
        let equal_steps = self.0.windows(2).all(|pair| pair[1].wrapping_sub(pair[0]) == step);
        few_values || printable || equal_steps
    }

    /// The key id under `algorithm`.
    pub fn kid(&self, algorithm: Algorithm) -> KeyId {
        let mut bytes = [0; KEY_ID_BYTES];
        self.derive(&["kid", algorithm.name()], &mut bytes);
        KeyId(bytes)
    }

    /// The cipher for `purpose` under `algorithm`, with its subkey.
    pub fn cipher(&self, algorithm: Algorithm, purpose: Purpose) -> Cipher {
        let mut subkey = Zeroizing::new([0; KEY_BYTES]);
        self.derive(&[algorithm.name(), purpose.label()], subkey.as_mut_slice());
        Cipher::new(algorithm, &subkey)
    }

    fn derive(&self, info: &[&str], output: &mut [u8]) {
        let info: Vec<&[u8]> = info.iter().map(|part| part.as_bytes()).collect();
        Hkdf::<Sha256>::new(None, self.0.as_slice())
            .expand_multi_info(&info, output)
            // HKDF fails only above 255 blocks of 32 bytes; the outputs here are 4 and 32 bytes long.
            .expect("the output is shorter than HKDF's limit");
    }
}

impl PartialEq for KeyMaterial {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(other.0.as_slice()).into()
    }
}

impl Eq for KeyMaterial {}

impl fmt::Debug for KeyMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyMaterial([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text_of(bytes: [u8; KEY_BYTES]) -> SecretString {
        KeyMaterial(Zeroizing::new(bytes)).to_text()
    }

    /// `bytes[i] = 7 i² + 3 i + 1`: fixed, and random enough to be taken.
    fn pinned() -> KeyMaterial {
        let byte = |at: usize| u8::try_from((7 * at * at + 3 * at + 1) % 256).expect("below 256");
        KeyMaterial(Zeroizing::new(std::array::from_fn(byte)))
    }

    /// RFC 5869, computed by another implementation. A change here would sign every user out at the next release.
    #[test]
    fn key_text_key_id_and_subkeys_of_a_pinned_key_never_change() {
        let key = pinned();
        assert_eq!(key.to_text().expose(), "sgk1_AQsjSX2_D23ZU9txFceHVTEbExktT3-9CWPLQcVX96U2VtyD");
        assert_eq!(key.kid(Algorithm::Xaes256Gcm).to_string(), "6c7f6c4e");
        assert_eq!(key.kid(Algorithm::XChaCha20Poly1305).to_string(), "69324b9e");
        let mut subkey = [0; KEY_BYTES];
        key.derive(&["xaes-256-gcm", "purpose/session"], &mut subkey);
        assert_eq!(
            subkey.map(|byte| format!("{byte:02x}")).concat(),
            "52d98d4b49d76cc95b1851e5cac14f94b65340280a5014c9ba6be662f90e953e"
        );
    }

    #[test]
    fn a_key_survives_the_round_trip_through_its_text() {
        let key = KeyMaterial::random().expect("the system has randomness");
        assert_eq!(KeyMaterial::from_text(key.to_text().expose()), Ok(key));
    }

    #[test]
    fn every_flipped_bit_of_a_key_text_is_refused() {
        let text = pinned().to_text();
        for at in 0..text.expose().len() {
            for bit in 0..7 {
                let mut flipped = text.expose().as_bytes().to_vec();
                flipped[at] ^= 1 << bit;
                let flipped = String::from_utf8(flipped).expect("still ASCII");
                assert!(KeyMaterial::from_text(&flipped).is_err(), "bit {bit} of character {at}");
            }
        }
    }

    #[test]
    fn a_key_text_that_is_cut_or_extended_is_refused() {
        let text = pinned().to_text();
        let cut = &text.expose()[..text.expose().len() - 1];
        assert_eq!(KeyMaterial::from_text(cut), Err(KeyTextError::Length { found: 47 }));
        assert_eq!(KeyMaterial::from_text(&format!("{}=", text.expose())), Err(KeyTextError::Length { found: 49 }));
        assert_eq!(KeyMaterial::from_text("hunter2"), Err(KeyTextError::Prefix));
        assert_eq!(KeyMaterial::from_text(""), Err(KeyTextError::Prefix));
        let strange = format!("{KEY_TEXT_PREFIX}{}", "+".repeat(48));
        assert_eq!(KeyMaterial::from_text(&strange), Err(KeyTextError::Encoding));
    }

    #[test]
    fn keys_made_by_hand_are_refused_as_weak() {
        let printable = *b"correct horse battery staple!!!!";
        let counting = std::array::from_fn(|at| u8::try_from(at).expect("below 32"));
        let two_values = std::array::from_fn(|at| if at % 3 == 0 { 0x00 } else { 0xff });
        for bytes in [[0; 32], [0xa5; 32], printable, counting, two_values] {
            assert_eq!(KeyMaterial::from_text(text_of(bytes).expose()), Err(KeyTextError::Weak), "{bytes:?}");
        }
    }

    /// DESIGN §4: one subkey for each purpose.
    #[test]
    fn every_purpose_and_algorithm_has_a_subkey_of_its_own() {
        let (key, nonce) = (pinned(), [0; 24]);
        let mut sealed = std::collections::HashSet::new();
        for algorithm in [Algorithm::Xaes256Gcm, Algorithm::XChaCha20Poly1305] {
            for purpose in Purpose::ALL {
                sealed.insert(key.cipher(algorithm, purpose).seal(&nonce, b"", b"text").expect("short"));
            }
        }
        assert_eq!(sealed.len(), 2 * Purpose::ALL.len());
    }

    /// The states of HKDF's hashes stand for the key. This does not compile without the crate's feature.
    #[test]
    fn what_derivation_leaves_behind_is_wiped() {
        fn is_wiped<T: zeroize::ZeroizeOnDrop>() {}
        is_wiped::<Sha256>();
    }

    #[test]
    fn debug_shows_no_key_material() {
        let key = pinned();
        assert_eq!(format!("{key:?}"), "KeyMaterial([redacted])");
        assert_eq!(format!("{:?}", key.to_text()), "[redacted]");
    }

    #[test]
    fn a_key_id_is_eight_hexadecimal_digits() {
        let kid: KeyId = "9f3a01c2".parse().expect("a key id");
        assert_eq!(kid.as_bytes(), &[0x9f, 0x3a, 0x01, 0xc2]);
        assert_eq!("9F3A01C2".parse(), Ok(kid));
        assert_eq!(KeyId::from_bytes([0, 0, 0, 1]).to_string(), "00000001");
        for text in ["", "9f3a01c", "9f3a01c22", "+f3a01c2", "9f3a01cg", "9f3a01é"] {
            assert_eq!(text.parse::<KeyId>(), Err(KeyIdError), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_without_a_panic(text in "(sgk1_)?[ -~é]{0,60}") {
            let _ = KeyMaterial::from_text(&text);
        }
    }
}
