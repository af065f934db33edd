//! The page that a person sees instead of a problem document: small, accessible, without scripts or foreign content, in
//! the browser's language where we have it, and with the operator's own template where there is one.

mod texts;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use actix_web::http::header::{ACCEPT_LANGUAGE, CONTENT_LANGUAGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minijinja::{Environment, UndefinedBehavior, Value, context};
use sha2::{Digest as _, Sha256};

use self::texts::Texts;
use crate::web::own_response;
use crate::web::sites::Sites;

const TEMPLATE: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
const TEMPLATE_FILE: &str = "page.html";
const TEXTS_FILE: &str = "texts.toml";

/// Nothing may be loaded and nothing may run; the one style sheet is named by its hash.
static POLICY: LazyLock<String> = LazyLock::new(|| policy("default-src 'none'", "style-src"));
/// As [`POLICY`], and this site's own style sheets, images and fonts, for the operator's templates.
static OWN_TEMPLATE_POLICY: LazyLock<String> =
    LazyLock::new(|| policy("default-src 'none'; img-src 'self' data:; font-src 'self'", "style-src 'self'"));

static BUNDLED: LazyLock<Pages> = LazyLock::new(|| {
    // The template is part of the binary; a test renders it.
    Pages::new(TEMPLATE.to_owned(), Texts::bundled(), &POLICY).unwrap_or_else(|error| {
        tracing::error!(%error, "the page's template is broken");
        Pages {
            environment: Arc::new(Environment::new()),
            texts: Arc::new(Texts::bundled()),
            policy: &POLICY,
            can_ask: false,
        }
    })
});

/// Why the operator's own pages cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PagesError {
    /// The folder has neither of the files.
    #[error("{0} has neither page.html nor texts.toml; name a folder that has one of them")]
    Empty(PathBuf),
    /// A file cannot be read.
    #[error("{path} cannot be read: {source}; let this user read it")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The words are no TOML, or have unknown names.
    #[error("{path} does not hold words: {message}")]
    Texts {
        /// The file.
        path: PathBuf,
        /// Why.
        message: String,
    },
    /// The template is wrong, or names what is not there.
    #[error("the template {0}")]
    Template(String),
}

/// The pages of a site: a template, and the words in it.
#[derive(Clone, Debug)]
pub struct Pages {
    environment: Arc<Environment<'static>>,
    texts: Arc<Texts>,
    policy: &'static str,
    /// Whether the template shows what a page asks about.
    can_ask: bool,
}

impl Default for Pages {
    /// Those in the binary.
    fn default() -> Self {
        BUNDLED.clone()
    }
}

/// What stands on a page. Everything is escaped.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    /// Which entry of the words it is.
    pub kind: &'a str,
    /// The values in the words.
    pub values: &'a [(&'static str, String)],
    /// What exactly is wrong, in English, where that helps a person.
    pub detail: Option<&'a str>,
    /// The request's identifier, to find it in the log.
    pub request_id: Option<&'a str>,
    /// Whether the browser goes on to the application by itself.
    pub continue_at_once: bool,
    /// What the page asks about: the address of a link that does it.
    pub confirm: Option<&'a str>,
}

impl<'a> Page<'a> {
    /// These words alone.
    pub fn of(kind: &'a str) -> Self {
        Self { kind, values: &[], detail: None, request_id: None, continue_at_once: false, confirm: None }
    }
}

/// Where a person who signed out has no session any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignedOutAt {
    /// Here, and at the provider.
    Everywhere,
    /// Here alone: the provider may know the person still, and then the next login asks for no password.
    HereAlone,
}

/// The page at the end of a logout that leads nowhere else. It has no cookies of its own: who ends a session adds them.
pub fn signed_out(request: &HttpRequest, signed_out: SignedOutAt) -> HttpResponse {
    let kind = match signed_out {
        SignedOutAt::Everywhere => "signed-out",
        SignedOutAt::HereAlone => "signed-out-here",
    };
    told(request, kind)
}

/// A page that says nothing but these words.
pub fn told(request: &HttpRequest, kind: &str) -> HttpResponse {
    respond(own_response(HttpResponse::Ok()), request, &Page::of(kind))
}

/// A page that asks in these words whether to follow a link that signs out.
pub fn asked(request: &HttpRequest, kind: &str, link: &str) -> HttpResponse {
    respond(own_response(HttpResponse::Ok()), request, &Page { confirm: Some(link), ..Page::of(kind) })
}

