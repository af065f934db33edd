//! Names that bundlers make from a file's content, `index-4f3a2b1c.js`: such a file never changes.
//!
//! Must rather miss one than see one where there is none: a missed one is asked for again, a mistaken one would be kept
//! by browsers for a year.

use std::path::Path;

/// The shortest hash: what Vite, Rollup and webpack write at the least.
const SHORTEST: usize = 8;

/// What nobody names by hand behind a `-`: a capitalised word there is a hash all the same.
const BUILT: [&str; 6] = ["js", "mjs", "css", "map", "woff2", "wasm"];

/// Whether the name ends, before its extensions, in `-` or `.` and what only a hash looks like: eight or more letters
/// and digits, in more runs than words and numbers have.
pub(super) fn is_hashed(path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return false };
    let Some((stem, extension)) = name.rsplit_once('.') else { return false };
    let built = BUILT.contains(&extension);
    // The hash is the end of the stem, or stands before another extension: `main.4f3a2b1c.chunk.js`.
    stem.match_indices(['-', '.']).any(|(at, _)| {
        let rest = &stem[at + 1..];
        is_hash(rest, built) || rest.split_once('.').is_some_and(|(part, _)| is_hash(part, built))
    })
}

fn is_hash(text: &str, built: bool) -> bool {
    let is_whole = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    // Separators are part of a hash in base64url only, which Vite cuts to eight.
    if !is_whole || text.len() < SHORTEST || (text.len() > SHORTEST && text.contains(['-', '_'])) {
        return false;
    }
    let count = |is: fn(&u8) -> bool| text.bytes().filter(is).count();
    let (upper, lower) = (count(u8::is_ascii_uppercase), count(u8::is_ascii_lowercase));
    if count(u8::is_ascii_digit) > 0 {
        return upper + lower > 0 && (runs(text) > 3 || (built && upper > 0 && lower > 0));
    }
    let mixed = upper >= 2 && lower >= 2 && (built && text.len() == SHORTEST || !is_camel_case(text));
    mixed || (built && upper == SHORTEST)
}

/// How often digits, letters and separators take turns: `1920x1080` and `chapter-2` have three runs.
fn runs(text: &str) -> usize {
    let kinds: Vec<_> = text.bytes().map(|byte| (byte.is_ascii_digit(), byte.is_ascii_alphabetic())).collect();
    1 + kinds.windows(2).filter(|pair| pair[0] != pair[1]).count()
}

/// `JavaScript`, `DarkModeIcon`: each capital begins a word of three letters and more.
fn is_camel_case(text: &str) -> bool {
    let mut words = text.split(|character: char| character.is_ascii_uppercase()).skip(1);
    text.bytes().all(|byte| byte.is_ascii_alphabetic()) && words.all(|rest| rest.len() >= 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_bundlers_write_is_hashed() {
        for name in [
            "assets/index-4f3a2b1c.js",
            "assets/index-DiwrgTda.css",
            "assets/index-Cfg8oqsH.js",
            "assets/index-D-9fa_Kx.js",
            "assets/inter-latin-wght-normal-BaP1mKQ2.woff2",
            "static/js/main.4f3a2b1c.chunk.js",
            "static/js/main.0a1b2c3d4e5f6a7b8c9d.js",
            "main-5XQ7ZB2C.js",
            "chunk-ABCDEFGH.js",
            "index-4f3a2b1c.js.map",
        ] {
            assert!(is_hashed(Path::new(name)), "{name}");
        }
    }

    #[test]
    fn what_people_write_is_not() {
        for name in [
            "index.html",
            "app.js",
            "favicon.svg",
            "assets/hero-backgrounds.png",
            "assets/logo-darkMode.svg",
            "assets/logo-DarkModeIcon.svg",
            "assets/learn-JavaScript.png",
            "assets/photo-1920x1080.png",
            "report-20240101.pdf",
            "report-2024-01-01.pdf",
            "jquery-3.7.1.min.js",
            "book-chapter12.html",
            "book-Chapter1.png",
            "lib/book-chapter1.js",
            "my-long-file-name-with-words.txt",
            "noextension-4f3a2b1c",
            "4f3a2b1c.js",
            "icon-512x512.png",
            "release-version-2.json",
        ] {
            assert!(!is_hashed(Path::new(name)), "{name}");
        }
    }
}
