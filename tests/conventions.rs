//! Keeps the rules of DESIGN §8 by reading the source: imports point down, crates stay where they belong, time comes
//! from one place. Each rule is a function over a file's text, and each is shown a file that breaks it.

use std::fs;
use std::path::{Path, PathBuf};

/// The modules from the top down; a module may name only those below its own line, and itself.
const LAYERS: &[&[&str]] = &[
    &["cli"],
    &["server"],
    &["management"],
    &["tls"],
    &["telemetry"],
    &["demo"],
    &["config"],
    &["web"],
    &["proxy"],
    &["refresh"],
    &["session"],
    &["oidc"],
    &["seal"],
    &["keyring"],
    &["aead"],
    &["return_url", "origin", "certificates"],
    &["secret", "clock", "metrics", "base64url", "file_watch"],
];

/// A crate or module path, and the files that may name it: by whole path, or by folder when it ends with a slash.
const CONFINED: &[(&str, &[&str])] = &[
    ("actix_web", ACTIX),
    ("actix_http", ACTIX),
    ("actix_files", ACTIX),
    ("oauth2", &["oidc.rs", "oidc/", "demo.rs", "demo/"]),
    ("jsonwebtoken", &["oidc.rs", "oidc/", "demo.rs", "demo/"]),
    ("std::env", &["config.rs", "config/"]),
    ("aes_gcm", &["aead.rs"]),
    ("chacha20poly1305", &["aead.rs"]),
    ("xaes_256_gcm", &["aead.rs"]),
    ("zstd", &["session/wire/compression.rs", "session/payload/training.rs"]),
];

const ACTIX: &[&str] = &[
    "web.rs",
    "web/",
    "proxy.rs",
    "proxy/",
    "server.rs",
    "server/",
    "management.rs",
    "management/",
    "tls.rs",
    "telemetry.rs",
    "telemetry/",
    "demo.rs",
    "demo/",
];

/// The files that may see the configuration: those that read it and build the parts from it, and the logger, which is
/// started with its own section before there are parts.
const CONFIG_READERS: &[&str] =
    &["cli.rs", "cli/", "server.rs", "server/", "telemetry.rs", "telemetry/", "config.rs", "config/"];

/// Ways to ask the system for the date.
const CLOCKS: &[&str] = &[
    "SystemTime::now",
    "Timestamp::now",
    "Zoned::now",
    "UNIX_EPOCH.elapsed",
    "get_current_timestamp",
    "Utc::now",
    "OffsetDateTime::now",
];

const MAX_LINES: usize = 600;
const MAX_MAIN_LINES: usize = 60;

