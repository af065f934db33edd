//! Runs the commands of the documents, and compares what they print with what the documents say.
//!
//! A page's ` ```console ` blocks are one walk in one folder and one shell, in order. A line that begins with `$ ` is a
//! command (`\` at its end continues it); the lines below it are everything that it prints, where `...` alone stands for
//! any lines. `<!-- file: NAME -->` above a block makes that block a file of the folder. Key ids, times, digests and
//! temporary folders differ from run to run: they are compared by their form, and a key id that a page goes on to name
//! stands for the one that was printed in its place. Addresses on loopback get ports that are free. Blocks of other
//! kinds (` ```sh `) are for reading only.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

/// What a command may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// Stands behind what a command printed.
const MARK: &str = "-- the end of a command --";

/// Follows a page from its beginning to its end; the faults that it finds.
pub fn walk(page: &str) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a folder");
    let bin = folder.path().join(".bin");
    fs::create_dir(&bin).expect("the folder is ours");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_sealgate"), bin.join("sealgate")).expect("the folder is ours");
    furnish(folder.path());
    let mut shell = Shell::start(folder.path(), &bin);
    let mut names = Names::default();
    let mut faults = Vec::new();
    for step in steps(page) {
        match step {
            Step::File { name, text } => write_private(&folder.path().join(name), &names.ours(&text)),
            Step::Command { line, command, expected } => {
                let Some(printed) = shell.run(&names.ours(&command)) else {
                    faults.push(format!("line {line}: {command}: did not end"));
                    break;
                };
                let printed = names.theirs(&printed);
                if !names.fits(&expected, &printed.lines().collect::<Vec<_>>()) {
                    faults.push(format!(
                        "line {line}: $ {command}\nthe page says:\n{}\nit prints:\n{printed}",
                        expected.join("\n")
                    ));
                }
            }
        }
    }
    faults
}

/// What every reader has already: an app, and a client secret.
fn furnish(folder: &Path) {
    fs::create_dir_all(folder.join("web/dist")).expect("the folder is ours");
    fs::write(folder.join("web/dist/index.html"), "<!doctype html>").expect("the folder is ours");
    write_private(&folder.join("client_secret"), "hunter2\n");
}

fn write_private(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("the folder is ours");
    fs::write(path, text).expect("the folder is ours");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("the file is ours");
}

#[derive(Debug, PartialEq)]
enum Step<'a> {
    File { name: &'a str, text: String },
    Command { line: usize, command: String, expected: Vec<&'a str> },
}

fn steps(page: &str) -> Vec<Step<'_>> {
    let mut steps = Vec::new();
    let mut lines = page.lines().enumerate();
    let mut file = None;
    while let Some((_, line)) = lines.next() {
        if let Some(name) = line.strip_prefix("<!-- file: ").and_then(|rest| rest.strip_suffix(" -->")) {
            file = Some(name);
        } else if let Some(kind) = line.strip_prefix("```") {
            let block: Vec<_> = lines.by_ref().take_while(|(_, line)| *line != "```").collect();
            if let Some(name) = file.take() {
                let text = block.iter().map(|(_, line)| format!("{line}\n")).collect();
                steps.push(Step::File { name, text });
            } else if kind == "console" {
                steps.extend(commands(&block));
            }
        }
    }
    steps
}

fn commands<'a>(block: &[(usize, &'a str)]) -> Vec<Step<'a>> {
    let mut steps: Vec<Step<'a>> = Vec::new();
    for &(number, text) in block {
        match steps.last_mut() {
            _ if text.starts_with("$ ") => {
                let command = text["$ ".len()..].to_owned();
                steps.push(Step::Command { line: number + 1, command, expected: Vec::new() });
            }
            Some(Step::Command { command, .. }) if command.ends_with('\\') => *command += &format!("\n{text}"),
            Some(Step::Command { expected, .. }) => expected.push(text),
            _ => panic!("line {}: a console block begins with `$ `", number + 1),
        }
    }
    steps
}

/// One bash for a whole page, so that variables and background processes last; all of it ends with the value.
struct Shell {
    bash: Child,
    input: ChildStdin,
    output: Receiver<String>,
}

