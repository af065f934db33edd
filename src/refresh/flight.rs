//! One flight: asks the provider, checks what it says, seals the session.
//!
//! Must never lose a new refresh token that came with an access token which cannot be used.

use std::time::Instant;

use super::audience::is_of_the_login_alone;
use super::{DEFAULT_RETRY_AFTER, Failure, Landed, NotGranted, PAUSE_AFTER_FAILURE, Refresher};
use crate::metrics::Outcome;
use crate::oidc::{
    OriginalIdentity, Provider, RefreshError, TokenNeed, TokenSet, UserInfo, UserInfoError, check_login_limits,
};
use crate::session::store::{SealSessionError, SessionTooLarge};
use crate::session::{Session, StoredAccessToken};

/// How a flight ended, and what a replica remembers of it.
pub(super) struct Flown {
    /// What those who wait get.
    pub(super) landed: Landed,
    /// Why there is no token for the flight's need; beside a session where a new refresh token came all the same.
    pub(super) not_granted: Option<NotGranted>,
    /// Whose tokens were left out, because the session did not fit with them.
    pub(super) dropped: Vec<TokenNeed>,
}

impl From<Landed> for Flown {
    fn from(landed: Landed) -> Self {
        let not_granted = match &landed {
            Err(Failure::NotGranted(reason)) => Some(reason.clone()),
            _ => None,
        };
        Self { landed, not_granted, dropped: Vec::new() }
    }
}

impl Refresher {
    pub(super) async fn fly(&self, session: &Session, need: Option<&TokenNeed>) -> Flown {
        let inner = &*self.0;
        let (Some(refresh_token), Some(original)) = (session.refresh_token(), original_identity(session)) else {
            return Err(Failure::Dead).into();
        };
        let Some(provider) = self.provider_of(session) else { return Err(Failure::Dead).into() };
        let asked = provider.refresh_for(refresh_token, &original, need).await;
        let (outcome, flown) = match asked {
            Ok(tokens) => (Outcome::Succeeded, self.take(&provider, session, need, tokens)),
            Err(error) => {
                let (outcome, failure) = classify(&error);
                tracing::warn!(target: "sealgate::audit", event = "refresh_failed", sid = ?session.sid, %error, "refresh failed");
                (outcome, Err(failure).into())
            }
        };
        inner.metrics.count_refresh(outcome);
        flown
    }

    /// Puts new tokens into the session and seals it.
    fn take(&self, provider: &Provider, session: &Session, need: Option<&TokenNeed>, tokens: TokenSet) -> Flown {
        let now = self.0.clock.now();
        let TokenSet { access_token, refresh_token, id_token, .. } = tokens;
        let access = StoredAccessToken::new(access_token, now, tokens.access_token_expires_at, tokens.scope);
        let Some(need) = need else {
            let next = session.refreshed(access, refresh_token, id_token, now);
            return self.seal(provider, session, next, None, tokens.userinfo);
        };
        let first = session.access_token().map(|stored| &stored.token);
        if first.is_some_and(|first| is_of_the_login_alone(need, &access.token, first)) {
            let next = session.refreshed_for(need, None, refresh_token, id_token, now);
            return self.seal_without(provider, session, next, need, tokens.userinfo, NotGranted::AnotherApi);
        }
        let whole = session.refreshed_for(need, Some(access), refresh_token.clone(), id_token.clone(), now);
        // What the session is without the token that is too large.
        let rest = || session.refreshed_for(need, None, refresh_token, id_token, now);
        let flown = self.seal(provider, session, whole, Some(need), tokens.userinfo.clone());
        match flown.landed {
            Err(Failure::TooLarge(too_large)) => {
                self.seal_without(provider, session, rest(), need, tokens.userinfo, NotGranted::TooLarge(too_large))
            }
            _ => flown,
        }
    }

    /// Seals a session that got no token for `need`: its new refresh token must not be lost.
    fn seal_without(
        &self,
        provider: &Provider,
        session: &Session,
        next: Session,
        need: &TokenNeed,
        userinfo: UserInfo,
        reason: NotGranted,
    ) -> Flown {
        tracing::warn!(target: "sealgate::audit", event = "token_not_granted", sid = ?session.sid, %need, %reason, "a session gets no access token for an API");
        Flown { not_granted: Some(reason), ..self.seal(provider, session, next, None, userinfo) }
    }

