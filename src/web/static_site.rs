//! The single-page app: its files, where a path that names none serves `index.html`, so that the app's own routes work;
//! or, in development, its dev server.
//!
//! Must never serve a file outside the root, nor one whose name begins with a dot (but what lies in `.well-known`,
//! RFC 8615). Links are followed as long as they stay below the root.

mod dev_server;
mod file;
mod hashed_name;
mod index;

use std::fmt;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use actix_web::http::Method;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};
use arc_swap::ArcSwapOption;
use http::Uri;

use self::dev_server::DevServer;
use self::file::{AcceptedCodings, Entity, Stamp, Tags};
use self::hashed_name::is_hashed;
use self::index::NoncedPage;
use crate::metrics::Metrics;
use crate::proxy::UpstreamClient;
use crate::web::Services;
use crate::web::fetch_metadata;
use crate::web::problem::{NOT_FOUND, Problem};
use crate::web::security_headers::{Nonce, SecurityHeaders};

const INDEX: &str = "index.html";
/// A year, the most that caches take (RFC 9111 §5.2.2.1), and no question in between (RFC 8246).
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// Kept, and asked for before each use. The page names the current assets: an old copy would ask for files that are gone.
const ASK_FIRST: HeaderValue = HeaderValue::from_static("no-cache");

/// Where the single-page app comes from.
#[derive(Clone, Debug)]
pub enum StaticSettings {
    /// A folder of files.
    Folder {
        /// The folder with `index.html`; unknown paths serve that file.
        root: PathBuf,
        /// Paths under which a name with a hash means a file that never changes.
        immutable_paths: Vec<String>,
    },
    /// A dev server: scheme and authority. On loopback sites only.
    DevServer(Uri),
}

/// The folder, or the address.
impl fmt::Display for StaticSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder { root, .. } => root.display().fmt(f),
            Self::DevServer(address) => address.fmt(f),
        }
    }
}

/// The single-page app.
pub struct StaticSite {
    headers: SecurityHeaders,
    source: Source,
}

enum Source {
    Folder(Arc<Folder>),
    DevServer(Box<DevServer>),
}

struct Folder {
    root: PathBuf,
    immutable_paths: Vec<String>,
    tags: Tags,
    page: ArcSwapOption<(PathBuf, Stamp, NoncedPage)>,
}

impl StaticSite {
    /// Serves the app, whose `index.html` the configuration has checked.
    ///
    /// # Errors
    /// When the folder cannot be resolved, or a dev server's TLS cannot be prepared.
    pub fn new(settings: &StaticSettings, headers: SecurityHeaders, metrics: &Metrics) -> io::Result<Self> {
        let source = match settings {
            StaticSettings::Folder { root, immutable_paths } => {
                root.canonicalize()?;
                let (root, immutable_paths) = (root.clone(), immutable_paths.clone());
                let (tags, page) = (Tags::default(), ArcSwapOption::empty());
                Source::Folder(Arc::new(Folder { root, immutable_paths, tags, page }))
            }
            StaticSettings::DevServer(address) => {
                let server = DevServer::new(address.clone(), metrics).map_err(io::Error::other)?;
                Source::DevServer(Box::new(server))
            }
        };
        Ok(Self { headers, source })
    }

    /// The file for the request's path, or the index; or what the dev server answers.
    ///
    /// # Errors
    /// 404 for what looks like a file and is none, 405 for methods other than GET and HEAD; in development what
    /// forwarding may end with.
    pub async fn handle(
        &self,
        services: &Services,
        client: &UpstreamClient,
        request: &HttpRequest,
        payload: web::Payload,
    ) -> Result<HttpResponse, Problem> {
        match &self.source {
            Source::Folder(folder) => self.file(folder, request).await,
            Source::DevServer(server) => server.handle(services, client, request, payload).await,
        }
    }

