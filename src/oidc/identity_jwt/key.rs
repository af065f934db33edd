//! The keys of signed identities: P-256, read from files of PEM. The private one is used, and never shown.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, ParsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{PrivateKeyDer, SubjectPublicKeyInfoDer};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::certificates::{self, CertificateError};

/// Says what kind of JWT it is (RFC 8725 §3.11), so that it is taken for no ID token or access token.
const TYPE: &str = "sealgate-identity+jwt";
/// What a `SubjectPublicKeyInfo` of P-256 begins with (RFC 5480 §2), before the uncompressed point.
const P256_INFO: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// Bytes of a coordinate.
const COORDINATE: usize = 32;
/// The form byte of an uncompressed point, and its two coordinates (SEC 1 §2.3.3).
const POINT: usize = 1 + 2 * COORDINATE;

/// Why the keys of signed identities were not taken. No variant holds anything of a key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityKeyError {
    /// The private key's file cannot be read, is open to others, or holds no key.
    #[error(transparent)]
    File(#[from] CertificateError),
    /// The private key is of another kind.
    #[error(
        "{path}: holds a key that ES256 cannot be made with; make one of P-256: `openssl genpkey -algorithm EC -pkeyopt \
         ec_paramgen_curve:P-256 -out {path}`",
        path = .0.display()
    )]
    NotP256(PathBuf),
    /// The public keys' file cannot be read.
    #[error("{path}: cannot be read ({reason}); correct the path, or let this user read it", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: io::Error,
    },
    /// The public keys' file holds what is none.
    #[error(
        "{path}: holds something else than public keys of P-256; `openssl pkey -in KEY -pubout` writes one",
        path = .0.display()
    )]
    NotPublic(PathBuf),
}

/// What identities are signed with.
pub(super) struct SigningKey {
    pair: EcdsaKeyPair,
    public: PublicKey,
}

/// The key signs, and is never shown.
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("public", &self.public).finish_non_exhaustive()
    }
}

impl SigningKey {
    /// Reads the first private key of a file of PEM (PKCS#8 or SEC 1), after the file's mode.
    pub(super) fn load(path: &Path) -> Result<Self, IdentityKeyError> {
        let not_p256 = || IdentityKeyError::NotP256(path.to_owned());
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pair = match certificates::private_key(path)? {
            PrivateKeyDer::Pkcs8(der) => EcdsaKeyPair::from_pkcs8(algorithm, der.secret_pkcs8_der()).ok(),
            PrivateKeyDer::Sec1(der) => EcdsaKeyPair::from_private_key_der(algorithm, der.secret_sec1_der()).ok(),
            _ => None,
        };
        let pair = pair.ok_or_else(not_p256)?;
        let public = PublicKey::of_point(pair.public_key().as_ref()).ok_or_else(not_p256)?;
        Ok(Self { pair, public })
    }

    pub(super) fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The claims as a signed JWT in compact form (RFC 7515 §3.1); none when the library fails.
    pub(super) fn sign(&self, claims: &Value) -> Option<String> {
        let header = json!({ "alg": "ES256", "typ": TYPE, "kid": self.public.key_id });
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(&header), encode(claims));
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes()).ok()?;
        Some(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

/// What identities are verified with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PublicKey {
    x: String,
    y: String,
    key_id: String,
}

impl PublicKey {
    /// Reads all keys of a file of PEM (`PUBLIC KEY`), at least one.
    pub(super) fn load_all(path: &Path) -> Result<Vec<Self>, IdentityKeyError> {
        let read = |reason| IdentityKeyError::Read { path: path.to_owned(), reason };
        let not_public = || IdentityKeyError::NotPublic(path.to_owned());
        let content = fs::read(path).map_err(read)?;
        let parsed: Result<Vec<_>, _> = SubjectPublicKeyInfoDer::pem_slice_iter(&content).collect();
        let keys = parsed.map_err(|_| not_public())?;
        let keys: Option<Vec<Self>> =
            keys.iter().map(|key| Self::of_point(key.as_ref().strip_prefix(&P256_INFO)?)).collect();
        keys.filter(|keys| !keys.is_empty()).ok_or_else(not_public)
    }

    /// A point of P-256, uncompressed.
    fn of_point(point: &[u8]) -> Option<Self> {
        let valid = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).is_ok();
        let (4, coordinates) = point.split_first().filter(|_| valid && point.len() == POINT)? else { return None };
        let (x, y) = coordinates.split_at(COORDINATE);
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        // RFC 7638 §3: the members that are required, in the order of their names.
        let members = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        let key_id = URL_SAFE_NO_PAD.encode(Sha256::digest(members));
        Some(Self { x, y, key_id })
    }

    /// Its thumbprint.
    pub(super) fn key_id(&self) -> &str {
        &self.key_id
    }

    /// RFC 7517 §4, RFC 7518 §6.2.1.
    pub(super) fn jwk(&self) -> Value {
        let Self { x, y, key_id } = self;
        json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": key_id, "use": "sig", "alg": "ES256" })
    }
}
