//! Reads the pinned values of this folder: for `tests/vectors.rs`, and for the fuzz targets, which start from them.

use serde::{Deserialize, Serialize};

use sealgate::aead::Algorithm;
use sealgate::clock::{Clock, UnixTime};
use sealgate::keyring::{KeyRing, RingHandle};
use sealgate::metrics::Metrics;
use sealgate::seal::{Purpose, Sealer};

/// When both keys of the ring open: 2027-01-15T08:00:00Z.
pub const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

/// The ring's file, byte for byte as this release writes it.
pub const RING: &str = include_str!("ring.json");
/// The vectors' file.
pub const SEALED: &str = include_str!("sealed.json");

/// One sealed value and all that opening it takes, the ring excepted.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Vector {
    /// What the plaintext is; never twice in the file.
    pub name: String,
    /// That of the key, of which the ring has one for each.
    pub algorithm: Algorithm,
    /// The purpose's label.
    pub purpose: String,
    /// The cookie's base name.
    pub cookie: String,
    /// The site's origin.
    pub origin: String,
    /// What was sealed, in hexadecimal.
    pub plaintext: String,
    /// The sealed value.
    pub sealed: String,
}

impl Vector {
    /// The purpose of that label.
    pub fn purpose(&self) -> Purpose {
        let named = |purpose: &Purpose| purpose.label() == self.purpose;
        Purpose::ALL.into_iter().find(named).expect("the label of a purpose")
    }

    /// The plaintext's bytes.
    pub fn plaintext(&self) -> Vec<u8> {
        let pairs = self.plaintext.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).expect("ASCII"));
        pairs.map(|pair| u8::from_str_radix(pair, 16).expect("hexadecimal")).collect()
    }
}

/// All vectors, oldest first.
pub fn vectors() -> Vec<Vector> {
    serde_json::from_str(SEALED).expect("tests/vectors/sealed.json is a list of vectors")
}

/// A sealer for `origin` with the ring of the vectors, at `now`.
pub fn sealer(origin: &str, now: UnixTime) -> Sealer {
    let ring = KeyRing::parse(RING.as_bytes()).expect("tests/vectors/ring.json is a ring");
    let origin = origin.parse().expect("the origin of a site");
    Sealer::new(RingHandle::fixed(ring), origin, Clock::manual(now), Metrics::default())
}
