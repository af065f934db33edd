//! The route table: which route a request path belongs to, and in which order the route's upstreams are tried.
//!
//! Only what the configuration lists is ever reached; nothing of a request decides where it goes but its path, and its
//! host where a route is for one host only.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use actix_web::http::Method;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::path::{self, PathRefused};
use super::upstream::{self, Upstream, UpstreamTls, UpstreamTlsError, UpstreamTlsSettings};
use super::{
    Balance, ConnectionLimits, CsrfMode, IdentityHeader, PathRewrite, RouteAuth, RouteSettings, RouteToken, Rule,
    UpstreamTimeouts,
};
use crate::file_watch::{self, FileWatch};
use crate::metrics::{CertificateUse, Metrics};
use crate::oidc::TokenNeed;

/// What a 405 lists for a route that restricts no methods (RFC 9110 §15.5.6); any other but CONNECT and TRACE passes too.
const COMMON_METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// All routes of a site. Made once, shared by the workers.
#[derive(Debug)]
pub struct RouteTable {
    /// Those of one host first, then the longest path first.
    routes: Vec<Arc<Route>>,
}

impl RouteTable {
    /// A table of these routes; their order does not matter. Reads the files that TLS towards upstreams needs.
    ///
    /// # Errors
    /// [`UpstreamTlsError`], which names the file.
    pub fn new(settings: Vec<RouteSettings>, metrics: &Metrics) -> Result<Self, UpstreamTlsError> {
        let own = UpstreamTlsSettings::default();
        let roots = if settings.iter().any(RouteSettings::trusts_the_system) {
            upstream::system_roots()?
        } else {
            upstream::no_roots()
        };
        let load = |tls| UpstreamTls::load(tls, Arc::clone(&roots), metrics.clone()).map(Arc::new);
        // Those that ask for nothing of their own share their connections.
        let shared = load(own.clone())?;
        let mut routes = Vec::new();
        for (index, route) in settings.into_iter().enumerate() {
            let tls = &route.upstream_settings.tls;
            let tls = if *tls == own { Arc::clone(&shared) } else { load(tls.clone())? };
            routes.push(Arc::new(Route::new(index, route, tls, metrics)));
        }
        routes.sort_by_key(|route| (route.settings.target.host.is_none(), std::cmp::Reverse(route.prefix.len())));
        let table = Self { routes };
        tell_end(&table.tls(), metrics);
        Ok(table)
    }

