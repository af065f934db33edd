//! `index.html` with a nonce: the scripts, styles and links that the build wrote may run, and nothing else.
//!
//! The file is the operator's own and trusted; what it must never do is to put a nonce into anything but a tag's head.

use crate::web::security_headers::Nonce;

/// Elements whose `nonce` browsers look at.
const WITH_NONCE: [&str; 3] = ["script", "style", "link"];
/// Elements whose content is text: what looks like a tag in it is none (HTML §13.2.5).
const RAW_TEXT: [&str; 4] = ["script", "style", "textarea", "title"];
/// `<meta property="csp-nonce">`, by which Vite's code hands the nonce on to what it loads later. Added where it is
/// missing.
const META: &str = "csp-nonce";

/// A page, cut where nonces belong.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoncedPage {
    pieces: Vec<String>,
}

impl NoncedPage {
    /// Finds the tags. A nonce that stands there already, as a bundler's placeholder, is replaced.
    pub(super) fn parse(html: &str) -> Self {
        let mut pieces = vec![String::new()];
        let mut lacks_meta = !html.contains(META);
        let mut rest = html;
        while let Some(start) = rest.find('<') {
            push(&mut pieces, &rest[..start]);
            rest = &rest[start..];
            let end = if rest.starts_with("<!--") {
                rest.find("-->").map_or(rest.len(), |end| end + "-->".len())
            } else {
                tag_end(rest)
            };
            let (tag, behind) = rest.split_at(end);
            let name = tag_name(tag);
            if WITH_NONCE.contains(&name.as_str()) || (name == "meta" && tag.contains(META)) {
                cut(tag, 1 + name.len(), &mut pieces);
            } else {
                push(&mut pieces, tag);
            }
            if name == "head" && std::mem::take(&mut lacks_meta) {
                cut(&format!("<meta property=\"{META}\">"), "<meta".len(), &mut pieces);
            }
            rest = behind;
            if RAW_TEXT.contains(&name.as_str()) {
                let content = raw_text_end(rest, &name);
                push(&mut pieces, &rest[..content]);
                rest = &rest[content..];
            }
        }
        push(&mut pieces, rest);
        Self { pieces }
    }

    /// The page with this nonce.
    pub(super) fn with(&self, nonce: &Nonce) -> String {
        let attribute = format!(" nonce=\"{}\"", nonce.as_str());
        self.pieces.join(&attribute)
    }
}

fn push(pieces: &mut [String], text: &str) {
    if let Some(last) = pieces.last_mut() {
        last.push_str(text);
    }
}

/// Cuts a tag behind its name, and takes a nonce of its own out.
fn cut(tag: &str, name_end: usize, pieces: &mut Vec<String>) {
    push(pieces, &tag[..name_end]);
    let attributes = &tag[name_end..];
    let kept = match nonce_attribute(attributes) {
        Some((start, end)) => format!("{}{}", &attributes[..start], &attributes[end..]),
        None => attributes.to_owned(),
    };
    pieces.push(kept);
}

/// Where ` nonce="…"` stands in a tag's attributes, from the white space before it on.
fn nonce_attribute(attributes: &str) -> Option<(usize, usize)> {
    let bytes = attributes.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        while bytes.get(at).is_some_and(|byte| byte.is_ascii_whitespace() || *byte == b'/') {
            at += 1;
        }
        let name_start = at;
        while bytes.get(at).is_some_and(|byte| !byte.is_ascii_whitespace() && !matches!(byte, b'=' | b'>' | b'/')) {
            at += 1;
        }
        let name = &attributes[name_start..at];
        let mut value = at;
        while bytes.get(value).is_some_and(u8::is_ascii_whitespace) {
            value += 1;
        }
        if bytes.get(value) == Some(&b'=') {
            at = value_end(bytes, value + 1);
        }
        if name.eq_ignore_ascii_case("nonce") {
            return Some((start, at));
        }
        if at == start {
            at += 1;
        }
    }
    None
}

