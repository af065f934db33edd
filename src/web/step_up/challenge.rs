//! Reads `WWW-Authenticate` (RFC 9110 §11.6.1) as far as a step-up challenge needs it: the whole field by its grammar, or
//! not at all.
//!
//! It is the upstream's text, and parts of it go into an address: what is not plainly right is no challenge.

/// Bytes of all the fields of one response that are looked at; more is no challenge.
const MAX_BYTES: usize = 4096;
/// The longest `acr_values`, as the login endpoint takes it.
const MAX_ACR_VALUES: usize = 512;
/// A hundred million seconds are three years.
const MAX_AGE_DIGITS: usize = 8;

/// What an API wants of a login (RFC 9470 §3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StepUp {
    /// Authentication context classes, space-separated, the best liked first.
    pub(super) acr_values: Option<String>,
    /// Seconds since the user authenticated, at most.
    pub(super) max_age: Option<u32>,
}

/// The first Bearer challenge with `error="insufficient_user_authentication"` in these fields.
pub(super) fn step_up<'a>(fields: impl Iterator<Item = &'a [u8]>) -> Option<StepUp> {
    let mut left = MAX_BYTES;
    let mut found = None;
    for field in fields {
        left = left.checked_sub(field.len())?;
        if found.is_none() {
            let text = std::str::from_utf8(field).ok()?;
            found = challenges(text)?.iter().find_map(Challenge::step_up);
        }
    }
    found
}

#[derive(Debug, PartialEq, Eq)]
struct Challenge<'a> {
    scheme: &'a str,
    parameters: Vec<(&'a str, String)>,
}

impl Challenge<'_> {
    fn parameter(&self, wanted: &str) -> Option<&str> {
        self.parameters.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.as_str())
    }

    fn step_up(&self) -> Option<StepUp> {
        let is_one = self.scheme.eq_ignore_ascii_case("bearer")
            && self.parameter("error") == Some("insufficient_user_authentication");
        if !is_one {
            return None;
        }
        let acr_values = match self.parameter("acr_values") {
            None => None,
            Some(values) if is_acr_values(values) => Some(values.to_owned()),
            Some(_) => return None,
        };
        let max_age = match self.parameter("max_age") {
            None => None,
            Some(age) => Some(seconds(age)?),
        };
        Some(StepUp { acr_values, max_age })
    }
}

/// Words of visible ASCII, one space between them.
fn is_acr_values(text: &str) -> bool {
    let is_word = |word: &str| {
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\'))
    };
    text.len() <= MAX_ACR_VALUES && text.split(' ').all(is_word)
}

fn seconds(text: &str) -> Option<u32> {
    let is_number = (1..=MAX_AGE_DIGITS).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { text.parse().ok() } else { None }
}

/// All challenges of a field; none: it is not written by the grammar.
fn challenges(field: &str) -> Option<Vec<Challenge<'_>>> {
    let mut rest = Rest(field);
    let mut challenges: Vec<Challenge<'_>> = Vec::new();
    loop {
        rest.skip_commas();
        if rest.0.is_empty() {
            return Some(challenges);
        }
        let name = rest.token()?;
        if rest.0.starts_with([' ', '\t']) || rest.0.is_empty() || rest.0.starts_with(',') {
            let blanks = rest.skip_blanks();
            if rest.0.starts_with('=') {
                // `name = value`, with the blanks that RFC 9110 calls bad and allows.
                challenges.last_mut()?.take(name, &mut rest)?;
            } else {
                let mut challenge = Challenge { scheme: name, parameters: Vec::new() };
                if blanks && !rest.0.is_empty() && !rest.0.starts_with(',') {
                    challenge.begin(&mut rest)?;
                }
                challenges.push(challenge);
            }
        } else {
            challenges.last_mut()?.take(name, &mut rest)?;
        }
        rest.end_of_element()?;
    }
}

