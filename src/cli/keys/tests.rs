use clap::Parser;

use super::*;

const NOW: UnixTime = UnixTime::from_secs(1_795_428_000);

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    keys: KeysArgs,
}

struct Bench {
    directory: tempfile::TempDir,
    clock: Clock,
}

impl Bench {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("a temporary directory"), clock: Clock::manual(NOW) }
    }

    fn ring(&self) -> PathBuf {
        self.directory.path().join("keys/ring.json")
    }

    fn run(&self, arguments: &[&str]) -> Result<String, KeysError> {
        let ring = self.ring();
        let arguments = [&["keys"], arguments, &["--ring", ring.to_str().expect("UTF-8")]].concat();
        let command = Command::try_parse_from(arguments).expect("right usage");
        let mut out = Vec::new();
        run(command.keys, &self.clock, Streams { input: &mut io::empty(), out: &mut out, messages: &mut io::sink() })?;
        Ok(String::from_utf8(out).expect("UTF-8"))
    }

    fn kids(&self) -> Vec<String> {
        let ring = RingFile::new(self.ring()).read().expect("a valid ring");
        ring.states(NOW).map(|(record, _)| record.kid().to_string()).collect()
    }
}

#[test]
fn the_definition_of_the_commands_is_sound() {
    use clap::CommandFactory as _;
    Command::command().debug_assert();
}

#[test]
fn generate_makes_a_ring_and_says_what_to_do_next() {
    let bench = Bench::new();
    let shown = bench.run(&["generate", "--propagation", "5m", "--max-session", "1h"]).expect("a new ring");
    let ring = RingFile::new(bench.ring()).read().expect("a valid ring");
    assert_eq!((ring.propagation(), ring.max_session()), (Duration::from_secs(300), Duration::from_secs(3600)));
    assert!(shown.contains(&format!("with key {} (xaes-256-gcm)", bench.kids()[0])), "{shown}");
    assert!(shown.contains("sealgate serve") && shown.contains("keys rotate"), "{shown}");
    assert!(!shown.contains("sgk1_"), "{shown}");
}

#[test]
fn generate_never_overwrites() {
    let bench = Bench::new();
    bench.run(&["generate"]).expect("a new ring");
    let kids = bench.kids();
    let error = bench.run(&["generate"]).expect_err("there is a ring");
    assert!(error.to_string().contains("keys rotate"), "{error}");
    assert_eq!(bench.kids(), kids);
}

#[test]
fn generate_names_the_duration_that_is_out_of_bounds() {
    let error = Bench::new().run(&["generate", "--propagation", "0s"]).expect_err("no time at all");
    assert!(error.to_string().contains("propagation: \"0s\" is not a whole number of seconds from 1s"), "{error}");
}

#[test]
fn rotate_says_which_key_takes_over_when_and_until_when_the_old_one_opens() {
    let bench = Bench::new();
    bench.run(&["generate"]).expect("a new ring");
    let shown = bench.run(&["rotate", "--note", "yearly"]).expect("nothing is staged");
    let [old, new] = bench.kids().try_into().expect("two keys");
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(
        lines,
        [
            format!(
                "Staged key {new} (xaes-256-gcm): it opens from now on, and seals from 2026-11-23T10:10:00Z (in 10m)."
            ),
            format!("Key {old} seals until then, and opens until 2026-11-23T18:21:00Z (in 8h 21m)."),
            "Next: see that every replica has generation 2 by 2026-11-23T10:10:00Z (in 10m).".to_owned(),
        ]
    );
}

