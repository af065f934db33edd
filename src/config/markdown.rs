//! The reference as a page of the documentation, made from the same definitions as the reference configuration.

use std::fmt::Write as _;

use super::definitions::{Form, KeyDefinition, Preset, SECTIONS, SectionDefinition};

const HEAD: &str = "\
<!-- Made by `sealgate config reference --markdown`; a test fails when this page and the code differ. -->

# Configuration

Sealgate reads TOML. `sealgate config reference` prints a file with every key, to start from; `sealgate check --config
FILE` shows all mistakes of a configuration at once, each with its file, line and key, and asks the provider whether
what is configured fits.

- **Files.** Several files layer: with `--config base.toml --config site.toml` the later one wins key by key. Lists are
  replaced whole, `[[routes]]` among them.
- **Environment.** Every key has a variable, which wins over all files; its value is the plain text, without quotes:
  `SEALGATE__SERVER__LISTEN=0.0.0.0:8080`. A key keeps its type: `SEALGATE__PROVIDER__CLIENT_ID=007` is the text 007.
- **Lists in the environment** are written with commas, `SEALGATE__PROVIDER__SCOPES=openid,email`, or as in a file,
  `SEALGATE__PROVIDER__SCOPES=[\"openid\", \"email\"]`; nothing at all is the empty list. One element has its position
  from 0, `SEALGATE__PROVIDER__SCOPES__1=email`, and so have routes: `SEALGATE__ROUTES__0__UPSTREAM=http://api:3000`.
- **Secrets.** A secret key has a second form with `_file` behind its name: the file holds the secret and nothing else.
- **Durations** are a number and its unit: `500ms`, `90s`, `15m`, `1h 30m`, `2days`. A number alone is an error.
- **Paths of files** are relative to the working directory of the process, not to the configuration.
- **Unknown keys** are errors, and the nearest known key is suggested.
";

/// The page, with a line break at its end.
pub fn markdown() -> String {
    let mut text = HEAD.to_owned();
    // Writing into a String cannot fail, here and below.
    let _ = writeln!(text, "\n## All keys\n\n| Key | Type | Default |\n| --- | --- | --- |");
    for section in SECTIONS {
        for key in section.keys {
            let path = section.path(key);
            let (unit, default) = (escaped(key.unit), default(key));
            let _ = writeln!(text, "| [`{path}`](#{}) | {unit} | {default} |", anchor(&path));
        }
    }
    for section in SECTIONS {
        section_text(&mut text, section);
    }
    text
}

fn section_text(text: &mut String, section: &SectionDefinition) {
    let header = match section.form {
        Form::Table => format!("`[{}]`", section.name),
        Form::OptionalTable => format!("`[{}]`, optional", section.name),
        Form::FreeTable => format!("`[{}]`, names of your own", section.name),
        Form::List => format!("`[[{}]]`, any number", section.name),
        Form::ListInstead => format!("`[[{}]]`, any number, in place of other sections", section.name),
        Form::ListWithin => format!("`[[{}]]`, any number in each", section.name),
    };
    let _ = writeln!(text, "\n## {header}\n\n{}", escaped(section.doc));
    for key in section.keys {
        let path = section.path(key);
        let _ = writeln!(text, "\n### `{path}`\n\n{}\n", escaped(key.doc));
        let _ = writeln!(text, "- Type: {}", escaped(key.unit));
        let _ = writeln!(text, "- Default: {}", default(key));
        if !matches!(key.preset, Preset::Default(_)) {
            let _ = writeln!(text, "- Example: `{} = {}`", key.name, key.preset.shown());
        }
        let _ = writeln!(text, "- Environment: `{}`", section.variable(key));
    }
}

fn default(key: &KeyDefinition) -> String {
    match key.preset {
        Preset::Default(_) => format!("`{}`", key.preset.on_one_line()),
        Preset::Required(_) => "none; required".to_owned(),
        Preset::RequiredUnless(other, _) => format!("none; required, unless `{other}` is set"),
        Preset::Optional(_) => "not set".to_owned(),
    }
}

/// What a heading of just this code becomes in an address: letters, digits, `-` and `_` stay.
fn anchor(path: &str) -> String {
    path.chars().filter(|character| character.is_ascii_alphanumeric() || "-_".contains(*character)).collect()
}

/// Plain text in which nothing but code spans is markup.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut in_code = false;
    for character in text.chars() {
        in_code ^= character == '`';
        if !in_code && "<>*_[]|".contains(character) {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_in_the_repository_is_what_is_printed() {
        let page = include_str!("../../docs/configuration.md");
        assert!(page == markdown(), "run `sealgate config reference --markdown > docs/configuration.md`");
    }

    #[test]
    fn the_page_has_every_key_with_type_default_and_variable() {
        let page = markdown();
        for section in SECTIONS {
            for key in section.keys {
                let heading = format!("\n### `{}`\n", section.path(key));
                let (_, rest) = page.split_once(&heading).unwrap_or_else(|| panic!("no heading {heading}"));
                let entry = rest.split("\n#").next().unwrap_or_default();
                for part in ["- Type: ", "- Default: ", &format!("- Environment: `{}`", section.variable(key))] {
                    assert!(entry.contains(part), "{heading}: {part}");
                }
                assert!(page.contains(&format!("(#{})", anchor(&section.path(key)))), "{heading}");
            }
        }
    }

    #[test]
    fn only_code_spans_are_markup() {
        assert_eq!(escaped("<prefix>/user, X-Forwarded-* and `a_b*`"), "\\<prefix\\>/user, X-Forwarded-\\* and `a_b*`");
    }
}
