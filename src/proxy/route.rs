//! The route table: which route a request path belongs to, and which of the route's upstreams comes next.
//!
//! Only what the configuration lists is ever reached; nothing of a request decides where it goes but its path.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use actix_web::http::Method;

use super::path::{self, PathRefused};
use super::upstream::Upstream;
use super::{CsrfMode, RouteAuth, RouteSettings, UpstreamTimeouts};

/// What a 405 lists for a route that restricts no methods (RFC 9110 §15.5.6); any other but CONNECT and TRACE passes too.
const COMMON_METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// All routes of a site. Made once, shared by the workers.
#[derive(Debug)]
pub struct RouteTable {
    /// Longest path first.
    routes: Vec<Arc<Route>>,
}

impl RouteTable {
    /// A table of these routes; their order does not matter.
    pub fn new(settings: Vec<RouteSettings>) -> Self {
        let mut routes: Vec<_> = settings.into_iter().map(|settings| Arc::new(Route::new(settings))).collect();
        routes.sort_by_key(|route| std::cmp::Reverse(route.prefix.len()));
        Self { routes }
    }

    /// The route that `raw_path` (without query) belongs to: the longest whose path is a prefix by whole segments.
    ///
    /// # Errors
    /// [`PathRefused`] for paths that servers could read differently; they get 400 whether a route matches or not.
    pub fn find(&self, raw_path: &str) -> Result<Option<&Arc<Route>>, PathRefused> {
        path::check(raw_path)?;
        let found = self.routes.iter().position(|route| path::is_under(&route.prefix, raw_path));
        if path::has_other_readings(raw_path) {
            let decoded = self.routes.iter().position(|route| path::is_under_when_decoded(&route.prefix, raw_path));
            if decoded != found {
                return Err(PathRefused::Ambiguous);
            }
        }
        Ok(found.map(|index| &self.routes[index]))
    }

    /// Refuses the paths that [`find`](Self::find) refuses, for requests that are not routed.
    ///
    /// # Errors
    /// As for `find`, but [`PathRefused::Ambiguous`], which takes a table to tell.
    pub fn check_path(raw_path: &str) -> Result<(), PathRefused> {
        path::check(raw_path)
    }
}

/// One route: its settings and the state of its upstreams.
#[derive(Debug)]
pub struct Route {
    settings: RouteSettings,
    /// The path without a trailing slash; empty for `/`.
    prefix: String,
    upstreams: Vec<Upstream>,
    /// Where the round goes on.
    next: AtomicUsize,
}

impl Route {
    /// A route of its own, outside every table.
    pub fn new(settings: RouteSettings) -> Self {
        let prefix = settings.path.trim_end_matches('/').to_owned();
        let upstreams = settings.upstreams.iter().filter_map(Upstream::new).collect();
        Self { settings, prefix, upstreams, next: AtomicUsize::new(0) }
    }

    /// The path as configured.
    pub fn path(&self) -> &str {
        &self.settings.path
    }

    /// Who may pass.
    pub fn auth(&self) -> RouteAuth {
        self.settings.auth
    }

    /// How cross-site requests are told from our own.
    pub fn csrf(&self) -> CsrfMode {
        self.settings.csrf
    }

    /// Bounds on the upstream.
    pub fn timeouts(&self) -> UpstreamTimeouts {
        self.settings.timeouts
    }

    /// Whether cookies other than our own go on to the upstream.
    pub fn forwards_cookies(&self) -> bool {
        self.settings.forward_cookies
    }

    /// Whether requests with this method may pass: never CONNECT and TRACE (RFC 10017 §6.1.3.6).
    pub fn allows(&self, method: &Method) -> bool {
        let listed = &self.settings.methods;
        !matches!(*method, Method::CONNECT | Method::TRACE)
            && (listed.is_empty() || listed.iter().any(|allowed| allowed.as_str() == method.as_str()))
    }

    /// The value of `Allow` for a 405 on this route (RFC 9110 §10.2.1).
    pub fn allow(&self) -> String {
        if self.settings.methods.is_empty() {
            return COMMON_METHODS.to_owned();
        }
        self.settings.methods.iter().map(http::Method::as_str).collect::<Vec<_>>().join(", ")
    }

    /// The upstreams in the order in which to try them: the next of the round first, those that lately could not be
    /// reached last.
    pub(super) fn candidates(&self) -> impl Iterator<Item = &Upstream> {
        let count = self.upstreams.len();
        let start = if count > 1 { self.next.fetch_add(1, Ordering::Relaxed) % count } else { 0 };
        // One look at everybody's health, so that an upstream that fails meanwhile is not tried twice.
        let resting = self.resting();
        let order = (0..count).map(move |step| (start + step) % count);
        let (healthy, others) = (order.clone(), order);
        healthy
            .filter(move |&index| !is_set(resting, index))
            .chain(others.filter(move |&index| is_set(resting, index)))
            .map(|index| &self.upstreams[index])
    }

