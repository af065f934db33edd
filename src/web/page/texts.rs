//! The words of the pages, by language, and which language a browser gets.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

/// The language of whoever wants one that is not there.
pub(super) const DEFAULT_LANGUAGE: &str = "en";

static BUNDLED: LazyLock<Texts> = LazyLock::new(|| {
    // Part of the binary; a test reads it.
    Texts::parse(include_str!("texts.toml")).unwrap_or_else(|error| {
        tracing::error!(%error, "the pages' words are broken");
        Texts(BTreeMap::new())
    })
});

/// All languages, by their tags in lower case: `en`, `de`, `pt-br`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Texts(BTreeMap<String, Language>);

/// One language's words.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Language {
    /// The link to the application.
    pub(super) r#continue: String,
    /// What stands before the request's identifier.
    pub(super) reference: String,
    /// The link that signs out, where a page asks whether to.
    pub(super) sign_out: String,
    /// What stands for a value that is words itself, in place of the English ones.
    pub(super) values: BTreeMap<String, String>,
    /// What each kind of page says.
    pub(super) problems: BTreeMap<String, Words>,
}

/// What a page says.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(super) struct Words {
    /// The heading.
    pub(super) title: String,
    /// What happened and what to do; `{name}` stands for a value.
    #[serde(default)]
    pub(super) text: String,
}

impl Texts {
    /// Those in the binary.
    pub(super) fn bundled() -> Self {
        BUNDLED.clone()
    }

    /// A file of words; languages in it may be incomplete.
    pub(super) fn parse(toml: &str) -> Result<Self, toml::de::Error> {
        let languages: BTreeMap<String, Language> = toml::from_str(toml)?;
        Ok(Self(languages.into_iter().map(|(tag, language)| (tag.to_ascii_lowercase(), language)).collect()))
    }

    /// Those of `over` first; what a language lacks after that it has in English.
    pub(super) fn with(mut self, over: Self) -> Self {
        for (tag, language) in over.0 {
            self.0.entry(tag).or_default().take(language);
        }
        let english = self.0.get(DEFAULT_LANGUAGE).cloned().unwrap_or_default();
        for language in self.0.values_mut() {
            let mut complete = english.clone();
            complete.take(std::mem::take(language));
            *language = complete;
        }
        self
    }

