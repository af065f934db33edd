//! The description of cookies: a table and a paragraph each for people, JSON for machines.
//!
//! Names of cookies and claims are anybody's text: they must not move the cursor.

use std::io::{self, Write};

use serde::Serialize;

use crate::cli::moment::moment;
use crate::clock::UnixTime;
use crate::keyring::{KeyId, KeyState};
use crate::session::inspect::{Contents, Kind, SessionContents, TokenContents, TokenForm};

/// Everything that was found.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Whether the request is signed in, and why not; none without the keys.
    pub(super) session: Option<String>,
    pub(super) cookies: Vec<CookieReport>,
}

/// One cookie of ours.
#[derive(Debug, Serialize)]
pub(super) struct CookieReport {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) version: Option<u8>,
    pub(super) kid: Option<KeyId>,
    pub(super) key_state: Option<KeyState>,
    pub(super) chunks: usize,
    pub(super) characters: usize,
    pub(super) bytes: Option<usize>,
    /// None where nobody tried.
    pub(super) opens: Option<bool>,
    pub(super) problem: Option<String>,
    pub(super) contents: Option<Contents>,
}

const HEADINGS: [&str; 9] = ["COOKIE", "KIND", "VERSION", "KEY", "KEY STATE", "CHUNKS", "CHARACTERS", "BYTES", "OPENS"];

impl Report {
    pub(super) fn write(&self, json: bool, now: UnixTime, out: &mut dyn Write) -> io::Result<()> {
        if json {
            serde_json::to_writer_pretty(&mut *out, self)?;
            return writeln!(out);
        }
        self.write_table(out)?;
        for cookie in &self.cookies {
            cookie.write_details(now, out)?;
        }
        match &self.session {
            Some(session) => writeln!(out, "\nThe request is {session}."),
            None => writeln!(out, "\nWith --config the cookies are opened, and their contents described."),
        }
    }

    fn write_table(&self, out: &mut dyn Write) -> io::Result<()> {
        let rows: Vec<_> =
            std::iter::once(HEADINGS.map(str::to_owned)).chain(self.cookies.iter().map(CookieReport::row)).collect();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: [usize; HEADINGS.len()] = std::array::from_fn(width);
        for row in &rows {
            let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
            writeln!(out, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
        }
        Ok(())
    }
}

impl CookieReport {
    fn row(&self) -> [String; HEADINGS.len()] {
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        [
            printable(&self.name),
            self.kind.name().to_owned(),
            or_dash(self.version.map(|version| version.to_string())),
            or_dash(self.kid.map(|kid| kid.to_string())),
            or_dash(self.key_state.map(|state| state.to_string())),
            self.chunks.to_string(),
            self.characters.to_string(),
            or_dash(self.bytes.map(|bytes| bytes.to_string())),
            or_dash(self.opens.map(|opens| if opens { "yes" } else { "no" }.to_owned())),
        ]
    }

    fn write_details(&self, now: UnixTime, out: &mut dyn Write) -> io::Result<()> {
        let name = printable(&self.name);
        if let Some(problem) = &self.problem {
            writeln!(out, "\n{name}: {problem}.")?;
        }
        let Some(contents) = &self.contents else { return Ok(()) };
        writeln!(out, "\n{name}:")?;
        for (what, text) in lines(contents, now) {
            writeln!(out, "  {what:<14} {}", printable(&text))?;
        }
        Ok(())
    }
}

type Line = (&'static str, String);

fn lines(contents: &Contents, now: UnixTime) -> Vec<Line> {
    match contents {
        Contents::Session(session) => session_lines(session, now),
        Contents::Activity { sid, at } => vec![("session", sid.clone()), ("last activity", moment(*at, now))],
        Contents::Tombstone { ended } => ended
            .iter()
            .map(|ended| {
                let (sid, generation) = (&ended.sid, ended.generation);
                ("ended", format!("{sid}, gen {generation}, remembered until {}", moment(ended.until, now)))
            })
            .collect(),
        Contents::ConflictMarker { sid, generation, since } => {
            vec![("session", format!("{sid}, gen {generation}")), ("refresh failed", moment(*since, now))]
        }
        Contents::Logout { sid, at } => vec![("session", sid.clone()), ("signed out", moment(*at, now))],
        Contents::Login { started_at, expires_at, replaces_session, issuer, client_id } => vec![
            ("provider", format!("{issuer}, client {client_id}")),
            ("started", moment(*started_at, now)),
            ("ends", moment(*expires_at, now)),
            ("replaces", if *replaces_session { "a session" } else { "no session" }.to_owned()),
        ],
    }
}

fn session_lines(session: &SessionContents, now: UnixTime) -> Vec<Line> {
    let mut lines = vec![
        ("session", format!("{}, gen {}", session.sid, session.generation)),
        ("provider", format!("{}, client {}", session.issuer, session.client_id)),
        ("issued", moment(session.issued_at, now)),
        ("absolute end", moment(session.absolute_end, now)),
    ];
    lines.extend(session.tokens.iter().map(|token| (token.token, token_text(token, now))));
    if let Some(claims) = &session.kept_claims {
        lines.push(("claims", format!("kept without the ID token: {}", claims.join(", "))));
    }
    if let Some(claims) = &session.userinfo_claims {
        lines.push(("UserInfo", format!("beside the ID token: {}", claims.join(", "))));
    }
    lines
}

fn token_text(token: &TokenContents, now: UnixTime) -> String {
    let mut text = token.api.as_ref().map(|api| format!("for {api}, ")).unwrap_or_default();
    text.push_str(&format!("{} characters", token.characters));
    if let Some(lifetime) = token.lifetime {
        let lifetime = std::time::Duration::from_secs(lifetime);
        text.push_str(&format!(", lives {}", humantime::format_duration(lifetime)));
    }
    if let Some(end) = token.expires_at {
        let expires = if end > now { "expires" } else { "expired" };
        text.push_str(&format!(", {expires} {}", moment(end, now)));
    }
    if let Some(scopes) = &token.scopes {
        text.push_str(&format!(", scopes {scopes}"));
    }
    match token.form {
        TokenForm::Jwt if token.claims.is_empty() => text.push_str("; a JWT"),
        TokenForm::Jwt => text.push_str(&format!("; a JWT with {}", token.claims.join(", "))),
        TokenForm::Encrypted => text.push_str("; an encrypted JWT"),
        TokenForm::Opaque => text.push_str("; no JWT"),
    }
    text
}

fn printable(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}
