//! What a test may know of a sealed cookie from outside (DESIGN §4): the count of chunks, then base64url of the
//! version, the key id, the nonce and the ciphertext. Written anew here, so that it checks the server's own reading.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// A session cookie's value, taken apart.
#[derive(Clone, Debug)]
pub struct SealedValue {
    /// The first character: how many chunks there are.
    pub count: char,
    /// Everything behind it, decoded.
    pub bytes: Vec<u8>,
}

impl SealedValue {
    /// Takes the value of a session that fits one cookie apart.
    pub fn parse(value: &str) -> Self {
        let count = value.chars().next().expect("a value that is not empty");
        assert_eq!(count, '1', "the session fits one cookie");
        let bytes = URL_SAFE_NO_PAD.decode(&value[1..]).expect("base64url without padding");
        Self { count, bytes }
    }

    /// The key id in hexadecimal, as the ring writes it.
    pub fn key_id(&self) -> String {
        self.bytes[1..5].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The value with one bit turned.
    pub fn with_flipped_bit(&self, byte: usize, bit: usize) -> String {
        let mut bytes = self.bytes.clone();
        bytes[byte] ^= 1 << bit;
        format!("{}{}", self.count, URL_SAFE_NO_PAD.encode(bytes))
    }
}
