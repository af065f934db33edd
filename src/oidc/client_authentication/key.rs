//! The key that signs client assertions: read from a file of PEM, used, and never shown.

use std::fmt;
use std::path::{Path, PathBuf};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair as RsaKeyPair;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::pki_types::PrivateKeyDer;
use serde_json::Value;

use crate::certificates::{self, CertificateError};
use crate::secret::SecretString;

/// The signature algorithm of an assertion (RFC 7518 §3.1, RFC 8037 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AssertionAlgorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// ECDSA with P-256 and SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl AssertionAlgorithm {
    /// All, in the order of the documentation.
    pub const ALL: [Self; 4] = [Self::Rs256, Self::Ps256, Self::Es256, Self::EdDsa];

    /// Its name in JOSE headers and in `token_endpoint_auth_signing_alg_values_supported`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }
}

/// Why there is no key to sign with. No variant holds anything of a key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientKeyError {
    /// The file cannot be read, is open to others, or holds no key.
    #[error(transparent)]
    File(#[from] CertificateError),
    /// A key of a kind or size that makes no assertion.
    #[error(
        "{path}: holds a key that cannot sign assertions; use RSA of 2048 bits at least, EC P-256 or Ed25519",
        path = .0.display()
    )]
    Unusable(PathBuf),
    /// The key is of another kind than the configured algorithm needs.
    #[error(
        "{path}: holds a key that {algorithm} cannot be made with, but {usual} can; correct the algorithm or the key",
        path = .path.display()
    )]
    Mismatch {
        /// The key's file.
        path: PathBuf,
        /// As configured.
        algorithm: &'static str,
        /// The usual algorithm of the key's kind.
        usual: &'static str,
    },
}

/// A private key and the algorithm that it signs with.
pub struct ClientKey {
    pair: KeyPair,
    algorithm: AssertionAlgorithm,
}

enum KeyPair {
    Rsa(Box<RsaKeyPair>),
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// The key signs, and is never shown.
impl fmt::Debug for ClientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientKey").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

impl ClientKey {
    /// Reads the first private key of a file of PEM (PKCS#8, PKCS#1 or SEC 1), after the file's mode. Without
    /// `algorithm` it is RS256, ES256 or EdDSA, as the key's kind says.
    ///
    /// # Errors
    /// [`ClientKeyError`].
    pub fn load(path: &Path, algorithm: Option<AssertionAlgorithm>) -> Result<Self, ClientKeyError> {
        let der = certificates::private_key(path)?;
        let pair = KeyPair::parse(&der).ok_or_else(|| ClientKeyError::Unusable(path.to_owned()))?;
        let usual = pair.usual_algorithm();
        let algorithm = algorithm.unwrap_or(usual);
        if !pair.signs(algorithm) {
            let (algorithm, usual) = (algorithm.name(), usual.name());
            return Err(ClientKeyError::Mismatch { path: path.to_owned(), algorithm, usual });
        }
        Ok(Self { pair, algorithm })
    }

    /// What it signs with.
    pub fn algorithm(&self) -> AssertionAlgorithm {
        self.algorithm
    }

    /// The claims as a signed JWT in compact form (RFC 7515 §3.1); none when the library fails, which only a lack of
    /// memory or randomness makes it do.
    pub(super) fn sign(&self, key_id: Option<&str>, claims: &Value) -> Option<SecretString> {
        let mut header = serde_json::json!({ "alg": self.algorithm.name(), "typ": "JWT" });
        if let Some(id) = key_id {
            header["kid"] = id.into();
        }
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(&header), encode(claims));
        let signature = self.signature(signed.as_bytes())?;
        Some(SecretString::new(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))))
    }

    fn signature(&self, message: &[u8]) -> Option<Vec<u8>> {
        let random = SystemRandom::new();
        match &self.pair {
            KeyPair::Rsa(pair) => {
                let padding = match self.algorithm {
                    AssertionAlgorithm::Ps256 => &RSA_PSS_SHA256,
                    _ => &RSA_PKCS1_SHA256,
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &random, message, &mut signature).ok()?;
                Some(signature)
            }
            KeyPair::P256(pair) => Some(pair.sign(&random, message).ok()?.as_ref().to_vec()),
            KeyPair::Ed25519(pair) => Some(pair.try_sign(message).ok()?.as_ref().to_vec()),
        }
    }
}

impl KeyPair {
    fn parse(der: &PrivateKeyDer<'_>) -> Option<Self> {
        const P256: &aws_lc_rs::signature::EcdsaSigningAlgorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        match der {
            PrivateKeyDer::Pkcs1(der) => Some(Self::Rsa(Box::new(RsaKeyPair::from_der(der.secret_pkcs1_der()).ok()?))),
            PrivateKeyDer::Sec1(der) => {
                Some(Self::P256(EcdsaKeyPair::from_private_key_der(P256, der.secret_sec1_der()).ok()?))
            }
            PrivateKeyDer::Pkcs8(der) => {
                let der = der.secret_pkcs8_der();
                let rsa = || RsaKeyPair::from_pkcs8(der).ok().map(|pair| Self::Rsa(Box::new(pair)));
                let ec = || EcdsaKeyPair::from_pkcs8(P256, der).ok().map(Self::P256);
                let ed = || Ed25519KeyPair::from_pkcs8(der).ok().map(Self::Ed25519);
                rsa().or_else(ec).or_else(ed)
            }
            _ => None,
        }
    }

    fn usual_algorithm(&self) -> AssertionAlgorithm {
        match self {
            Self::Rsa(_) => AssertionAlgorithm::Rs256,
            Self::P256(_) => AssertionAlgorithm::Es256,
            Self::Ed25519(_) => AssertionAlgorithm::EdDsa,
        }
    }

    fn signs(&self, algorithm: AssertionAlgorithm) -> bool {
        let other_padding = matches!((self, algorithm), (Self::Rsa(_), AssertionAlgorithm::Ps256));
        other_padding || self.usual_algorithm() == algorithm
    }
}
