//! What each type of value takes and refuses.

use super::*;

fn leaf(text: &str) -> Leaf {
    Leaf::Text(text.to_owned())
}

fn refuses<T>(parse: impl Fn(&Leaf) -> Result<T, String>, texts: &[&str]) {
    for text in texts {
        assert!(parse(&leaf(text)).is_err(), "{text:?} passed");
    }
}

#[test]
fn a_size_is_bytes_or_has_a_unit() {
    assert_eq!(size(&Leaf::Integer(1024)), Ok(1024));
    for (text, bytes) in [("0", 0), ("512B", 512), ("10MiB", 10 << 20), ("1 kib", 1 << 10), ("2GB", 2_000_000_000)] {
        assert_eq!(size(&leaf(text)), Ok(bytes), "{text}");
    }
    refuses(size, &["", "MiB", "1.5MiB", "-1", "ten", "99999999999GiB"]);
}

#[test]
fn a_host_has_neither_scheme_nor_port() {
    assert_eq!(host(&leaf("API.example.com")), Ok("api.example.com".to_owned()));
    assert_eq!(host(&leaf("[::1]")), Ok("[::1]".to_owned()));
    refuses(host, &["https://a.example", "a.example:80", "u@a.example", "a.example/x", ""]);
}

#[test]
fn durations_need_a_unit() {
    assert_eq!(duration(&leaf("1h 30m")), Ok(Duration::from_secs(5400)));
    assert_eq!(duration(&leaf("0s")), Ok(Duration::ZERO));
    refuses(duration, &["60", "", "soon", "-1s", "1 parsec"]);
    assert!(duration(&Leaf::Integer(60)).expect_err("no unit").contains("\"60s\""));
    refuses(positive_duration, &["0s"]);
    refuses(|leaf| seconds(leaf, Duration::from_secs(60)), &["61s", "1500ms", "500ms"]);
}

#[test]
fn values_from_the_environment_take_the_type_that_the_key_wants() {
    let untyped = |text: &str| Leaf::Untyped(text.to_owned());
    assert_eq!(boolean(&untyped("false")), Ok(false));
    assert!(boolean(&untyped("no")).is_err());
    assert_eq!(workers(&untyped("007")), Ok(7));
    assert!(workers(&untyped("0")).is_err());
    assert_eq!(text(&untyped("007")), Ok("007".to_owned()));
}

#[test]
fn a_text_is_no_boolean_and_no_number_in_a_file() {
    assert!(boolean(&leaf("true")).is_err());
    assert!(workers(&leaf("4")).is_err());
    assert!(text(&Leaf::Integer(7)).is_err());
}

#[test]
fn a_network_may_be_a_single_address() {
    assert_eq!(network(&leaf("10.0.0.0/8")).map(|net| net.to_string()), Ok("10.0.0.0/8".to_owned()));
    assert_eq!(network(&leaf("::1")).map(|net| net.prefix_len()), Ok(128));
    refuses(network, &["10.0.0.0/33", "example.com", "10.0.0"]);
}

/// RFC 8414 §3.3: the issuer is compared as a string, so it is kept as it was written.
#[test]
fn an_issuer_is_kept_to_the_letter() {
    for text in [
        "https://login.example.com",
        "https://login.example.com/realms/a/",
        "http://localhost:9000",
        "https://X.example",
    ] {
        assert_eq!(issuer(&leaf(text)).as_deref(), Ok(text));
    }
    refuses(
        issuer,
        &[
            "login.example.com",
            "http://login.example.com",
            "http://127.0.0.1.example.com",
            "https://login.example.com/?a=b",
            "https://login.example.com/#a",
            " https://login.example.com",
            "ftp://login.example.com",
            "https://",
        ],
    );
}

#[test]
fn an_upstream_is_an_origin() {
    let uri = upstream(&leaf("http://API.internal:3000/")).expect("an origin");
    assert_eq!(uri.to_string(), "http://api.internal:3000/");
    assert_eq!(upstream(&leaf("https://[::1]:8443")).map(|uri| uri.to_string()), Ok("https://[::1]:8443/".to_owned()));
    refuses(upstream, &["http://a/x", "http://a?x", "http://a#x", "ws://a", "a:3000", "unix:/run/a", "http://"]);
}

#[test]
fn a_url_with_a_password_is_not_quoted() {
    for text in ["https://user:hunter2@a.example", "http://hunter2@a/x", "user:hunter2@a"] {
        for message in
            [upstream(&leaf(text)).map(drop), issuer(&leaf(text)).map(drop), public_origin(&leaf(text)).map(drop)]
        {
            let message = message.expect_err("user info");
            assert!(!message.contains("hunter2"), "{message}");
        }
    }
}

#[test]
fn a_path_is_made_of_whole_plain_segments() {
    for text in ["/", "/api", "/api/v1.2", "/a-b_c~d/@e"] {
        assert_eq!(whole_path(&leaf(text)).as_deref(), Ok(text));
    }
    refuses(
        whole_path,
        &[
            "", "api", "/api/", "//api", "/a//b", "/a/./b", "/..", "/a%2fb", "/a;b", "/a?b", "/a#b", "/a\\b", "/a b",
            "/é",
        ],
    );
    refuses(path_below_root, &["/"]);
}

/// RFC 10017 §6.1.3.3.2: the header must be one that a page of another site cannot send.
#[test]
fn the_csrf_header_is_none_that_any_site_can_send() {
    assert_eq!(csrf_header(&leaf("X-CSRF")).as_deref(), Ok("X-CSRF"));
    refuses(
        csrf_header,
        &[
            "Accept",
            "content-type",
            "Range",
            "Sec-Fetch-Site",
            "Cookie",
            "Origin",
            "X CSRF",
            "",
            "X-Forwarded-For",
            "DPR",
        ],
    );
    refuses(header_value, &["", "a b", "a\r\nb", "é"]);
}

#[test]
fn methods_are_upper_case_and_never_connect() {
    assert_eq!(method(&leaf("PURGE")).map(|method| method.to_string()), Ok("PURGE".to_owned()));
    refuses(method, &["get", "CONNECT", "TRACE", "A B", ""]);
}

/// RFC 6749 §3.3
#[test]
fn a_scope_is_one_token() {
    assert_eq!(scope(&leaf("api://app/read")).as_deref(), Ok("api://app/read"));
    refuses(scope, &["openid profile", "a\"b", "a\\b", "é"]);
}

#[test]
fn a_choice_names_the_choices() {
    let message = choice(&leaf("lex"), &[("strict", 1), ("lax", 2)]).expect_err("neither");
    assert_eq!(message, "\"lex\" is not one of \"strict\", \"lax\"");
}
