use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

fn ring() -> KeyRing {
    let (propagation, max_session) = (Duration::from_secs(600), Duration::from_secs(28_800));
    KeyRing::generate(Algorithm::default(), propagation, max_session, NOW).expect("valid settings")
}

fn as_value(ring: &KeyRing) -> Value {
    serde_json::from_slice(&ring.to_json()).expect("JSON of our own")
}

/// What parsing says of the ring after `change`.
fn refusal(change: impl FnOnce(&mut Value)) -> RingError {
    let mut value = as_value(&ring());
    change(&mut value);
    KeyRing::parse(value.to_string().as_bytes()).expect_err("a ring that must be refused")
}

#[test]
fn a_ring_survives_the_round_trip_through_its_json() {
    let mut ring = ring();
    ring.rotate(NOW, None, Some(Algorithm::XChaCha20Poly1305), "line\nbreak and \u{1f511}").expect("nothing is staged");
    let json = ring.to_json();
    let again = KeyRing::parse(&json).expect("a ring of our own");
    assert_eq!(again.to_json(), json);
    assert_eq!(again.digest(), ring.digest());
}

#[test]
fn fields_stand_in_the_documented_order() {
    let json = ring().to_json();
    let text = std::str::from_utf8(&json).expect("JSON is UTF-8");
    let fields = [
        "format",
        "generation",
        "propagation",
        "max_session",
        "keys",
        "kid",
        "alg",
        "created",
        "not_before",
        "open_until",
        "revoked",
        "key",
        "note",
    ];
    let places = fields.map(|field| text.find(&format!("\"{field}\":")).expect("the field is there"));
    assert!(places.is_sorted(), "{text}");
    assert!(
        text.contains(r#""propagation": "10m""#) && text.contains(r#""max_session": "8h""#) && text.ends_with("}\n")
    );
}

#[test]
fn writing_never_outgrows_its_buffer_which_would_leave_key_texts_behind() {
    let mut ring = ring();
    ring.rotate(NOW, None, None, &"\u{1}".repeat(3000)).expect("nothing is staged");
    let note: usize = ring.records().map(|record| record.note.len()).sum();
    let json = ring.to_json();
    assert_eq!(json.capacity(), 512 + 2 * 512 + 6 * note);
}

#[test]
fn optional_fields_may_be_left_out() {
    let mut value = as_value(&ring());
    for field in ["open_until", "revoked", "note"] {
        value["keys"][0].as_object_mut().expect("an object").remove(field);
    }
    assert!(KeyRing::parse(value.to_string().as_bytes()).is_ok());
}

#[test]
fn another_format_is_refused_before_its_fields_are_judged() {
    let error = refusal(|ring| *ring = json!({"format": "sealgate-keyring/2", "wrapped": true}));
    assert_eq!(error, RingError::Format { found: "sealgate-keyring/2".to_owned() });
}

#[test]
fn missing_and_unknown_fields_are_refused_by_name() {
    for field in ["format", "generation", "propagation", "max_session", "keys"] {
        let error = refusal(|ring| drop(ring.as_object_mut().expect("an object").remove(field)));
        assert!(error.to_string().contains(&format!("`{field}`")), "{error}");
    }
    for field in ["kid", "alg", "created", "not_before"] {
        let error = refusal(|ring| drop(ring["keys"][0].as_object_mut().expect("an object").remove(field)));
        assert!(error.to_string().contains(&format!("`{field}`")), "{error}");
    }
    assert!(refusal(|ring| ring["extra"] = json!(1)).to_string().contains("`extra`"));
    assert!(refusal(|ring| ring["keys"][0]["extra"] = json!(1)).to_string().contains("`extra`"));
}

#[test]
fn a_field_that_is_written_twice_is_refused() {
    let json = ring().to_json();
    let text = std::str::from_utf8(&json).expect("JSON is UTF-8").replacen('{', r#"{"generation": 9,"#, 1);
    assert!(matches!(KeyRing::parse(text.as_bytes()), Err(RingError::Json(_))));
}

#[test]
fn bad_values_are_refused() {
    assert_eq!(refusal(|ring| ring["generation"] = json!(0)), RingError::Generation);
    assert!(matches!(refusal(|ring| ring["generation"] = json!(-1)), RingError::Json(_)));
    assert_eq!(refusal(|ring| ring["keys"] = json!([])), RingError::NoKeys);
    for field in ["propagation", "max_session"] {
        for value in ["", "soon", "0s", "10", "1500ms", "900days"] {
            let error = refusal(|ring| ring[field] = json!(value));
            assert!(matches!(error, RingError::Duration { field: named, .. } if named == field), "{value}: {error}");
        }
    }
    for field in ["created", "not_before", "open_until", "revoked"] {
        let error = refusal(|ring| ring["keys"][0][field] = json!("tomorrow"));
        assert!(error.to_string().contains("tomorrow"), "{error}");
    }
    assert!(refusal(|ring| ring["keys"][0]["alg"] = json!("aes-128-ecb")).to_string().contains("aes-128-ecb"));
    assert!(refusal(|ring| ring["keys"][0]["kid"] = json!("xyz")).to_string().contains("eight hexadecimal"));
}

#[test]
fn an_end_before_the_beginning_is_refused() {
    let error = refusal(|ring| ring["keys"][0]["open_until"] = json!("2020-01-01T00:00:00Z"));
    assert!(matches!(error, RingError::EndsBeforeItBegins { .. }), "{error}");
}

#[test]
fn a_changed_key_text_is_refused() {
    let error = refusal(|ring| {
        let text = ring["keys"][0]["key"].as_str().expect("a text").to_owned();
        let other = if text.ends_with('A') { "B" } else { "A" };
        ring["keys"][0]["key"] = json!(format!("{}{other}", &text[..text.len() - 1]));
    });
    assert!(matches!(error, RingError::KeyText(_, KeyTextError::Checksum)), "{error}");
}

#[test]
fn a_key_under_another_kid_or_algorithm_is_refused() {
    let error = refusal(|ring| ring["keys"][0]["kid"] = json!("00000000"));
    assert!(matches!(error, RingError::KidMismatch { .. }), "{error}");
    let error = refusal(|ring| ring["keys"][0]["alg"] = json!("xchacha20-poly1305"));
    assert!(matches!(error, RingError::KidMismatch { .. }), "{error}");
}

#[test]
fn duplicates_are_refused_among_revoked_keys_too() {
    let twice = refusal(|ring| {
        let first = ring["keys"][0].clone();
        ring["keys"].as_array_mut().expect("a list").push(first);
    });
    assert!(matches!(twice, RingError::DuplicateKid(_)), "{twice}");
    let beside_its_tombstone = refusal(|ring| {
        let mut first = ring["keys"][0].clone();
        (first["key"], first["revoked"]) = (Value::Null, json!("2027-01-15T08:00:00Z"));
        ring["keys"].as_array_mut().expect("a list").push(first);
    });
    assert!(matches!(beside_its_tombstone, RingError::DuplicateKid(_)), "{beside_its_tombstone}");
    let one_key_two_algorithms = refusal(|ring| {
        let mut first = ring["keys"][0].clone();
        let material = KeyMaterial::from_text(first["key"].as_str().expect("a text")).expect("a key of our own");
        first["alg"] = json!("xchacha20-poly1305");
        first["kid"] = json!(material.kid(Algorithm::XChaCha20Poly1305).to_string());
        ring["keys"].as_array_mut().expect("a list").push(first);
    });
    assert!(matches!(one_key_two_algorithms, RingError::DuplicateKey(..)), "{one_key_two_algorithms}");
}

#[test]
fn a_revoked_key_must_be_erased_and_another_must_not() {
    let error = refusal(|ring| ring["keys"][0]["revoked"] = json!("2027-01-15T08:00:00Z"));
    assert!(matches!(error, RingError::RevokedNotErased(_)), "{error}");
    let error = refusal(|ring| ring["keys"][0]["key"] = Value::Null);
    assert!(matches!(error, RingError::KeyMissing(_)), "{error}");
}

#[test]
fn a_ring_whose_keys_are_all_revoked_is_taken_so_that_the_revocation_takes_effect() {
    let mut value = as_value(&ring());
    (value["keys"][0]["key"], value["keys"][0]["revoked"]) = (Value::Null, json!("2027-01-15T08:00:00Z"));
    let ring = KeyRing::parse(value.to_string().as_bytes()).expect("a ring");
    assert!(ring.primary(NOW).is_none());
    assert_eq!(as_value(&ring), value);
}

#[test]
fn errors_never_repeat_a_key_text_wherever_it_stands() {
    let original = ring();
    let value = as_value(&original);
    let text = value["keys"][0]["key"].as_str().expect("a text").to_owned();
    for field in ["kid", "alg", "created", "not_before", "open_until", "revoked"] {
        let mut value = value.clone();
        value["keys"][0][field] = json!(text);
        let error = KeyRing::parse(value.to_string().as_bytes()).expect_err("no value for this field");
        assert!(!format!("{error} {error:?}").contains(&text[5..20]), "{field}: {error}");
    }
    for field in ["format", "generation", "propagation", "max_session", "keys"] {
        let mut value = value.clone();
        value[field] = json!(text);
        let error = KeyRing::parse(value.to_string().as_bytes()).expect_err("no value for this field");
        assert!(!format!("{error} {error:?}").contains(&text[5..20]), "{field}: {error}");
    }
    let mut named = value.clone();
    named["keys"][0][text.as_str()] = json!(1);
    let error = KeyRing::parse(named.to_string().as_bytes()).expect_err("an unknown field");
    assert!(!format!("{error} {error:?}").contains(&text[5..20]), "{error}");
}

#[test]
fn the_digest_depends_on_everything_but_the_notes_and_the_order() {
    let mut ring = ring();
    ring.rotate(NOW, None, None, "").expect("nothing is staged");
    let digest_with = |change: &dyn Fn(&mut KeyRing)| {
        let mut changed = ring.clone();
        change(&mut changed);
        changed.digest()
    };
    let record = |ring: &mut KeyRing, change: &dyn Fn(&mut KeyRecord)| match &mut ring.entries[0] {
        Entry::Live(key) => change(&mut key.record),
        Entry::Revoked(record) => change(record),
    };
    let later = NOW.plus(Duration::from_secs(1));
    for (what, digest) in [
        ("generation", digest_with(&|ring| ring.generation += 1)),
        ("propagation", digest_with(&|ring| ring.propagation += Duration::from_secs(1))),
        ("max_session", digest_with(&|ring| ring.max_session += Duration::from_secs(1))),
        ("kid", digest_with(&|ring| record(ring, &|record| record.kid = KeyId::from_bytes([0; 4])))),
        ("alg", digest_with(&|ring| record(ring, &|record| record.algorithm = Algorithm::XChaCha20Poly1305))),
        ("created", digest_with(&|ring| record(ring, &|record| record.created = later))),
        ("not_before", digest_with(&|ring| record(ring, &|record| record.not_before = later))),
        ("open_until", digest_with(&|ring| record(ring, &|record| record.open_until = None))),
        ("revoked", digest_with(&|ring| record(ring, &|record| record.revoked = Some(later)))),
        ("a key less", digest_with(&|ring| drop(ring.entries.pop()))),
    ] {
        assert_ne!(digest, ring.digest(), "{what}");
    }
    assert_eq!(digest_with(&|ring| record(ring, &|record| record.note = "a note".to_owned())), ring.digest());
    assert_eq!(digest_with(&|ring| ring.entries.reverse()), ring.digest());
    let text = ring.digest().to_string();
    assert!(text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()), "{text}");
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(KeyRing::parse(&bytes).is_err());
    }

    #[test]
    fn a_torn_ring_is_refused(keep in 0.0..1.0) {
        let json = ring().to_json();
        // The newline at the end may go: what is left is whole.
        let length = ((json.len() - 2) as f64 * keep) as usize;
        prop_assert!(KeyRing::parse(&json[..length]).is_err());
    }
}
