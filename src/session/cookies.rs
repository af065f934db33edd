//! Our cookies on the wire: their names, how they are read from `Cookie` and written as `Set-Cookie`, and how a long
//! session is split.
//!
//! The first character of chunk 0 is the number of chunks, so that a stale chunk can never be joined. Nothing in a
//! `Cookie` field may lead to more than "signed out" (RFC 6265bis §4.2).

use std::borrow::Cow;
use std::time::Duration;

use crate::session::SameSite;

/// The most chunks that a session is split into.
pub const MAX_CHUNKS: usize = 3;
/// The longest `Set-Cookie` value of a session that is one cookie: the head of a callback response then fits nginx's
/// default buffer.
pub const MAX_SINGLE_LINE: usize = 3_200;
/// The longest `Set-Cookie` value of a chunk; browsers keep 4,096 bytes of name and value (RFC 6265bis §5.6).
pub const MAX_CHUNK_LINE: usize = 3_799;
/// How many cookies of ours one request is looked at for; browsers never have half as many.
const MAX_OWN_COOKIES: usize = 64;
/// The cookie that load balancers hash a session by; no secret, and no prefix, so that nginx variables can name it.
pub const AFFINITY_COOKIE: &str = "sealgate_affinity";

const HOST_PREFIX: &str = "__Host-";
const BLANKS: [char; 2] = [' ', '\t'];

/// The names of all our cookies at one site.
#[derive(Clone, Debug)]
pub struct CookieNames {
    chunks: [String; MAX_CHUNKS],
    seen: String,
    tombstone: String,
    login: String,
    refresh_marker: String,
    secure: bool,
}

impl CookieNames {
    /// Derives the names from the configured one. Without https the `__Host-` prefix and `Secure` are dropped, because
    /// browsers may refuse them there.
    pub fn new(configured: &str, https: bool) -> Self {
        let base = if https { configured } else { configured.strip_prefix(HOST_PREFIX).unwrap_or(configured) };
        Self {
            chunks: [base.to_owned(), format!("{base}.1"), format!("{base}.2")],
            seen: format!("{base}-seen"),
            tombstone: format!("{base}-ended"),
            login: format!("{base}-login"),
            refresh_marker: format!("{base}-conflict"),
            secure: https,
        }
    }

    /// The session cookie's base name: that of chunk 0.
    pub fn session(&self) -> &str {
        &self.chunks[0]
    }

    /// The names of a session's chunks, in order.
    pub fn chunks(&self) -> &[String; MAX_CHUNKS] {
        &self.chunks
    }

    /// The cookie of the last activity.
    pub fn seen(&self) -> &str {
        &self.seen
    }

    /// The cookie of sessions that have ended.
    pub fn tombstone(&self) -> &str {
        &self.tombstone
    }

    /// What the names of login cookies begin with; also the name that they are sealed under.
    pub fn login(&self) -> &str {
        &self.login
    }

    /// The cookie of a refresh that was lost to another replica.
    pub fn refresh_marker(&self) -> &str {
        &self.refresh_marker
    }

    /// Whether the cookies carry `Secure`.
    pub fn secure(&self) -> bool {
        self.secure
    }

    fn is_ours(&self, name: &[u8]) -> bool {
        let behind = name.strip_prefix(self.session().as_bytes());
        match behind {
            Some([]) => true,
            // Only names that we could have set: a deletion repeats the name.
            Some([b'.' | b'-', rest @ ..]) => {
                rest.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
            }
            _ => name == AFFINITY_COOKIE.as_bytes(),
        }
    }
}

/// Our cookies in one request. Several `Cookie` fields are read as one (RFC 9113 §8.2.3).
#[derive(Debug, Default)]
pub struct RequestCookies<'a> {
    ours: Vec<OwnCookie<'a>>,
}

/// A cookie of ours as a request has it.
#[derive(Debug)]
struct OwnCookie<'a> {
    name: Cow<'a, str>,
    value: Cow<'a, str>,
}

