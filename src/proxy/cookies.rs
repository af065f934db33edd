//! Which cookies are Sealgate's own: they never go to an upstream, and no upstream may set them.

/// What [`OwnCookieNames`] calls the affinity cookie; it has no secret, but decides where a session's requests go.
const AFFINITY: &str = "sealgate_affinity";
/// Prefixes with which browsers guard cookies (RFC 6265bis §4.1.3).
const GUARDS: [&str; 2] = ["__Host-", "__Secure-"];

/// Tells our own cookies from others, by name.
#[derive(Clone, Debug)]
pub struct OwnCookieNames {
    /// The session cookies' names without a guarding prefix; the first is the site's own.
    bases: Vec<String>,
}

impl OwnCookieNames {
    /// The names that follow from the session cookie's name: `__Host-sealgate` gives itself, its chunks
    /// (`__Host-sealgate.1`), everything under it (`__Host-sealgate-…`), all of them without the prefix or with the other
    /// one, and `sealgate_affinity`.
    pub fn new(session_cookie: &str) -> Self {
        Self { bases: vec![unguarded(session_cookie).to_owned()] }
    }

    /// The same, and those that follow from the name of another session cookie which browsers send here.
    pub(super) fn add(&mut self, session_cookie: &str) {
        self.bases.push(unguarded(session_cookie).to_owned());
    }

    /// Whether a cookie pair (`name=value`, or a bare value, which browsers send as they got it) could be read as ours.
    pub(super) fn owns_pair(&self, pair: &[u8]) -> bool {
        // A pair with an empty name (`=a=b`) comes back from browsers as `a=b`: look behind the signs.
        let start = pair.iter().position(|&byte| !matches!(byte, b'=' | b' ' | b'\t')).unwrap_or(pair.len());
        let named = &pair[start..];
        let end = named.iter().position(|&byte| byte == b'=').unwrap_or(named.len());
        self.matches(named[..end].trim_ascii())
    }

    fn matches(&self, name: &[u8]) -> bool {
        if name == AFFINITY.as_bytes() {
            return true;
        }
        let bare = GUARDS.iter().find_map(|guard| name.strip_prefix(guard.as_bytes())).unwrap_or(name);
        let follows = |rest: &[u8]| matches!(rest.first(), None | Some(b'.' | b'-'));
        self.bases.iter().any(|base| bare.strip_prefix(base.as_bytes()).is_some_and(follows))
    }
}

/// `name` without the prefix that guards it.
fn unguarded(name: &str) -> &str {
    GUARDS.iter().find_map(|guard| name.strip_prefix(guard)).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_names_are_known_with_and_without_the_prefix() {
        for base in ["__Host-sealgate", "sealgate"] {
            let names = OwnCookieNames::new(base);
            for name in [
                "__Host-sealgate",
                "__Host-sealgate.1",
                "__Host-sealgate.2",
                "__Host-sealgate-seen",
                "__Host-sealgate-login-4f",
                "__Secure-sealgate",
                "sealgate",
                "sealgate.1",
                "sealgate-seen",
                "sealgate_affinity",
            ] {
                assert!(names.matches(name.as_bytes()), "{base}: {name}");
            }
            for name in ["sealgates", "sealgate_x", "xsealgate", "__Host-app", "SEALGATE", "sealgat", ""] {
                assert!(!names.matches(name.as_bytes()), "{base}: {name}");
            }
        }
    }

    #[test]
    fn the_names_of_another_site_on_the_same_host_are_ours_too() {
        let mut names = OwnCookieNames::new("__Host-a");
        names.add("__Host-b");
        for (name, ours) in [("__Host-a", true), ("__Host-b-seen", true), ("b.1", true), ("__Host-c", false)] {
            assert_eq!(names.matches(name.as_bytes()), ours, "{name}");
        }
    }

    #[test]
    fn pairs_with_spaces_or_without_a_name_are_seen_through() {
        let names = OwnCookieNames::new("__Host-sealgate");
        for pair in ["sealgate=x", " sealgate = x", "\tsealgate", "=sealgate=x", " = =sealgate.1=x", "sealgate"] {
            assert!(names.owns_pair(pair.as_bytes()), "{pair:?}");
        }
        for pair in ["", "=", "a=sealgate", "a=sealgate=x", "sealgated=x"] {
            assert!(!names.owns_pair(pair.as_bytes()), "{pair:?}");
        }
    }
}
