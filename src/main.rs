//! The `sealgate` command: parse, run, exit code. 0 done, 1 failed, 2 wrong usage.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use sealgate::cli::{Cli, run};

fn main() -> ExitCode {
    // Wrong usage ends here, with 2 and the usage on standard error.
    let cli = Cli::parse();
    // Without the colours where nobody would see them.
    let mut out = anstream::stdout();
    let result = run(cli, &mut out).and_then(|()| Ok(out.flush()?));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is_closed_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            // When even standard error is gone, only the exit code is left to tell.
            let _ = error.report(&mut anstream::stderr());
            ExitCode::FAILURE
        }
    }
}