/// The end of an attribute's value, whose `=` lies before `at`.
fn value_end(bytes: &[u8], mut at: usize) -> usize {
    while bytes.get(at).is_some_and(u8::is_ascii_whitespace) {
        at += 1;
    }
    match bytes.get(at) {
        Some(quote @ (b'"' | b'\'')) => {
            let length = bytes[at + 1..].iter().position(|byte| byte == quote);
            length.map_or(bytes.len(), |length| at + 1 + length + 1)
        }
        _ => {
            let length = bytes[at..].iter().position(|byte| byte.is_ascii_whitespace() || *byte == b'>');
            length.map_or(bytes.len(), |length| at + length)
        }
    }
}

/// The end of the tag at the start of `text`, its `>` included; a `>` within quotes is none.
fn tag_end(text: &str) -> usize {
    let mut quote = None;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match (quote, byte) {
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, b'>') => return at + 1,
            (Some(open), byte) if open == byte => quote = None,
            _ => {}
        }
    }
    text.len()
}

/// The element's name in lower case; empty for end tags and what is no tag.
fn tag_name(tag: &str) -> String {
    tag[1..]
        .chars()
        .take_while(|character| character.is_ascii_alphanumeric() || *character == '-')
        .collect::<String>()
        .to_ascii_lowercase()
}

/// Where the content of a raw-text element ends.
fn raw_text_end(text: &str, name: &str) -> usize {
    let is_end = |at: &usize| {
        let candidate = text.as_bytes().get(at + 2..at + 2 + name.len());
        candidate.is_some_and(|found| found.eq_ignore_ascii_case(name.as_bytes()))
    };
    text.match_indices("</").map(|(at, _)| at).find(is_end).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The page with `#` for ` nonce="…"`.
    fn nonced(html: &str) -> String {
        NoncedPage::parse(html).pieces.join("#")
    }

    #[test]
    fn scripts_styles_and_links_get_the_nonce() {
        for (html, expected) in [
            ("<script>a()</script>", "<script#>a()</script>"),
            (
                "<script type=\"module\" crossorigin src=\"/a.js\"></script>",
                "<script# type=\"module\" crossorigin src=\"/a.js\"></script>",
            ),
            ("<SCRIPT src=a.js></SCRIPT>", "<SCRIPT# src=a.js></SCRIPT>"),
            (
                "<link rel=stylesheet href=/a.css><style>b{}</style>",
                "<link# rel=stylesheet href=/a.css><style#>b{}</style>",
            ),
            ("<meta property=\"csp-nonce\">", "<meta# property=\"csp-nonce\">"),
            ("<link/>", "<link#/>"),
            ("<head lang=\"en\"><link>", "<head lang=\"en\"><meta# property=\"csp-nonce\"><link#>"),
            ("<head><meta property='csp-nonce' nonce='X'>", "<head><meta# property='csp-nonce'>"),
            ("<header>", "<header>"),
        ] {
            assert_eq!(nonced(html), expected);
        }
    }

    #[test]
    fn a_bundler_s_placeholder_is_replaced() {
        for html in [
            "<script nonce=\"NONCE\" src=\"a.js\"></script>",
            "<script NONCE='x' src=\"a.js\"></script>",
            "<script nonce = x src=\"a.js\"></script>",
            "<script nonce src=\"a.js\"></script>",
        ] {
            assert_eq!(nonced(html), "<script# src=\"a.js\"></script>", "{html}");
        }
        assert_eq!(
            nonced("<script data-nonce=\"1\" src='nonce=\"2\"'>"),
            "<script# data-nonce=\"1\" src='nonce=\"2\"'>"
        );
    }

    #[test]
    fn what_only_looks_like_a_tag_is_left_alone() {
        for html in [
            "<!-- <script>a()</script> -->",
            "<title><script></title>",
            "<textarea><style></textarea>",
            "<a title=\"<script>\">x</a>",
            "</script><scripty><linker>",
            "a < b, <",
            "<!doctype html><html lang=\"en\">",
            "<!-- never ends <script>",
        ] {
            assert_eq!(nonced(html), html);
        }
        assert_eq!(
            nonced("<script>\"<script>\" + '<link>'</script><link>"),
            "<script#>\"<script>\" + '<link>'</script><link#>"
        );
    }
}
