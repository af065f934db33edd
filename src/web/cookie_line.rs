//! Refuses a request whose `Cookie` line is too long, and deletes our cookies from it, so that a browser gets out of it
//! by itself where they are the cause. Often they are not: cookies of other applications on the same host come along,
//! ports do not count. Then the page must say so, for nobody but the user can delete those.

use actix_web::HttpRequest;
use actix_web::http::header::{COOKIE, HeaderValue};

use crate::session::budget::OUR_COOKIES;
use crate::session::cookies::RequestCookies;
use crate::web::Services;
use crate::web::problem::{COOKIES_TOO_LARGE, Problem};

/// The longest `Cookie` line that is read, in bytes; several fields count as one, joined with `; ` (RFC 9113 §8.2.3).
///
/// More than HAProxy and Node take by default, and far below what the parser takes (a head of 131,072 bytes; beyond it
/// it answers with an empty 431 of its own).
pub const MAX_COOKIE_LINE: usize = 16_384;
/// The most bytes of `Set-Cookie` that delete ours: what does not fit is deleted by the next response.
const MAX_DELETIONS: usize = 2_500;

/// Lets a request pass whose `Cookie` line is short enough.
///
/// # Errors
/// 431 (RFC 6585 §5), which deletes our cookies.
pub fn check(services: &Services, request: &HttpRequest) -> Result<(), Problem> {
    let fields = request.headers().get_all(COOKIE).map(HeaderValue::len);
    let (count, bytes) = fields.fold((0, 0), |(count, bytes), field| (count + 1, bytes + field));
    let total: usize = bytes + "; ".len() * usize::saturating_sub(count, 1);
    if total <= MAX_COOKIE_LINE {
        return Ok(());
    }
    let cookies = services.cookies(request);
    let ours = cookies.characters();
    tracing::warn!(total, ours, possible = MAX_COOKIE_LINE, "a request's cookies are too large");
    Err(problem(total, ours).with_cookies(deletions(services, &cookies)))
}

fn problem(total: usize, ours: usize) -> Problem {
    let others = total.saturating_sub(ours);
    // Without ours it would have passed, or it would not.
    let by_others = others > MAX_COOKIE_LINE - OUR_COOKIES;
    let problem = Problem::new(&COOKIES_TOO_LARGE, detail(total, others, by_others)).with_values([
        ("sent", total.to_string()),
        ("possible", MAX_COOKIE_LINE.to_string()),
        ("others", others.to_string()),
    ]);
    if by_others { problem.in_words("cookies-of-others-too-large") } else { problem }
}

fn detail(total: usize, others: usize, by_others: bool) -> String {
    let sent = format!("Your browser sent {total} bytes of cookies, and {MAX_COOKIE_LINE} are possible.");
    if by_others {
        return format!(
            "{sent} {others} of them belong to other applications on the same host, which we cannot delete: delete the \
             cookies of this site in your browser, then sign in again."
        );
    }
    format!("{sent} Those of this application are deleted now: sign in again.")
}

/// The session's cookies first, then the others.
fn deletions(services: &Services, cookies: &RequestCookies) -> Vec<String> {
    let mut left = MAX_DELETIONS;
    let fits = |line: &String| {
        left = left.saturating_sub(line.len());
        left > 0
    };
    services.sessions.delete_all(cookies).into_iter().take_while(fits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_other_applications_where_they_are_the_cause() {
        let detail = |total, ours| format!("{:?}", problem(total, ours));
        assert!(detail(20_000, 0).contains("20000 of them belong to other applications"));
        assert!(detail(20_000, 7_000).contains("cookies-of-others-too-large"));
        assert!(!detail(20_000, 15_000).contains("other applications"));
    }
}
