//! Does one operation of the data plane so many times, for `scripts/count-instructions`, which has Callgrind count the
//! instructions.
//!
//! `instructions` lists the operations, a line each: the name, a tab, what it does. `instructions OPERATION COUNT` does one
//! COUNT times. Only what runs inside of [`counted`] is to be counted.

use std::hint::black_box;
use std::io::{self, Write as _};
use std::process::ExitCode;

use self::operations::{Measure, measure_all};

#[path = "support/operations.rs"]
mod operations;
#[path = "support/site.rs"]
#[allow(dead_code, reason = "the other benchmark reads the seal's parts too")]
mod site;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        // `cargo bench` runs every benchmark with `--bench`.
        [] | ["--bench"] => measure_all(&mut List),
        [name, count] if let Ok(count) = count.parse() => {
            let mut repeat = Repeat { name: name.to_owned(), count, found: false };
            measure_all(&mut repeat);
            if !repeat.found {
                return failed(&format!("there is no operation {name}"));
            }
        }
        _ => return failed("usage: instructions [OPERATION COUNT]"),
    }
    ExitCode::SUCCESS
}

fn failed(why: &str) -> ExitCode {
    // Nobody is left to tell if this fails.
    let _ = writeln!(io::stderr(), "{why}");
    ExitCode::FAILURE
}

/// Names the operations.
struct List;

impl Measure for List {
    fn measure<I, O>(&mut self, name: &'static str, what: &str, _: impl FnMut() -> I, _: impl FnMut(I) -> O) {
        writeln!(io::stdout(), "{name}\t{what}").expect("somebody reads the list");
    }
}

/// Does the one that is asked for.
struct Repeat {
    name: String,
    count: u32,
    found: bool,
}

impl Measure for Repeat {
    fn measure<I, O>(
        &mut self,
        name: &'static str,
        _: &str,
        mut prepare: impl FnMut() -> I,
        mut run: impl FnMut(I) -> O,
    ) {
        if name != self.name {
            return;
        }
        self.found = true;
        for _ in 0..self.count {
            let input = black_box(prepare());
            counted(&mut run, input);
        }
    }
}

/// Callgrind knows this by its name. What an operation makes is thrown away here, as a request does in the end.
#[inline(never)]
fn counted<I, O>(run: &mut impl FnMut(I) -> O, input: I) {
    drop(black_box(run(input)));
}
