//! Makes a dictionary out of the shapes of tokens that providers issue, for a new codec number. What is there already
//! must never change.

use std::collections::HashMap;
use std::path::Path;

use base64::Engine as _;
use serde_json::{Map, Value};

use crate::base64url::BASE64URL;
use crate::secret::{AccessToken, IdToken, RefreshToken};
use crate::session::tests::NOW;
use crate::session::wire::compression::LEVEL;
use crate::session::{NewSession, ProviderId, Session, SessionId, StoredAccessToken};

/// Bytes of a dictionary that are tried. It must leave room in the window of 32 KiB for the session itself.
const DICTIONARY_BYTES: [usize; 4] = [16 * 1024, 20 * 1024, 22 * 1024, 24 * 1024];
/// Sessions of each provider: those to train on, in each attempt; and those to choose the best by.
const SESSIONS: u64 = 400;
const ATTEMPTS: u64 = 12;
/// In how many of a hundred tokens a claim is there.
const PRESENT: u64 = 94;

#[test]
#[ignore = "writes next.zdict: `cargo test --lib the_dictionary_is_trained -- --ignored`"]
fn the_dictionary_is_trained() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/session/wire/dictionary");
    let shapes: Value = serde_json::from_str(include_str!("../wire/dictionary/1.json")).expect("JSON");
    let judges = samples(&shapes, ATTEMPTS);
    let attempts = (0..ATTEMPTS).flat_map(|attempt| DICTIONARY_BYTES.map(|bytes| (attempt, bytes)));
    let dictionaries = attempts
        .map(|(attempt, bytes)| zstd::dict::from_samples(&samples(&shapes, attempt), bytes).expect("enough samples"));
    let best = dictionaries.min_by_key(|dictionary| compressed_bytes(dictionary, &judges)).expect("some attempts");
    // To be given its number by hand, and never to replace one that was released.
    std::fs::write(folder.join("next.zdict"), best).expect("the folder of dictionaries");
}

/// What is compressed of sessions at every provider.
fn samples(shapes: &Value, attempt: u64) -> Vec<Vec<u8>> {
    let providers = shapes["providers"].as_array().expect("a list");
    (0..SESSIONS)
        .flat_map(|round| {
            let seed = (attempt * SESSIONS + round) * 100;
            providers.iter().zip(seed..).map(|(shape, seed)| {
                let [first, second, _] = Filler::new(seed).session(shape).maps_and_opaque();
                [first.as_slice(), second.as_slice()].concat()
            })
        })
        .collect()
}

fn compressed_bytes(dictionary: &[u8], samples: &[Vec<u8>]) -> usize {
    let mut compressor = zstd::bulk::Compressor::with_dictionary(LEVEL, dictionary).expect("a dictionary");
    samples.iter().map(|sample| compressor.compress(sample).expect("room").len()).sum()
}

/// Fills the placeholders of one session's shapes.
struct Filler {
    state: u64,
    named: HashMap<String, String>,
}

impl Filler {
    fn new(seed: u64) -> Self {
        Self { state: seed.wrapping_mul(0x2545_f491_4f6c_dd1d), named: HashMap::new() }
    }

    fn session(&mut self, shape: &Value) -> Session {
        for name in ["issuer", "client_id", "sub"] {
            if let Value::String(text) = self.fill(&shape[name]) {
                self.named.insert(name.to_owned(), text);
            }
        }
        let scope = self.text_of(&shape["scopes"]);
        self.named.insert("scope".to_owned(), scope.clone());
        let access_token = self.token(&shape["access"], 64);
        let refresh_token = self.token(&shape["refresh"], 64);
        let id_token = self.token(&shape["id"], 64);
        let minutes = std::time::Duration::from_secs(60 * (5 + self.below(120)));
        let now = NOW.plus(std::time::Duration::from_secs(self.below(100_000_000)));
        let mut session = Session::begin(
            SessionId([7; 16]),
            NewSession {
                provider: ProviderId {
                    issuer: self.named["issuer"].clone(),
                    client_id: self.named["client_id"].clone(),
                },
                absolute_end: now.plus(std::time::Duration::from_secs(8 * 60 * 60)),
                access_token: StoredAccessToken::new(
                    AccessToken::new(access_token),
                    now,
                    now.plus(minutes),
                    Some(scope),
                ),
                refresh_token: Some(RefreshToken::new(refresh_token)),
                id_token: IdToken::new(id_token),
            },
            now,
        );
        if self.below(10) == 0 {
            session = session.without_id_token();
        }
        session
    }

    /// A JWT of one of the shapes; without a shape an opaque token.
    fn token(&mut self, shapes: &Value, signature: usize) -> String {
        let Some(shapes) = shapes.as_array() else { return "x".repeat(40) };
        let shape = &shapes[self.below(shapes.len() as u64) as usize];
        let mut part = |shape: &Value, all: bool| {
            let filled = match shape {
                Value::Object(members) => self.members(members, all),
                other => other.clone(),
            };
            BASE64URL.encode(filled.to_string())
        };
        format!("{}.{}.{}", part(&shape["header"], true), part(&shape["payload"], false), "s".repeat(signature))
    }

