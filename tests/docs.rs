//! Holds the documents to the code: the table of errors is complete, commands print what the pages say, links lead
//! somewhere.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use sealgate::metrics::{Handler, Metrics, OpenedWith, Outcome};
use sealgate::web::problem::PROBLEM_TYPES;

#[path = "docs/commands.rs"]
mod commands;
#[path = "docs/conformance.rs"]
mod conformance;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{} cannot be read: {error}", path.display()))
}

#[test]
fn the_table_of_errors_has_every_type_with_its_status_and_no_other() {
    let documented = documented_types(&read(&root().join("docs/errors.md")));
    let real: BTreeMap<String, u16> = PROBLEM_TYPES.iter().map(|kind| (kind.name.to_owned(), kind.status)).collect();
    assert_eq!(documented, real, "left: docs/errors.md, right: src/web/problem.rs");
}

/// The rows whose first cell is one word of code and whose second is a number.
fn documented_types(text: &str) -> BTreeMap<String, u16> {
    let mut types = BTreeMap::new();
    for row in text.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 4, "type, status, cause and remedy: {row}");
        assert!(cells.iter().all(|cell| !cell.is_empty()), "an empty cell: {row}");
        let status = cells[1].parse().unwrap_or_else(|_| panic!("no status code: {row}"));
        let earlier = types.insert(cells[0].trim_matches('`').to_owned(), status);
        assert!(earlier.is_none(), "documented twice: {row}");
    }
    types
}

/// What stands between `before` and the next character that cannot belong to a name.
fn names_behind<'a>(text: &'a str, before: &str) -> BTreeSet<&'a str> {
    let end = |rest: &str| rest.find(|c: char| !c.is_ascii_lowercase() && c != '_').unwrap_or(rest.len());
    text.split(before).skip(1).map(|rest| &rest[..end(rest)]).collect()
}

#[test]
fn the_operator_s_guide_names_every_counter_and_audit_event_and_no_other() {
    let guide = read(&root().join("docs/operations.md"));
    let metrics = Metrics::default();
    // Those with labels are printed once they have been counted.
    metrics.count_request(Handler::Proxy, 200);
    metrics.count_login(Outcome::Started);
    metrics.count_refresh(Outcome::Succeeded);
    metrics.count_application_token(Outcome::Succeeded);
    metrics.count_logout(Outcome::Succeeded);
    metrics.count_open(OpenedWith::Primary);
    let rendered = metrics.render();
    let real: BTreeSet<String> =
        names_behind(&rendered, "# TYPE sealgate_").iter().map(|name| format!("{name}_total")).collect();
    let named = names_behind(&guide, "sealgate_").into_iter().map(str::to_owned);
    let named: BTreeSet<String> = named.filter(|name| name != "affinity").collect();
    assert_eq!(named, real, "left: docs/operations.md, right: src/metrics.rs");

    let sources: String = sources(&root().join("src")).iter().map(|file| read(file)).collect();
    let events = names_behind(&sources, "event = \"");
    let last = guide.split("`sealgate::audit`:").nth(1).expect("the list of events");
    let listed: BTreeSet<&str> = last.split('`').skip(1).step_by(2).collect();
    assert_eq!(listed, events, "left: docs/operations.md, right: src/");
}

#[test]
fn the_table_of_instruction_counts_is_what_was_committed() {
    let committed = read(&root().join("benches/instructions.json"));
    let committed: BTreeMap<String, u64> = serde_json::from_str(&committed).expect("names and counts");
    let page = read(&root().join("docs/benchmarks.md"));
    let table = page.split("<!-- counted: ").nth(1).and_then(|rest| rest.split("<!--").next()).expect("the table");
    let row = |row: &str| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let count = cells.last()?.replace(',', "").parse().ok()?;
        Some((cells[0].trim_matches('`').to_owned(), count))
    };
    assert_eq!(table.lines().filter_map(row).collect::<BTreeMap<_, _>>(), committed, "left: the page");
}

/// Every Rust file below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder of the repository");
    let paths = entries.map(|entry| entry.expect("a readable entry").path());
    paths
        .flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

#[test]
fn the_reference_has_every_endpoint_and_command() {
    let reference = read(&root().join("docs/reference.md"));
    let tables = ["src/server.rs", "src/server/easy_auth.rs"].map(|file| read(&root().join(file)));
    let endpoints = tables.iter().flat_map(|table| names_behind(table, "(\"/")).map(str::to_owned).collect();
    let commands = |of: &str| -> BTreeSet<String> {
        let help = sealgate(root(), &format!("{of} --help"));
        let listed = help.split("Commands:\n").nth(1).unwrap_or_default().lines().take_while(|line| !line.is_empty());
        // Behind two blanks; more of them continue a description.
        let names = listed.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
        let names = names.filter(|name| !["", "help"].contains(name));
        names.map(str::to_owned).collect()
    };
    let groups = ["keys", "cookie", "config"];
    let top = commands("").into_iter().filter(|name| !groups.contains(&&**name)).collect();
    let all: [BTreeSet<String>; 5] = [endpoints, top, commands("keys"), commands("cookie"), commands("config")];
    let missing = |names: &BTreeSet<String>| -> Vec<String> {
        let named = |name: &&String| reference.split(|c: char| !c.is_ascii_lowercase()).any(|word| word == **name);
        names.iter().filter(|name| !named(name)).cloned().collect()
    };
    assert!(all.iter().all(|names| !names.is_empty()), "{all:?}");
    assert_eq!(all.iter().flat_map(missing).collect::<Vec<_>>(), [] as [String; 0]);
}

