//! `seal::Sealer::open`: no text but one that we sealed opens, and only for its own purpose, name and site.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use sealgate::seal::{Purpose, Sealer};

use super::Script;
use super::vectors::{NOW, Vector, sealer, vectors};

const ORIGIN: &str = "https://app.example.com";
/// More than anybody's edits to one value.
const MOST_EDITS: usize = 64;

struct Fixture {
    sealer: Sealer,
    vectors: Vec<Vector>,
    /// The names of the vectors' cookies, each once.
    cookies: BTreeSet<String>,
}

static FIXTURE: LazyLock<Fixture> = LazyLock::new(|| {
    let vectors = vectors();
    let cookies = vectors.iter().map(|vector| vector.cookie.clone()).collect();
    Fixture { sealer: sealer(ORIGIN, NOW), vectors, cookies }
});

/// Reads the input twice: as a value, and as edits to a value that we sealed.
pub fn run(data: &[u8]) {
    opens_only_what_we_sealed(&String::from_utf8_lossy(data));
    if let Some(edited) = edited(&mut Script(data)) {
        opens_only_what_we_sealed(&edited);
    }
}

fn opens_only_what_we_sealed(value: &str) {
    let Fixture { sealer, vectors, cookies } = &*FIXTURE;
    for cookie in cookies {
        for purpose in Purpose::ALL {
            let sealed = vectors
                .iter()
                .find(|vector| vector.sealed == value && vector.cookie == *cookie && vector.purpose() == purpose);
            match (sealer.open(purpose, cookie, value), sealed) {
                (Ok(opened), Some(vector)) => assert_eq!(opened.as_slice(), vector.plaintext(), "{}", vector.name),
                (Err(_), None) => {}
                (Ok(_), None) => panic!("{value:?} was never sealed and opens for {purpose:?} as {cookie}"),
                (Err(error), Some(vector)) => panic!("{} does not open: {error}", vector.name),
            }
        }
    }
}

/// A pinned value after the edits that the script describes: to its bytes, or to its text.
fn edited(script: &mut Script<'_>) -> Option<String> {
    let vectors = &FIXTURE.vectors;
    let vector = &vectors[script.index(vectors.len())?];
    if script.byte()? % 2 == 0 {
        let mut bytes = URL_SAFE_NO_PAD.decode(&vector.sealed).expect("we sealed it");
        edit(&mut bytes, script);
        Some(URL_SAFE_NO_PAD.encode(bytes))
    } else {
        let mut text = vector.sealed.clone().into_bytes();
        edit(&mut text, script);
        Some(String::from_utf8_lossy(&text).into_owned())
    }
}

fn edit(bytes: &mut Vec<u8>, script: &mut Script<'_>) {
    for _ in 0..MOST_EDITS {
        let Some(operation) = script.byte() else { return };
        let Some(at) = script.index(bytes.len() + 1) else { return };
        let value = script.byte().unwrap_or_default();
        match operation % 6 {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, value),
            2 if at < bytes.len() => bytes[at] ^= value,
            3 if at < bytes.len() => drop(bytes.remove(at)),
            4 => bytes.rotate_left(at),
            5 => bytes.push(value),
            _ => {}
        }
    }
}
