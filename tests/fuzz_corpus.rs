//! Replays the fuzzer's corpus: every input that was worth keeping, without a fuzzer. See `fuzz/README.md`.

#[path = "../fuzz/src/lib.rs"]
mod fuzz;

use std::fs;
use std::path::Path;

/// Runs the inputs of the target's corpus that are committed, which a fuzzer's own are not.
fn replay(target: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut inputs: Vec<_> = fs::read_dir(&folder)
        .expect("the target has a corpus")
        .map(|entry| entry.expect("the corpus is readable").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "seed"))
        .collect();
    inputs.sort();
    assert!(inputs.len() >= 5, "{} holds the inputs to start from", folder.display());
    for input in inputs {
        let data = fs::read(&input).expect("the corpus is readable");
        let result = std::panic::catch_unwind(|| run(&data));
        assert!(result.is_ok(), "{} is a finding, see above", input.display());
    }
}

#[test]
fn the_corpus_of_cookie_header_finds_nothing() {
    replay("cookie_header", fuzz::cookie_header::run);
}

#[test]
fn the_corpus_of_open_finds_nothing() {
    replay("open", fuzz::open::run);
}

#[test]
fn the_corpus_of_paths_finds_nothing() {
    replay("paths", fuzz::paths::run);
}

#[test]
fn the_corpus_of_ring_finds_nothing() {
    replay("ring", fuzz::ring::run);
}

#[test]
fn the_corpus_of_tokens_finds_nothing() {
    replay("tokens", fuzz::tokens::run);
}

#[test]
fn the_corpus_of_wire_finds_nothing() {
    replay("wire", fuzz::wire::run);
}

/// A target that is added is also replayed.
#[test]
fn every_fuzz_target_has_a_test_here() {
    let manifest = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/Cargo.toml")).expect("it is there");
    let targets = manifest.lines().filter_map(|line| line.strip_prefix("path = \"fuzz_targets/"));
    let targets: Vec<_> = targets.filter_map(|rest| rest.strip_suffix(".rs\"")).collect();
    assert_eq!(targets, ["cookie_header", "open", "paths", "ring", "tokens", "wire"]);
}
