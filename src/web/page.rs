//! The page that a person sees instead of a problem document: small, accessible, without scripts or foreign content.

use std::sync::LazyLock;

use actix_web::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use actix_web::{HttpResponse, HttpResponseBuilder};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minijinja::{Environment, context};
use sha2::{Digest as _, Sha256};

const TEMPLATE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");

/// Nothing may be loaded and nothing may run; the one style sheet is named by its hash.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let style = STANDARD.encode(Sha256::digest(STYLE));
    format!(
        "default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
});

static PAGES: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut pages = Environment::new();
    // The template is part of the binary; a test renders it.
    if let Err(error) = pages.add_template("page.html", TEMPLATE) {
        tracing::error!(%error, "the page's template is broken");
    }
    pages
});

/// What stands on the page. Everything is escaped.
pub struct Page<'a> {
    /// The heading.
    pub title: &'a str,
    /// What happened and what to do.
    pub detail: &'a str,
    /// The request's identifier, to find it in the log.
    pub request_id: Option<&'a str>,
    /// Whether the browser goes on to the application by itself.
    pub continue_at_once: bool,
}

/// Renders the page as the builder's body.
pub fn respond(mut builder: HttpResponseBuilder, page: &Page<'_>) -> HttpResponse {
    builder
        .insert_header((CONTENT_TYPE, "text/html; charset=utf-8"))
        .insert_header((CONTENT_SECURITY_POLICY, POLICY.as_str()))
        .body(render(page))
}

fn render(page: &Page<'_>) -> String {
    let Page { title, detail, request_id, continue_at_once } = *page;
    let rendered = PAGES
        .get_template("page.html")
        .and_then(|template| template.render(context! { title, detail, request_id, continue_at_once, style => STYLE }));
    rendered.unwrap_or_else(|error| {
        tracing::error!(%error, "the page cannot be rendered");
        String::new()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CVE-2021-32792.
    #[test]
    fn whatever_stands_on_the_page_is_escaped() {
        let evil = "<script>alert(1)</script>\"'";
        let html = render(&Page { title: evil, detail: evil, request_id: Some(evil), continue_at_once: false });
        assert!(html.contains("&lt;script&gt;"), "{html}");
        assert!(!html.contains("<script"), "{html}");
    }

    #[test]
    fn the_style_sheet_is_the_one_that_the_policy_names() {
        let html = render(&Page { title: "t", detail: "d", request_id: None, continue_at_once: true });
        let style = html.split("<style>").nth(1).and_then(|rest| rest.split("</style>").next()).expect("a style sheet");
        assert!(POLICY.contains(&STANDARD.encode(Sha256::digest(style))));
        assert!(html.contains("http-equiv=\"refresh\"") && html.contains("href=\"/\""));
    }
}