#[test]
fn rotate_changes_settings_and_says_what_that_does_to_living_sessions() {
    let bench = Bench::new();
    bench.run(&["generate"]).expect("a new ring");
    let shown = bench.run(&["rotate", "--max-session", "12h", "--propagation", "20m"]).expect("nothing is staged");
    assert!(shown.contains("seals from 2026-11-23T10:20:00Z (in 20m)"), "{shown}");
    assert!(shown.contains("opens until 2026-11-23T22:41:00Z (in 12h 41m)"), "{shown}");
    assert!(shown.contains("max_session is 12h instead of 8h: living sessions keep their end; for longer ones raise"));
    assert!(shown.contains("propagation is 20m instead of 10m from the next rotation on;"), "{shown}");
    let ring = RingFile::new(bench.ring()).read().expect("a valid ring");
    assert_eq!((ring.propagation(), ring.max_session()), (Duration::from_secs(1200), Duration::from_secs(43_200)));
    bench.clock.advance(Duration::from_secs(1200));
    let shown = bench.run(&["rotate", "--max-session", "1h"]).expect("nothing is staged");
    assert!(
        shown.contains("max_session is 1h instead of 12h: living sessions keep their end; new ones end"),
        "{shown}"
    );
    assert!(shown.contains("opens until 2026-11-23T23:01:00Z"), "the longer of both counts for the old key: {shown}");
    let error = bench.run(&["rotate", "--max-session", "0s"]).expect_err("no time at all").to_string();
    assert!(error.contains("no key was staged: max_session: \"0s\" is not"), "{error}");
}

#[test]
fn rotate_takes_a_later_time_and_another_algorithm() {
    let bench = Bench::new();
    bench.run(&["generate"]).expect("a new ring");
    let arguments = ["rotate", "--activate-after", "1h", "--algorithm", "xchacha20-poly1305"];
    let shown = bench.run(&arguments).expect("nothing is staged");
    assert!(shown.contains("(xchacha20-poly1305)") && shown.contains("2026-11-23T11:00:00Z (in 1h)"), "{shown}");
}

#[test]
fn rotate_refuses_by_name_of_the_file_and_the_reason() {
    let bench = Bench::new();
    let missing = bench.run(&["rotate"]).expect_err("no ring");
    assert!(missing.to_string().contains("keys generate --ring"), "{missing}");
    bench.run(&["generate"]).expect("a new ring");
    let soon = bench.run(&["rotate", "--activate-after", "1m"]).expect_err("too soon");
    let path = bench.ring().display().to_string();
    assert!(soon.to_string().starts_with(&path) && soon.to_string().contains("give 10m or more"), "{soon}");
    bench.run(&["rotate"]).expect("nothing is staged");
    let pending = bench.run(&["rotate"]).expect_err("one is staged");
    assert!(pending.to_string().contains(&bench.kids()[1]), "{pending}");
}

#[test]
fn list_shows_an_aligned_table_and_what_happens_next() {
    let bench = Bench::new();
    bench.run(&["generate"]).expect("a new ring");
    let [first] = bench.kids().try_into().expect("one key");
    let shown = bench.run(&["list"]).expect("a valid ring");
    assert!(
        shown.ends_with(&format!(
            "\n\nNext: nothing by itself; `sealgate keys rotate` brings key {first} a successor.\n"
        ))
    );
    bench.run(&["rotate", "--note", "two\nlines"]).expect("nothing is staged");
    let [_, second] = bench.kids().try_into().expect("two keys");
    let staged = bench.run(&["list"]).expect("a valid ring");
    let expected = format!(
        "KID       STATE    ALG           CREATED               ACTIVE FROM           OPENS UNTIL           STILL OPENS \
         SESSIONS OF      NOTE\n\
         {first}  primary  xaes-256-gcm  2026-11-23T10:00:00Z  2026-11-23T10:00:00Z  2026-11-23T18:21:00Z  2026-11-23T10\
         :00:00Z to now\n\
         {second}  staged   xaes-256-gcm  2026-11-23T10:00:00Z  2026-11-23T10:10:00Z  -                     none yet                     two lines\n\
         \n\
         Next: key {second} becomes primary at 2026-11-23T10:10:00Z (in 10m), and key {first} retires.\n"
    );
    assert_eq!(staged, expected);
    bench.clock.advance(Duration::from_secs(600));
    let retired = bench.run(&["list"]).expect("a valid ring");
    assert!(retired.contains(&format!("{first}  retired")) && retired.contains(&format!("{second}  primary")));
    assert!(retired.ends_with(&format!("Next: key {first} stops opening at 2026-11-23T18:21:00Z (in 8h 11m).\n")));
}

