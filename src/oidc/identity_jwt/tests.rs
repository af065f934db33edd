//! Signed identities, verified with another library than the one that signs.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use tempfile::TempDir;

use super::*;

const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);
const KEY: MemoKey = MemoKey { session: [1; 16], generation: 0, place: 0 };

/// As the documentation has it.
fn openssl(folder: &TempDir, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("openssl").args(arguments).current_dir(folder.path()).output().expect("openssl runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn make_key(folder: &TempDir, name: &str) {
    let arguments = ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", name];
    openssl(folder, &arguments);
}

fn settings(folder: &TempDir) -> IdentityJwtSettings {
    IdentityJwtSettings {
        signing_key_file: folder.path().join("key.pem"),
        verification_keys_file: None,
        header: HeaderName::from_static("x-sealgate-jwt-assertion"),
        lifetime: Duration::from_secs(60),
        claims: vec!["email".to_owned(), "groups".to_owned()],
    }
}

fn claims() -> Map<String, Value> {
    let claims =
        json!({"sub": "ada", "sid": "s", "email": "ada@example.com", "nonce": "n", "iss": "https://evil.example"});
    claims.as_object().cloned().expect("an object")
}

/// What a token says, verified with the published keys as an upstream would.
fn verified(signer: &IdentitySigner, token: &HeaderValue) -> Value {
    let token = token.to_str().expect("ASCII");
    let header = decode_header(token).expect("a JWT");
    assert_eq!((header.alg, header.typ.as_deref()), (Algorithm::ES256, Some("sealgate-identity+jwt")));
    let keys: JwkSet = serde_json::from_slice(&signer.published()).expect("a key set");
    let key = keys.find(&header.kid.expect("a key id")).expect("it is published");
    let mut validation = Validation::new(Algorithm::ES256);
    validation.set_audience(&["https://app.example.com/api"]);
    validation.set_issuer(&["https://app.example.com"]);
    validation.validate_exp = false;
    decode::<Value>(token, &DecodingKey::from_jwk(key).expect("a key"), &validation).expect("a good signature").claims
}

fn signed(signer: &IdentitySigner, key: MemoKey) -> HeaderValue {
    signer.token(key, "https://app.example.com/api", claims).expect("it is signed")
}

#[test]
fn an_identity_has_the_claims_that_it_shall_have_and_verifies_with_the_published_key() {
    let folder = tempfile::tempdir().expect("a folder");
    make_key(&folder, "key.pem");
    let signer = IdentitySigner::load(settings(&folder), "https://app.example.com", Clock::manual(NOW)).expect("a key");
    let token = signed(&signer, KEY);
    assert!(token.is_sensitive());
    let expected = json!({
        "sub": "ada", "sid": "s", "email": "ada@example.com", "iss": "https://app.example.com",
        "aud": "https://app.example.com/api", "iat": 1_800_000_000, "exp": 1_800_000_060,
    });
    assert_eq!(verified(&signer, &token), expected);
    let published = String::from_utf8(signer.published().to_vec()).expect("text");
    assert!(!published.contains("\"d\""), "no private part: {published}");
}

/// RFC 7638 §3.1 has an RSA key; this is its procedure for the key of RFC 7517 appendix A.1, of which others give
/// `cn-I_WNMClehiVp51i_0VpOENW1upEerA8sEam5hn-s` as the thumbprint.
#[test]
fn the_key_id_is_the_thumbprint() {
    let folder = tempfile::tempdir().expect("a folder");
    let point = "0430a0424cd21c2944838a2d75c92b37e76ea20d9f00893a3b4eee8a3c0aafec3e\
                 e04b65e92456d9888b52b379bdfbd51ee869ef1f0fc65b6659695b6cce081723";
    let bytes = |text: &str| -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal")).collect()
    };
    let info = bytes("3059301306072a8648ce3d020106082a8648ce3d030107034200");
    fs::write(folder.path().join("key.der"), [info, bytes(point)].concat()).expect("writable");
    let pem = openssl(&folder, &["pkey", "-pubin", "-inform", "DER", "-in", "key.der"]);
    fs::write(folder.path().join("public.pem"), pem).expect("writable");
    let keys = PublicKey::load_all(&folder.path().join("public.pem")).expect("a key");
    assert_eq!(keys[0].key_id(), "cn-I_WNMClehiVp51i_0VpOENW1upEerA8sEam5hn-s");
    assert_eq!(keys[0].jwk()["x"], "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4");
}

