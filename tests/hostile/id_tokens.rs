//! What may stand in an ID token's place.

use serde_json::{Value, json};

use crate::keys::{assembled, hmac_signed, public_key_as_secrets};
use crate::provider::Endpoint;
use crate::right::{EC_KEY, FORGED_KEY, NEW_KEY, RSA_KEY, Right, at_hash, now};
use crate::stage::{Case, accepted, refused, with};
use crate::test_keys::{TestKey, encode};

const MALFORMED: &str = "not a well-formed signed JWT";
const ALGORITHM: &str = "which the configuration does not allow";
const SIGNATURE: &str = "the ID token's signature is not valid";
const UNKNOWN_KEY: &str = "signed with a key that the provider does not publish";
const ISSUER: &str = "the ID token is from another issuer";
const AUDIENCE: &str = "the ID token is for another audience";
const SUBJECT: &str = "the ID token's subject is missing, empty or too long";
const NO_EXPIRY: &str = "the ID token has no valid expiry";
const ISSUED_AT: &str = "time of issue is missing or in the future";
const NONCE: &str = "nonce is not the one of this login";
const AT_HASH: &str = "belongs to another access token";

/// The login is refused for that reason.
fn bad(name: &'static str, log: &'static str, token: impl Fn(&Right) -> String + Send + Sync + 'static) -> Case {
    refused(name, Endpoint::Token, 502, log, move |right| right.with_id_token(token(right)))
}

/// As [`bad`], for a token with that claim; null takes it away.
fn claim(name: &'static str, log: &'static str, claim: &'static str, value: Value) -> Case {
    refused(name, Endpoint::Token, 502, log, move |right| right.with_claims(&with(claim, value.clone())))
}

/// As [`bad`], for right claims under that header, signed with the key that it should be signed with.
fn header(name: &'static str, log: &'static str, header: Value) -> Case {
    bad(name, log, move |right| RSA_KEY.token_with_header(&header, &right.claims()))
}

fn good(name: &'static str, token: impl Fn(&Right) -> String + Send + Sync + 'static) -> Case {
    accepted(name, Endpoint::Token, move |right| right.with_id_token(token(right)))
}

/// All cases.
pub fn cases() -> Vec<Case> {
    [forms(), algorithms(), keys(), who(), when(), bindings(), oddities()].into_iter().flatten().collect()
}

