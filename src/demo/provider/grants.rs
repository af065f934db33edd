//! Authorization codes, grants and refresh tokens, in memory: used once, rotated, and dead as a whole when replayed.
//!
//! Knows nothing of HTTP. Time is an argument.

use std::collections::HashMap;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::clock::UnixTime;

use super::users::User;

/// How long an authorization code may wait to be redeemed (RFC 6749 §4.1.2 allows ten minutes at most).
pub const CODE_LIFETIME: Duration = Duration::from_secs(60);
/// How long a refresh token may wait to be used.
pub const REFRESH_TOKEN_LIFETIME: Duration = Duration::from_secs(12 * 60 * 60);

/// A user's permission to a client, out of one login.
#[derive(Clone, Debug)]
pub struct Grant {
    /// Who gave it.
    pub user: &'static User,
    /// What it permits, in the order that the client asked.
    pub scopes: Vec<String>,
    /// The nonce of the authorization request.
    pub nonce: Option<String>,
    /// When the user typed the password.
    pub auth_time: UnixTime,
    /// The session at the provider.
    pub sid: String,
}

impl Grant {
    /// Whether `scope` is among the permitted ones.
    pub fn permits(&self, scope: &str) -> bool {
        self.scopes.iter().any(|permitted| permitted == scope)
    }
}

/// What comes out of a code or a refresh token.
#[derive(Debug)]
pub struct Redeemed {
    /// The grant's identifier, for the access token's `jti`.
    pub grant_id: String,
    /// The grant.
    pub grant: Grant,
    /// The next refresh token, if `offline_access` is permitted (OpenID Connect Core §11).
    pub refresh_token: Option<String>,
}

/// Why a code or a refresh token is worth nothing: `invalid_grant`, all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GrantError {
    /// Never issued, or forgotten since.
    #[error("the code or refresh token is unknown")]
    Unknown,
    /// Its time is over.
    #[error("the code or refresh token has expired")]
    Expired,
    /// A code came again; whatever the first use gave is revoked (RFC 6749 §4.1.2).
    #[error("the code was used before; its tokens are revoked")]
    CodeReplayed,
    /// Another `redirect_uri` than in the authorization request (RFC 6749 §4.1.3).
    #[error("redirect_uri is not the one of the authorization request")]
    RedirectUri,
    /// The verifier does not fit the challenge (RFC 7636 §4.6).
    #[error("code_verifier does not fit the code_challenge")]
    Verifier,
    /// A refresh token that was rotated away came again; the whole grant is dead (RFC 9700 §4.14.2).
    #[error("the refresh token was used before; the grant is revoked")]
    Reused,
    /// The grant was revoked.
    #[error("the grant is revoked")]
    Revoked,
}

/// Everything that was issued and may still matter.
#[derive(Default)]
pub struct Grants {
    codes: HashMap<String, IssuedCode>,
    refresh_tokens: HashMap<String, IssuedRefreshToken>,
    live: HashMap<String, Grant>,
}

struct IssuedCode {
    grant: Grant,
    redirect_uri: String,
    code_challenge: String,
    expires: UnixTime,
    use_: CodeUse,
}

enum CodeUse {
    Waiting,
    /// Used; with the grant that came of it, if one did.
    Used(Option<String>),
}

struct IssuedRefreshToken {
    grant_id: String,
    expires: UnixTime,
    rotated: bool,
}

impl Grants {
    /// A code for `grant`, bound to the redirect URI and the S256 challenge of its request.
    pub fn issue_code(&mut self, grant: Grant, redirect_uri: &str, code_challenge: &str, now: UnixTime) -> String {
        self.forget_what_expired(now);
        let code = random_text();
        self.codes.insert(
            code.clone(),
            IssuedCode {
                grant,
                redirect_uri: redirect_uri.to_owned(),
                code_challenge: code_challenge.to_owned(),
                expires: now.plus(CODE_LIFETIME),
                use_: CodeUse::Waiting,
            },
        );
        code
    }

    /// Redeems a code. Whatever comes of it, the code is used up.
    ///
    /// # Errors
    /// See [`GrantError`]; a replay revokes the grant of the first use.
    pub fn redeem_code(
        &mut self,
        code: &str,
        redirect_uri: &str,
        verifier: &str,
        now: UnixTime,
    ) -> Result<Redeemed, GrantError> {
        let issued = self.codes.get_mut(code).ok_or(GrantError::Unknown)?;
        if let CodeUse::Used(grant_id) = &issued.use_ {
            if let Some(grant_id) = grant_id.clone() {
                self.revoke(&grant_id);
            }
            return Err(GrantError::CodeReplayed);
        }
        issued.use_ = CodeUse::Used(None);
        if now >= issued.expires {
            return Err(GrantError::Expired);
        }
        if issued.redirect_uri != redirect_uri {
            return Err(GrantError::RedirectUri);
        }
        if !verifier_fits(verifier, &issued.code_challenge) {
            return Err(GrantError::Verifier);
        }
        let grant_id = random_text();
        issued.use_ = CodeUse::Used(Some(grant_id.clone()));
        let grant = issued.grant.clone();
        self.live.insert(grant_id.clone(), grant.clone());
        Ok(self.with_refresh_token(grant_id, grant, now))
    }

