//! Where the keys of one site and one provider stand: the short form's at the top, others in `[[sites]]` and
//! `[[providers]]`.
//!
//! All code that reads a site names its keys as the short form does, `provider.issuer`; a scope says where that is:
//! `sites[1].providers[0].issuer`.

use super::definitions::of_site;

/// The keys of `[server]` that are a site's; they stand in its table itself.
pub(super) const OF_SERVER: [&str; 4] = ["public_url", "prefix", "compat", "compat_provider"];

/// The place of one site's keys, and of one provider's among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    site: Option<usize>,
    provider: Option<usize>,
}

impl Scope {
    /// The site's place in `[[sites]]`; none: the short form's one site.
    pub(super) fn of_site(site: Option<usize>) -> Self {
        Self { site, provider: None }
    }

    /// The same site, and one of its `[[providers]]`; none: its `[provider]`.
    pub(super) fn with_provider(self, provider: Option<usize>) -> Self {
        Self { provider, ..self }
    }

    /// Where the key stands that the short form calls `key`.
    pub fn key(&self, key: &str) -> String {
        let end = key.find(['.', '[']).unwrap_or(key.len());
        let (section, rest) = key.split_at(end);
        let inner = match (section, self.provider) {
            ("provider", Some(index)) => format!("providers[{index}]{rest}"),
            _ => key.to_owned(),
        };
        match self.site {
            Some(index) if section == "server" && OF_SERVER.contains(&&rest[1..]) => {
                format!("sites[{index}].{}", &rest[1..])
            }
            Some(index) if of_site(section) => format!("sites[{index}].{inner}"),
            _ => inner,
        }
    }

    /// The scope of a key, and what the short form calls it: the reverse of [`Scope::key`].
    pub(super) fn split(path: &str) -> (Self, String) {
        let (site, rest) = match element(path, "sites") {
            Some((index, rest)) => (Some(index), rest),
            None => (None, path),
        };
        match element(rest, "providers") {
            Some((index, rest)) => (Self { site, provider: Some(index) }, format!("provider.{rest}")),
            None if site.is_some() && OF_SERVER.contains(&rest) => (Self::of_site(site), format!("server.{rest}")),
            None => (Self::of_site(site), rest.to_owned()),
        }
    }
}

/// `list[3].rest`: the position and what follows.
fn element<'a>(path: &'a str, list: &str) -> Option<(usize, &'a str)> {
    let (index, rest) = path.strip_prefix(list)?.strip_prefix('[')?.split_once("].")?;
    Some((index.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_stands_where_its_site_and_its_provider_are() {
        let short = Scope::default();
        let site = Scope::of_site(Some(2));
        for (scope, key, place) in [
            (short, "provider.issuer", "provider.issuer"),
            (short, "server.prefix", "server.prefix"),
            (short.with_provider(Some(1)), "provider.issuer", "providers[1].issuer"),
            (site, "provider", "sites[2].provider"),
            (site, "provider.issuer", "sites[2].provider.issuer"),
            (site.with_provider(Some(0)), "provider.scopes[3]", "sites[2].providers[0].scopes[3]"),
            (site, "server.public_url", "sites[2].public_url"),
            (site, "server.prefix", "sites[2].prefix"),
            (site, "routes[1].rules[0].methods", "sites[2].routes[1].rules[0].methods"),
            (site, "spa_settings.name", "sites[2].spa_settings.name"),
            (site, "server.listen", "server.listen"),
            (site, "keys.ring", "keys.ring"),
        ] {
            assert_eq!(scope.key(key), place);
            if key.contains('.') && !place.starts_with("server") && !place.starts_with("keys") {
                assert_eq!(Scope::split(place), (scope, key.to_owned()), "{place}");
            }
        }
    }
}