impl<'a> OwnCookie<'a> {
    /// The cookie in `pair` (`name=value`, perhaps with blanks around it), if it is ours and its value reads as text.
    fn of(pair: &'a [u8], names: &CookieNames) -> Option<Self> {
        let equals = memchr::memchr(b'=', pair)?;
        // The name first: other applications' values need not be looked at.
        let name = trim_start(&pair[..equals]);
        if !names.is_ours(name) {
            return None;
        }
        let name = Cow::Borrowed(std::str::from_utf8(name).ok()?);
        // As fast as the processor can: the session is thousands of characters.
        let value = simdutf8::basic::from_utf8(&pair[equals + 1..]).ok()?;
        Some(Self { name, value: Cow::Borrowed(value.trim_end_matches(BLANKS)) })
    }

    /// What it adds to the `Cookie` line.
    fn characters(&self) -> usize {
        characters_in_line(self.name.len(), self.value.len())
    }
}

fn trim_start(name: &[u8]) -> &[u8] {
    let blanks = name.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    &name[blanks..]
}

/// A name of ours that the request carries more than once: which one is meant cannot be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the cookie is sent more than once")]
pub struct RepeatedCookie;

impl<'a> RequestCookies<'a> {
    /// Picks our cookies out of `fields`; everything else in them is passed over.
    pub fn parse(fields: impl IntoIterator<Item = &'a [u8]>, names: &CookieNames) -> Self {
        let pairs = fields.into_iter().flat_map(pairs_of);
        let ours = pairs.filter_map(|pair| OwnCookie::of(pair, names)).take(MAX_OWN_COOKIES).collect();
        Self { ours }
    }

    /// The same, without the request.
    pub fn into_owned(self) -> RequestCookies<'static> {
        let own = |text: Cow<'a, str>| Cow::Owned(text.into_owned());
        let cookies =
            self.ours.into_iter().map(|cookie| OwnCookie { name: own(cookie.name), value: own(cookie.value) });
        RequestCookies { ours: cookies.collect() }
    }

    /// The value of the cookie `name`, if the request has it.
    ///
    /// # Errors
    /// [`RepeatedCookie`].
    pub fn value(&self, name: &str) -> Result<Option<&str>, RepeatedCookie> {
        let mut values = self.ours.iter().filter(|cookie| cookie.name == name).map(|cookie| &*cookie.value);
        match (values.next(), values.next()) {
            (_, Some(_)) => Err(RepeatedCookie),
            (first, None) => Ok(first),
        }
    }

    /// Whether the request has the cookie `name` at all.
    pub fn has(&self, name: &str) -> bool {
        self.ours.iter().any(|cookie| cookie.name == name)
    }

    /// Names and values of the cookies whose names begin with `prefix`.
    pub fn beginning_with<'b>(&'b self, prefix: &'b str) -> impl Iterator<Item = (&'b str, &'b str)> {
        let among = self.ours.iter().filter(move |cookie| cookie.name.starts_with(prefix));
        among.map(|cookie| (&*cookie.name, &*cookie.value))
    }

    /// The names of all cookies of ours that the request carries, each once.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.ours.iter().map(|cookie| &*cookie.name).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// What all cookies of ours add to the `Cookie` line.
    pub fn characters(&self) -> usize {
        self.ours.iter().map(OwnCookie::characters).sum()
    }

    /// What the cookies of these names add to the `Cookie` line.
    pub fn characters_of(&self, names: &[String]) -> usize {
        let among = self.ours.iter().filter(|cookie| names.iter().any(|name| *name == cookie.name));
        among.map(OwnCookie::characters).sum()
    }

    /// The sealed session, joined from its chunks.
    pub fn session(&self, names: &CookieNames) -> SessionCookie<'_> {
        let first = match self.value(names.session()) {
            Ok(None) => return SessionCookie::Absent,
            Ok(Some(first)) => first,
            Err(RepeatedCookie) => return SessionCookie::Broken,
        };
        let Some((count, head)) = split_count(first) else { return SessionCookie::Broken };
        if count == 1 {
            return SessionCookie::Present { sealed: Cow::Borrowed(head), characters: first.len() };
        }
        let mut sealed = head.to_owned();
        for name in &names.chunks()[1..count] {
            match self.value(name) {
                Ok(Some(chunk)) if !chunk.is_empty() => sealed.push_str(chunk),
                _ => return SessionCookie::Broken,
            }
        }
        SessionCookie::Present { characters: sealed.len() + 1, sealed: Cow::Owned(sealed) }
    }
}