    /// Exchanges a refresh token for the next one, and retires it.
    ///
    /// # Errors
    /// See [`GrantError`]; a replay revokes the whole grant, the newest refresh token included.
    pub fn rotate(&mut self, refresh_token: &str, now: UnixTime) -> Result<Redeemed, GrantError> {
        let issued = self.refresh_tokens.get_mut(refresh_token).ok_or(GrantError::Unknown)?;
        let grant_id = issued.grant_id.clone();
        if issued.rotated {
            self.revoke(&grant_id);
            return Err(GrantError::Reused);
        }
        if now >= issued.expires {
            return Err(GrantError::Expired);
        }
        let grant = self.live.get(&grant_id).cloned().ok_or(GrantError::Revoked)?;
        issued.rotated = true;
        Ok(self.with_refresh_token(grant_id, grant, now))
    }

    /// The live grant that a refresh token belongs to, without using the token.
    pub fn by_refresh_token(&self, refresh_token: &str) -> Option<&Grant> {
        self.live.get(&self.refresh_tokens.get(refresh_token)?.grant_id)
    }

    /// The live grant of that identifier.
    pub fn by_id(&self, grant_id: &str) -> Option<&Grant> {
        self.live.get(grant_id)
    }

    /// Ends the grant that a refresh token belongs to (RFC 7009 §2.1).
    pub fn revoke_by_refresh_token(&mut self, refresh_token: &str) {
        if let Some(issued) = self.refresh_tokens.get(refresh_token) {
            let grant_id = issued.grant_id.clone();
            self.revoke(&grant_id);
        }
    }

    /// Ends a grant: its refresh tokens work no more.
    pub fn revoke(&mut self, grant_id: &str) {
        self.live.remove(grant_id);
    }

    /// Ends all the grants that came of a session.
    pub fn revoke_session(&mut self, sid: &str) {
        self.live.retain(|_, grant| grant.sid != sid);
    }

    fn with_refresh_token(&mut self, grant_id: String, grant: Grant, now: UnixTime) -> Redeemed {
        let refresh_token = grant.permits("offline_access").then(|| {
            let token = random_text();
            let expires = now.plus(REFRESH_TOKEN_LIFETIME);
            self.refresh_tokens
                .insert(token.clone(), IssuedRefreshToken { grant_id: grant_id.clone(), expires, rotated: false });
            token
        });
        Redeemed { grant_id, grant, refresh_token }
    }

    /// A code is remembered after its end as long as a replay of it could still do harm: while its grant lives.
    fn forget_what_expired(&mut self, now: UnixTime) {
        self.refresh_tokens.retain(|_, issued| now < issued.expires);
        let live = &mut self.live;
        let refresh_tokens = &self.refresh_tokens;
        live.retain(|id, grant| {
            let fresh = now.since(grant.auth_time) < REFRESH_TOKEN_LIFETIME;
            fresh || refresh_tokens.values().any(|issued| issued.grant_id == *id)
        });
        self.codes.retain(|_, issued| match &issued.use_ {
            CodeUse::Used(Some(grant_id)) => live.contains_key(grant_id),
            CodeUse::Waiting | CodeUse::Used(None) => now < issued.expires,
        });
    }
}

/// 256 random bits as base64url: a code, a token, an identifier.
pub fn random_text() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

