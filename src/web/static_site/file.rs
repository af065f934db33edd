//! One file as a response: validators, ranges, and the compressed copy that a build put beside it.
//!
//! Everything here blocks, but what says that it does not; must never run on a worker.

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use actix_files::HttpRange;
use actix_web::body::SizedStream;
use actix_web::http::header::{
    ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, ETAG, EntityTag, HeaderValue, IF_NONE_MATCH,
    IF_RANGE, IfMatch, IfNoneMatch, IfRange, RANGE, VARY,
};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, web};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use futures_util::stream;
use sha2::{Digest as _, Sha256};

/// The copies that builds make, best first: the extension and the name of the coding.
const CODINGS: [(&str, &str); 3] = [("br", "br"), ("zst", "zstd"), ("gz", "gzip")];
/// Bytes of one piece of a body.
const PIECE: u64 = 64 * 1024;
/// Characters of an entity tag: 96 bits of the content's hash.
const TAG_CHARACTERS: usize = 16;

/// An open file, and what a response says of it.
pub(super) struct Entity {
    file: File,
    length: u64,
    tag: EntityTag,
    content_type: String,
    coding: Option<&'static str>,
    /// Whether another request may get another coding.
    varies: bool,
}

/// The entity tags of files, by what changes with their content. As many as there are files, at most.
#[derive(Clone, Default)]
pub(super) struct Tags(Arc<Mutex<HashMap<PathBuf, (Stamp, String)>>>);

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    inode: u64,
}

impl Stamp {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self { modified: metadata.modified().ok(), length: metadata.len(), inode: metadata.ino() }
    }
}

impl Tags {
    /// A tag made of the content, so that all replicas agree on it, and a build that sets no dates changes it too.
    fn tag(&self, path: &Path, file: &mut File, stamp: Stamp) -> io::Result<String> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(path).cloned();
        if let Some((_, tag)) = known.filter(|(of, _)| *of == stamp) {
            return Ok(tag);
        }
        let mut digest = Sha256::new();
        let mut piece = vec![0; 64 * 1024];
        loop {
            match file.read(&mut piece)? {
                0 => break,
                read => digest.update(&piece[..read]),
            }
        }
        let mut tag = URL_SAFE_NO_PAD.encode(digest.finalize());
        tag.truncate(TAG_CHARACTERS);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned(), (stamp, tag.clone()));
        Ok(tag)
    }
}

impl Entity {
    /// Opens the file, or the copy of it that the client likes best. Blocks.
    pub(super) fn open(path: &Path, accepted: &AcceptedCodings, tags: &Tags) -> io::Result<Self> {
        let copies: Vec<_> = CODINGS
            .iter()
            .map(|(extension, coding)| (with_extension(path, extension), *coding))
            .filter(|(copy, _)| copy.is_file())
            .collect();
        let chosen = copies
            .iter()
            .filter(|(_, coding)| accepted.quality(coding) > 0 && accepted.quality(coding) >= accepted.uncompressed())
            // The first of those that are liked alike.
            .reduce(|best, next| if accepted.quality(next.1) > accepted.quality(best.1) { next } else { best });
        let (opened, coding) = match chosen {
            Some((copy, coding)) => (copy.as_path(), Some(*coding)),
            None => (path, None),
        };
        let mut file = File::open(opened)?;
        let metadata = file.metadata()?;
        let tag = tags.tag(opened, &mut file, Stamp::of(&metadata))?;
        Ok(Self {
            file,
            length: metadata.len(),
            tag: EntityTag::new_strong(tag),
            content_type: content_type(path),
            coding,
            varies: !copies.is_empty(),
        })
    }

