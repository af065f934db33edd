//! `[identity_jwt]`, typed, and what asks for it.

use std::time::Duration;

use super::leaf::Leaf;
use super::raw::RawIdentityJwt;
use super::reader::Reader;
use super::routes::headers::header_name;
use super::values;
use crate::oidc::{IdentityJwtSettings, OWN_CLAIMS};
use crate::proxy::{RouteAuth, SignedIdentity};

const LIFETIMES: std::ops::RangeInclusive<Duration> = Duration::from_secs(10)..=Duration::from_secs(600);

/// Reads the section, if it is there.
pub(super) fn parse(raw: Option<RawIdentityJwt>, reader: &mut Reader<'_>) -> Option<Option<IdentityJwtSettings>> {
    const KEY_FILE: &str = "identity_jwt.signing_key_file";
    let Some(raw) = raw else { return Some(None) };
    let key_file = reader.value(KEY_FILE, raw.signing_key_file, values::path);
    let public = reader.optional("identity_jwt.verification_keys_file", raw.verification_keys_file, values::path);
    let header = reader.value("identity_jwt.header", raw.header, |leaf| header_name(&values::text(leaf)?));
    let lifetime = reader.value("identity_jwt.lifetime", raw.lifetime, lifetime);
    let claims = reader.list("identity_jwt.claims", raw.claims, claim);
    let settings = IdentityJwtSettings {
        signing_key_file: key_file?,
        verification_keys_file: public?,
        header: header?,
        lifetime: lifetime?,
        claims: claims?,
    };
    reader.note_secret_file(KEY_FILE, &settings.signing_key_file);
    match settings.check_keys() {
        Ok(()) => Some(Some(settings)),
        Err(error) => {
            reader.error(KEY_FILE, error.to_string());
            None
        }
    }
}

fn lifetime(leaf: &Leaf) -> Result<Duration, String> {
    let lifetime = values::seconds(leaf, *LIFETIMES.end())?;
    if LIFETIMES.contains(&lifetime) { Ok(lifetime) } else { Err("must be at least 10s".to_owned()) }
}

fn claim(leaf: &Leaf) -> Result<String, String> {
    let name = values::text(leaf)?;
    if OWN_CLAIMS.contains(&name.as_str()) {
        return Err(format!("{name:?} says what the JWT is, and is there anyway; leave it out"));
    }
    Ok(name)
}

/// Whether the requests of the route or section at `place` (`routes[0]`, `forward_auth`) get a signed identity.
pub(super) fn wanted(
    place: &str,
    wanted: Option<Leaf>,
    audience: Option<Leaf>,
    auth: Option<RouteAuth>,
    reader: &mut Reader<'_>,
) -> Option<SignedIdentity> {
    let key = format!("{place}.identity_jwt");
    let audience_key = format!("{key}_audience");
    let wanted = reader.value(&key, wanted, values::boolean);
    let audience = reader.optional(&audience_key, audience, values::text);
    let (wanted, audience) = (wanted?, audience?);
    if !wanted && audience.is_some() {
        reader.error(&audience_key, "has no meaning without identity_jwt = true; set that, or leave this out");
    }
    if wanted && matches!(auth, Some(RouteAuth::None | RouteAuth::Bearer)) {
        reader.error(&key, "has no meaning with this auth, where there are no sessions; set another, or leave it out");
    }
    Some(match (wanted, audience) {
        (false, _) => SignedIdentity::Absent,
        (true, None) => SignedIdentity::ForThePlace,
        (true, Some(audience)) => SignedIdentity::For(audience),
    })
}

/// It names a user by `sub`, under our own issuer, and two providers may give the same to two people.
pub(super) fn check_of_several<'a>(
    wanted: impl Iterator<Item = (String, &'a SignedIdentity)>,
    reader: &mut Reader<'_>,
) {
    for (place, _) in wanted.filter(|(_, wanted)| **wanted != SignedIdentity::Absent) {
        reader.error(
            &format!("{place}.identity_jwt"),
            "tells users apart by sub, and two providers may give the same to two people; take it for routes whose \
             providers names one alone",
        );
    }
}

/// Whoever wants one needs the section.
pub(super) fn check<'a>(wanted: impl Iterator<Item = (String, &'a SignedIdentity)>, reader: &mut Reader<'_>) {
    for (place, _) in wanted.filter(|(_, wanted)| **wanted != SignedIdentity::Absent) {
        reader.error(
            &format!("{place}.identity_jwt"),
            "is true, but there is no key to sign with; add [identity_jwt] with signing_key_file",
        );
    }
}