    async fn file(&self, folder: &Arc<Folder>, request: &HttpRequest) -> Result<HttpResponse, Problem> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return Err(Problem::method_not_allowed("GET, HEAD"));
        }
        let not_found = || Problem::new(&NOT_FOUND, "No file and no route has this address.");
        let path = relative_path(request.uri().path()).ok_or_else(not_found)?;
        let wanted = Wanted {
            falls_back: path.extension().is_none() || fetch_metadata::accepts_page(request),
            never_changes: folder.never_changes(request.uri().path()) && is_hashed(&path),
            path,
            accepted: AcceptedCodings::of(request),
            with_nonce: self.headers.wants_nonce(),
        };
        let folder = Arc::clone(folder);
        let found = web::block(move || folder.find(&wanted)).await.map_err(|error| {
            tracing::error!(%error, "no thread to read files on");
            Problem::internal()
        })?;
        let found = found.map_err(|error| {
            tracing::error!(%error, "a file of the app cannot be read");
            Problem::internal()
        })?;
        found.map(|found| self.respond(found, request)).ok_or_else(not_found)
    }

    fn respond(&self, found: Found, request: &HttpRequest) -> HttpResponse {
        let nonce = Nonce::fresh();
        let (mut response, caching) = match found {
            Found::File { entity, never_changes } => {
                (entity.respond(request), if never_changes { FOR_EVER } else { ASK_FIRST })
            }
            // Without a validator: what a browser had kept would have another nonce than the policy beside it.
            Found::Page(page) => {
                let html = page.2.with(&nonce);
                (HttpResponse::Ok().insert_header((CONTENT_TYPE, "text/html; charset=utf-8")).body(html), ASK_FIRST)
            }
        };
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, caching);
        self.headers.add_fixed(headers);
        // Documents of any kind, SVG images among them, can run scripts.
        self.headers.add_policy(headers, &nonce);
        response
    }
}

/// What a request asks of the folder.
struct Wanted {
    path: PathBuf,
    accepted: AcceptedCodings,
    /// Whether the index answers where there is no such file.
    falls_back: bool,
    never_changes: bool,
    with_nonce: bool,
}

enum Found {
    File { entity: Entity, never_changes: bool },
    Page(Arc<(PathBuf, Stamp, NoncedPage)>),
}

impl Folder {
    /// Opens the file, or the index in its stead. Blocks.
    fn find(&self, wanted: &Wanted) -> io::Result<Option<Found>> {
        // Anew each time: a deployment may switch the link that the root is.
        let root = self.root.canonicalize()?;
        let (path, never_changes) = match resolve(&root, &wanted.path) {
            Some(path) => (path, wanted.never_changes),
            None if wanted.falls_back => (root.join(INDEX).canonicalize()?, false),
            None => return Ok(None),
        };
        if wanted.with_nonce && path.extension().is_some_and(|extension| extension == "html") {
            return self.page(path).map(Found::Page).map(Some);
        }
        let entity = Entity::open(&path, &wanted.accepted, &self.tags)?;
        Ok(Some(Found::File { entity, never_changes }))
    }

    /// The page, cut for nonces; kept until the file changes or another page is asked for.
    fn page(&self, path: PathBuf) -> io::Result<Arc<(PathBuf, Stamp, NoncedPage)>> {
        let stamp = Stamp::of(&path.metadata()?);
        if let Some(known) = self.page.load_full().filter(|known| known.0 == path && known.1 == stamp) {
            return Ok(known);
        }
        let (stamp, html) = file::read_text(&path)?;
        let page = Arc::new((path, stamp, NoncedPage::parse(&html)));
        self.page.store(Some(Arc::clone(&page)));
        Ok(page)
    }

    fn never_changes(&self, path: &str) -> bool {
        self.immutable_paths.iter().any(|prefix| {
            let prefix = prefix.trim_end_matches('/');
            path.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/'))
        })
    }
}

/// The file, if there is one and, with all links resolved, it lies below the root.
fn resolve(root: &Path, relative: &Path) -> Option<PathBuf> {
    let file = root.join(relative).canonicalize().ok()?;
    let file = if file.is_dir() { file.join(INDEX).canonicalize().ok()? } else { file };
    (file.starts_with(root) && file.is_file()).then_some(file)
}

/// The decoded path below the root; none for anything that could lead out of it or to a hidden file.
fn relative_path(raw: &str) -> Option<PathBuf> {
    let decoded = percent_encoding::percent_decode_str(raw).decode_utf8().ok()?;
    if decoded.contains('\\') || decoded.chars().any(char::is_control) {
        return None;
    }
    let path = Path::new(decoded.trim_start_matches('/'));
    let public = path.strip_prefix(".well-known").unwrap_or(path);
    let harmless = public.components().all(|component| match component {
        Component::Normal(name) => !name.as_encoded_bytes().starts_with(b"."),
        _ => false,
    });
    if path.as_os_str().is_empty() {
        return Some(PathBuf::from(INDEX));
    }
    harmless.then(|| path.to_owned())
}

#[cfg(test)]
mod tests;