    /// The response; does not block.
    pub(super) fn respond(self, request: &HttpRequest) -> HttpResponse {
        let mut response = HttpResponse::Ok();
        response.insert_header((ETAG, self.tag.to_string()));
        if self.varies {
            response.insert_header((VARY, "Accept-Encoding"));
        }
        if is_precondition_failed(request, &self.tag) {
            return response.status(StatusCode::PRECONDITION_FAILED).finish();
        }
        if is_not_modified(request, &self.tag) {
            return response.status(StatusCode::NOT_MODIFIED).finish();
        }
        response.insert_header((CONTENT_TYPE, self.content_type.as_str())).insert_header((ACCEPT_RANGES, "bytes"));
        if let Some(coding) = self.coding {
            response.insert_header((CONTENT_ENCODING, coding));
        }
        match range(request, &self.tag, self.length) {
            Asked::Whole => response.body(SizedStream::new(self.length, read(self.file, 0, self.length))),
            Asked::Part { start, length } => {
                let field = format!("bytes {start}-{}/{}", start + length - 1, self.length);
                response.status(StatusCode::PARTIAL_CONTENT).insert_header((CONTENT_RANGE, field));
                response.body(SizedStream::new(length, read(self.file, start, length)))
            }
            Asked::Nothing => response
                .status(StatusCode::RANGE_NOT_SATISFIABLE)
                .insert_header((CONTENT_RANGE, format!("bytes */{}", self.length)))
                .finish(),
        }
    }
}

/// The file's text, and the stamp that it has it by. Blocks.
pub(super) fn read_text(path: &Path) -> io::Result<(Stamp, String)> {
    let mut file = File::open(path)?;
    let stamp = Stamp::of(&file.metadata()?);
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    Ok((stamp, text))
}

/// What `Accept-Encoding` says (RFC 9110 §12.5.3).
#[derive(Clone, Debug, Default)]
pub(super) struct AcceptedCodings(Vec<(String, u16)>);

impl AcceptedCodings {
    pub(super) fn of(request: &HttpRequest) -> Self {
        let fields = request.headers().get_all("accept-encoding").filter_map(|value| value.to_str().ok());
        Self(fields.flat_map(|field| field.split(',')).map(weighted).collect())
    }

    /// In thousandths; 0: not acceptable.
    fn quality(&self, coding: &str) -> u16 {
        self.named(coding).or_else(|| self.named("*")).unwrap_or(0)
    }

    /// How much the client wants the file as it is, where it says so; what it does not name it takes, and likes least.
    fn uncompressed(&self) -> u16 {
        self.named("identity").unwrap_or(0)
    }

    fn named(&self, coding: &str) -> Option<u16> {
        self.0.iter().find(|(known, _)| known == coding).map(|(_, quality)| *quality)
    }
}

/// `br;q=0.8` → `("br", 800)`.
fn weighted(element: &str) -> (String, u16) {
    let mut parts = element.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default().to_ascii_lowercase();
    let quality = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
    let quality = quality.map_or(1.0, |quality| quality.trim().parse::<f32>().unwrap_or(0.0));
    // Thousandths of a number between 0 and 1.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=1000")]
    (name, (quality.clamp(0.0, 1.0) * 1000.0) as u16)
}

fn with_extension(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    name.into()
}

fn content_type(path: &Path) -> String {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let known = actix_files::file_extension_to_mime(extension);
    let is_text = known.type_() == "text"
        || matches!(known.essence_str(), "application/javascript" | "application/json" | "application/manifest+json");
    match extension {
        // Browsers take no other for a module (HTML §8.1.3.8), and none for streaming compilation but the second.
        "js" | "mjs" => "text/javascript; charset=utf-8".to_owned(),
        "wasm" => "application/wasm".to_owned(),
        "webmanifest" => "application/manifest+json".to_owned(),
        _ if is_text && known.get_param("charset").is_none() => format!("{known}; charset=utf-8"),
        _ => known.to_string(),
    }
}

/// RFC 9110 §13.1.1.
fn is_precondition_failed(request: &HttpRequest, tag: &EntityTag) -> bool {
    use actix_web::HttpMessage as _;
    match request.get_header::<IfMatch>() {
        Some(IfMatch::Items(tags)) => !tags.iter().any(|known| known.strong_eq(tag)),
        Some(IfMatch::Any) | None => false,
    }
}