    /// A bit for every upstream that rests; those behind the 64th count as healthy.
    fn resting(&self) -> u64 {
        if self.upstreams.len() < 2 {
            return 0;
        }
        let bits = self.upstreams.iter().take(64).enumerate();
        bits.fold(0, |mask, (index, upstream)| mask | u64::from(upstream.is_resting()) << index)
    }
}

fn is_set(mask: u64, index: usize) -> bool {
    index < 64 && mask >> index & 1 == 1
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn settings(path: &str, upstreams: &[&str]) -> RouteSettings {
        RouteSettings {
            path: path.to_owned(),
            upstreams: upstreams.iter().map(|uri| uri.parse().expect("a URI")).collect(),
            auth: RouteAuth::Session,
            csrf: CsrfMode::Header,
            methods: Vec::new(),
            forward_cookies: false,
            timeouts: UpstreamTimeouts {
                connect: Duration::from_secs(1),
                first_byte: Duration::from_secs(1),
                idle: Duration::from_secs(1),
            },
        }
    }

    fn table(paths: &[&str]) -> RouteTable {
        RouteTable::new(paths.iter().map(|path| settings(path, &["http://127.0.0.1:1"])).collect())
    }

    fn found<'a>(table: &'a RouteTable, path: &str) -> Option<&'a str> {
        table.find(path).expect(path).map(|route| route.path())
    }

    #[test]
    fn the_longest_route_wins_whatever_the_order() {
        let table = table(&["/", "/api", "/api/v1", "/apiary"]);
        for (path, route) in [
            ("/", "/"),
            ("/index.html", "/"),
            ("/api", "/api"),
            ("/api/", "/api"),
            ("/api/v1", "/api/v1"),
            ("/api/v1/x", "/api/v1"),
            ("/api/v10", "/api"),
            ("/apis", "/"),
            ("/apiary/x", "/apiary"),
        ] {
            assert_eq!(found(&table, path), Some(route), "{path}");
        }
    }

    #[test]
    fn what_no_route_lists_is_not_found() {
        let table = table(&["/api"]);
        for path in ["/", "/ap", "/apix", "/API", "/x/api"] {
            assert_eq!(found(&table, path), None, "{path}");
        }
    }

    /// A tail behind `;`, or an encoded letter, must not lead around a stricter route.
    #[test]
    fn a_path_that_decodes_into_another_route_is_refused() {
        let table = table(&["/", "/admin"]);
        for path in ["/admin;x/users", "/%61dmin/users", "/admi%6e", "/admin%3bx"] {
            assert_eq!(table.find(path).err(), Some(PathRefused::Ambiguous), "{path}");
        }
        for path in ["/admin/a%20b;v=1", "/x;y/z%41", "/admins;x"] {
            assert!(table.find(path).is_ok(), "{path}");
        }
    }

    #[test]
    fn refused_paths_are_refused_even_without_a_route() {
        let table = table(&["/api"]);
        assert_eq!(table.find("/x/../api").err(), Some(PathRefused::DotSegment));
        assert_eq!(RouteTable::check_path("/x//y"), Err(PathRefused::EmptySegment));
    }

    #[test]
    fn connect_and_trace_never_pass_and_lists_are_kept() {
        let open = Route::new(settings("/api", &[]));
        assert!(open.allows(&Method::GET) && open.allows(&Method::from_bytes(b"PURGE").expect("a method")));
        assert!(!open.allows(&Method::CONNECT) && !open.allows(&Method::TRACE));
        let mut limited = settings("/api", &[]);
        limited.methods = vec![http::Method::GET, http::Method::TRACE];
        let limited = Route::new(limited);
        assert!(limited.allows(&Method::GET));
        assert!(!limited.allows(&Method::POST) && !limited.allows(&Method::TRACE));
        assert_eq!(limited.allow(), "GET, TRACE");
    }

    #[test]
    fn upstreams_take_turns_and_resting_ones_come_last() {
        let route = Route::new(settings("/api", &["http://a.test", "http://b.test", "http://c.test"]));
        let order = || -> Vec<String> { route.candidates().map(|upstream| upstream.to_string()).collect() };
        assert_eq!(order(), ["http://a.test", "http://b.test", "http://c.test"]);
        assert_eq!(order(), ["http://b.test", "http://c.test", "http://a.test"]);
        route.upstreams[2].rest();
        assert_eq!(order(), ["http://a.test", "http://b.test", "http://c.test"]);
        route.upstreams[0].rest();
        assert_eq!(order(), ["http://b.test", "http://a.test", "http://c.test"]);
        route.upstreams[2].revive();
        assert_eq!(order(), ["http://b.test", "http://c.test", "http://a.test"]);
    }
}