    /// Checks the upstreams of these tables whose routes say so, and follows the files of certificates, on `runtime`,
    /// until the watch is dropped.
    pub fn watch<'a>(tables: impl IntoIterator<Item = &'a Self>, runtime: &Handle, metrics: &Metrics) -> UpstreamWatch {
        let tables: Vec<_> = tables.into_iter().collect();
        let mut checks = Vec::new();
        for route in tables.iter().flat_map(|table| &table.routes) {
            if let Some(health) = &route.settings.upstream_settings.health {
                let check = |upstream: &Arc<Upstream>| upstream::check(Arc::clone(upstream), health.clone());
                checks.extend(route.upstreams.iter().map(|upstream| runtime.spawn(check(upstream)).abort_handle()));
            }
        }
        let (tls, metrics) = (tables.iter().flat_map(|table| table.tls()).collect::<Vec<_>>(), metrics.clone());
        let files: Vec<_> = tls.iter().flat_map(|tls| tls.files()).collect();
        let certificates = (!files.is_empty()).then(|| {
            let reload = move || {
                // All of them, whether or not one cannot be used.
                let used = tls.iter().filter(|tls| tls.reload()).count() == tls.len();
                tell_end(&tls, &metrics);
                used
            };
            let watch = file_watch::watch(files, runtime, reload.clone());
            // What changed between the first reading and the watch is seen now.
            reload();
            watch
        });
        UpstreamWatch { checks, _certificates: certificates }
    }

    /// Those that read files.
    fn tls(&self) -> Vec<Arc<UpstreamTls>> {
        self.routes.iter().map(|route| Arc::clone(&route.tls)).filter(|tls| !tls.files().is_empty()).collect()
    }

    /// The route that `raw_path` (without query) belongs to: the longest whose path is a prefix by whole segments, of those
    /// for `host` (without port) if there is one, else of those for every host.
    ///
    /// # Errors
    /// [`PathRefused`] for paths that servers could read differently; they get 400 whether a route matches or not.
    pub fn find(&self, host: &str, raw_path: &str) -> Result<Option<&Arc<Route>>, PathRefused> {
        path::check(raw_path)?;
        let first = |is_under: fn(&str, &str) -> bool| {
            self.routes.iter().position(|route| route.is_for(host) && is_under(&route.prefix, raw_path))
        };
        let found = first(path::is_under);
        if path::has_other_readings(raw_path) {
            let decoded = first(path::is_under_when_decoded);
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

/// Checks upstreams and follows the files of their certificates for as long as it lives.
#[derive(Debug)]
#[must_use = "the checks end when this is dropped"]
pub struct UpstreamWatch {
    checks: Vec<AbortHandle>,
    _certificates: Option<FileWatch>,
}

impl Drop for UpstreamWatch {
    fn drop(&mut self) {
        self.checks.iter().for_each(AbortHandle::abort);
    }
}

/// Of several certificates, the one that ends first.
fn tell_end(tls: &[Arc<UpstreamTls>], metrics: &Metrics) {
    if let Some(end) = tls.iter().filter_map(|tls| tls.not_after()).min() {
        metrics.certificate_ends(CertificateUse::Upstream, end.as_secs());
    }
}

/// One route: its settings and the state of its upstreams.
#[derive(Debug)]
pub struct Route {
    /// Its place in the configuration.
    index: usize,
    settings: RouteSettings,
    /// The path without a trailing slash; empty for `/`.
    prefix: String,
    upstreams: Vec<Arc<Upstream>>,
    tls: Arc<UpstreamTls>,
    /// Where the round goes on.
    next: AtomicUsize,
    /// Requests that wait for an upstream to have room.
    waiting: AtomicUsize,
}

/// A request that waits; it no longer does when this is dropped.
pub(super) struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Route {
    fn new(index: usize, settings: RouteSettings, tls: Arc<UpstreamTls>, metrics: &Metrics) -> Self {
        let prefix = settings.path.trim_end_matches('/').to_owned();
        let (most, ejection) = (settings.upstream_settings.limits.max_connections, settings.upstream_settings.ejection);
        let upstream = |uri: &http::Uri| {
            let metrics = metrics.upstream(&settings.path, uri.to_string().trim_end_matches('/'));
            Upstream::new(uri, most, ejection, &tls, metrics).map(Arc::new)
        };
        let upstreams = settings.upstreams.iter().filter_map(upstream).collect();
        let (next, waiting) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { index, settings, prefix, upstreams, tls, next, waiting }
    }

    /// The path as configured.
    pub fn path(&self) -> &str {
        &self.settings.path
    }

    /// Its place in the configuration, from 0.
    pub fn index(&self) -> usize {
        self.index
    }

    /// The names of the providers whose sessions pass; empty: all.
    pub fn providers(&self) -> &[String] {
        &self.settings.access.providers
    }

    /// What the user must have.
    pub fn rules(&self) -> &[Rule] {
        &self.settings.access.rules
    }

    /// Whether a page that a browser loads without a session leads to the login.
    pub fn leads_to_login(&self) -> bool {
        self.settings.access.leads_to_login
    }

    /// Headers made of the user's claims.
    pub fn identity_headers(&self) -> &[IdentityHeader] {
        &self.settings.access.headers
    }

    /// The access token that the upstream gets.
    pub fn token(&self) -> &RouteToken {
        &self.settings.access.token
    }

    /// What the session's access token must be for; none: that of the login will do.
    pub fn token_need(&self) -> Option<&TokenNeed> {
        self.token().of_session()
    }

    /// Bytes of a request's body; none: as many as come.
    pub fn max_body_size(&self) -> Option<u64> {
        self.settings.max_body_size
    }

    /// What `Host` says to the upstream, if not the upstream's own name.
    pub(super) fn host_override(&self) -> Option<&str> {
        self.settings.target.host_override.as_deref()
    }

    /// The route's path, where upstreams do not see it.
    pub(super) fn rewritten_prefix(&self) -> Option<&str> {
        match self.settings.target.path {
            PathRewrite::Keep => None,
            PathRewrite::Replace(_) => Some(&self.settings.path),
        }
    }

    /// What the upstream sees of `target` (path and query, of this route): what stands in place of the route's path, and
    /// the rest as it is.
    pub(super) fn rewritten<'a>(&'a self, target: &'a str) -> (&'a str, &'a str) {
        let PathRewrite::Replace(replacement) = &self.settings.target.path else { return ("", target) };
        // The route was found by its prefix.
        let rest = target.strip_prefix(self.prefix.as_str()).unwrap_or(target);
        let is_root = replacement.is_empty() && !rest.starts_with('/');
        (if is_root { "/" } else { replacement }, rest)
    }

    fn is_for(&self, host: &str) -> bool {
        self.settings.target.host.as_ref().is_none_or(|own| own.eq_ignore_ascii_case(host))
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

    /// How many connections there may be.
    pub(super) fn limits(&self) -> ConnectionLimits {
        self.settings.upstream_settings.limits
    }

    /// A place among those that wait, if there is one.
    pub(super) fn wait(&self) -> Option<Waiting<'_>> {
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let waiting = Waiting(&self.waiting);
        (before < self.limits().max_waiting).then_some(waiting)
    }

    /// The upstream where there is but one, which is tried however it fares.
    pub(super) fn only_upstream(&self) -> Option<&Upstream> {
        match &self.upstreams[..] {
            [only] => Some(only),
            _ => None,
        }
    }

    /// The upstreams in the order in which to try them: those that are well, and those that are left out.
    pub(super) fn candidates(&self) -> (Vec<&Upstream>, Vec<&Upstream>) {
        let count = self.upstreams.len();
        let start = if count > 1 { self.next.fetch_add(1, Ordering::Relaxed) % count } else { 0 };
        let round = self.upstreams[start..].iter().chain(&self.upstreams[..start]).map(Arc::as_ref);
        let (mut well, left_out): (Vec<_>, Vec<_>) = round.partition(|upstream| upstream.is_available());
        if self.settings.upstream_settings.balance == Balance::LeastConnections {
            // Each is looked at once, for the numbers change meanwhile; those that are alike stay in their order.
            well.sort_by_cached_key(|upstream| upstream.in_use());
        }
        (well, left_out)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::proxy::{AccessSettings, EjectionSettings, TargetSettings, UpstreamSettings};

    fn settings(path: &str, upstreams: &[&str]) -> RouteSettings {
        RouteSettings {
            path: path.to_owned(),
            upstreams: upstreams.iter().map(|uri| uri.parse().expect("a URI")).collect(),
            auth: RouteAuth::Session,
            access: AccessSettings::default(),
            target: TargetSettings::default(),
            max_body_size: None,
            csrf: CsrfMode::Header,
            methods: Vec::new(),
            forward_cookies: false,
            timeouts: UpstreamTimeouts {
                connect: Duration::from_secs(1),
                first_byte: Duration::from_secs(1),
                idle: Duration::from_secs(1),
            },
            upstream_settings: UpstreamSettings::default(),
        }
    }

    fn table(paths: &[&str]) -> RouteTable {
        let settings = paths.iter().map(|path| settings(path, &["http://127.0.0.1:1"])).collect();
        RouteTable::new(settings, &Metrics::default()).expect("no files")
    }

    fn route(settings: RouteSettings) -> Arc<Route> {
        let table = RouteTable::new(vec![settings], &Metrics::default()).expect("no files");
        Arc::clone(&table.routes[0])
    }

    fn found<'a>(table: &'a RouteTable, path: &str) -> Option<&'a str> {
        table.find("a.example", path).expect(path).map(|route| route.path())
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
            assert_eq!(table.find("a.example", path).err(), Some(PathRefused::Ambiguous), "{path}");
        }
        for path in ["/admin/a%20b;v=1", "/x;y/z%41", "/admins;x"] {
            assert!(table.find("a.example", path).is_ok(), "{path}");
        }
    }

    #[test]
    fn a_route_of_one_host_comes_before_those_of_every_host() {
        let of = |host: Option<&str>, path: &str| {
            let target = TargetSettings { host: host.map(str::to_owned), ..TargetSettings::default() };
            RouteSettings { target, ..settings(path, &[]) }
        };
        let routes =
            vec![of(None, "/api/v1"), of(None, "/"), of(Some("b.example"), "/api"), of(Some("c.example"), "/")];
        let table = RouteTable::new(routes, &Metrics::default()).expect("no files");
        let index = |host, path| table.find(host, path).expect(path).map(|route| route.index());
        assert_eq!(index("a.example", "/api/v1/x"), Some(0));
        assert_eq!(index("b.example", "/api/v1/x"), Some(2));
        assert_eq!(index("B.Example", "/api"), Some(2));
        assert_eq!(index("b.example", "/other"), Some(1));
        assert_eq!(index("c.example", "/api/v1"), Some(3));
        assert_eq!(index("xc.example", "/api"), Some(1));
    }

    /// DESIGN §7: what goes on is as safe as what came.
    #[test]
    fn the_route_s_path_is_replaced_and_what_lies_behind_it_is_not_touched() {
        let rewriting = |path: &str, replacement: &str| {
            let mut settings = settings(path, &[]);
            settings.target.path = PathRewrite::Replace(replacement.to_owned());
            route(settings)
        };
        for (path, replacement, target, upstream) in [
            ("/api", "", "/api", "/"),
            ("/api", "", "/api/", "/"),
            ("/api", "", "/api?q=/api", "/?q=/api"),
            ("/api", "", "/api/x%20y;v=1?a=%2F", "/x%20y;v=1?a=%2F"),
            ("/api", "", "/api/api/x", "/api/x"),
            ("/api", "/v2", "/api", "/v2"),
            ("/api", "/v2", "/api/", "/v2/"),
            ("/api", "/v2", "/api?q", "/v2?q"),
            ("/api", "/v2", "/api/x", "/v2/x"),
            ("/", "/v2", "/", "/v2/"),
            ("/", "/v2", "/x?q", "/v2/x?q"),
        ] {
            let route = rewriting(path, replacement);
            let (replaced, rest) = route.rewritten(target);
            let rewritten = format!("{replaced}{rest}");
            assert_eq!(rewritten, upstream, "{path} {replacement} {target}");
            assert_eq!(path::check(rewritten.split('?').next().unwrap_or_default()), Ok(()), "{rewritten}");
        }
        assert_eq!(route(settings("/api", &[])).rewritten("/api/x"), ("", "/api/x"));
    }

    #[test]
    fn refused_paths_are_refused_even_without_a_route() {
        let table = table(&["/api"]);
        assert_eq!(table.find("a.example", "/x/../api").err(), Some(PathRefused::DotSegment));
        assert_eq!(RouteTable::check_path("/x//y"), Err(PathRefused::EmptySegment));
    }

    #[test]
    fn connect_and_trace_never_pass_and_lists_are_kept() {
        let open = route(settings("/api", &[]));
        assert!(open.allows(&Method::GET) && open.allows(&Method::from_bytes(b"PURGE").expect("a method")));
        assert!(!open.allows(&Method::CONNECT) && !open.allows(&Method::TRACE));
        let mut limited = settings("/api", &[]);
        limited.methods = vec![http::Method::GET, http::Method::TRACE];
        let limited = route(limited);
        assert!(limited.allows(&Method::GET));
        assert!(!limited.allows(&Method::POST) && !limited.allows(&Method::TRACE));
        assert_eq!(limited.allow(), "GET, TRACE");
    }

    /// Those that are well, and those that are left out, each in their order.
    fn order(route: &Route) -> (Vec<String>, Vec<String>) {
        let (well, left_out) = route.candidates();
        let names = |upstreams: Vec<&Upstream>| upstreams.iter().map(|upstream| upstream.to_string()).collect();
        (names(well), names(left_out))
    }

    fn three(change: impl FnOnce(&mut UpstreamSettings)) -> Arc<Route> {
        let mut settings = settings("/api", &["http://a", "http://b", "http://c"]);
        settings.upstream_settings.ejection = EjectionSettings { after: 1, duration: Duration::from_secs(3600) };
        change(&mut settings.upstream_settings);
        route(settings)
    }

    #[test]
    fn upstreams_take_turns_and_those_that_fail_come_last() {
        let route = three(|_| {});
        let none = Vec::<String>::new;
        assert_eq!(order(&route), (vec!["http://a".into(), "http://b".into(), "http://c".into()], none()));
        assert_eq!(order(&route), (vec!["http://b".into(), "http://c".into(), "http://a".into()], none()));
        route.upstreams[2].failed();
        assert_eq!(order(&route), (vec!["http://a".into(), "http://b".into()], vec!["http://c".into()]));
        route.upstreams[0].failed();
        route.upstreams[1].failed();
        assert_eq!(order(&route), (none(), vec!["http://a".into(), "http://b".into(), "http://c".into()]));
        route.upstreams[1].answered();
        assert_eq!(order(&route).0, ["http://b"]);
    }

    #[test]
    fn the_upstream_with_the_fewest_requests_comes_first() {
        let route = three(|settings| settings.balance = Balance::LeastConnections);
        let _one = (route.upstreams[0].try_permit(), route.upstreams[0].try_permit(), route.upstreams[2].try_permit());
        assert_eq!(order(&route).0, ["http://b", "http://c", "http://a"]);
        let _two = (route.upstreams[1].try_permit(), route.upstreams[1].try_permit());
        assert_eq!(order(&route).0[0], "http://c");
    }

    #[test]
    fn no_more_requests_wait_than_may() {
        let route = three(|settings| settings.limits.max_waiting = 1);
        let first = route.wait();
        assert!(first.is_some() && route.wait().is_none() && route.wait().is_none());
        drop(first);
        assert!(route.wait().is_some());
    }
}