    fn seal(
        &self,
        provider: &Provider,
        session: &Session,
        next: Session,
        need: Option<&TokenNeed>,
        userinfo: UserInfo,
    ) -> Flown {
        let next = match userinfo {
            UserInfo::Claims(userinfo) => next.with_userinfo(Some(userinfo)),
            UserInfo::Unused => next.with_userinfo(None),
            UserInfo::Kept => next,
        };
        // Of what is known now: claims that were never looked at again once let people stay (CVE-2021-41230).
        if let Err(error) = check_login_limits(&provider.settings().login_limits, &next.claims()) {
            tracing::warn!(target: "sealgate::audit", event = "refresh_not_allowed", sid = ?session.sid, %error, "a user may no longer log in");
            self.spawn_revocation_of(&next);
            return Err(Failure::NotAllowed).into();
        }
        let wanted: Vec<TokenNeed> = next.access_tokens.iter().skip(1).map(StoredAccessToken::need).collect();
        match self.0.sessions.seal_for(next.clone(), need) {
            Ok(sealed) => {
                let generation = sealed.session.generation.0;
                let shown = need.map(ToString::to_string);
                tracing::info!(target: "sealgate::audit", event = "refresh", sid = ?session.sid, generation, need = shown, "session refreshed");
                let dropped = wanted.into_iter().filter(|need| sealed.session.access_token_for(Some(need)).is_none());
                let dropped = dropped.collect();
                Flown { landed: Ok(sealed), not_granted: None, dropped }
            }
            // It may fit without the token.
            Err(SealSessionError::TooLarge(too_large)) if need.is_some() => Err(Failure::TooLarge(too_large)).into(),
            Err(SealSessionError::TooLarge(too_large)) => self.too_large(session, &next, too_large),
            Err(error) => {
                tracing::error!(sid = ?session.sid, %error, "a refreshed session cannot be sealed");
                // The old refresh token is spent and the new one cannot be kept.
                Err(Failure::Dead).into()
            }
        }
    }

    fn too_large(&self, session: &Session, next: &Session, too_large: SessionTooLarge) -> Flown {
        tracing::warn!(target: "sealgate::audit", event = "session_too_large", sid = ?session.sid, %too_large, "a refreshed session does not fit the cookies and ends");
        // Nobody can use it any more.
        self.spawn_revocation_of(next);
        Err(Failure::TooLarge(too_large)).into()
    }

    fn spawn_revocation_of(&self, session: &Session) {
        if let Some(refresh_token) = session.refresh_token().cloned() {
            self.spawn_revocation(session, refresh_token);
        }
    }

    /// Takes note of how a flight for `need` ended.
    pub(super) fn keep(&self, session: &Session, need: Option<&TokenNeed>, flown: &Flown) {
        let sid = session.sid;
        let mut state = self.state();
        state.flights.remove(&sid);
        match &flown.landed {
            // The session was ended while the flight was in the air: what it brought must not live on.
            Ok(sealed) if state.kept.has_ended(sid) => return self.spawn_revocation_of(&sealed.session),
            Ok(sealed) => state.kept.keep_refreshed(sealed.clone()),
            Err(Failure::NotGranted(_)) => {}
            Err(failure) => state.kept.keep_failure(sid, session.generation, failure.clone(), PAUSE_AFTER_FAILURE),
        }
        if let (Some(need), Some(reason)) = (need, &flown.not_granted) {
            state.kept.keep_not_granted(sid, need, reason.clone(), Instant::now());
        }
        for need in &flown.dropped {
            self.0.metrics.token_drops.inc();
            if state.kept.count_drop(sid, need) {
                tracing::warn!(target: "sealgate::audit", event = "token_dropped_repeatedly", ?sid, %need, "a session has no room for the access tokens of all its APIs, which are asked for again and again; ask the provider for smaller tokens, or give APIs that can share a token the same audience and scopes");
            }
        }
    }
}

fn classify(error: &RefreshError) -> (Outcome, Failure) {
    match error {
        RefreshError::InvalidGrant => (Outcome::Refused, Failure::Dead),
        RefreshError::NotGranted { .. } => (Outcome::Refused, Failure::NotGranted(NotGranted::Refused)),
        // Another user's tokens must never enter this session; the old refresh token is spent.
        RefreshError::IdentityChanged(_) | RefreshError::UserInfo(UserInfoError::Subject) => {
            (Outcome::Invalid, Failure::Dead)
        }
        RefreshError::Unavailable(unavailable) => {
            let retry_after = unavailable.retry_after().unwrap_or(DEFAULT_RETRY_AFTER);
            (Outcome::Unavailable, Failure::Unavailable { retry_after })
        }
        _ => (Outcome::Invalid, Failure::Unavailable { retry_after: DEFAULT_RETRY_AFTER }),
    }
}

/// Who the session belongs to, as its ID token said at login (OpenID Connect Core §12.2).
fn original_identity(session: &Session) -> Option<OriginalIdentity> {
    OriginalIdentity::from_claims(&session.claims())
}