/// What the binary prints, on both outputs, when it is successful.
fn sealgate(folder: &Path, arguments: &str) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sealgate"));
    let output = command.args(arguments.split_whitespace()).current_dir(folder).output();
    let output = output.expect("the binary under test runs");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "sealgate {arguments}: {printed}");
    printed
}

#[test]
fn the_readme_s_configuration_passes_the_check() {
    let readme = read(&root().join("README.md"));
    let toml = readme.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a TOML example");
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("the folder is ours");
    fs::create_dir_all(folder.path().join("web/dist")).expect("the folder is ours");
    write("web/dist/index.html", "<!doctype html>");
    write("sealgate.toml", toml);
    write("client_secret", "hunter2\n");
    let private = fs::Permissions::from_mode(0o600);
    fs::set_permissions(folder.path().join("client_secret"), private).expect("the file is ours");
    for arguments in ["keys generate", "check --config sealgate.toml --offline"] {
        let printed = sealgate(folder.path(), arguments);
        assert!(!printed.contains("warning:"), "sealgate {arguments}: {printed}");
    }
}

#[test]
fn every_command_of_a_page_prints_what_the_page_says() {
    let faults = |page: &PathBuf| {
        let faults = commands::walk(&read(page));
        faults.into_iter().map(|fault| format!("{}: {fault}", page.display())).collect::<Vec<_>>()
    };
    // Most of a walk is waiting for servers, so the pages are followed side by side.
    let pages: Vec<PathBuf> = pages().into_iter().filter(|page| read(page).contains("\n```console\n")).collect();
    let walks = std::thread::scope(|scope| {
        let walks: Vec<_> = pages.iter().map(|page| scope.spawn(move || faults(page))).collect();
        walks.into_iter().flat_map(|walk| walk.join().expect("a walk ends")).collect::<Vec<_>>()
    });
    assert!(pages.len() > 3, "the pages with commands are found");
    assert!(walks.is_empty(), "\n{}", walks.join("\n\n"));
}

#[test]
fn no_page_has_a_place_that_was_to_be_filled() {
    let is_left = |line: &str| line.len() > 3 && line.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    for page in pages() {
        let text = read(&page);
        let left: Vec<&str> = prose(&text).filter(|line| is_left(line)).collect();
        assert!(left.is_empty(), "{}: {left:?}", page.display());
    }
}

