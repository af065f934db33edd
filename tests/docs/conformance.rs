//! Holds docs/conformance.md to the tests: a row that counts as shown names tests that are there, every other one says
//! why, and the sums at its top are those of its rows.

use std::collections::BTreeMap;

use crate::{read, root, sources};

const STANDARDS: &str = "The standards";
const MODULES: &str = "Relying-party conformance";
const COMPLAINTS: &str = "Complaints of peers' users";
const STATES: [&str; 4] = ["shown", "partly", "not done", "does not apply"];

/// A row of one of the three tables.
struct Row {
    /// Its first cell: a number, a module's name or a complaint.
    name: String,
    /// What Sealgate does, or why it does not.
    how: String,
    state: String,
    /// The tests: name, and file from the root.
    tests: Vec<(String, String)>,
}

impl Row {
    fn parse(line: &str) -> Self {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        assert!(cells.len() >= 4 && cells.iter().all(|cell| !cell.is_empty()), "a row with its cells filled: {line}");
        let [how, state, shown] = cells[cells.len() - 3..] else { unreachable!("three of at least four cells") };
        Self {
            name: cells[0].trim_matches('`').to_owned(),
            how: how.to_owned(),
            state: state.to_owned(),
            tests: shown.split("[`").skip(1).map(test).collect(),
        }
    }

    /// What is wrong with it.
    fn fault(&self) -> Option<String> {
        let missing = self.tests.iter().find(|(name, file)| comment_of_test(&read(&root().join(file)), name).is_none());
        let reason = |words: &str| self.how.contains(words);
        let fault = match (&*self.state, missing) {
            (_, Some((name, file))) => format!("{file} has no test {name}"),
            ("shown", None) if self.tests.is_empty() => "it is shown by nothing".to_owned(),
            ("shown", None) if reason("**Not done:**") || reason("**Does not apply:**") => "it is not whole".to_owned(),
            ("partly", None) if self.tests.is_empty() => "no part of it is shown".to_owned(),
            ("partly" | "not done", None) if !reason("**Not done:** ") => {
                "it does not say why it is not done".to_owned()
            }
            ("does not apply", None) if !reason("**Does not apply:** ") => "it does not say why not".to_owned(),
            (state, None) if !STATES.contains(&state) => format!("there is no state {state:?}"),
            (_, None) => return None,
        };
        Some(format!("{}: {fault}", self.name))
    }
}

/// What stands behind ``[` ``: ``name`](../file.rs)``.
fn test(link: &str) -> (String, String) {
    let (name, rest) = link.split_once("`](../").unwrap_or_else(|| panic!("no link to a file: {link}"));
    let (file, _) = rest.split_once(')').unwrap_or_else(|| panic!("a link without an end: {link}"));
    (name.to_owned(), file.to_owned())
}

/// The documentation comment of a test, on one line; none if there is no such test.
fn comment_of_test(source: &str, name: &str) -> Option<String> {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let declaration = format!("fn {name}()");
    let at = lines.iter().position(|line| line.trim_start_matches("async ").starts_with(&declaration))?;
    let above = lines[..at].iter().rev().take_while(|line| line.starts_with("///") || line.starts_with("#["));
    let (comment, attributes): (Vec<&str>, Vec<&str>) = above.partition(|line| line.starts_with("///"));
    let words: Vec<&str> = comment.iter().rev().map(|line| line.trim_start_matches('/').trim()).collect();
    attributes.iter().any(|attribute| attribute.contains("test")).then(|| words.join(" "))
}

fn page() -> String {
    read(&root().join("docs/conformance.md"))
}

/// The rows of all tables under a heading.
fn rows(page: &str, heading: &str) -> Vec<Row> {
    let section = page.split("\n## ").find(|section| section.starts_with(heading)).expect("the section is there");
    let lines: Vec<&str> = section.lines().collect();
    let is_rule = |line: Option<&&str>| line.is_some_and(|line| line.starts_with("| ---"));
    let rows = lines
        .iter()
        .enumerate()
        .filter(|(number, line)| line.starts_with('|') && !is_rule(Some(line)) && !is_rule(lines.get(number + 1)));
    rows.map(|(_, line)| Row::parse(line)).collect()
}

#[test]
fn every_row_of_the_conformance_page_names_its_tests_or_says_why_not() {
    let page = page();
    let rows = [STANDARDS, MODULES, COMPLAINTS].into_iter().flat_map(|heading| rows(&page, heading));
    let faults: Vec<String> = rows.filter_map(|row| row.fault()).collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn every_row_of_the_checklist_is_there_once() {
    let names: Vec<String> = rows(&page(), STANDARDS).into_iter().map(|row| row.name).collect();
    let all: Vec<String> = (1..=40).map(|number| format!("A{number}")).collect();
    assert_eq!(names, all);
}

#[test]
fn the_sums_of_the_conformance_page_are_those_of_its_rows() {
    let page = page();
    for heading in [STANDARDS, MODULES, COMPLAINTS] {
        let rows = rows(&page, heading);
        let counts = STATES.map(|state| rows.iter().filter(|row| row.state == state).count());
        let [shown, partly, not_done, does_not_apply] = counts;
        let sums = format!("| {} | {shown} | {partly} | {not_done} | {does_not_apply} |", rows.len());
        let line =
            page.lines().find(|line| line.starts_with(&format!("| [{heading}]"))).expect("a line of the summary");
        assert!(line.ends_with(&sums), "{line}\nhas to end with\n{sums}");
    }
}

#[test]
fn every_complaint_has_a_test_whose_comment_names_it() {
    for row in rows(&page(), COMPLAINTS) {
        let named = format!("Complaint of peers' users: {}", row.name);
        let comments = row.tests.iter().filter_map(|(name, file)| comment_of_test(&read(&root().join(file)), name));
        assert!(comments.into_iter().any(|comment| comment.contains(&named)), "no test says {named:?}");
    }
}

/// The way back: a module that a test says it is the counterpart of.
#[test]
fn every_module_that_a_test_names_has_its_row_and_no_module_has_two() {
    let page = page();
    let mut rows_of: BTreeMap<String, usize> = BTreeMap::new();
    rows(&page, MODULES).into_iter().for_each(|row| *rows_of.entry(row.name).or_default() += 1);
    assert!(rows_of.values().all(|count| *count == 1), "{rows_of:?}");
    let sources: String = sources(&root().join("tests/hostile")).iter().map(|file| read(file)).collect();
    let ends = |rest: &str| rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(rest.len());
    let named = sources.match_indices("oidcc-client-test").map(|(at, _)| &sources[at..at + ends(&sources[at..])]);
    let missing: Vec<&str> = named.filter(|name| !rows_of.contains_key(*name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn a_row_that_shows_nothing_or_gives_no_reason_is_found() {
    let here = "[`a_row_that_shows_nothing_or_gives_no_reason_is_found`](../tests/docs/conformance.rs)";
    let fault = |cells: &str| Row::parse(&format!("| A1 | a | {cells} |")).fault();
    assert_eq!(fault(&format!("yes | shown | {here}")), None);
    assert_eq!(fault("**Not done:** why | not done | –"), None);
    for cells in [
        "yes | shown | –",
        "yes | not done | –",
        "no | does not apply | –",
        "**Not done:** why | partly | –",
        "yes | good | –",
        &format!("**Not done:** why | shown | {here}"),
        "yes | shown | [`no_such_test`](../tests/docs/conformance.rs)",
        "yes | shown | [`page`](../tests/docs/conformance.rs)",
    ] {
        assert!(fault(cells).is_some(), "{cells}");
    }
}