    /// The tags of the languages.
    pub(super) fn languages(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The language that `Accept-Language` likes best among ours (RFC 4647 §3.4, lookup), and its tag.
    pub(super) fn choose(&self, accept_language: &str) -> (&str, &Language) {
        static NOTHING: LazyLock<Language> = LazyLock::new(Language::default);
        let mut ranges: Vec<(u16, String)> = accept_language.split(',').take(32).map(weighted).collect();
        // A stable order: of those that are liked alike the first counts.
        ranges.sort_by_key(|(quality, _)| std::cmp::Reverse(*quality));
        let liked = ranges.iter().filter(|(quality, _)| *quality > 0);
        let found = liked.flat_map(|(_, range)| shortened(range)).find_map(|tag| self.0.get_key_value(tag));
        let found = found.or_else(|| self.0.get_key_value(DEFAULT_LANGUAGE));
        found.map_or((DEFAULT_LANGUAGE, &NOTHING), |(tag, language)| (tag.as_str(), language))
    }
}

impl Language {
    fn take(&mut self, over: Self) {
        let pairs = [
            (&mut self.r#continue, over.r#continue),
            (&mut self.reference, over.reference),
            (&mut self.sign_out, over.sign_out),
        ];
        for (mine, theirs) in pairs {
            if !theirs.is_empty() {
                *mine = theirs;
            }
        }
        self.values.extend(over.values);
        self.problems.extend(over.problems);
    }

    /// A page's text with these values.
    pub(super) fn text(&self, words: &Words, values: &[(&'static str, String)]) -> String {
        let in_this_language = |value: &String| self.values.get(value).unwrap_or(value).clone();
        let values: Vec<_> = values.iter().map(|(name, value)| (*name, in_this_language(value))).collect();
        words.text_with(&values)
    }
}

impl Words {
    /// The text with its values. A name without a value stays as it is.
    fn text_with(&self, values: &[(&'static str, String)]) -> String {
        let mut text = String::with_capacity(self.text.len());
        let mut rest = self.text.as_str();
        // In one pass, so that a value that looks like a name is none.
        while let Some((before, (name, behind))) =
            rest.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?)))
        {
            text.push_str(before);
            match values.iter().find(|(known, _)| *known == name) {
                Some((_, value)) => text.push_str(value),
                None => text.extend(["{", name, "}"]),
            }
            rest = behind;
        }
        text.push_str(rest);
        text
    }
}

/// `de-AT;q=0.8` → `(800, "de-at")`.
fn weighted(element: &str) -> (u16, String) {
    let mut parts = element.split(';').map(str::trim);
    let tag = parts.next().unwrap_or_default().to_ascii_lowercase();
    let quality = parts.find_map(|part| part.strip_prefix("q=")).map_or(1.0, |text| text.parse::<f32>().unwrap_or(0.0));
    // Thousandths of a number between 0 and 1.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=1000")]
    ((quality.clamp(0.0, 1.0) * 1000.0) as u16, tag)
}

/// `de-at-1996`, `de-at`, `de`.
fn shortened(range: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(range), |range| range.rsplit_once('-').map(|(shorter, _)| shorter))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::problem::PROBLEM_TYPES;

    #[test]
    fn every_language_of_ours_says_everything_with_the_same_values() {
        let texts = Texts::parse(include_str!("texts.toml")).expect("TOML");
        let english = &texts.0["en"];
        assert_eq!(texts.languages().collect::<Vec<_>>(), ["de", "en"]);
        for language in texts.0.values() {
            assert!(!language.r#continue.is_empty() && !language.reference.is_empty());
            assert!(language.problems.keys().eq(english.problems.keys()));
            for (name, words) in &language.problems {
                assert!(!words.title.is_empty() && !words.text.is_empty(), "{name}");
                let names = |text: &str| {
                    let mut names: Vec<_> =
                        text.split('{').skip(1).filter_map(|rest| rest.split('}').next()).map(str::to_owned).collect();
                    names.sort();
                    names
                };
                assert_eq!(names(&words.text), names(&english.problems[name].text), "{name}");
            }
        }
    }

    #[test]
    fn every_problem_has_its_words_under_its_own_title() {
        let texts = Texts::bundled();
        for kind in PROBLEM_TYPES {
            let words = texts.0["en"].problems.get(kind.name).unwrap_or_else(|| panic!("{} has none", kind.name));
            assert_eq!(words.title, kind.title);
        }
    }

    #[test]
    fn the_language_is_the_one_that_the_browser_likes_best() {
        let texts = Texts::bundled();
        for (accept, tag) in [
            ("", "en"),
            ("de", "de"),
            ("de-AT,de;q=0.9,en;q=0.8", "de"),
            ("fr-FR, en;q=0.5, de;q=0.7", "de"),
            ("DE", "de"),
            ("fr, *;q=0.1", "en"),
            ("de;q=0, en;q=0.1", "en"),
            ("de;q=x", "en"),
            ("en-US,en;q=0.9,de;q=0.8", "en"),
        ] {
            assert_eq!(texts.choose(accept).0, tag, "{accept}");
        }
    }

    #[test]
    fn what_a_language_lacks_it_has_in_english() {
        let own = Texts::parse("[fr]\ncontinue = \"Continuer\"\n[en.problems]\nnot-found = { title = \"Lost\" }\n");
        let texts = Texts::bundled().with(own.expect("TOML"));
        let (tag, french) = texts.choose("fr-CA");
        assert_eq!((tag, french.r#continue.as_str()), ("fr", "Continuer"));
        assert_eq!(french.problems["not-found"].title, "Lost");
        assert_eq!(french.reference, "Reference for support");
    }

    #[test]
    fn a_value_is_put_in_once_and_never_read_again() {
        let words = Words { title: String::new(), text: "{a} {b} {unknown} {".to_owned() };
        assert_eq!(words.text_with(&[("a", "{b}".to_owned()), ("b", "2".to_owned())]), "{b} 2 {unknown} {");
    }
}
