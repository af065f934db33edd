//! `sealgate serve`: runs the BFF.

use std::path::PathBuf;

use clap::Args;

use crate::cli::CliError;
use crate::config::{Config, Loaded};
use crate::server;

/// Which configuration to run.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Configuration files; later ones win over earlier ones
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    pub config: Vec<PathBuf>,
}

/// Runs the server until it is told to stop.
///
/// # Errors
/// When the configuration is wrong, or the server cannot start or ends badly.
pub fn run(args: &ServeArgs) -> Result<(), CliError> {
    let Loaded { config, warnings, .. } = Config::load(&args.config)?;
    Ok(server::serve(config, &warnings)?)
}