#[test]
fn list_shows_which_sessions_each_key_still_opens() {
    let bench = Bench::new();
    bench.run(&["generate"]).expect("a new ring");
    bench.run(&["rotate"]).expect("nothing is staged");
    let [first, second] = bench.kids().try_into().expect("two keys");
    let row = |shown: &str, kid: &str| {
        let row = shown.lines().find(|line| line.starts_with(kid)).expect("a row of that key");
        row.to_owned()
    };
    bench.clock.advance(Duration::from_secs(8 * 3600));
    let shown = bench.run(&["list"]).expect("a valid ring");
    assert!(row(&shown, &first).ends_with("2026-11-23T10:00:00Z to 2026-11-23T10:20:00Z"), "{shown}");
    assert!(row(&shown, &second).ends_with("2026-11-23T10:10:00Z to now"), "{shown}");
    bench.run(&["revoke", &first, "--yes"]).expect("confirmed");
    let shown = bench.run(&["list"]).expect("a valid ring");
    assert!(row(&shown, &first).ends_with("none, revoked 2026-11-23T18:00:00Z"), "{shown}");
    let listing: serde_json::Value =
        serde_json::from_str(&bench.run(&["list", "--json"]).expect("a valid ring")).expect("JSON");
    assert_eq!(listing["keys"][1]["still_opens"]["from"], "2026-11-23T10:10:00Z");
    assert!(listing["keys"][0]["still_opens"].is_null());
}

#[test]
fn list_prints_json_without_key_texts() {
    let bench = Bench::new();
    bench.run(&["generate"]).expect("a new ring");
    bench.run(&["rotate"]).expect("nothing is staged");
    let shown = bench.run(&["list", "--json"]).expect("a valid ring");
    let listing: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!((&listing["generation"], &listing["propagation"]), (&2.into(), &"10m".into()));
    assert_eq!(listing["keys"][0]["state"], "primary");
    assert_eq!(listing["keys"][1]["not_before"], "2026-11-23T10:10:00Z");
    assert!(listing["next"].as_str().expect("a text").contains("becomes primary"));
    assert!(!shown.contains("sgk1_"), "{shown}");
}

#[test]
fn revoke_without_yes_says_what_would_end_and_changes_nothing() {
    let bench = Bench::new();
    bench.run(&["generate"]).expect("a new ring");
    let [kid] = bench.kids().try_into().expect("one key");
    bench.clock.advance(Duration::from_secs(7200));
    let error = bench.run(&["revoke", &kid]).expect_err("not confirmed").to_string();
    assert_eq!(
        error,
        format!(
            "{}: key {kid} (primary) was not revoked: every session that it sealed from 2026-11-23T10:00:00Z to now \
             would end at once (2h of sessions), and a new key would seal at once; \
             add --yes to go on",
            bench.ring().display()
        )
    );
    assert_eq!(RingFile::new(bench.ring()).read().expect("a valid ring").generation(), 1);
    bench.run(&["rotate"]).expect("nothing is staged");
    let staged = bench.kids().remove(1);
    let error = bench.run(&["revoke", &staged]).expect_err("not confirmed").to_string();
    assert!(error.contains("(staged) was not revoked: no session ends by it; add --yes"), "{error}");
}

