//! Tokens that are put together by hand: with signatures that are none, or made with what everybody knows.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;

use crate::right::RSA_KEY;
use crate::test_keys::encode;

/// A token of these parts, whatever they are.
pub fn assembled(header: &Value, claims: &Value, signature: impl AsRef<[u8]>) -> String {
    format!("{}.{}.{}", encode(header.to_string()), encode(claims.to_string()), encode(signature))
}

/// A token whose HMAC is made with `secret`.
pub fn hmac_signed(algorithm: &str, secret: &[u8], claims: &Value) -> String {
    let header = serde_json::json!({"alg": algorithm, "kid": "rsa"});
    let parts = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
    let algorithm = match algorithm {
        "HS384" => hmac::HMAC_SHA384,
        "HS512" => hmac::HMAC_SHA512,
        _ => hmac::HMAC_SHA256,
    };
    let tag = hmac::sign(&hmac::Key::new(algorithm, secret), parts.as_bytes());
    format!("{parts}.{}", encode(tag))
}

/// The published RSA key in every form that a careless library may take for a secret.
pub fn public_key_as_secrets() -> Vec<Vec<u8>> {
    let jwk = RSA_KEY.jwk();
    let member = |name: &str| jwk[name].as_str().expect("a member of an RSA key").to_owned();
    let (n, e) = (member("n"), member("e"));
    let [modulus, exponent] = [&n, &e].map(|text| URL_SAFE_NO_PAD.decode(text).expect("base64url"));
    let pkcs1 = der(0x30, &[integer(&modulus), integer(&exponent)].concat());
    let rsa_encryption = [0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 1, 1, 5, 0];
    let spki = der(0x30, &[&rsa_encryption[..], &der(3, &[&[0], &pkcs1[..]].concat())].concat());
    vec![
        pem("PUBLIC KEY", &spki).into_bytes(),
        pem("PUBLIC KEY", &spki).trim_end().as_bytes().to_vec(),
        pem("RSA PUBLIC KEY", &pkcs1).into_bytes(),
        spki,
        pkcs1,
        n.into_bytes(),
        modulus,
        jwk.to_string().into_bytes(),
    ]
}

fn integer(bytes: &[u8]) -> Vec<u8> {
    // A leading zero keeps it positive.
    if bytes[0] < 0x80 { der(2, bytes) } else { der(2, &[&[0], bytes].concat()) }
}

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).expect("a short structure");
    let head = match length {
        0..=0x7f => vec![tag, content.len() as u8],
        0x80..=0xff => vec![tag, 0x81, content.len() as u8],
        _ => [&[tag, 0x82][..], &length.to_be_bytes()].concat(),
    };
    [head, content.to_vec()].concat()
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).expect("ASCII")).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}
