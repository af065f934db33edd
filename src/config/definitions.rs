//! Every key of the configuration: its default, its unit, and why one would change it.
//!
//! This table is the one definition: the typed configuration takes its defaults from here, `sealgate config reference`
//! prints it, and unknown keys are compared with it. It must never name a key that the raw structs do not read, nor
//! leave one out; a test compares the two.

mod forward_auth;
mod identity_jwt;
mod issuers;
mod provider;
mod routes;
mod rules;
mod server;
mod session;
mod site;
mod sites;

use super::scope::Scope;
use super::sources::PREFIX;

/// A table of the configuration file.
#[derive(Debug)]
pub struct SectionDefinition {
    /// The table's name.
    pub name: &'static str,
    /// How often it may stand in a file.
    pub form: Form,
    /// What it is for.
    pub doc: &'static str,
    /// Its keys, in the order of the reference.
    pub keys: &'static [KeyDefinition],
}

/// How often a table may stand in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `[name]`, once.
    Table,
    /// `[name]`, once or not at all; the reference shows it as a comment.
    OptionalTable,
    /// `[name]`, with names of the operator's own choice.
    FreeTable,
    /// `[[name]]`, any number of times.
    List,
    /// `[[name]]`, any number of times or not at all, in place of other sections; the reference shows it as a comment.
    /// Its tables have further sections in them.
    ListInstead,
    /// `[[table.name]]`, any number of times within a table, or within each table of a list; the reference shows it as a
    /// comment.
    ListWithin,
}

/// One key.
#[derive(Debug)]
pub struct KeyDefinition {
    /// Its name within the section.
    pub name: &'static str,
    /// Its unit or type, in words.
    pub unit: &'static str,
    /// What holds when it is not set.
    pub preset: Preset,
    /// What it does and why one would change it; lines of the reference.
    pub doc: &'static str,
}

/// What holds when a key is not set. Values are written in TOML.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// This value.
    Default(&'static str),
    /// An error; the value is an example.
    Required(&'static str),
    /// An error, unless the other key is set; the value is an example.
    RequiredUnless(&'static str, &'static str),
    /// Nothing; the value is an example.
    Optional(&'static str),
}

impl Preset {
    /// The value to show: the default or the example, in TOML.
    pub const fn shown(&self) -> &'static str {
        match self {
            Self::Default(value) | Self::Required(value) | Self::RequiredUnless(_, value) | Self::Optional(value) => {
                value
            }
        }
    }
}

impl Preset {
    /// As [`Preset::shown`], a text of several lines in one.
    pub fn on_one_line(&self) -> String {
        match self.shown().strip_prefix("\"\"\"\n").and_then(|rest| rest.strip_suffix("\"\"\"")) {
            Some(lines) => format!("\"{}\"", lines.replace("\\\n", "")),
            None => self.shown().to_owned(),
        }
    }
}

impl SectionDefinition {
    /// The path of one of its keys: `server.listen`, `routes[].path`.
    pub fn path(&self, key: &KeyDefinition) -> String {
        match self.form {
            Form::List | Form::ListInstead => format!("{}[].{}", self.name, key.name),
            Form::ListWithin if self.is_within_a_list() => {
                format!("{}[].{}", self.name.replace('.', "[]."), key.name)
            }
            Form::ListWithin => format!("{}[].{}", self.name, key.name),
            Form::Table | Form::OptionalTable | Form::FreeTable => format!("{}.{}", self.name, key.name),
        }
    }

    /// Whether its lists are in the tables of another list.
    fn is_within_a_list(&self) -> bool {
        let around = self.name.rsplit_once('.').map(|(around, _)| around);
        SECTIONS.iter().any(|section| Some(section.name) == around && section.form == Form::List)
    }

    /// The environment variable that sets one of its keys; in a list, the first table's.
    pub fn variable(&self, key: &KeyDefinition) -> String {
        let path = self.path(key).replace("[].", "__0__").replace('.', "__");
        format!("{PREFIX}{}", path.to_ascii_uppercase())
    }
}

/// All sections, in the order of the reference.
pub const SECTIONS: &[SectionDefinition] = &[
    server::SERVER,
    provider::PROVIDER,
    sites::PROVIDERS,
    session::SESSION,
    session::CSRF,
    session::KEYS,
    routes::ROUTES,
    issuers::ISSUERS,
    rules::RULES,
    forward_auth::FORWARD_AUTH,
    forward_auth::FORWARD_AUTH_RULES,
    identity_jwt::IDENTITY_JWT,
    site::STATIC,
    site::SECURITY_HEADERS,
    site::SPA_SETTINGS,
    site::PAGES,
    sites::SITES,
    session::LOG,
];

/// The sections that each site has of its own: at the top for the one site of the short form, else within `[[sites]]`.
const OF_SITE: &[&str] = &[
    "provider",
    "providers",
    "session",
    "csrf",
    "routes",
    "forward_auth",
    "identity_jwt",
    "static",
    "security_headers",
    "spa_settings",
    "pages",
];

/// Whether the section `name` is a site's, and not the process's.
pub(super) fn of_site(name: &str) -> bool {
    OF_SITE.contains(&name)
}

/// The sections that a table of `[[sites]]` can have in it.
pub(super) fn site_sections() -> impl Iterator<Item = &'static SectionDefinition> {
    SECTIONS.iter().filter(|section| of_site(section.name))
}

/// The definition of the key at `path`, whose list positions may be numbers: `routes[2].path`.
pub fn find(path: &str) -> Option<&'static KeyDefinition> {
    let plain = without_positions(&Scope::split(path).1);
    let (section, name) = plain.rsplit_once('.')?;
    let definition = SECTIONS.iter().find(|definition| definition.name == section)?;
    definition.keys.iter().find(|key| key.name == name)
}

/// `routes[2].issuers[0].audience` → `routes.issuers.audience`.
pub(super) fn without_positions(path: &str) -> String {
    path.split('[')
        .enumerate()
        .map(|(index, part)| if index == 0 { part } else { part.split_once(']').map_or("", |(_, rest)| rest) })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_path_is_defined_twice() {
        let mut seen = BTreeSet::new();
        for section in SECTIONS {
            for key in section.keys {
                assert!(seen.insert(section.path(key)), "{} is there twice", section.path(key));
            }
        }
    }

    #[test]
    fn a_key_of_a_list_is_found_by_its_position() {
        assert_eq!(find("routes[12].csrf").map(|key| key.name), Some("csrf"));
        assert_eq!(find("routes[1].issuers[2].audience").map(|key| key.name), Some("audience"));
        assert_eq!(find("sites[1].routes[2].csrf").map(|key| key.name), Some("csrf"));
        assert_eq!(find("sites[1].providers[2].issuer").map(|key| key.name), Some("issuer"));
        assert!(find("routes[0].nothing").is_none());
        assert!(find("server").is_none());
    }
}
