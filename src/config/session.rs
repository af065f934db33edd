//! `[session]`, typed.

use std::time::Duration;

use super::leaf::Leaf;
use super::raw::RawSession;
use super::reader::Reader;
use super::values::{self, MAX_COOKIE_AGE};
use crate::session::{SameSite, SessionSettings, UserFormat, WriteFormat};

/// What keeps a cookie to one host and to TLS (RFC 6265bis §4.1.3.2).
const HOST_PREFIX: &str = "__Host-";
/// Chunks, login cookies and others append to the name; all of them must stay short.
const MAX_NAME: usize = 64;
/// More than this would refresh ordinary tokens all the time, were it not for the fifth of their lifetime.
const MAX_REFRESH_BEFORE: Duration = Duration::from_secs(60 * 60);

pub(super) fn parse(raw: RawSession, reader: &mut Reader<'_>) -> Option<SessionSettings> {
    let cookie_name = reader.value("session.cookie_name", raw.cookie_name, cookie_name);
    let same_site = reader.value("session.same_site", raw.same_site, |leaf| {
        values::choice(leaf, &[("strict", SameSite::Strict), ("lax", SameSite::Lax)])
    });
    let seconds = |leaf: &Leaf| values::seconds(leaf, MAX_COOKIE_AGE);
    let idle_is_written = raw.idle_timeout.is_some();
    let idle_timeout = reader.value("session.idle_timeout", raw.idle_timeout, seconds);
    let absolute_timeout = reader.value("session.absolute_timeout", raw.absolute_timeout, seconds);
    let refresh_before =
        reader.value("session.refresh_before", raw.refresh_before, |leaf| values::seconds(leaf, MAX_REFRESH_BEFORE));
    let persistent = reader.value("session.persistent", raw.persistent, values::boolean);
    let user_format = reader.value("session.user_format", raw.user_format, |leaf| {
        let duende = UserFormat::Duende { anonymous_is_null: false };
        values::choice(leaf, &[("object", UserFormat::Object), ("duende", duende)])
    });
    let anonymous_status =
        reader.value("session.anonymous_user_status", raw.anonymous_user_status, anonymous_user_status);
    let user_format = with_anonymous(user_format, anonymous_status, reader);
    let write_format = reader.value("session.write_format", raw.write_format, |leaf| {
        values::choice(leaf, &[("zstd-1", WriteFormat::Zstd1), ("plain", WriteFormat::Plain)])
    });

    // Only a written idle timeout can contradict the absolute one; the default gives way to it.
    if let (true, Some(idle), Some(absolute)) = (idle_is_written, idle_timeout, absolute_timeout)
        && idle > absolute
    {
        let (idle, absolute) = (humantime::format_duration(idle), humantime::format_duration(absolute));
        reader.error(
            "session.idle_timeout",
            format!("{idle} is more than session.absolute_timeout ({absolute}); lower it or raise that"),
        );
    }
    let idle_timeout = idle_timeout.map(|idle| idle.min(absolute_timeout.unwrap_or(idle)));

    Some(SessionSettings {
        cookie_name: cookie_name?,
        same_site: same_site?,
        idle_timeout: idle_timeout?,
        absolute_timeout: absolute_timeout?,
        refresh_before: refresh_before?,
        persistent: persistent?,
        user_format: user_format?,
        write_format: write_format?,
    })
}

fn anonymous_user_status(leaf: &Leaf) -> Result<u16, String> {
    match leaf {
        Leaf::Integer(200) => Ok(200),
        Leaf::Integer(401) => Ok(401),
        Leaf::Untyped(text) if text == "200" => Ok(200),
        Leaf::Untyped(text) if text == "401" => Ok(401),
        _ => Err("must be 401 or 200".to_owned()),
    }
}

fn with_anonymous(format: Option<UserFormat>, status: Option<u16>, reader: &mut Reader<'_>) -> Option<UserFormat> {
    match (format?, status?) {
        (UserFormat::Duende { .. }, status) => Some(UserFormat::Duende { anonymous_is_null: status == 200 }),
        (UserFormat::Object, 200) => {
            let problem =
                "200 is for front ends of Duende's BFF; set session.user_format = \"duende\" too, or leave it out";
            reader.error("session.anonymous_user_status", problem);
            None
        }
        (format, _) => Some(format),
    }
}

fn cookie_name(leaf: &Leaf) -> Result<String, String> {
    let text = values::text(leaf)?;
    let Some(name) = text.strip_prefix(HOST_PREFIX) else {
        return Err(format!("{text:?} does not begin with {HOST_PREFIX}, which keeps other hosts from setting it"));
    };
    if !values::is_token(name) {
        return Err(format!("{text:?} is not a cookie name; use letters, digits, - and _ behind {HOST_PREFIX}"));
    }
    if text.len() > MAX_NAME {
        return Err(format!("must be at most {MAX_NAME} bytes long"));
    }
    if name == "sealgate_affinity" {
        return Err(format!("{text:?} is the name of another cookie on loopback; take a different one"));
    }
    Ok(text)
}