fn pairs_of(field: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(field);
    std::iter::from_fn(move || {
        let field = rest?;
        let (pair, behind) = match memchr::memchr(b';', field) {
            Some(end) => (&field[..end], Some(&field[end + 1..])),
            None => (field, None),
        };
        rest = behind;
        Some(pair)
    })
}

/// What a request has of a session cookie.
#[derive(Debug, PartialEq, Eq)]
pub enum SessionCookie<'a> {
    /// Nothing.
    Absent,
    /// Repeated names, a missing chunk, or no count.
    Broken,
    /// A whole value.
    Present {
        /// The sealed text.
        sealed: Cow<'a, str>,
        /// Characters of all chunks' values together.
        characters: usize,
    },
}

/// What a cookie adds to the `Cookie` line: `name=value; `.
pub const fn characters_in_line(name: usize, value: usize) -> usize {
    name + value + 3
}

fn split_count(first: &str) -> Option<(usize, &str)> {
    let count = match first.as_bytes().first()? {
        digit @ b'1'..=b'3' => usize::from(digit - b'0'),
        _ => return None,
    };
    Some((count, &first[1..]))
}

/// A whole `Set-Cookie` field value.
pub type SetCookie = String;

/// The session does not fit the most chunks that we write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the session needs {characters} characters and does not fit {MAX_CHUNKS} cookies")]
pub struct TooManyChunks {
    /// Characters of the sealed text.
    pub characters: usize,
}

/// The `Set-Cookie` values that carry `sealed` as the session, one or up to [`MAX_CHUNKS`].
///
/// # Errors
/// [`TooManyChunks`].
pub fn session_lines(
    names: &CookieNames,
    sealed: &str,
    same_site: SameSite,
    max_age: Option<Duration>,
) -> Result<Vec<SetCookie>, TooManyChunks> {
    let mut rest = sealed;
    let mut chunks = Vec::new();
    for name in names.chunks() {
        // The first is never longer than a session of one cookie, so that whatever needs more is two at least, and
        // what a larger session leaves behind is no more than its own share beside a smaller one.
        let (limit, count_character) = if chunks.is_empty() { (MAX_SINGLE_LINE, 1) } else { (MAX_CHUNK_LINE, 0) };
        let around = set_cookie(names, name, "", same_site, max_age).len() + count_character;
        let (chunk, behind) = rest.split_at_checked(limit.saturating_sub(around)).unwrap_or((rest, ""));
        chunks.push((name, chunk));
        rest = behind;
        if rest.is_empty() {
            break;
        }
    }
    if !rest.is_empty() {
        return Err(TooManyChunks { characters: sealed.len() });
    }
    let count = chunks.len().to_string();
    let lines = chunks.iter().enumerate().map(|(index, (name, chunk))| {
        let value = if index == 0 { format!("{count}{chunk}") } else { (*chunk).to_owned() };
        set_cookie(names, name, &value, same_site, max_age)
    });
    Ok(lines.collect())
}

/// One `Set-Cookie` value with the attributes that all our cookies have (RFC 10017 §6.1.3.2); without `max_age` it
/// lasts until the browser closes.
pub fn set_cookie(
    names: &CookieNames,
    name: &str,
    value: &str,
    same_site: SameSite,
    max_age: Option<Duration>,
) -> SetCookie {
    let mut line = format!("{name}={value}; Path=/; HttpOnly; SameSite=");
    line.push_str(match same_site {
        SameSite::Strict => "Strict",
        SameSite::Lax => "Lax",
        SameSite::None => "None",
    });
    if names.secure() {
        line.push_str("; Secure");
    }
    if let Some(max_age) = max_age {
        line.push_str(&format!("; Max-Age={}", max_age.as_secs()));
    }
    line
}

