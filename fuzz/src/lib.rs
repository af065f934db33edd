//! What the fuzz targets run: one module a target, each with a `run` that takes any bytes and panics on a finding.
//!
//! `fuzz_targets/*.rs` hand them the fuzzer's input; `tests/fuzz_corpus.rs` includes this file and hands them the
//! corpus, so that `cargo test` replays every input that was ever worth keeping.

#[path = "../../tests/vectors/read.rs"]
mod vectors;

pub mod cookie_header;
pub mod open;
pub mod paths;
pub mod ring;
pub mod tokens;
pub mod wire;

/// Takes an input apart, a byte or a number at a time.
struct Script<'a>(&'a [u8]);

impl Script<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// An index below `length`, which is not zero and at most 65,536.
    fn index(&mut self, length: usize) -> Option<usize> {
        let number = u16::from_be_bytes([self.byte()?, self.byte()?]);
        Some(usize::from(number) % length)
    }
}