#[test]
fn every_internal_link_leads_to_a_file_and_a_heading() {
    let pages = pages();
    let broken: Vec<String> = pages.iter().flat_map(|page| broken_links(page, &read(page))).collect();
    assert!(pages.len() > 5, "the pages are found");
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn every_file_that_the_architecture_names_is_there() {
    let page = read(&root().join("ARCHITECTURE.md"));
    let missing: Vec<&str> = prose(&page).flat_map(missing_files).chain(missing_from_pictures(&page)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// The files below src that fenced text names and that are nowhere.
fn missing_from_pictures(page: &str) -> Vec<&str> {
    let words = page.split("```").skip(1).step_by(2).flat_map(|fenced| fenced.split([' ', '\n', ',', '│']));
    words
        .filter(|word| word.ends_with(".rs") && !root().join("src").join(word.trim_start_matches("src/")).exists())
        .collect()
}

/// The files and folders among a line's code spans that are nowhere: from the root, from src, or beside the last one.
fn missing_files(line: &str) -> Vec<&str> {
    let mut beside = root().to_owned();
    let mut missing = Vec::new();
    let spans = line.split('`').skip(1).step_by(2);
    for name in spans.filter(|span| !span.starts_with('/') && (span.ends_with(".rs") || span.ends_with('/'))) {
        let places = [root().join(name), root().join("src").join(name), beside.join(name)];
        match places.into_iter().find(|place| place.exists()) {
            Some(place) => beside = place.parent().map(Path::to_owned).unwrap_or_default(),
            None => missing.push(name),
        }
    }
    missing
}

/// The pages at the top, in docs, in keys and in deploy.
fn pages() -> Vec<PathBuf> {
    let recipes = ["haproxy", "nginx", "envoy", "kubernetes", "container", "systemd"];
    let mut folders = vec![root().to_owned(), root().join("docs"), root().join("docs/migrate")];
    folders.extend([root().join("keys"), root().join("deploy")]);
    folders.extend(recipes.map(|recipe| root().join("deploy").join(recipe)));
    let entries = folders.iter().flat_map(|folder| fs::read_dir(folder).expect("a folder of the repository"));
    let mut pages: Vec<PathBuf> = entries
        .map(|entry| entry.expect("a readable entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    pages.sort();
    pages
}

fn broken_links(page: &Path, text: &str) -> Vec<String> {
    let folder = page.parent().expect("a page lies in a folder");
    links(text)
        .into_iter()
        .filter_map(|link| Some(format!("{}: {link}: {}", page.display(), fault(page, folder, &link)?)))
        .collect()
}

/// What is wrong with a link; links to other hosts are not followed.
fn fault(page: &Path, folder: &Path, link: &str) -> Option<&'static str> {
    if link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    let (path, anchor) = link.split_once('#').map_or((link, None), |(path, anchor)| (path, Some(anchor)));
    let target = if path.is_empty() { page.to_owned() } else { folder.join(path) };
    if !target.exists() {
        return Some("there is no such file");
    }
    let anchor = anchor?;
    (!anchors(&read(&target)).contains(&anchor.to_owned())).then_some("there is no such heading")
}

/// The lines outside fenced code.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut fenced = false;
    text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    })
}

/// The targets of `[text](target)`, `![text](target)` and `[label]: target`; code spans are no links.
fn links(text: &str) -> Vec<String> {
    let mut links = Vec::new();
    for line in prose(text) {
        if let Some((label, target)) = line.split_once("]: ").filter(|_| line.starts_with('[')) {
            assert!(!label.contains(']'), "a reference: {line}");
            links.push(target.trim().to_owned());
        }
        let outside_code: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
        let targets = outside_code.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        links.extend(targets.map(str::to_owned));
    }
    links
}

/// The anchors that GitHub gives to headings: lower case, spaces as hyphens, other punctuation left out, a number behind
/// those that repeat.
fn anchors(text: &str) -> Vec<String> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let headings = prose(text).filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    headings
        .map(|heading| {
            let kept = heading.chars().filter(|character| character.is_alphanumeric() || " -_".contains(*character));
            let slug: String = kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect();
            let count = seen.entry(slug.clone()).or_default();
            *count += 1;
            if *count == 1 { slug } else { format!("{slug}-{}", *count - 1) }
        })
        .collect()
}

#[test]
fn every_test_that_a_page_names_is_there() {
    let pages = pages();
    let named: Vec<(String, PathBuf)> = pages.iter().flat_map(|page| named_tests(page, &read(page))).collect();
    let missing: Vec<_> = named.iter().filter(|(name, file)| !read(file).contains(&format!("fn {name}()"))).collect();
    assert!(named.len() > 20, "the names are found");
    assert!(missing.is_empty(), "{missing:#?}");
}

/// Links from the name of a test to its file: ``[`name`](file.rs)``.
fn named_tests(page: &Path, text: &str) -> Vec<(String, PathBuf)> {
    let folder = page.parent().expect("a page lies in a folder");
    let link = |part: &str| {
        let (name, rest) = part.split_once("`](")?;
        let file = rest.split(')').next().filter(|file| file.ends_with(".rs"))?;
        (!name.contains(['.', '/'])).then(|| (name.to_owned(), folder.join(file)))
    };
    prose(text).flat_map(|line| line.split("[`").skip(1).filter_map(link).collect::<Vec<_>>()).collect()
}

#[test]
fn a_link_is_found_in_each_of_its_forms_and_not_in_code() {
    let text = "[a](b.md) ![c](d.png) `[no](no.md)` [e](#f)\n[r]: g.md\n```\n[no](no.md)\n```\n";
    assert_eq!(links(text), ["b.md", "d.png", "#f", "g.md"]);
}

#[test]
fn a_link_that_leads_nowhere_is_found() {
    let page = root().join("README.md");
    let broken =
        broken_links(&page, "[a](nowhere.md) [b](SECURITY.md#no-such-heading) [c](LICENSE-MIT) [d](https://x.example)");
    assert_eq!(broken.len(), 2, "{broken:?}");
}

#[test]
fn a_file_that_is_gone_is_found_and_one_beside_another_is_not() {
    assert_eq!(missing_files("`src/oidc/jwks.rs`, `token.rs`, `refresh.rs`, `/bff/`"), [] as [&str; 0]);
    assert_eq!(missing_files("`src/oidc/gone.rs`, `src/gone/`"), ["src/oidc/gone.rs", "src/gone/"]);
    assert_eq!(
        missing_from_pictures("gone.rs\n```\n a ▶ web/gone.rs│ web/api.rs, src/main.rs\n```\n"),
        ["web/gone.rs"]
    );
}

#[test]
fn anchors_are_made_as_github_makes_them() {
    let text = "# Where is it?\n## `keys rotate`, in four lines\n## Twice\n## Twice\n```\n# no heading\n```\n";
    assert_eq!(anchors(text), ["where-is-it", "keys-rotate-in-four-lines", "twice", "twice-1"]);
}
