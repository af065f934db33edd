//! The signed identity that upstreams get of a session's user, and `GET /bff/jwks.json`, the keys to verify it with.
//!
//! A browser must never get one: it goes to upstreams, and to proxies that ask with their secret.

use actix_web::HttpResponse;
use actix_web::http::Method;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderName, HeaderValue};
use tokio::runtime::Handle;

use crate::clock::Clock;
use crate::file_watch::FileWatch;
use crate::oidc::{IdentityJwtSettings, IdentityKeyError, IdentitySigner, MemoKey};
use crate::origin::PublicOrigin;
use crate::proxy::{Route, RouteSettings, SignedIdentity};
use crate::session::Session;
use crate::web::Services;
use crate::web::problem::{NOT_FOUND, Problem};

/// How long upstreams may keep the keys: so long a new one must be published before it signs.
const KEYS_MAX_AGE: &str = "public, max-age=300";

/// Signs identities for the routes and answers that want one.
#[derive(Clone, Debug)]
pub struct SignedIdentities {
    signer: IdentitySigner,
    /// The audiences of the routes, by their places in the configuration.
    routes: Vec<Option<String>>,
    /// The audience of forward-auth's answers.
    answers: Option<String>,
}

impl SignedIdentities {
    /// Those that `routes` and answers of forward-auth ask for. Reads the keys.
    ///
    /// # Errors
    /// [`IdentityKeyError`].
    pub fn load(
        settings: IdentityJwtSettings,
        origin: &PublicOrigin,
        clock: &Clock,
        routes: &[RouteSettings],
        answers: Option<&SignedIdentity>,
    ) -> Result<Self, IdentityKeyError> {
        let signer = IdentitySigner::load(settings, origin.as_str(), clock.clone())?;
        let of_route = |route: &RouteSettings| route.access.signed_identity.audience(|| origin.join(&route.path));
        let answers = answers.and_then(|wanted| wanted.audience(|| origin.to_string()));
        Ok(Self { signer, routes: routes.iter().map(of_route).collect(), answers })
    }

    /// Reads the keys again whenever a file of theirs changes.
    pub fn watch(&self, runtime: &Handle) -> FileWatch {
        self.signer.watch(runtime)
    }

    /// The header that they are in.
    pub fn header(&self) -> &HeaderName {
        self.signer.header()
    }

    /// The field for the upstream of `route`, if it wants one.
    pub fn for_route(&self, route: &Route, session: &Session) -> Option<(HeaderName, HeaderValue)> {
        let audience = self.routes.get(route.index())?.as_deref()?;
        self.field(audience, 1 + route.index(), session)
    }

    /// The field for an answer of forward-auth, if those have one.
    pub fn for_answers(&self, session: &Session) -> Option<(HeaderName, HeaderValue)> {
        self.field(self.answers.as_deref()?, 0, session)
    }

    fn field(&self, audience: &str, place: usize, session: &Session) -> Option<(HeaderName, HeaderValue)> {
        let key = MemoKey { session: *session.sid.as_bytes(), generation: session.generation.0, place };
        let token = self.signer.token(key, audience, || {
            let mut claims = session.claims();
            // As load balancers know the session: enough to tell one from another, and no identifier that does anything.
            claims.insert("sid".to_owned(), session.sid.affinity().into());
            claims
        });
        if token.is_none() {
            tracing::error!("an identity cannot be signed; the upstream gets none");
        }
        Some((self.header().clone(), token?))
    }
}

/// Answers with the public keys (RFC 7517 §5), for everybody.
///
/// # Errors
/// 404 where nothing signs identities, 405.
pub fn handle(services: &Services, method: &Method) -> Result<HttpResponse, Problem> {
    let Some(identities) = &services.identities else {
        return Err(Problem::new(&NOT_FOUND, "No identities are signed here."));
    };
    if !matches!(*method, Method::GET | Method::HEAD) {
        return Err(Problem::method_not_allowed("GET, HEAD"));
    }
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "application/jwk-set+json"))
        .insert_header((CACHE_CONTROL, KEYS_MAX_AGE))
        .insert_header(("X-Content-Type-Options", "nosniff"))
        .body(identities.signer.published()))
}
