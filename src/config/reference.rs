//! The annotated reference configuration, printed from the key definitions.

use std::fmt::Write as _;

use super::definitions::{Form, KeyDefinition, Preset, SECTIONS, SectionDefinition};

const HEAD: &str = "\
# Sealgate's reference configuration: every key with its unit, its default, and why one would change it.
# Printed by `sealgate config reference`. What is not commented out is the default, or an example where there is none.
#
# Layers      Several files layer, `--config base.toml --config site.toml`: a later one wins key by key; lists,
#             [[routes]] among them, are replaced whole.
# Environment SEALGATE__SECTION__KEY wins over all files: SEALGATE__SERVER__LISTEN=0.0.0.0:8080. Lists are written with
#             commas, SEALGATE__PROVIDER__SCOPES=openid,email, or as here, [\"openid\", \"email\"]; elements and routes
#             have their position from 0: SEALGATE__ROUTES__0__UPSTREAM=http://api:3000.
# Durations   A number and its unit: \"500ms\", \"90s\", \"15m\", \"1h 30m\", \"2days\".
# Paths       Relative paths are relative to the working directory of the process, not to this file.
#
# `sealgate check --config FILE` shows all mistakes at once.
";

/// Columns of a line.
const WIDTH: usize = 120;

/// The whole reference, with a line break at its end.
pub fn reference() -> String {
    let mut text = HEAD.to_owned();
    for section in SECTIONS {
        section_text(&mut text, section);
    }
    text
}

fn section_text(text: &mut String, section: &SectionDefinition) {
    let header = match section.form {
        Form::Table => format!("[{}]", section.name),
        Form::OptionalTable | Form::FreeTable => format!("# [{}]", section.name),
        Form::List => format!("[[{}]]", section.name),
        Form::ListInstead | Form::ListWithin => format!("# [[{}]]", section.name),
    };
    text.push('\n');
    comment(text, section.doc);
    // Writing into a String cannot fail.
    let _ = writeln!(text, "{header}");
    for (index, key) in section.keys.iter().enumerate() {
        if index > 0 {
            text.push('\n');
        }
        key_text(text, section.form, key);
    }
}

fn key_text(text: &mut String, form: Form, key: &KeyDefinition) {
    comment(text, key.doc);
    let (mark, preset) = match key.preset {
        Preset::Default(value) if value.contains('\n') => ("", "Default: as it stands here.".to_owned()),
        Preset::Default(value) => ("", format!("Default: {value}.")),
        Preset::Required(_) => ("", "Required.".to_owned()),
        Preset::RequiredUnless(other, _) => ("", format!("Required, unless {other} is set.")),
        Preset::Optional(_) => ("# ", "Not set by default.".to_owned()),
    };
    let mark = if matches!(form, Form::OptionalTable | Form::ListInstead | Form::ListWithin) { "# " } else { mark };
    let unit = format!("Unit: {}.", key.unit);
    let separator = if unit.len() + preset.len() + "#  ".len() > WIDTH { "\n" } else { " " };
    comment(text, &format!("{unit}{separator}{preset}"));
    // Writing into a String cannot fail.
    let _ = writeln!(text, "{mark}{} = {}", key.name, key.preset.shown());
}

fn comment(text: &mut String, lines: &str) {
    for line in lines.lines() {
        // Writing into a String cannot fail.
        let _ = writeln!(text, "# {line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_in_the_repository_is_what_is_printed() {
        let file = include_str!("../../config/sealgate.toml");
        assert!(file == reference(), "run `sealgate config reference > config/sealgate.toml`");
    }

    #[test]
    fn lines_fit_the_page() {
        for line in reference().lines() {
            assert!(line.chars().count() <= WIDTH, "{line}");
        }
    }
}