/// The `Set-Cookie` value that deletes `name`.
pub fn delete_cookie(names: &CookieNames, name: &str, same_site: SameSite) -> SetCookie {
    set_cookie(names, name, "", same_site, Some(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> CookieNames {
        CookieNames::new("__Host-sealgate", true)
    }

    fn cookie_field(lines: &[SetCookie]) -> String {
        lines.iter().map(|line| line.split(';').next().expect("a pair")).collect::<Vec<_>>().join("; ")
    }

    fn joined(field: &str) -> Option<String> {
        match RequestCookies::parse([field.as_bytes()], &names()).session(&names()) {
            SessionCookie::Present { sealed, .. } => Some(sealed.into_owned()),
            _ => None,
        }
    }

    /// RFC 10017 §6.1.3.2.
    #[test]
    fn cookies_have_every_attribute_that_protects_them() {
        let line = set_cookie(&names(), names().session(), "1x", SameSite::Strict, Some(Duration::from_secs(60)));
        assert_eq!(line, "__Host-sealgate=1x; Path=/; HttpOnly; SameSite=Strict; Secure; Max-Age=60");
        let plain = CookieNames::new("__Host-sealgate", false);
        let line = set_cookie(&plain, plain.session(), "1x", SameSite::Lax, None);
        assert_eq!(line, "sealgate=1x; Path=/; HttpOnly; SameSite=Lax");
    }

    /// RFC 6265bis §5.6; chunks at an exact multiple of the size.
    #[test]
    fn every_length_splits_into_lines_within_the_limits_and_joins_again() {
        let max_age = Some(Duration::from_secs(28_800));
        let around = set_cookie(&names(), names().session(), "1", SameSite::Strict, max_age).len();
        let first = MAX_SINGLE_LINE - around;
        let other = MAX_CHUNK_LINE - around - 1;
        for (length, chunks) in
            [(0, 1), (first, 1), (first + 1, 2), (first + other, 2), (first + other + 1, 3), (first + 2 * other, 3)]
        {
            let sealed: String = (0..length).map(|index| char::from(b'a' + (index % 26) as u8)).collect();
            let lines = session_lines(&names(), &sealed, SameSite::Strict, max_age).expect("it fits");
            assert_eq!(lines.len(), chunks, "{length}");
            assert!(lines[0].len() <= MAX_SINGLE_LINE, "{length}");
            assert!(lines.iter().all(|line| line.len() <= MAX_CHUNK_LINE), "{length}");
            assert_eq!(joined(&cookie_field(&lines)).as_deref(), Some(sealed.as_str()), "{length}");
        }
        let too_long = "a".repeat(first + 2 * other + 1);
        assert!(session_lines(&names(), &too_long, SameSite::Strict, max_age).is_err());
    }

    /// DESIGN §4: the first chunk says how many there are.
    #[test]
    fn a_stale_chunk_is_never_joined() {
        assert_eq!(joined("__Host-sealgate=1abc; __Host-sealgate.1=old"), Some("abc".into()));
        assert_eq!(joined("__Host-sealgate=2abc; __Host-sealgate.1=def; __Host-sealgate.2=old"), Some("abcdef".into()));
    }

    /// RFC 6265bis §4.2, CVE-2023-28625, CVE-2024-24814.
    #[test]
    fn broken_cookies_are_signed_out_and_nothing_worse() {
        for field in [
            "__Host-sealgate=2abc",
            "__Host-sealgate=",
            "__Host-sealgate=9abc",
            "__Host-sealgate=0abc",
            "__Host-sealgate",
            "__Host-sealgate=1a; __Host-sealgate=1a",
            "__Host-sealgate=2a; __Host-sealgate.1=b; __Host-sealgate.1=b",
            "__Host-sealgate=99999999999999999999",
            "__Host-sealgate=2abc; __Host-sealgate.1=",
            "=1a",
            ";;;=;",
            "\u{feff}__Host-sealgate=1a",
        ] {
            assert_eq!(joined(field), None, "{field:?}");
        }
        let not_utf8 = RequestCookies::parse([b"__Host-sealgate=1\xff".as_slice()], &names());
        assert_eq!(not_utf8.session(&names()), SessionCookie::Absent);
    }

    /// RFC 9113 §8.2.3.
    #[test]
    fn several_cookie_fields_are_read_as_one() {
        let fields = [b"a=b; __Host-sealgate=2ab".as_slice(), b"__Host-sealgate.1=cd; c=d"];
        let cookies = RequestCookies::parse(fields, &names());
        assert_eq!(cookies.session(&names()), SessionCookie::Present { sealed: "abcd".into(), characters: 5 });
    }

    #[test]
    fn other_applications_cookies_are_not_ours() {
        let cookies =
            RequestCookies::parse([b"__Host-sealgatex=1; sealgate=2; __Host-sealgate-seen=3".as_slice()], &names());
        assert!(!cookies.has("__Host-sealgatex") && !cookies.has("sealgate"));
        assert_eq!(cookies.value("__Host-sealgate-seen"), Ok(Some("3")));
    }
}
