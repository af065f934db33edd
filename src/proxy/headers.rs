//! Which fields go on, which do not, and which are ours to set.
//!
//! Nothing that a client sends may pass for something that we say: a name counts as removed in any case and with `_`
//! for `-`, because many servers read both alike (CVE-2025-64484). Each field is copied once, repeated ones stay
//! repeated.

mod request;
mod response;

use std::borrow::Cow;

pub(super) use self::request::{RequestFields, body_length, max_forwards, request_fields};
pub(super) use self::response::copy_response_fields;

/// The most fields that one `Connection` may name beside the usual ones.
const MAX_CONNECTION_OPTIONS: usize = 32;
/// The longest name that we remove is shorter than this.
const LONGEST_REMOVED: usize = 32;
/// All fields under these prefixes are the proxy's to set: for what forwards, and for whom (oauth2-proxy's headers,
/// and those of Azure's EasyAuth), whether or not a route sets them (CVE-2026-30851).
const OWN_PREFIXES: [&str; 4] = ["x-forwarded-", "x-auth-request-", "x-ms-client-principal", "x-ms-token-"];

/// What is done with a field of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Treatment {
    /// It goes on as it is.
    Pass,
    /// It does not go on, or only what we make of it.
    Remove,
}

/// What is done with the request field `name` (in lower case).
fn treatment(name: &str) -> Treatment {
    if name.len() > LONGEST_REMOVED {
        // Only a prefix can match.
        let has = |prefix: &&str| name.bytes().zip(prefix.bytes()).all(|(have, want)| dashed(have) == want);
        return if OWN_PREFIXES.iter().any(has) { Treatment::Remove } else { Treatment::Pass };
    }
    if !name.contains('_') {
        return treatment_of_canonical(name);
    }
    let mut canonical = [0; LONGEST_REMOVED];
    for (to, from) in canonical.iter_mut().zip(name.bytes()) {
        *to = dashed(from);
    }
    // A field name is ASCII, so that the default is never taken.
    treatment_of_canonical(std::str::from_utf8(&canonical[..name.len()]).unwrap_or_default())
}

fn treatment_of_canonical(name: &str) -> Treatment {
    match name {
        // Ours, set anew for the upstream.
        "host" | "content-length" | "via" | "traceparent" | "tracestate"
        // Credentials and what speaks for another: the client's never count (STANDARDS 24, 25).
        | "authorization" | "dpop" | "cookie" | "forwarded" | "x-real-ip" | "x-original-url" | "x-rewrite-url"
        // Answered by our own server, or counted by us.
        | "expect" => Treatment::Remove,
        // For the TRACE and OPTIONS requests that it is for, it is set anew.
        "max-forwards" => Treatment::Remove,
        name if is_hop_by_hop(name) || has_own_prefix(name) => Treatment::Remove,
        _ => Treatment::Pass,
    }
}

/// Every one of them begins with `x-`, which most names do not.
fn has_own_prefix(name: &str) -> bool {
    name.starts_with("x-") && OWN_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Fields that are about one connection only (RFC 9110 §7.6.1), in requests and responses.
fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-authentication-info"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "http2-settings"
    )
}

pub(super) fn dashed(byte: u8) -> u8 {
    if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() }
}

/// The fields that `Connection` names, but those that are removed anyway: nearly always none, and then nothing is
/// allocated.
struct ConnectionOptions<'a>(Vec<Cow<'a, [u8]>>);

/// `Connection` names more fields than any peer has reason to.
#[derive(Debug)]
struct TooManyOptions;

impl<'a> ConnectionOptions<'a> {
    /// The options in these values of `Connection`.
    fn parse(values: impl Iterator<Item = &'a [u8]>) -> Result<Self, TooManyOptions> {
        let mut options = Vec::new();
        for option in values.flat_map(|value| value.split(|&byte| byte == b',')).map(<[u8]>::trim_ascii) {
            let usual: [&[u8]; 5] = [b"", b"keep-alive", b"close", b"upgrade", b"te"];
            if usual.iter().any(|usual| option.eq_ignore_ascii_case(usual)) {
                continue;
            }
            if options.len() >= MAX_CONNECTION_OPTIONS {
                return Err(TooManyOptions);
            }
            options.push(Cow::Borrowed(option));
        }
        Ok(Self(options))
    }

    /// The same, without the fields.
    fn into_owned(self) -> ConnectionOptions<'static> {
        ConnectionOptions(self.0.into_iter().map(|option| Cow::Owned(option.into_owned())).collect())
    }

    /// Whether the field `name` is for this connection only.
    fn names(&self, name: &str) -> bool {
        self.0.iter().any(|option| option.eq_ignore_ascii_case(name.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CVE-2025-64484: underscores read as dashes.
    #[test]
    fn what_is_removed_is_removed_with_underscores_too() {
        for name in [
            "authorization",
            "dpop",
            "cookie",
            "forwarded",
            "x-forwarded-for",
            "x_forwarded_for",
            "x-forwarded_for",
            "x_forwarded_anything_that_somebody_invents",
            "x-forwarded-access-token",
            "x-real-ip",
            "x_real_ip",
            "x-auth-request-email",
            "x_auth_request_preferred_username",
            "x-ms-client-principal",
            "x_ms-client_principal_id",
            "x-ms-token-aad-access-token",
            "connection",
            "keep_alive",
            "proxy-connection",
            "transfer_encoding",
            "content_length",
            "te",
            "trailer",
            "upgrade",
            "expect",
            "via",
            "host",
        ] {
            assert_eq!(treatment(name), Treatment::Remove, "{name}");
        }
        for name in ["accept", "x-csrf", "x_custom", "authorization-x", "x-forwarde", "content-type", "range", "origin"]
        {
            assert_eq!(treatment(name), Treatment::Pass, "{name}");
        }
    }

    /// RFC 9110 §7.6.1
    #[test]
    fn connection_options_are_found_in_every_line_and_case() {
        let values: [&[u8]; 3] = [b"keep-alive, X-One", b"close", b" x-TWO ,,upgrade"];
        let options = ConnectionOptions::parse(values.into_iter()).expect("few options");
        assert!(options.names("x-one") && options.names("x-two"));
        assert!(!options.names("close") && !options.names("x-three"));
    }

    #[test]
    fn a_connection_field_cannot_make_us_compare_thousands_of_names() {
        let many = vec!["x-a"; MAX_CONNECTION_OPTIONS + 1].join(",");
        assert!(ConnectionOptions::parse([many.as_bytes()].into_iter()).is_err());
    }
}