#[test]
fn revoke_erases_the_key_and_names_the_one_that_seals_instead() {
    let bench = Bench::new();
    bench.run(&["generate"]).expect("a new ring");
    let [first] = bench.kids().try_into().expect("one key");
    let shown = bench.run(&["revoke", &first, "--yes"]).expect("confirmed");
    let [_, second] = bench.kids().try_into().expect("the tombstone and the replacement");
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(
        lines,
        [
            format!("Revoked key {first}, which was primary: the key is erased and its cookies are refused."),
            format!("The new key {second} seals from now on."),
            "Next: see that every replica has generation 2 by 2026-11-23T10:10:00Z (in 10m).".to_owned(),
            "A replica that does not have it yet goes on taking the revoked key's cookies, and cannot open those of the \
             new key."
                .to_owned(),
        ]
    );
    let listed = bench.run(&["list"]).expect("a valid ring");
    assert!(listed.contains(&format!("{first}  revoked")) && listed.contains(&format!("{second}  primary")));
    let error = bench.run(&["revoke", &first, "--yes"]).expect_err("revoked already").to_string();
    assert!(error.contains("no key was revoked: key") && error.contains("already"), "{error}");
}

#[test]
fn prune_keeps_what_may_still_be_needed_and_says_until_when() {
    let bench = Bench::new();
    bench.run(&["generate"]).expect("a new ring");
    bench.run(&["rotate"]).expect("nothing is staged");
    let [first, _] = bench.kids().try_into().expect("two keys");
    bench.clock.advance(Duration::from_secs(3600));
    let shown = bench.run(&["prune"]).expect("a valid ring");
    assert!(shown.starts_with("Nothing to remove;"), "{shown}");
    let kept = format!(
        "Kept key {first} (retired) until 2026-11-23T18:21:00Z (in 7h 21m): sessions that it sealed may be alive.\n"
    );
    assert!(shown.ends_with(&kept), "{shown}");
    assert_eq!(RingFile::new(bench.ring()).read().expect("a valid ring").generation(), 2, "it was not written");
}

#[test]
fn prune_removes_expired_keys_and_names_them() {
    let bench = Bench::new();
    bench.run(&["generate"]).expect("a new ring");
    bench.run(&["rotate"]).expect("nothing is staged");
    let [first, second] = bench.kids().try_into().expect("two keys");
    bench.clock.advance(Duration::from_secs(86_400));
    let shown = bench.run(&["prune"]).expect("a valid ring");
    assert!(shown.starts_with(&format!("Removed key {first}, which was expired.\nNext: see")), "{shown}");
    assert_eq!(bench.kids(), [second]);
}

#[test]
fn postpone_says_when_the_key_takes_over_now_and_by_when_replicas_must_know() {
    let bench = Bench::new();
    bench.run(&["generate"]).expect("a new ring");
    bench.run(&["rotate"]).expect("nothing is staged");
    let [first, second] = bench.kids().try_into().expect("two keys");
    let shown = bench.run(&["postpone", &second, "--by", "1h"]).expect("staged");
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(
        lines,
        [
            format!("Postponed key {second}: it seals from 2026-11-23T11:10:00Z (in 1h 10m)."),
            format!("Key {first} seals until then, and opens until 2026-11-23T19:21:00Z (in 9h 21m)."),
            "Next: see that every replica has generation 3 by 2026-11-23T10:10:00Z (in 10m): the others would begin to \
             seal with the key."
                .to_owned(),
        ]
    );
    let error = bench.run(&["postpone", &first]).expect_err("not staged").to_string();
    assert!(error.starts_with(&bench.ring().display().to_string()), "{error}");
    assert!(error.contains(&format!("key {first} is primary, and only a staged key can be postponed")), "{error}");
}

#[test]
fn retire_lets_the_staged_key_seal_before_its_time() {
    let bench = Bench::new();
    bench.run(&["generate"]).expect("a new ring");
    bench.run(&["rotate", "--activate-after", "30days"]).expect("nothing is staged");
    let [first, second] = bench.kids().try_into().expect("two keys");
    let soon = bench.run(&["retire", &first]).expect_err("too soon").to_string();
    assert!(soon.contains("no key was retired") && soon.contains("wait until then"), "{soon}");
    bench.clock.advance(Duration::from_secs(600));
    let shown = bench.run(&["retire", &first]).expect("staged for long enough");
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(
        lines,
        [
            format!("Retired key {first}: it opens until 2026-11-23T18:21:00Z (in 8h 11m)."),
            format!("Key {second}, which was staged, seals from now on."),
            "Next: see that every replica has generation 3 by 2026-11-23T10:20:00Z (in 10m).".to_owned(),
        ]
    );
}