#[test]
fn an_identity_is_signed_once_for_half_its_life() {
    let folder = tempfile::tempdir().expect("a folder");
    make_key(&folder, "key.pem");
    let clock = Clock::manual(NOW);
    let signer = IdentitySigner::load(settings(&folder), "https://app.example.com", clock.clone()).expect("a key");
    let first = signed(&signer, KEY);
    assert_eq!(signed(&signer, KEY), first, "an ECDSA signature is another one each time");
    assert_ne!(signed(&signer, MemoKey { generation: 1, ..KEY }), first);
    clock.advance(Duration::from_secs(29));
    assert_eq!(signed(&signer, KEY), first);
    clock.advance(Duration::from_secs(1));
    assert_ne!(signed(&signer, KEY), first);
}

/// The next key is published before it signs, the old one after: no upstream meets a key that it cannot find.
#[test]
fn the_key_rotates_without_an_upstream_that_knows_no_key() {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["key.pem", "next.pem"] {
        make_key(&folder, name);
    }
    let public = |name: &str| openssl(&folder, &["pkey", "-in", name, "-pubout"]);
    let mut settings = settings(&folder);
    let file = folder.path().join("public.pem");
    fs::write(&file, [public("key.pem"), public("next.pem")].concat()).expect("writable");
    settings.verification_keys_file = Some(file);
    let signer = IdentitySigner::load(settings, "https://app.example.com", Clock::manual(NOW)).expect("keys");
    let published: Value = serde_json::from_slice(&signer.published()).expect("JSON");
    assert_eq!(published["keys"].as_array().map(Vec::len), Some(2), "each once");
    let old = signed(&signer, KEY);
    fs::rename(folder.path().join("next.pem"), folder.path().join("key.pem")).expect("renamed");
    assert!(signer.reload());
    let new = signed(&signer, KEY);
    let key_id = |token: &HeaderValue| decode_header(token.to_str().expect("ASCII")).expect("a JWT").kid;
    assert_ne!(key_id(&old), key_id(&new));
    for token in [old, new] {
        assert_eq!(verified(&signer, &token)["sub"], "ada");
    }
}

#[test]
fn keys_that_are_of_no_use_are_refused_and_the_old_ones_stay() {
    let folder = tempfile::tempdir().expect("a folder");
    make_key(&folder, "key.pem");
    let settings = settings(&folder);
    let signer = IdentitySigner::load(settings.clone(), "https://app.example.com", Clock::manual(NOW)).expect("a key");
    let before = signer.published();
    openssl(&folder, &["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384", "-out", "key.pem"]);
    assert!(matches!(settings.check_keys(), Err(IdentityKeyError::NotP256(_))));
    make_key(&folder, "key.pem");
    fs::set_permissions(folder.path().join("key.pem"), fs::Permissions::from_mode(0o644)).expect("the file is ours");
    assert!(matches!(settings.check_keys(), Err(IdentityKeyError::File(_))));
    assert!(!signer.reload());
    assert_eq!(signer.published(), before);
    for content in ["", "nonsense", "-----BEGIN PUBLIC KEY-----\nMAA=\n-----END PUBLIC KEY-----\n"] {
        fs::write(folder.path().join("public.pem"), content).expect("writable");
        let error = PublicKey::load_all(&folder.path().join("public.pem")).expect_err("no key");
        assert!(matches!(error, IdentityKeyError::NotPublic(_)), "{content}");
    }
}