/// Renders the page as the builder's body, with the pages of the site that the request came to.
pub fn respond(builder: HttpResponseBuilder, request: &HttpRequest, page: &Page<'_>) -> HttpResponse {
    let site = request.app_data::<web::Data<Sites>>().and_then(|sites| sites.of(request));
    respond_with(site.map_or_else(|| &*BUNDLED, |site| &site.pages), builder, request, page)
}

fn respond_with(
    pages: &Pages,
    mut builder: HttpResponseBuilder,
    request: &HttpRequest,
    page: &Page<'_>,
) -> HttpResponse {
    let accepted = request.headers().get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let language = pages.texts.choose(accepted).0;
    // An operator's template may be older than the question.
    let pages = if page.confirm.is_some() && !pages.can_ask { &*BUNDLED } else { pages };
    let html = pages.render(language, page).unwrap_or_else(|error| {
        tracing::error!(%error, "the page cannot be rendered");
        BUNDLED.render(language, page).unwrap_or_default()
    });
    builder
        .insert_header((CONTENT_TYPE, "text/html; charset=utf-8"))
        .insert_header((CONTENT_LANGUAGE, language))
        .insert_header((CONTENT_SECURITY_POLICY, pages.policy))
        .body(html)
}

impl Pages {
    /// The operator's own template, words, or both, from a folder. Every page is rendered once in every language, so
    /// that mistakes are found here.
    ///
    /// # Errors
    /// See [`PagesError`].
    pub fn load(folder: &Path) -> Result<Self, PagesError> {
        let (template, words) = (folder.join(TEMPLATE_FILE), folder.join(TEXTS_FILE));
        let (own, own_words) = (read(&template)?, read(&words)?);
        if own.is_none() && own_words.is_none() {
            return Err(PagesError::Empty(folder.to_owned()));
        }
        let mut texts = Texts::bundled();
        if let Some(toml) = own_words {
            let own = Texts::parse(&toml)
                .map_err(|error| PagesError::Texts { path: words, message: error.message().to_owned() })?;
            texts = texts.with(own);
        }
        let policy = if own.is_some() { &OWN_TEMPLATE_POLICY } else { &POLICY };
        let pages = Self::new(own.unwrap_or_else(|| TEMPLATE.to_owned()), texts, policy)?;
        pages.rehearse()?;
        Ok(pages)
    }

    fn new(template: String, texts: Texts, policy: &'static str) -> Result<Self, PagesError> {
        let mut environment = Environment::new();
        let can_ask = template.contains("confirm");
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.add_template_owned(TEMPLATE_FILE, template).map_err(template_error)?;
        Ok(Self { environment: Arc::new(environment), texts: Arc::new(texts), policy, can_ask })
    }

    fn rehearse(&self) -> Result<(), PagesError> {
        let (_, english) = self.texts.choose(texts::DEFAULT_LANGUAGE);
        for language in self.texts.languages() {
            for kind in english.problems.keys() {
                for (text, continue_at_once) in [(Some("x"), false), (None, true)] {
                    let page =
                        Page { detail: text, request_id: text, confirm: text, continue_at_once, ..Page::of(kind) };
                    self.render(language, &page)?;
                }
            }
        }
        Ok(())
    }

    fn render(&self, language: &str, page: &Page<'_>) -> Result<String, PagesError> {
        let (language, words) = self.texts.choose(language);
        let Page { kind, detail, request_id, continue_at_once, confirm, .. } = *page;
        let (title, text) = match words.problems.get(kind) {
            Some(of_kind) => (of_kind.title.clone(), words.text(of_kind, page.values)),
            None => (kind.to_owned(), String::new()),
        };
        let template = self.environment.get_template(TEMPLATE_FILE).map_err(template_error)?;
        let words = Value::from(BTreeMap::from([
            ("continue", words.r#continue.clone()),
            ("reference", words.reference.clone()),
            ("sign_out", words.sign_out.clone()),
        ]));
        let values = context! { language, kind, title, text, detail, request_id, continue_at_once, confirm, words, style => STYLE };
        template.render(values).map_err(template_error)
    }
}

fn policy(loading: &str, styles: &str) -> String {
    let style = STANDARD.encode(Sha256::digest(STYLE));
    format!("{loading}; {styles} 'sha256-{style}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
}

fn read(path: &Path) -> Result<Option<String>, PagesError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(PagesError::Read { path: path.to_owned(), source }),
    }
}