/// Answers one request after the other with these bodies, the last one from then on; its URL.
fn replica(bodies: Vec<String>) -> String {
    use std::io::Read as _;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    std::thread::spawn(move || {
        let mut left = bodies.len();
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let length = stream.read(&mut [0; 4096]).expect("a request in one piece");
            assert!(length > 0);
            let body = &bodies[bodies.len() - left];
            left = (left - 1).max(1);
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            stream.write_all(format!("{head}{body}").as_bytes()).expect("somebody reads");
        }
    });
    url
}

fn summary(ring: &KeyRing) -> String {
    format!(r#"{{"generation": {}, "digest": "{}", "keys": []}}"#, ring.generation(), ring.digest())
}

impl Bench {
    fn check(&self, arguments: &[&str]) -> (String, Option<String>) {
        let ring = self.ring();
        let arguments = [&["keys", "check", "--ring", ring.to_str().expect("UTF-8")], arguments].concat();
        let command = Command::try_parse_from(arguments).expect("right usage");
        let mut out = Vec::new();
        let streams = Streams { input: &mut io::empty(), out: &mut out, messages: &mut io::sink() };
        let error = run(command.keys, &self.clock, streams).err().map(|error| error.to_string());
        (String::from_utf8(out).expect("UTF-8"), error)
    }
}

#[test]
fn check_shows_the_ring_and_each_key_with_its_dates() {
    let bench = Bench::new();
    bench.run(&["generate"]).expect("a new ring");
    bench.run(&["rotate"]).expect("nothing is staged");
    let [first, second] = bench.kids().try_into().expect("two keys");
    let (shown, error) = bench.check(&[]);
    assert_eq!(error, None);
    assert!(shown.contains("private and valid, generation 2, digest "), "{shown}");
    assert!(shown.contains(&format!("ok     key {first}: primary since 2026-11-23T10:00:00Z\n")), "{shown}");
    assert!(
        shown.contains(&format!("key {second}: staged, becomes primary at 2026-11-23T10:10:00Z (in 10m)")),
        "{shown}"
    );
    let (json, _) = bench.check(&["--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!((&json["ok"], &json["generation"]), (&true.into(), &2.into()));
}

#[test]
fn check_finds_keys_from_the_future() {
    let bench = Bench::new();
    bench.run(&["generate"]).expect("a new ring");
    let early = Bench { directory: bench.directory, clock: Clock::manual(NOW.minus(Duration::from_secs(3600))) };
    let (shown, error) = early.check(&[]);
    assert!(shown.contains("created 2026-11-23T10:00:00Z is in the future; set the clock"), "{shown}");
    assert!(error.expect("problems").contains("the check found 2 problem(s)"), "that, and no primary: {shown}");
}

#[test]
fn check_names_the_replicas_that_use_another_ring() {
    let bench = Bench::new();
    bench.run(&["generate"]).expect("a new ring");
    let old = summary(&RingFile::new(bench.ring()).read().expect("a valid ring"));
    bench.run(&["rotate"]).expect("nothing is staged");
    let new = summary(&RingFile::new(bench.ring()).read().expect("a valid ring"));
    let (ahead, behind, strange) = (replica(vec![new]), replica(vec![old]), replica(vec!["<html>".to_owned()]));
    let (shown, error) = bench.check(&["--replica", &ahead, &behind, &strange]);
    assert!(shown.contains(&format!("ok     {ahead}: uses this ring, generation 2")), "{shown}");
    assert!(shown.contains(&format!("error  {behind}: uses generation 1 instead of 2")), "{shown}");
    assert!(shown.contains(&format!("error  {strange}: the answer is no summary of a ring")), "{shown}");
    assert!(error.is_some() && !shown.contains("everywhere"), "{shown}");
}

#[test]
fn check_waits_until_the_ring_has_arrived_everywhere() {
    let bench = Bench::new();
    bench.run(&["generate"]).expect("a new ring");
    let old = summary(&RingFile::new(bench.ring()).read().expect("a valid ring"));
    bench.run(&["rotate"]).expect("nothing is staged");
    let new = summary(&RingFile::new(bench.ring()).read().expect("a valid ring"));
    let late = replica(vec![old, new]);
    let (shown, error) = bench.check(&["--replica", &late, "--wait", "1m"]);
    assert_eq!(error, None, "{shown}");
    let staged = &bench.kids()[1];
    let arrived = format!("Generation 2 has arrived everywhere. The staging of key {staged} has: every replica opens");
    assert!(shown.contains(&arrived), "{shown}");
}

fn piped(input: &[u8], arguments: &[&str]) -> Result<(Vec<u8>, String), KeysError> {
    let command = Command::try_parse_from([&["keys"], arguments].concat()).expect("right usage");
    let (mut out, mut messages) = (Vec::new(), Vec::new());
    let streams = Streams { input: &mut &*input, out: &mut out, messages: &mut messages };
    run(command.keys, &Clock::manual(NOW), streams)?;
    Ok((out, String::from_utf8(messages).expect("UTF-8")))
}

#[test]
fn in_a_pipe_the_changed_ring_goes_out_and_messages_beside_it() {
    let ring = KeyRing::generate(Algorithm::default(), Duration::from_secs(600), Duration::from_secs(28_800), NOW);
    let json = ring.expect("valid settings").to_json();
    let pipe = ["--ring", "-", "--output", "-"];
    let (out, messages) = piped(&json, &[&["rotate"], &pipe[..]].concat()).expect("a valid ring");
    assert_eq!(KeyRing::parse(&out).expect("a ring alone").generation(), 2);
    assert!(messages.starts_with("Staged key ") && !messages.contains("sgk1_"), "{messages}");
    let (same, messages) = piped(&json, &[&["prune"], &pipe[..]].concat()).expect("a valid ring");
    assert!(same == *json && messages.starts_with("Nothing to remove"), "{messages}");
    let error = piped(b"{}", &[&["rotate"], &pipe[..]].concat()).expect_err("no ring").to_string();
    assert!(error.starts_with("standard input: not a key ring"), "{error}");
    assert!(matches!(piped(&json, &["rotate", "--ring", "-"]), Err(KeysError::NoOutput)));
    assert!(matches!(piped(&json, &["generate", "--ring", "-"]), Err(KeysError::NoOutput)));
    assert!(matches!(piped(&json, &[&["list"], &pipe[..]].concat()), Err(KeysError::NeedlessOutput)));
    assert!(matches!(piped(&json, &["rotate", "--output", "-"]), Err(KeysError::NeedlessOutput)));
}

#[test]
fn a_ring_is_made_into_a_pipe_and_looked_at_from_one() {
    let made = ["generate", "--max-session", "12h", "--ring", "-", "--output", "-"];
    let (json, messages) = piped(b"not looked at", &made).expect("valid settings");
    assert_eq!(KeyRing::parse(&json).expect("a ring alone").max_session(), Duration::from_secs(12 * 3_600));
    assert!(messages.starts_with("Made a key ring with key "), "{messages}");
    let (list, _) = piped(&json, &["list", "--ring", "-"]).expect("a valid ring");
    let (checked, _) = piped(&json, &["check", "--ring", "-"]).expect("a valid ring");
    let (list, checked) = (String::from_utf8_lossy(&list), String::from_utf8_lossy(&checked));
    assert!(list.contains("primary") && !list.contains("sgk1_"), "{list}");
    assert!(checked.starts_with("ok     standard input: valid, generation 1"), "{checked}");
}