/// RFC 7636 §4.1 and §4.6, S256.
fn verifier_fits(verifier: &str, challenge: &str) -> bool {
    let well_formed = (43..=128).contains(&verifier.len())
        && verifier.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
    let expected = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier));
    well_formed && bool::from(expected.as_bytes().ct_eq(challenge.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::provider::users::USERS;

    const NOW: UnixTime = UnixTime::from_secs(10_000);
    const REDIRECT: &str = "http://127.0.0.1:8080/bff/callback";
    /// RFC 7636 appendix B
    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    fn grant(scopes: &[&str]) -> Grant {
        Grant {
            user: &USERS[0],
            scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
            nonce: None,
            auth_time: NOW,
            sid: "sid".to_owned(),
        }
    }

    fn with_code() -> (Grants, String) {
        let mut grants = Grants::default();
        let code = grants.issue_code(grant(&["openid", "offline_access"]), REDIRECT, CHALLENGE, NOW);
        (grants, code)
    }

    fn signed_in() -> (Grants, String) {
        let (mut grants, code) = with_code();
        let redeemed = grants.redeem_code(&code, REDIRECT, VERIFIER, NOW).expect("a good code");
        (grants, redeemed.refresh_token.expect("offline_access"))
    }

    /// RFC 7636 §4.6
    #[test]
    fn a_code_needs_the_verifier_of_its_challenge() {
        let (mut grants, code) = with_code();
        let other = VERIFIER.replace('d', "e");
        assert_eq!(grants.redeem_code(&code, REDIRECT, &other, NOW).err(), Some(GrantError::Verifier));
        let (mut grants, code) = with_code();
        assert_eq!(grants.redeem_code(&code, REDIRECT, "short", NOW).err(), Some(GrantError::Verifier));
    }

    /// RFC 6749 §4.1.3
    #[test]
    fn a_code_needs_the_redirect_uri_of_its_request() {
        let (mut grants, code) = with_code();
        let other = "http://127.0.0.1:8080/other";
        assert_eq!(grants.redeem_code(&code, other, VERIFIER, NOW).err(), Some(GrantError::RedirectUri));
    }

    #[test]
    fn a_code_lives_for_a_minute() {
        let (mut grants, code) = with_code();
        let late = NOW.plus(CODE_LIFETIME);
        assert_eq!(grants.redeem_code(&code, REDIRECT, VERIFIER, late).err(), Some(GrantError::Expired));
    }

    /// RFC 6749 §4.1.2
    #[test]
    fn a_replayed_code_revokes_what_its_first_use_gave() {
        let (mut grants, code) = with_code();
        let first = grants.redeem_code(&code, REDIRECT, VERIFIER, NOW).expect("a good code");
        assert_eq!(grants.redeem_code(&code, REDIRECT, VERIFIER, NOW).err(), Some(GrantError::CodeReplayed));
        let refresh_token = first.refresh_token.expect("offline_access");
        assert_eq!(grants.rotate(&refresh_token, NOW).err(), Some(GrantError::Revoked));
    }

    #[test]
    fn a_failed_attempt_uses_the_code_up() {
        let (mut grants, code) = with_code();
        let other = VERIFIER.replace('d', "e");
        assert!(grants.redeem_code(&code, REDIRECT, &other, NOW).is_err());
        assert_eq!(grants.redeem_code(&code, REDIRECT, VERIFIER, NOW).err(), Some(GrantError::CodeReplayed));
    }

    #[test]
    fn every_refresh_gives_another_refresh_token() {
        let (mut grants, first) = signed_in();
        let second = grants.rotate(&first, NOW).expect("the newest").refresh_token.expect("offline_access");
        assert_ne!(first, second);
        assert!(grants.rotate(&second, NOW).is_ok());
    }

    /// RFC 9700 §4.14.2
    #[test]
    fn a_replayed_refresh_token_kills_the_whole_grant() {
        let (mut grants, first) = signed_in();
        let second = grants.rotate(&first, NOW).expect("the newest").refresh_token.expect("offline_access");
        assert_eq!(grants.rotate(&first, NOW).err(), Some(GrantError::Reused));
        assert_eq!(grants.rotate(&second, NOW).err(), Some(GrantError::Revoked));
    }

    /// OpenID Connect Core §11
    #[test]
    fn without_offline_access_there_is_no_refresh_token() {
        let mut grants = Grants::default();
        let code = grants.issue_code(grant(&["openid"]), REDIRECT, CHALLENGE, NOW);
        let redeemed = grants.redeem_code(&code, REDIRECT, VERIFIER, NOW).expect("a good code");
        assert!(redeemed.refresh_token.is_none());
    }

    /// RFC 7009 §2.1
    #[test]
    fn revoking_any_refresh_token_ends_its_grant() {
        let (mut grants, first) = signed_in();
        let second = grants.rotate(&first, NOW).expect("the newest").refresh_token.expect("offline_access");
        grants.revoke_by_refresh_token(&first);
        assert_eq!(grants.rotate(&second, NOW).err(), Some(GrantError::Revoked));
    }

    #[test]
    fn the_end_of_a_session_ends_its_grants() {
        let (mut grants, token) = signed_in();
        grants.revoke_session("another");
        let next = grants.rotate(&token, NOW).expect("still live").refresh_token.expect("offline_access");
        grants.revoke_session("sid");
        assert_eq!(grants.rotate(&next, NOW).err(), Some(GrantError::Revoked));
    }

    #[test]
    fn what_has_expired_is_forgotten() {
        let (mut grants, token) = signed_in();
        let late = NOW.plus(REFRESH_TOKEN_LIFETIME);
        assert_eq!(grants.rotate(&token, late).err(), Some(GrantError::Expired));
        grants.issue_code(grant(&["openid"]), REDIRECT, CHALLENGE, late);
        assert_eq!((grants.codes.len(), grants.refresh_tokens.len(), grants.live.len()), (1, 0, 0));
    }
}