impl<'a> Challenge<'a> {
    /// What stands behind the scheme: a first parameter, or a token68 that is passed over.
    fn begin(&mut self, rest: &mut Rest<'a>) -> Option<()> {
        let as_token68 = rest.token68();
        if let Some(behind) = as_token68 {
            *rest = behind;
            return Some(());
        }
        let name = rest.token()?;
        rest.skip_blanks();
        self.take(name, rest)
    }

    /// `= value` behind a parameter's name, which must not come twice.
    fn take(&mut self, name: &'a str, rest: &mut Rest<'a>) -> Option<()> {
        rest.0 = rest.0.strip_prefix('=')?;
        rest.skip_blanks();
        let value = if rest.0.starts_with('"') { rest.quoted()? } else { rest.token()?.to_owned() };
        if self.parameter(name).is_some() {
            return None;
        }
        self.parameters.push((name, value));
        Some(())
    }
}

/// What is still to be read.
#[derive(Clone, Copy)]
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    fn skip_blanks(&mut self) -> bool {
        let trimmed = self.0.trim_start_matches([' ', '\t']);
        let skipped = trimmed.len() < self.0.len();
        self.0 = trimmed;
        skipped
    }

    fn skip_commas(&mut self) {
        self.0 = self.0.trim_start_matches([' ', '\t', ',']);
    }

    /// RFC 9110 §5.6.2
    fn token(&mut self) -> Option<&'a str> {
        let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        let end = self.0.find(|c| !is_token(c)).unwrap_or(self.0.len());
        let (token, rest) = self.0.split_at(end);
        self.0 = rest;
        (!token.is_empty()).then_some(token)
    }

    /// The rest behind a token68 that is a whole element (RFC 9110 §11.2), if there is one.
    fn token68(&self) -> Option<Self> {
        let is_token68 = |c: char| c.is_ascii_alphanumeric() || "-._~+/".contains(c);
        let behind = self.0.trim_start_matches(is_token68);
        let behind_padding = behind.trim_start_matches('=');
        let ends = behind_padding.trim_start_matches([' ', '\t']);
        let is_whole = behind.len() < self.0.len() && (ends.is_empty() || ends.starts_with(','));
        is_whole.then_some(Self(behind_padding))
    }

    /// RFC 9110 §5.6.4, in ASCII
    fn quoted(&mut self) -> Option<String> {
        let mut characters = self.0.char_indices().skip(1);
        let mut value = String::new();
        while let Some((at, character)) = characters.next() {
            let taken = match character {
                '"' => {
                    self.0 = &self.0[at + 1..];
                    return Some(value);
                }
                '\\' => characters.next()?.1,
                other => other,
            };
            if !(taken == '\t' || taken == ' ' || taken.is_ascii_graphic()) {
                return None;
            }
            value.push(taken);
        }
        None
    }

    fn end_of_element(&mut self) -> Option<()> {
        self.skip_blanks();
        (self.0.is_empty() || self.0.starts_with(',')).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(fields: &[&str]) -> Option<StepUp> {
        step_up(fields.iter().map(|field| field.as_bytes()))
    }

    fn wanted(acr_values: Option<&str>, max_age: Option<u32>) -> Option<StepUp> {
        Some(StepUp { acr_values: acr_values.map(str::to_owned), max_age })
    }

    /// The examples of RFC 9470 §3
    #[test]
    fn the_challenges_of_the_standard_are_read() {
        let acr = r#"Bearer error="insufficient_user_authentication", error_description="A different authentication level is required", acr_values="myACR""#;
        assert_eq!(read(&[acr]), wanted(Some("myACR"), None));
        let age = r#"Bearer error="insufficient_user_authentication", error_description="More recent authentication is required", max_age="5""#;
        assert_eq!(read(&[age]), wanted(None, Some(5)));
    }

    #[test]
    fn it_is_found_among_others_and_in_any_form_that_the_grammar_has() {
        const ERROR: &str = r#"error="insufficient_user_authentication""#;
        for field in [
            format!(r#"Basic realm="a, b", Bearer {ERROR}, acr_values="x y", max_age=60"#),
            format!(r#"Negotiate a87421000492aa874209af8bc028==, bearer {ERROR} , ACR_VALUES = "x y",max_age="60""#),
            format!(r#",, Negotiate, BEARER  max_age=60,{ERROR},acr_values="x\ y","#),
            format!(r#"Bearer {ERROR}, acr_values="x y", max_age=60, Digest realm="r", nonce=n"#),
        ] {
            assert_eq!(read(&[&field]), wanted(Some("x y"), Some(60)), "{field}");
        }
        let own = format!("Bearer {ERROR}");
        assert_eq!(read(&["Basic realm=r", &own]), wanted(None, None));
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic_or_gives_more_than_it_may(
            text in r#"(Bearer|Basic|,|=|"|\\| |error|insufficient_user_authentication|acr_values|max_age|[a-z0-9]|.){0,40}"#,
        ) {
            if let Some(StepUp { acr_values, .. }) = read(&[&text]) {
                prop_assert!(acr_values.is_none_or(|values| is_acr_values(&values)));
            }
        }

        #[test]
        fn what_is_written_by_the_grammar_is_read_back(
            acr_values in "[!#-\\[\\]-~]{1,20}( [!#-\\[\\]-~]{1,20}){0,3}",
            max_age in 0..100_000_000_u32,
            realm in r#"[a-z ,=]{0,20}"#,
        ) {
            let field = format!(
                r#"Bearer realm="{realm}", error="insufficient_user_authentication", acr_values="{acr_values}", max_age={max_age}"#
            );
            prop_assert_eq!(read(&[&field]), wanted(Some(&acr_values), Some(max_age)));
        }
    }

    #[test]
    fn other_challenges_are_none() {
        for field in [
            "",
            "Bearer",
            r#"Bearer error="invalid_token""#,
            r#"Bearer realm="error=insufficient_user_authentication""#,
            r#"Bearer realm="x", error_description="\", error=\"insufficient_user_authentication""#,
            r#"DPoP error="insufficient_user_authentication""#,
            r#"Bearer error="invalid_token", Basic error="insufficient_user_authentication""#,
            "error=insufficient_user_authentication",
        ] {
            assert_eq!(read(&[field]), None, "{field}");
        }
    }

    #[test]
    fn what_is_not_plainly_right_is_none() {
        const ERROR: &str = r#"Bearer error="insufficient_user_authentication""#;
        let long = format!(r#"{ERROR}, acr_values="{}""#, "a".repeat(513));
        let huge = format!(r#"{ERROR}, x="{}""#, "a".repeat(5000));
        for field in [
            &format!(r#"{ERROR}, max_age="60"#),
            &format!("{ERROR}, max_age=-1"),
            &format!("{ERROR}, max_age=1e9"),
            &format!("{ERROR}, max_age=123456789"),
            &format!("{ERROR}, max_age=\"\""),
            &format!("{ERROR}, max_age=1, max_age=2"),
            &format!("{ERROR}, error=\"insufficient_user_authentication\""),
            &format!(r#"{ERROR}, acr_values="a  b""#),
            &format!(r#"{ERROR}, acr_values="a\"b""#),
            &format!("{ERROR}, acr_values=\"a\tb\""),
            &format!("{ERROR}, acr_values=\"\u{e9}\""),
            &format!("{ERROR} max_age=1"),
            &format!("{ERROR}, =1"),
            &format!("{ERROR}, max_age"),
            &long,
            &huge,
        ] {
            let is_scheme = field.ends_with(", max_age");
            // A lone word behind a comma is the next challenge's scheme.
            let expected = if is_scheme { wanted(None, None) } else { None };
            assert_eq!(read(&[field]), expected, "{field}");
        }
        assert_eq!(step_up([&b"Bearer error=\"insufficient_user_authentication\"\xff"[..]].into_iter()), None);
        let many = vec![ERROR; 200];
        assert_eq!(read(&many), None, "too much of it");
    }
}
