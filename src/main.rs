//! The `sealgate` command: parse, run, exit code. 0 done, 1 failed, 2 wrong usage.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser as _;
use sealgate::cli::{Cli, run};

fn main() -> ExitCode {
    // Wrong usage ends here, with 2 and the usage on standard error.
    let cli = Cli::parse();
    let mut out = io::stdout();
    let result = run(cli, &mut out).and_then(|()| Ok(out.flush()?));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is_closed_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            // When even standard error is gone, only the exit code is left to tell.
            let _ = error.report(&mut io::stderr());
            ExitCode::FAILURE
        }
    }
}