    fn members(&mut self, members: &Map<String, Value>, all: bool) -> Value {
        let there = |name: &str| all || ["iss", "aud", "exp", "iat", "sub"].contains(&name);
        let members = members.iter().filter_map(|(name, shape)| {
            let wanted = there(name) || self.below(100) < PRESENT;
            wanted.then(|| (self.expand(name), self.fill_claim(shape)))
        });
        Value::Object(members.collect())
    }

    /// A list of lists or of objects holds alternatives, as does a list in a place where claims have one value.
    fn fill_claim(&mut self, shape: &Value) -> Value {
        match shape {
            Value::Array(options) if options.iter().any(|option| option.is_array() || option.is_object()) => {
                let chosen = self.below(options.len() as u64) as usize;
                self.fill_inside(&options[chosen])
            }
            Value::Array(options) if self.below(3) > 0 => {
                let chosen = self.below(options.len() as u64) as usize;
                self.fill_inside(&options[chosen])
            }
            other => self.fill_inside(other),
        }
    }

    fn fill_inside(&mut self, shape: &Value) -> Value {
        match shape {
            Value::String(text) if text.ends_with(":time>") || text == "<time>" => {
                let text = self.expand(text);
                Value::from(text.parse::<u64>().expect("digits"))
            }
            Value::String(text) => Value::from(self.expand(text)),
            Value::Array(items) => items.iter().map(|item| self.fill_inside(item)).collect(),
            Value::Object(members) => Value::Object(
                members.iter().map(|(name, shape)| (self.expand(name), self.fill_inside(shape))).collect(),
            ),
            other => other.clone(),
        }
    }

    /// One of the alternatives.
    fn fill(&mut self, shape: &Value) -> Value {
        match shape {
            Value::Array(options) => {
                let chosen = self.below(options.len() as u64) as usize;
                self.fill(&options[chosen])
            }
            other => self.fill_inside(other),
        }
    }

    fn text_of(&mut self, shape: &Value) -> String {
        self.fill(shape).as_str().expect("a text").to_owned()
    }

    fn expand(&mut self, text: &str) -> String {
        let Some((before, rest)) = text.split_once('<') else { return text.to_owned() };
        let (placeholder, behind) = rest.split_once('>').expect("a closed placeholder");
        let value = match placeholder.split_once(':') {
            Some((name, kind)) => {
                let known = self.named.get(&format!("{name}:{kind}")).cloned();
                known.unwrap_or_else(|| {
                    let value = self.value(kind);
                    self.named.insert(format!("{name}:{kind}"), value.clone());
                    value
                })
            }
            None => self.named.get(placeholder).cloned().unwrap_or_else(|| self.value(placeholder)),
        };
        format!("{before}{value}{}", self.expand(behind))
    }

    fn value(&mut self, kind: &str) -> String {
        const LOWER: &str = "abcdefghijklmnopqrstuvwxyz";
        const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
        let (kind, length) =
            kind.split_once(' ').map_or((kind, 0), |(kind, length)| (kind, length.parse().expect("a length")));
        match kind {
            "uuid" => [8, 4, 4, 4, 12].map(|length| self.characters("0123456789abcdef", length)).join("-"),
            "hex" => self.characters("0123456789abcdef", length),
            "HEX" => self.characters("0123456789ABCDEF", length),
            "digits" => self.characters("0123456789", length),
            "d2" => self.characters("0123456789", 2),
            "lower" => self.characters(&format!("{LOWER}0123456789"), length),
            "alphanumeric" => self.characters(&format!("{UPPER}{LOWER}0123456789"), length),
            "base64url" => self.characters(&format!("{UPPER}{LOWER}0123456789-_"), length),
            "base64" => self.characters(&format!("{UPPER}{LOWER}0123456789+/"), length),
            "rh" => format!("1.A{}.", self.value("base64url 46")),
            "time" => format!("1{}", 760_000_000 + self.below(200_000_000)),
            "ip" => format!("{}.{}.{}.{}", self.below(255), self.below(255), self.below(255), self.below(255)),
            "word" => self.word(),
            "Word" => {
                let word = self.word();
                word[..1].to_uppercase() + &word[1..]
            }
            "email" => {
                let (given, family) = (self.expand("<given:word>"), self.expand("<family:word>"));
                let host = self.expand("<company:word>.com");
                format!("{given}.{family}@{host}")
            }
            other => panic!("no placeholder of the kind {other}"),
        }
    }

    /// Something that reads like a word.
    fn word(&mut self) -> String {
        let syllables = 2 + self.below(3);
        (0..syllables)
            .map(|_| {
                let ends_in_a_consonant = usize::from(self.below(3) == 0);
                self.characters("bcdfghklmnprstvwz", 1)
                    + &self.characters("aaeeiiou", 1)
                    + &self.characters("nrslt", ends_in_a_consonant)
            })
            .collect()
    }

    fn characters(&mut self, alphabet: &str, length: usize) -> String {
        (0..length).map(|_| char::from(alphabet.as_bytes()[self.below(alphabet.len() as u64) as usize])).collect()
    }

    fn below(&mut self, bound: u64) -> u64 {
        // SplitMix64.
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}