/// RFC 9110 §13.1.2: by tag alone, for dates say nothing where a build sets none.
fn is_not_modified(request: &HttpRequest, tag: &EntityTag) -> bool {
    use actix_web::HttpMessage as _;
    if !request.headers().contains_key(IF_NONE_MATCH) {
        return false;
    }
    match request.get_header::<IfNoneMatch>() {
        Some(IfNoneMatch::Any) => true,
        Some(IfNoneMatch::Items(tags)) => tags.iter().any(|known| known.weak_eq(tag)),
        None => false,
    }
}

enum Asked {
    Whole,
    Part { start: u64, length: u64 },
    Nothing,
}

/// RFC 9110 §14.2; of several ranges the whole file is the answer (§14.2 permits it), so that nobody can ask for a
/// file many times over in one request.
fn range(request: &HttpRequest, tag: &EntityTag, length: u64) -> Asked {
    use actix_web::HttpMessage as _;
    let is_still_the_same = || match request.get_header::<IfRange>() {
        Some(IfRange::EntityTag(known)) => known.strong_eq(tag),
        // We send no dates.
        Some(IfRange::Date(_)) | None => false,
    };
    let field = request.headers().get(RANGE).map(HeaderValue::to_str);
    let (Some(Ok(field)), &Method::GET) = (field, request.method()) else { return Asked::Whole };
    if !field.starts_with("bytes=") || (request.headers().contains_key(IF_RANGE) && !is_still_the_same()) {
        return Asked::Whole;
    }
    match HttpRange::parse(field, length).as_deref() {
        Ok([range]) if range.length > 0 => Asked::Part { start: range.start, length: range.length },
        Ok([_, _, ..]) => Asked::Whole,
        _ => Asked::Nothing,
    }
}

/// The bytes from `start` on, each piece read off the worker when the client has room for it.
fn read(file: File, start: u64, length: u64) -> impl stream::Stream<Item = io::Result<Bytes>> + 'static {
    stream::try_unfold((file, start, length), |(mut file, at, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let read = web::block(move || {
            let mut piece = vec![0; usize::try_from(left.min(PIECE)).unwrap_or_default()];
            file.seek(SeekFrom::Start(at))?;
            file.read_exact(&mut piece)?;
            Ok::<_, io::Error>((file, Bytes::from(piece)))
        });
        let (file, piece) = read.await.map_err(io::Error::other)??;
        let read = piece.len() as u64;
        Ok(Some((piece, (file, at + read, left - read))))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9110 §12.5.3.
    #[test]
    fn what_a_client_accepts_has_a_weight() {
        let request = actix_web::test::TestRequest::default()
            .insert_header(("accept-encoding", "gzip;q=0.5, br , zstd;q=0, *;q=0.1"))
            .to_http_request();
        let accepted = AcceptedCodings::of(&request);
        for (coding, quality) in [("gzip", 500), ("br", 1000), ("zstd", 0), ("other", 100)] {
            assert_eq!(accepted.quality(coding), quality, "{coding}");
        }
        assert_eq!(AcceptedCodings::default().quality("br"), 0);
    }

    #[test]
    fn types_are_what_browsers_insist_on() {
        for (name, expected) in [
            ("a.js", "text/javascript; charset=utf-8"),
            ("a.mjs", "text/javascript; charset=utf-8"),
            ("a.html", "text/html; charset=utf-8"),
            ("a.css", "text/css; charset=utf-8"),
            ("a.wasm", "application/wasm"),
            ("a.svg", "image/svg+xml"),
            ("a.woff2", "font/woff2"),
            ("a.webmanifest", "application/manifest+json"),
            ("a", "application/octet-stream"),
        ] {
            assert_eq!(content_type(Path::new(name)), expected);
        }
    }
}