fn forms() -> Vec<Case> {
    let mut cases = vec![
        bad("an empty ID token", "no ID token", |_| String::new()),
        refused("no ID token", Endpoint::Token, 502, "no ID token", |right| {
            right.response_with(&json!({"id_token": null}))
        }),
        bad("an encrypted ID token", "turn off ID token encryption", |right| {
            let header = encode(r#"{"alg":"RSA-OAEP","enc":"A256GCM"}"#);
            format!("{header}.a.b.{}.c", encode(right.claims().to_string()))
        }),
        bad("a claim twice", MALFORMED, |right| {
            let claims = right.claims().to_string().replacen('{', r#"{"sub":"mallory","#, 1);
            RSA_KEY.sign(&format!("{}.{}", encode(r#"{"alg":"RS256","kid":"rsa"}"#), encode(claims)))
        }),
        bad("a header member twice", MALFORMED, |right| {
            let header = r#"{"alg":"none","alg":"RS256","kid":"rsa"}"#;
            RSA_KEY.sign(&format!("{}.{}", encode(header), encode(right.claims().to_string())))
        }),
        bad("claims that are a list", MALFORMED, |right| RSA_KEY.token(&json!([right.claims()]))),
        bad("claims nested deep", MALFORMED, |right| {
            let deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
            let claims = right.claims().to_string().replacen('{', &format!(r#"{{"x":{deep},"#), 1);
            RSA_KEY.sign(&format!("{}.{}", encode(r#"{"alg":"RS256","kid":"rsa"}"#), encode(claims)))
        }),
        bad("claims that are no UTF-8", MALFORMED, |_| {
            RSA_KEY.sign(&format!("{}.{}", encode(r#"{"alg":"RS256","kid":"rsa"}"#), encode(b"{\"sub\":\"\xff\"}")))
        }),
        bad("padded base64", MALFORMED, |right| format!("{}==", RSA_KEY.token(&right.claims())).replacen('.', "=.", 1)),
        bad("a line break in the token", MALFORMED, |right| RSA_KEY.token(&right.claims()).replacen('.', "\r\n.", 1)),
    ];
    for (name, token) in
        [("a word", "hunter2"), ("two parts", "e30.e30"), ("four parts", "e30.e30.e30.e30"), ("dots", "..")]
    {
        cases.push(bad(name, MALFORMED, move |_| token.to_owned()));
    }
    cases
}

/// RFC 8725 §2.1, §3.1, §3.2
fn algorithms() -> Vec<Case> {
    let mut cases = Vec::new();
    for name in ["none", "None", "NONE", "nOnE", "none ", "", "\u{0}none", "HS256", "ES256K", "RS1", "dir"] {
        cases.push(bad("an algorithm that is none", ALGORITHM, move |right| {
            assembled(&json!({"alg": name}), &right.claims(), "")
        }));
        cases.push(bad("an algorithm that is none, and a signature", ALGORITHM, move |right| {
            RSA_KEY.token_with_header(&json!({"alg": name, "kid": "rsa"}), &right.claims())
        }));
    }
    for (number, secret) in public_key_as_secrets().into_iter().enumerate() {
        let algorithm = ["HS256", "HS384", "HS512"][number % 3];
        cases.push(bad("the public key for a secret", ALGORITHM, move |right| {
            hmac_signed(algorithm, &secret, &right.claims())
        }));
    }
    cases.extend([
        bad("the client secret for a key", ALGORITHM, |right| {
            hmac_signed("HS256", right.client_secret.as_bytes(), &right.claims())
        }),
        bad("an empty secret", ALGORITHM, |right| hmac_signed("HS256", b"", &right.claims())),
        header("no algorithm", MALFORMED, json!({"kid": "rsa"})),
        header("an algorithm that is null", MALFORMED, json!({"alg": null, "kid": "rsa"})),
        header("an algorithm that is a list", MALFORMED, json!({"alg": ["RS256"], "kid": "rsa"})),
        header("an algorithm of another family than the key's", UNKNOWN_KEY, json!({"alg": "ES256", "kid": "rsa"})),
        header("an algorithm that is not the key's own", UNKNOWN_KEY, json!({"alg": "PS256", "kid": "rsa"})),
        header("an algorithm of a longer hash than the key's own", UNKNOWN_KEY, json!({"alg": "RS512", "kid": "rsa"})),
    ]);
    cases
}

fn keys() -> Vec<Case> {
    let mut cases = vec![
        bad("a signature by another RSA key", SIGNATURE, |right| FORGED_KEY.token(&right.claims())),
        bad("a signature by another EC key", SIGNATURE, |right| TestKey::es256("ec").token(&right.claims())),
        bad("a key that nobody knows", UNKNOWN_KEY, |right| NEW_KEY.token(&right.claims())),
        bad("no signature", SIGNATURE, |right| assembled(&json!({"alg": "RS256", "kid": "rsa"}), &right.claims(), "")),
        bad("half a signature", SIGNATURE, |right| {
            let token = RSA_KEY.token(&right.claims());
            token[..token.len() - 100].to_owned()
        }),
        bad("an ECDSA signature of zeros", SIGNATURE, |right| {
            assembled(&json!({"alg": "ES256", "kid": "ec"}), &right.claims(), [0; 64])
        }),
        bad("the signature of other claims", SIGNATURE, |right| {
            let token = RSA_KEY.token(&right.claims());
            let (rest, signature) = token.rsplit_once('.').expect("three parts");
            let (header, _) = rest.split_once('.').expect("three parts");
            let claims = right.claims_with(&json!({"sub": "mallory"}));
            format!("{header}.{}.{signature}", encode(claims.to_string()))
        }),
        bad("a forged token without a key id", SIGNATURE, |right| {
            FORGED_KEY.token_with_header(&json!({"alg": "RS256"}), &right.claims())
        }),
        header("a key id that is a number", MALFORMED, json!({"alg": "RS256", "kid": 7})),
        header("a key id that is null", MALFORMED, json!({"alg": "RS256", "kid": null})),
        header("a key id that is a path", UNKNOWN_KEY, json!({"alg": "RS256", "kid": "../../../../dev/null"})),
        header("a key id that is a query", UNKNOWN_KEY, json!({"alg": "RS256", "kid": "' OR 1=1 --"})),
        header("a key id of a megabyte", "answer is too long", json!({"alg": "RS256", "kid": "k".repeat(1_000_000)})),
        header("a critical extension", "critical extensions", json!({"alg": "RS256", "kid": "rsa", "crit": ["exp"]})),
        header(
            "critical extensions, but none",
            "critical extensions",
            json!({"alg": "RS256", "kid": "rsa", "crit": []}),
        ),
        header(
            "claims that are not encoded",
            "critical extensions",
            json!({"alg": "RS256", "kid": "rsa", "crit": ["b64"], "b64": false}),
        ),
    ];
    // RFC 8725 §3.10: a token that brings its own key along.
    for member in ["jwk", "jku", "x5u", "x5c"] {
        cases.push(bad("a key in the header", SIGNATURE, move |right| {
            let value = match member {
                "jwk" => FORGED_KEY.jwk(),
                "x5c" => json!([encode("certificate")]),
                _ => json!(right.elsewhere()),
            };
            let header = json!({"alg": "RS256", "kid": "rsa", member: value});
            FORGED_KEY.token_with_header(&header, &right.claims())
        }));
    }
    cases
}

fn who() -> Vec<Case> {
    let mut cases = vec![
        claim("another issuer", ISSUER, "iss", json!("https://evil.example")),
        claim("no issuer", ISSUER, "iss", Value::Null),
        claim("issuers in a list", ISSUER, "iss", json!(["https://evil.example"])),
        bad("an issuer with a slash behind it", ISSUER, |right| {
            RSA_KEY.token(&right.claims_with(&json!({"iss": format!("{}/", right.issuer)})))
        }),
        bad("an issuer in capitals", ISSUER, |right| {
            RSA_KEY.token(&right.claims_with(&json!({"iss": right.issuer.to_uppercase()})))
        }),
        claim("no audience", AUDIENCE, "aud", Value::Null),
        claim("another audience", AUDIENCE, "aud", json!("another-client")),
        claim("an empty list of audiences", AUDIENCE, "aud", json!([])),
        claim("an audience that is an object", AUDIENCE, "aud", json!({"client": true})),
        bad("an audience that begins like ours", AUDIENCE, |right| {
            RSA_KEY.token(&right.claims_with(&json!({"aud": format!("{}-2", right.client_id)})))
        }),
        bad("a list of audiences with a number", AUDIENCE, |right| {
            RSA_KEY.token(&right.claims_with(&json!({"aud": [right.client_id, 7]})))
        }),
        bad("a further audience", "trusted_audiences", |right| {
            RSA_KEY.token(&right.claims_with(&json!({"aud": [right.client_id, "evil"], "azp": right.client_id})))
        }),
        claim("another authorized party", "another authorized party", "azp", json!("evil")),
        claim("an authorized party that is a number", "another authorized party", "azp", json!(7)),
    ];
    for value in [Value::Null, json!(""), json!(7), json!(true), json!(["alice"]), json!("a".repeat(256))] {
        cases.push(claim("a subject that is none", SUBJECT, "sub", value));
    }
    cases
}

fn when() -> Vec<Case> {
    let mut cases = vec![
        claim("an expiry that has passed", "the ID token has expired", "exp", json!(now() - 120)),
        claim("an expiry in 1970", "the ID token has expired", "exp", json!(0)),
        claim("an expiry before 1970", "the ID token has expired", "exp", json!(-1e300)),
        claim("no time of issue", ISSUED_AT, "iat", Value::Null),
        claim("a time of issue in words", ISSUED_AT, "iat", json!("now")),
        claim("a time of issue in the future", ISSUED_AT, "iat", json!(now() + 600)),
        claim("a time of issue in milliseconds", ISSUED_AT, "iat", json!(now() * 1000)),
        claim("a beginning in the future", "not valid yet", "nbf", json!(now() + 600)),
        claim("a beginning in words", "not valid yet", "nbf", json!("now")),
    ];
    for value in [Value::Null, json!("2030-01-01"), json!(true), json!([now() + 300]), json!({})] {
        cases.push(claim("an expiry that is none", NO_EXPIRY, "exp", value));
    }
    cases
}

fn bindings() -> Vec<Case> {
    let mut cases = Vec::new();
    for value in [Value::Null, json!(""), json!("another"), json!(7), json!([]), json!({})] {
        cases.push(claim("a nonce that is none", NONCE, "nonce", value));
    }
    for value in [json!(""), json!(7), json!(at_hash("another")), json!([])] {
        cases.push(claim("a hash of another access token", AT_HASH, "at_hash", value));
    }
    cases.extend([
        bad("a nonce that begins like ours", NONCE, |right| {
            RSA_KEY.token(&right.claims_with(&json!({"nonce": format!("{}x", right.nonce)})))
        }),
        bad("half a hash of the access token", AT_HASH, |right| {
            RSA_KEY.token(&right.claims_with(&json!({"at_hash": at_hash(&right.access_token)[..8]})))
        }),
        bad("a padded hash of the access token", AT_HASH, |right| {
            RSA_KEY.token(&right.claims_with(&json!({"at_hash": format!("{}==", at_hash(&right.access_token))})))
        }),
    ]);
    cases
}

/// What is not as usual, and right all the same.
fn oddities() -> Vec<Case> {
    let with = |changes: Value| move |right: &Right| RSA_KEY.token(&right.claims_with(&changes));
    vec![
        good("ES256", |right| EC_KEY.token(&right.claims())),
        good("no key id", |right| RSA_KEY.token_with_header(&json!({"alg": "RS256"}), &right.claims())),
        good("an authorized party", |right| RSA_KEY.token(&right.claims_with(&json!({"azp": right.client_id})))),
        good("a list of one audience", |right| RSA_KEY.token(&right.claims_with(&json!({"aud": [right.client_id]})))),
        good("a hash of the access token", |right| {
            RSA_KEY.token(&right.claims_with(&json!({"at_hash": at_hash(&right.access_token)})))
        }),
        good("a header that names other keys, unread", |right| {
            let header = json!({"alg": "RS256", "kid": "rsa", "jku": right.elsewhere(), "x5u": right.elsewhere(),
                "jwk": FORGED_KEY.jwk(), "typ": "application/jwt", "zip": "DEF"});
            RSA_KEY.token_with_header(&header, &right.claims())
        }),
        good("an expiry beyond all numbers", with(json!({"exp": 1e300}))),
        good("times with fractions", with(json!({"exp": now() as f64 + 300.5, "nbf": now() as f64 - 0.5}))),
        good("claims that are markup", with(json!({"name": "<script>alert(1)</script>\r\nX: y"}))),
        accepted("claims of others, and where they lie", Endpoint::Token, |right| {
            let source = json!({"endpoint": right.elsewhere(), "access_token": "hunter2-distributed"});
            right.with_claims(&json!({"_claim_names": {"age": "s"}, "_claim_sources": {"s": source}}))
        }),
    ]
}
