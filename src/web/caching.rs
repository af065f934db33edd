//! What caches may do with the answer to a request that carried a session: shared ones nothing.

use actix_web::HttpResponse;
use actix_web::http::header::{CACHE_CONTROL, EXPIRES, HeaderMap, HeaderName, HeaderValue, VARY};

const CDN_FIELDS: [HeaderName; 2] =
    [HeaderName::from_static("cdn-cache-control"), HeaderName::from_static("surrogate-control")];

/// Takes back what an upstream permits to shared caches (RFC 9111 §5.2.2): `private` and `Vary` are added;
/// `no-store` where the upstream said nothing or where the response sets a cookie of ours.
pub fn keep_private(response: &mut HttpResponse, sets_our_cookie: bool) {
    let headers = response.headers_mut();
    for name in &CDN_FIELDS {
        headers.remove(name);
    }
    let said_nothing = !headers.contains_key(CACHE_CONTROL) && !headers.contains_key(EXPIRES);
    let value = if said_nothing || sets_our_cookie {
        headers.remove(EXPIRES);
        HeaderValue::from_static("no-store")
    } else {
        private_directives(headers)
    };
    headers.insert(CACHE_CONTROL, value);
    vary(response);
}

/// Adds `Vary` for what may mean another answer (RFC 9110 §12.5.5): another cookie, and another site that asks.
pub fn vary(response: &mut HttpResponse) {
    let headers = response.headers_mut();
    if !headers.contains_key(VARY) {
        headers.insert(VARY, HeaderValue::from_static("Cookie, Sec-Fetch-Site"));
        return;
    }
    for field in ["Cookie", "Sec-Fetch-Site"] {
        let named = headers.get_all(VARY).filter_map(|value| value.to_str().ok());
        let mut named = named.flat_map(|value| value.split(',')).map(str::trim);
        if !named.any(|name| name == "*" || name.eq_ignore_ascii_case(field)) {
            headers.append(VARY, HeaderValue::from_static(field));
        }
    }
}

fn private_directives(headers: &HeaderMap) -> HeaderValue {
    let given = headers.get_all(CACHE_CONTROL).filter_map(|value| value.to_str().ok()).collect::<Vec<_>>().join(",");
    let mut kept: Vec<&str> = directives(&given)
        .filter(|directive| {
            let name = directive.split('=').next().unwrap_or_default().trim();
            !["public", "s-maxage", "proxy-revalidate", "private"].iter().any(|gone| name.eq_ignore_ascii_case(gone))
        })
        .collect();
    kept.insert(0, "private");
    HeaderValue::from_str(&kept.join(", ")).unwrap_or_else(|_| HeaderValue::from_static("no-store"))
}

/// The directives of a field, at its commas outside quotes.
fn directives(field: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    field
        .split(move |character| {
            quoted ^= character == '"';
            character == ',' && !quoted
        })
        .map(str::trim)
        .filter(|directive| !directive.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(upstream: &[(&'static str, &'static str)], sets_our_cookie: bool) -> (String, Vec<String>, bool) {
        let mut builder = HttpResponse::Ok();
        for header in upstream {
            builder.append_header(*header);
        }
        let mut response = builder.finish();
        keep_private(&mut response, sets_our_cookie);
        let headers = response.headers();
        let text = |value: &HeaderValue| value.to_str().expect("ASCII").to_owned();
        let vary = headers.get_all(VARY).map(text).collect();
        let cdn = CDN_FIELDS.iter().any(|name| headers.contains_key(name));
        (text(headers.get(CACHE_CONTROL).expect("always one")), vary, cdn)
    }

    #[test]
    fn permissions_of_shared_caches_are_taken_back() {
        for (given, left) in [
            ("public, max-age=60", "private, max-age=60"),
            ("max-age=60, s-maxage=600", "private, max-age=60"),
            ("no-store", "private, no-store"),
            ("private=\"set-cookie, x\", max-age=1", "private, max-age=1"),
            ("PUBLIC", "private"),
        ] {
            assert_eq!(after(&[("cache-control", given)], false).0, left);
        }
        let (control, _, cdn) = after(
            &[("cache-control", "max-age=1"), ("cdn-cache-control", "max-age=9"), ("surrogate-control", "x")],
            false,
        );
        assert_eq!((control.as_str(), cdn), ("private, max-age=1", false));
    }

    #[test]
    fn nothing_is_stored_when_the_upstream_said_nothing_or_a_cookie_is_set() {
        assert_eq!(after(&[], false).0, "no-store");
        assert_eq!(after(&[("cache-control", "public, max-age=60")], true).0, "no-store");
    }

    #[test]
    fn the_answer_varies_by_cookie_and_by_who_asks_once() {
        assert_eq!(after(&[], false).1, ["Cookie, Sec-Fetch-Site"]);
        assert_eq!(after(&[("vary", "Accept")], false).1, ["Accept", "Cookie", "Sec-Fetch-Site"]);
        assert_eq!(after(&[("vary", "accept, cookie")], false).1, ["accept, cookie", "Sec-Fetch-Site"]);
        assert_eq!(after(&[("vary", "*")], false).1, ["*"]);
    }
}