fn template_error(error: minijinja::Error) -> PagesError {
    let line = error.line().map(|line| format!(", line {line}")).unwrap_or_default();
    let detail = error.detail().map(|detail| format!(": {detail}")).unwrap_or_default();
    PagesError::Template(format!("{TEMPLATE_FILE}{line}: {}{detail}", error.kind()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(kind: &str) -> Page<'_> {
        Page::of(kind)
    }

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in files {
            fs::write(folder.path().join(name), text).expect("a new file");
        }
        folder
    }

    /// CVE-2021-32792.
    #[test]
    fn whatever_stands_on_the_page_is_escaped() {
        let evil = "<script>alert(1)</script>\"'";
        let values = [("code", evil.to_owned())];
        let page = Page { values: &values, detail: Some(evil), request_id: Some(evil), ..page("login-refused") };
        let html = BUNDLED.render("en", &page).expect("a page");
        assert_eq!(html.matches("&lt;script&gt;").count(), 3, "{html}");
        assert!(!html.contains("<script"), "{html}");
    }

    #[test]
    fn the_style_sheet_is_the_one_that_the_policy_names() {
        let html = BUNDLED.render("en", &Page { continue_at_once: true, ..page("not-found") }).expect("a page");
        let style = html.split("<style>").nth(1).and_then(|rest| rest.split("</style>").next()).expect("a style sheet");
        assert!(POLICY.contains(&STANDARD.encode(Sha256::digest(style))));
        assert!(html.contains("http-equiv=\"refresh\"") && html.contains("href=\"/\""));
    }

    #[test]
    fn every_page_of_ours_can_be_rendered() {
        BUNDLED.rehearse().expect("no mistake");
        let html = BUNDLED.render("de", &page("not-signed-in")).expect("a page");
        assert!(html.contains("<html lang=\"de\">") && html.contains("Sie sind nicht angemeldet"), "{html}");
    }

    #[test]
    fn values_that_are_words_are_in_the_page_s_language_too() {
        for largest in ["access token", "refresh token", "ID token", "ID token's claims"] {
            let values = [("largest", largest.to_owned())];
            let page = Page { values: &values, ..page("session-too-large") };
            assert!(!BUNDLED.render("de", &page).expect("a page").contains(&format!("({largest})")), "{largest}");
            assert!(BUNDLED.render("en", &page).expect("a page").contains("The largest part is the"));
        }
    }

    #[test]
    fn the_operator_s_own_template_and_words_take_over() {
        let words = "[fr.problems]\nnot-found = { title = \"Rien ici\" }\n";
        let folder = folder(&[("page.html", "<h1>{{ title }}</h1>{{ words.continue }}"), ("texts.toml", words)]);
        let pages = Pages::load(folder.path()).expect("pages");
        assert_eq!(
            pages.render("fr", &page("not-found")).expect("a page"),
            "<h1>Rien ici</h1>Continue to the application"
        );
        assert!(pages.policy.contains("img-src 'self'") && !pages.policy.contains("script-src"));
    }

    #[test]
    fn a_template_that_cannot_ask_gives_way_where_something_is_asked() {
        let asks = |template: &str| {
            let pages = Pages::load(folder(&[("page.html", template)]).path()).expect("pages");
            let request = actix_web::test::TestRequest::default().to_http_request();
            let page = Page { confirm: Some("/out"), ..Page::of("sign-out-asked") };
            let response = respond_with(&pages, HttpResponse::Ok(), &request, &page);
            let body = actix_web::body::MessageBody::try_into_bytes(response.into_body()).expect("a body in memory");
            String::from_utf8(body.to_vec()).expect("UTF-8")
        };
        assert!(asks("<h1>{{ title }}</h1>").contains("Sign out</a>"), "the bundled one");
        let own =
            asks("<i>{{ title }}</i>{% if confirm %}<a href=\"{{ confirm }}\">{{ words.sign_out }}</a>{% endif %}");
        assert!(own.starts_with("<i>") && own.contains("Sign out</a>"), "{own}");
    }

    #[test]
    fn mistakes_in_the_operator_s_own_files_are_found_at_once() {
        for (name, text, expected) in [
            ("page.html", "<h1>{{ title }", "the template page.html, line 1"),
            ("page.html", "a\n{{ titel }}", "the template page.html, line 2: undefined value"),
            ("page.html", "{% if continue_at_once %}{{ wrong }}{% endif %}", "undefined value"),
            ("texts.toml", "[fr]\nweiter = \"x\"\n", "texts.toml does not hold words: unknown field `weiter`"),
            ("other", "", "has neither page.html nor texts.toml"),
        ] {
            let error = Pages::load(folder(&[(name, text)]).path()).expect_err(text).to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
