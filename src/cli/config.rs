//! `sealgate config reference`.

use std::io::{self, Write};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::config::{KeyDefinition, Preset, SECTIONS, SectionDefinition, markdown, reference};

/// What `config` can do.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print the annotated reference configuration: every key, its unit, its default and why one would change it.
    Reference(ReferenceArgs),
}

/// What `config reference` takes.
#[derive(Args, Debug)]
pub struct ReferenceArgs {
    /// Print the keys as JSON: a list of {key, variable, unit, required, default, example, doc}
    #[arg(long)]
    json: bool,
    /// Print the page of the documentation: every key with its type, default, environment variable and purpose
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
}

/// Runs `command`; data goes to `out`.
///
/// # Errors
/// When `out` cannot be written.
pub fn run(command: &ConfigCommand, out: &mut dyn Write) -> io::Result<()> {
    let ConfigCommand::Reference(args) = command;
    if args.markdown {
        return out.write_all(markdown().as_bytes());
    }
    if !args.json {
        return out.write_all(reference().as_bytes());
    }
    let keys: Vec<Value> =
        SECTIONS.iter().flat_map(|section| section.keys.iter().map(move |key| described(section, key))).collect();
    writeln!(out, "{:#}", Value::Array(keys))
}

/// One key; its default and its example are TOML.
fn described(section: &SectionDefinition, key: &KeyDefinition) -> Value {
    let (required, default, example) = match key.preset {
        Preset::Default(value) => (false, Some(value), None),
        Preset::Required(value) | Preset::RequiredUnless(_, value) => (true, None, Some(value)),
        Preset::Optional(value) => (false, None, Some(value)),
    };
    let unless = if let Preset::RequiredUnless(other, _) = key.preset { Some(other) } else { None };
    json!({
        "key": section.path(key),
        "variable": section.variable(key),
        "unit": key.unit,
        "required": required,
        "required_unless": unless,
        "default": default,
        "example": example,
        "doc": key.doc.replace('\n', " "),
    })
}