impl Shell {
    fn start(folder: &Path, bin: &Path) -> Self {
        let path = std::env::var("PATH").expect("the tests have a PATH");
        let mut command = Command::new("bash");
        let ours = std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SEALGATE"));
        ours.for_each(|(name, _)| _ = command.env_remove(name));
        let mut bash = command
            .current_dir(folder)
            .env("PATH", format!("{}:{path}", bin.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .expect("bash is installed");
        let mut input = bash.stdin.take().expect("it is piped");
        let output = lines(bash.stdout.take().expect("it is piped"));
        writeln!(input, "exec 2>&1").expect("bash reads");
        Self { bash, input, output }
    }

    /// What a command prints on both outputs; `None` when it takes too long.
    fn run(&mut self, command: &str) -> Option<String> {
        writeln!(self.input, "{command}\necho; echo '{MARK}'").expect("bash reads");
        let mut printed = Vec::new();
        loop {
            match self.output.recv_timeout(PATIENCE) {
                Ok(line) if line == MARK => break,
                Ok(line) => printed.push(line),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
            }
        }
        // Ours, before the mark.
        if printed.last().is_some_and(String::is_empty) {
            printed.pop();
        }
        Some(printed.join("\n"))
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // The whole group: servers in the background too.
        let group = format!("-{}", self.bash.id());
        _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        _ = self.bash.wait();
    }
}

/// The lines of a stream as they come. The thread ends with the stream.
fn lines(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// What a page calls things, and what they are called in this run.
#[derive(Default)]
struct Names {
    /// Key id on the page → key id here.
    kids: BTreeMap<String, String>,
    /// Port on the page → port here.
    ports: BTreeMap<String, u16>,
}

const LOOPBACK: [&str; 2] = ["127.0.0.1:", "localhost:"];

impl Names {
    fn ours(&mut self, text: &str) -> String {
        let mut text = text.to_owned();
        for host in LOOPBACK {
            let digits = |rest: &str| rest.chars().take_while(char::is_ascii_digit).collect::<String>();
            for port in text.split(host).skip(1).map(digits).filter(|port| !port.is_empty()).collect::<Vec<_>>() {
                let ours = *self.ports.entry(port.clone()).or_insert_with(free_port);
                text = text.replace(&format!("{host}{port}"), &format!("{host}\u{0}{ours}"));
            }
        }
        let text = text.replace('\u{0}', "");
        self.kids.iter().fold(text, |text, (theirs, ours)| text.replace(theirs, ours))
    }

    fn theirs(&self, text: &str) -> String {
        self.ports.iter().fold(text.to_owned(), |text, (theirs, ours)| {
            LOOPBACK.iter().fold(text, |text, host| text.replace(&format!("{host}{ours}"), &format!("{host}{theirs}")))
        })
    }

    fn fits(&mut self, expected: &[&str], printed: &[&str]) -> bool {
        match (expected, printed) {
            ([], []) => true,
            (["...", rest @ ..], _) => (0..=printed.len()).any(|skipped| self.fits(rest, &printed[skipped..])),
            ([theirs, expected @ ..], [ours, printed @ ..]) => {
                self.line_fits(theirs, ours) && self.fits(expected, printed)
            }
            _ => false,
        }
    }

    fn line_fits(&mut self, theirs: &str, ours: &str) -> bool {
        let (theirs, ours) = (words(theirs.trim_end()), words(ours.trim_end()));
        let same = |(theirs, ours): (&Word<'_>, &Word<'_>)| match (theirs, ours) {
            (Word::Kid(theirs), Word::Kid(ours)) => self.kids.get(*theirs).is_none_or(|bound| bound == ours),
            (theirs, ours) => theirs == ours,
        };
        if theirs.len() != ours.len() || !theirs.iter().zip(&ours).all(same) {
            return false;
        }
        for pair in theirs.iter().zip(&ours) {
            if let (Word::Kid(theirs), Word::Kid(ours)) = pair {
                self.kids.insert((*theirs).to_owned(), (*ours).to_owned());
            }
        }
        true
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("it is bound").port()
}

/// A piece of a line: what is compared to the letter, and what is compared by its form.
#[derive(Debug, PartialEq)]
enum Word<'a> {
    Text(&'a str),
    Kid(&'a str),
    Digest,
    Uuid,
    Time,
    /// `in 8h 21m`, of how long something still takes.
    Span,
    /// Below the folder for temporary files.
    Path,
}

fn words(line: &str) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    for piece in line.split(' ') {
        // Text and its punctuation: `9ac1014e:` is a key id, `(in` the beginning of a span.
        let core = piece.trim_matches(|c: char| "(),.;:\"`'…".contains(c));
        let start = piece.find(core).unwrap_or_default();
        let (before, behind) = (&piece[..start], &piece[start + core.len()..]);
        let in_a_span = matches!(words.last(), Some(Word::Span));
        let word = match core {
            _ if is_span(core) && (in_a_span || words.ends_with(&[Word::Text("(in")])) => Word::Span,
            _ if is_hex(core, 64) || (is_hex(core, 8) && behind.starts_with('…')) => Word::Digest,
            _ if is_hex(core, 8) => Word::Kid(core),
            _ if is_time(core) => Word::Time,
            _ if core.len() == 36 && core.split('-').map(str::len).eq([8, 4, 4, 4, 12]) => Word::Uuid,
            _ if core.starts_with("/tmp/") => Word::Path,
            _ => Word::Text(piece),
        };
        match word {
            Word::Text(_) => words.push(word),
            // `10m` and `9m 59s` have the same form.
            Word::Span => {
                words.extend((!in_a_span).then_some(Word::Span));
                words.extend((!behind.is_empty()).then_some(Word::Text(behind)));
            }
            Word::Digest => words.push(Word::Digest),
            word => words.extend([Word::Text(before), word, Word::Text(behind)]),
        }
    }
    words
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// `2026-11-23T04:35:18Z`, also with a fraction.
fn is_time(text: &str) -> bool {
    let form = |c: char| if c.is_ascii_digit() { '0' } else { c };
    let form: String = text.chars().map(form).collect();
    form.starts_with("0000-00-00T00:00:00") && form.ends_with('Z')
}

fn is_span(text: &str) -> bool {
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    number != text && !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
}

#[test]
fn a_command_that_prints_something_else_is_found() {
    let faults = walk("```console\n$ echo one\none\n$ echo two\nthree\n```\n");
    assert_eq!(faults, ["line 4: $ echo two\nthe page says:\nthree\nit prints:\ntwo"]);
}

#[test]
fn what_differs_from_run_to_run_is_compared_by_its_form() {
    let mut names = Names::default();
    assert!(names.fits(
        &["Key 0cbe13fa: 2026-11-23T12:46:18Z (in 8h 21m)."],
        &["Key 11111111: 2027-01-01T00:00:00Z (in 8h 20m)."]
    ));
    assert!(names.fits(&["..."], &["a", "b"]) && names.fits(&["a", "...", "c"], &["a", "b", "c"]));
    assert!(!names.fits(&["key 0cbe13fa"], &["key 22222222"]), "one name for two keys");
    assert!(!names.fits(&["(in 8h)"], &["(at 8h)"]) && !names.fits(&["a"], &["a", "b"]));
    assert_eq!(names.ours("revoke 0cbe13fa"), "revoke 11111111");
    assert!(names.fits(&["digest fbaddb79…"], &[&*format!("digest {}", "ab".repeat(32))]));
}

#[test]
fn a_page_s_files_and_commands_are_found_and_its_other_blocks_left_alone() {
    let page = "<!-- file: a.toml -->\n```toml\nb = 1\n```\n```sh\nrm -rf /\n```\n```console\n$ cat \\\n  a.toml\nb = 1\n```\n";
    assert_eq!(
        steps(page),
        [
            Step::File { name: "a.toml", text: "b = 1\n".to_owned() },
            Step::Command { line: 9, command: "cat \\\n  a.toml".to_owned(), expected: vec!["b = 1"] },
        ]
    );
    assert!(walk(page).is_empty());
}
