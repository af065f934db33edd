//! `sealgate completions SHELL`.

use std::io::{self, Write};

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::Cli;

/// What `completions` takes.
#[derive(Args, Debug)]
pub struct CompletionsArgs {
    /// The shell, such as bash, zsh or fish
    shell: Shell,
}

/// Writes the completion script to `out`.
///
/// # Errors
/// When `out` cannot be written.
pub fn run(args: &CompletionsArgs, out: &mut dyn Write) -> io::Result<()> {
    // The generator panics when it cannot write; memory never fails it.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "sealgate", &mut script);
    out.write_all(&script)
}
