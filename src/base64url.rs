//! Base64url without padding (RFC 4648 §5), strict to the last bit: what decodes encodes to itself.
//!
//! The engine takes the processor's vector instructions where it has them: a sealed cookie is decoded on each request.

use std::sync::LazyLock;

use base64::engine::Simd;
use base64::engine::general_purpose::NO_PAD;

/// The engine.
pub static BASE64URL: LazyLock<Simd> = LazyLock::new(|| Simd::url_safe(NO_PAD));

#[cfg(test)]
mod tests {
    use base64::Engine as _;

    use super::*;

    /// RFC 4648 §3.5: the pad bits must be zero.
    #[test]
    fn bits_that_stand_for_nothing_are_refused_at_every_length() {
        for length in (1..200).filter(|length| length % 3 != 0) {
            let text = BASE64URL.encode(vec![0xa5; length]);
            assert_eq!(BASE64URL.decode(&text).expect("ours"), vec![0xa5; length]);
            let last = text.bytes().last().expect("not empty");
            let other = char::from(last + 1);
            let changed = format!("{}{other}", &text[..text.len() - 1]);
            assert!(BASE64URL.decode(&changed).is_err(), "{changed}");
            assert!(BASE64URL.decode(format!("{text}=")).is_err(), "padding");
        }
    }
}