/// A file below `src/`.
struct Source {
    /// Its path below `src/`, with slashes.
    path: String,
    /// As it was written.
    text: String,
    /// Without comments and the contents of literals.
    code: String,
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned(), code: strip(text) }
    }

    /// The module path, `["web", "login"]`; empty for the crate's roots.
    fn module(&self) -> Vec<&str> {
        if matches!(self.path.as_str(), "lib.rs" | "main.rs") {
            return Vec::new();
        }
        self.path.trim_end_matches(".rs").split('/').collect()
    }

    fn lies_in(&self, places: &[&str]) -> bool {
        places.iter().any(|place| if place.ends_with('/') { self.path.starts_with(place) } else { self.path == *place })
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    files.sort();
    assert!(files.len() > 10, "the source is there");
    files
        .iter()
        .map(|file| {
            let path = file.strip_prefix(&root).expect("it lies below").to_string_lossy().replace('\\', "/");
            Source::new(&path, &fs::read_to_string(file).expect("the source is UTF-8"))
        })
        .collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the folder is readable") {
        let path = entry.expect("the entry is readable").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// Replaces comments, and what stands in string and character literals, by blanks. Lines stay lines.
fn strip(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = match chars[at] {
            '/' if chars.get(at + 1) == Some(&'/') => line_end(&chars, at),
            '/' if chars.get(at + 1) == Some(&'*') => block_comment_end(&chars, at),
            'r' if !is_word_before(&chars, at) => raw_string_end(&chars, at).unwrap_or(at),
            '"' => string_end(&chars, at, '"'),
            '\'' => character_end(&chars, at).unwrap_or(at),
            _ => at,
        };
        if end == at {
            code.push(chars[at]);
            at += 1;
        } else {
            code.extend(chars[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    code
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn is_word_before(chars: &[char], at: usize) -> bool {
    // `br"…"` is a raw string too.
    at > 0 && is_word(chars[at - 1]) && !(chars[at - 1] == 'b' && (at < 2 || !is_word(chars[at - 2])))
}

fn line_end(chars: &[char], at: usize) -> usize {
    chars[at..].iter().position(|c| *c == '\n').map_or(chars.len(), |length| at + length)
}

fn block_comment_end(chars: &[char], at: usize) -> usize {
    let (mut depth, mut i) = (0, at);
    while i + 1 < chars.len() {
        match (chars[i], chars[i + 1]) {
            ('/', '*') => (depth, i) = (depth + 1, i + 2),
            ('*', '/') => (depth, i) = (depth - 1, i + 2),
            _ => i += 1,
        }
        if depth == 0 {
            return i;
        }
    }
    chars.len()
}

fn raw_string_end(chars: &[char], at: usize) -> Option<usize> {
    let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
    if chars.get(at + 1 + hashes) != Some(&'"') {
        return None;
    }
    let closing: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
    let body = at + 2 + hashes;
    let length = chars[body..].windows(closing.len()).position(|window| window == closing);
    Some(length.map_or(chars.len(), |length| body + length + closing.len()))
}

fn string_end(chars: &[char], at: usize, quote: char) -> usize {
    let mut i = at + 1;
    while i < chars.len() && chars[i] != quote {
        i += if chars[i] == '\\' { 2 } else { 1 };
    }
    (i + 1).min(chars.len())
}

/// The end of a character literal; none for a lifetime.
fn character_end(chars: &[char], at: usize) -> Option<usize> {
    match (chars.get(at + 1)?, chars.get(at + 2)?) {
        ('\\', _) => Some(string_end(chars, at, '\'')),
        (_, '\'') => Some(at + 3),
        _ => None,
    }
}

/// Where `path` stands in the code as a whole path: not as the end of a longer name.
fn occurrences<'a>(code: &'a str, path: &'a str) -> impl Iterator<Item = usize> + 'a {
    code.match_indices(path).map(|(at, _)| at).filter(move |at| {
        let before = code[..*at].chars().next_back();
        let after = code[at + path.len()..].chars().next();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

fn line_of(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}

/// The first segments of what follows a path such as `crate::`: one name, or those of a group in braces.
fn first_segments(rest: &str) -> Vec<&str> {
    let word = |text: &str| text.find(|c| !is_word(c)).unwrap_or(text.len());
    let Some(group) = rest.trim_start().strip_prefix('{') else {
        return vec![&rest[..word(rest)]];
    };
    let (mut depth, mut begin, mut segments) = (0, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                segments.push(&group[begin..at]);
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                segments.push(&group[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    let names = segments.into_iter().map(str::trim).filter(|name| !name.is_empty());
    names.map(|name| &name[..word(name)]).collect()
}

/// The top-level modules that a file names, by `crate::`, `sealgate::` or enough `super::`, each with its line.
fn named_modules(source: &Source) -> Vec<(String, usize)> {
    let mut named = Vec::new();
    for root in ["crate", "sealgate"] {
        for at in occurrences(&source.code, root) {
            if let Some(rest) = source.code[at + root.len()..].strip_prefix("::") {
                named.extend(first_segments(rest).into_iter().map(|name| (name.to_owned(), line_of(&source.code, at))));
            }
        }
    }
    for at in occurrences(&source.code, "super") {
        let is_first = !source.code[..at].ends_with("::");
        let rest = source.code[at..].trim_start_matches("super::");
        let climbed = (source.code.len() - at - rest.len()) / "super::".len();
        if is_first && climbed >= source.module().len() {
            named.extend(first_segments(rest).into_iter().map(|name| (name.to_owned(), line_of(&source.code, at))));
        }
    }
    named.retain(|(name, _)| rank(name).is_some());
    named
}

fn rank(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

type Findings = Vec<String>;

fn upward_imports(source: &Source) -> Findings {
    let Some(own) = source.module().first().copied() else { return Vec::new() };
    let Some(level) = rank(own) else { return vec![format!("{}: no layer is given for {own}", source.path)] };
    let is_up = |name: &str| name != own && rank(name).is_some_and(|other| other <= level);
    named_modules(source)
        .into_iter()
        .filter(|(name, _)| is_up(name))
        .map(|(name, line)| format!("{}:{line}: {own} names {name}, which is not below it", source.path))
        .collect()
}

fn confined_names(source: &Source) -> Findings {
    let mut findings = Vec::new();
    for (name, _) in CONFINED.iter().filter(|(_, places)| !source.lies_in(places)) {
        let hits = occurrences(&source.code, name);
        findings
            .extend(hits.map(|at| format!("{}:{}: {name} belongs elsewhere", source.path, line_of(&source.code, at))));
    }
    if !source.lies_in(&["config.rs", "config/"]) {
        // Our own module has the crate's name: only a path that begins with it is the crate.
        let crate_paths = ["use config::", "use ::config::", " ::config::", "use std::{env", "env::var", "env::args"];
        for name in crate_paths.iter().filter(|name| source.code.contains(**name)) {
            findings.push(format!("{}: `{name}` belongs into config/", source.path));
        }
    }
    findings
}

fn other_clocks(source: &Source) -> Findings {
    let readers = CLOCKS.iter().filter(|reader| source.path != "clock.rs" && source.code.contains(**reader));
    readers.map(|reader| format!("{}: {reader} belongs into clock.rs", source.path)).collect()
}

/// What some modules must not see although it lies below them.
fn hidden_modules(source: &Source) -> Findings {
    let hidden = |name: &str| match name {
        "config" => !source.lies_in(CONFIG_READERS),
        "seal" | "keyring" => source.lies_in(&["web.rs", "web/"]),
        "demo" => !source.lies_in(&["cli/demo.rs", "demo.rs", "demo/"]),
        _ => false,
    };
    named_modules(source)
        .into_iter()
        .filter(|(name, _)| hidden(name))
        .map(|(name, line)| format!("{}:{line}: {name} is not to be seen from here", source.path))
        .collect()
}

fn shape(source: &Source) -> Findings {
    let mut findings = Vec::new();
    let lines = source.text.lines().count();
    let limit = if source.path == "main.rs" { MAX_MAIN_LINES - 1 } else { MAX_LINES };
    if lines > limit {
        findings.push(format!("{}: {lines} lines, at most {limit}", source.path));
    }
    if source.path == "mod.rs" || source.path.ends_with("/mod.rs") {
        findings.push(format!("{}: write foo.rs beside foo/ instead", source.path));
    }
    // A file of unit tests says by its name what it is.
    if !source.text.starts_with("//!") && !source.path.ends_with("/tests.rs") {
        findings.push(format!("{}: begins without the module's doc comment", source.path));
    }
    findings
}

fn assert_none(rule: fn(&Source) -> Findings) {
    let findings: Findings = sources().iter().flat_map(rule).collect();
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

#[test]
fn imports_point_down() {
    assert_none(upward_imports);
}

#[test]
fn crates_stay_where_they_belong() {
    assert_none(confined_names);
}

#[test]
fn time_comes_from_the_clock() {
    assert_none(other_clocks);
}

#[test]
fn layers_see_no_more_than_they_need() {
    assert_none(hidden_modules);
}

#[test]
fn files_are_short_documented_and_named_after_their_module() {
    assert_none(shape);
}

#[test]
fn main_only_runs_the_command_line() {
    let main = sources().into_iter().find(|source| source.path == "main.rs").expect("there is a main.rs");
    for (name, line) in named_modules(&main) {
        assert_eq!(name, "cli", "main.rs:{line}");
    }
}

#[test]
fn every_module_of_the_library_has_its_layer() {
    let sources = sources();
    let root = sources.iter().find(|source| source.path == "lib.rs").expect("there is a lib.rs");
    let modules: Vec<&str> =
        root.code.lines().filter_map(|line| line.trim().strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    assert!(!modules.is_empty());
    for module in modules {
        assert!(rank(module).is_some(), "{module} is in no layer");
    }
}

/// The rules themselves: each finds what it is for, and nothing in innocent code.
mod negative_controls {
    use super::*;

    fn broken(rule: fn(&Source) -> Findings, path: &str, text: &str) {
        assert_eq!(rule(&Source::new(path, text)).len(), 1, "{path}: {text}");
    }

    fn fine(rule: fn(&Source) -> Findings, path: &str, text: &str) {
        assert_eq!(rule(&Source::new(path, text)), Findings::new(), "{path}: {text}");
    }

    #[test]
    fn upward_imports_are_found_however_they_are_written() {
        broken(upward_imports, "seal.rs", "use crate::session::Session;");
        broken(upward_imports, "seal.rs", "fn f() { crate::web::x() }");
        broken(upward_imports, "seal/a.rs", "use crate::{clock::Clock, session};");
        broken(upward_imports, "seal/a.rs", "use crate::{\n    clock::{Clock, UnixTime},\n    oidc::{A, B},\n};");
        broken(upward_imports, "seal/a.rs", "use super::super::session::Session;");
        broken(upward_imports, "seal.rs", "use super::session::Session;");
        broken(upward_imports, "seal.rs", "#[cfg(test)]\nmod tests { use crate::session::Session; }");
        broken(upward_imports, "secret.rs", "use crate::clock::Clock;");
        broken(upward_imports, "new_module.rs", "");
    }

    #[test]
    fn downward_imports_and_words_in_comments_pass() {
        fine(
            upward_imports,
            "session.rs",
            "use crate::seal::Seal;\nuse crate::session::wire;\nuse super::clock::Clock;",
        );
        fine(upward_imports, "session/a.rs", "use super::Session;\nuse super::web;");
        fine(upward_imports, "seal.rs", "//! see [`crate::web`]\n/* crate::web::x */ const A: &str = \"crate::web\";");
        fine(
            upward_imports,
            "seal.rs",
            "const A: &str = r#\"\" crate::web::x \"#; const B: char = '\"'; // crate::web",
        );
        fine(upward_imports, "seal.rs", "fn f<'a>(a: &'a str) -> &'a str { a } // crate::web");
        fine(upward_imports, "main.rs", "use sealgate::cli;");
    }

    #[test]
    fn code_behind_a_literal_is_still_read() {
        broken(upward_imports, "seal.rs", "const A: &str = \"\\\" // \"; use crate::web::x;");
        broken(upward_imports, "seal.rs", "const A: &[u8] = br\"\\\"; use crate::web::x;");
        broken(upward_imports, "seal.rs", "const A: char = '\\''; use crate::web::x;");
        broken(upward_imports, "seal.rs", "/* a /* b */ c */ use crate::web::x;");
    }

    #[test]
    fn confined_crates_are_found_outside_their_places() {
        broken(confined_names, "session.rs", "use actix_web::HttpRequest;");
        broken(confined_names, "web/login.rs", "fn f(t: oauth2::AccessToken) {}");
        broken(confined_names, "seal.rs", "use aes_gcm::Aes256Gcm;");
        broken(confined_names, "cli/serve.rs", "use config::Config;");
        broken(confined_names, "cli/serve.rs", "let home = std::env::home_dir();");
        fine(confined_names, "web/login.rs", "use actix_web::HttpRequest;");
        fine(confined_names, "cli/serve.rs", "use crate::config::Config; const V: &str = env!(\"CARGO_PKG_VERSION\");");
        fine(confined_names, "seal.rs", "let my_oauth2_like = 1;");
    }

    #[test]
    fn other_clocks_are_found() {
        broken(other_clocks, "session.rs", "let now = std::time::SystemTime::now();");
        broken(other_clocks, "oidc/token.rs", "let now = jiff::Timestamp::now();");
        fine(other_clocks, "clock.rs", "let now = jiff::Timestamp::now();");
        fine(other_clocks, "session.rs", "let begun = std::time::Instant::now();");
    }

    #[test]
    fn hidden_modules_are_found() {
        broken(hidden_modules, "web/user.rs", "use crate::seal::Seal;");
        broken(hidden_modules, "web.rs", "use crate::{keyring, session};");
        broken(hidden_modules, "proxy.rs", "use crate::config::Config;");
        broken(hidden_modules, "cli/serve.rs", "use crate::demo::run;");
        fine(hidden_modules, "cli/demo.rs", "use crate::demo::run;");
        fine(hidden_modules, "server.rs", "use crate::config::Config;");
        fine(hidden_modules, "session.rs", "use crate::seal::Seal;");
    }

    #[test]
    fn bad_shapes_are_found() {
        broken(shape, "web/mod.rs", "//! Doc.\n");
        broken(shape, "web.rs", "use std::fmt;\n");
        broken(shape, "web.rs", &format!("//! Doc.\n{}", "\n".repeat(MAX_LINES)));
        broken(shape, "main.rs", &format!("//! Doc.\n{}", "\n".repeat(MAX_MAIN_LINES - 1)));
        fine(shape, "web.rs", "//! Doc.\n");
        fine(shape, "web/tests.rs", "use super::*;\n");
    }
}
