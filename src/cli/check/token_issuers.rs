//! The issuers of access tokens that routes take: whether they answer, and take our credentials where they are asked.

use std::time::Duration;

use super::progress::while_waiting;
use super::{Report, Subject, Verdict};
use crate::config::SiteConfig;
use crate::oidc::{IntrospectionError, IssuerFault, TokenIssuerError, TokenIssuerSettings, probe_token_issuer};

pub(super) fn check(subject: &Subject<'_>, report: &mut Report) {
    subject.each_site(report, |site, report| check_site(subject, site, report));
}

fn check_site(subject: &Subject<'_>, site: &SiteConfig, report: &mut Report) {
    for (route, settings) in site.routes.iter().enumerate() {
        for (index, issuer) in settings.access.issuers.iter().enumerate() {
            let key = format!("routes[{route}].issuers[{index}].issuer");
            if subject.offline {
                report.note(&key, format!("{} was not asked (--offline)", issuer.issuer));
                continue;
            }
            match ask(issuer, site.provider().request_timeout) {
                Ok(message) => report.ok(&key, message),
                Err(message) => report.add(subject.loaded, Verdict::Error, &key, message),
            }
        }
    }
}

fn ask(issuer: &TokenIssuerSettings, timeout: Duration) -> Result<String, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot be asked: {error}"))?;
    let what = format!("asking {} how it judges access tokens", issuer.issuer);
    let probed = runtime.block_on(while_waiting(&what, probe_token_issuer(issuer, timeout)));
    match probed {
        Ok(()) if issuer.introspection.is_some() => Ok(format!("{} answers questions about tokens", issuer.issuer)),
        Ok(()) => Ok(format!("the keys of {} can be read", issuer.issuer)),
        Err(error) => Err(format!("{error}; {}", remedy(&error))),
    }
}

fn remedy(error: &TokenIssuerError) -> &'static str {
    match error {
        TokenIssuerError::Settings(_) => "correct the issuer's settings",
        TokenIssuerError::Discovery(_) => {
            "see that the issuer is written exactly as its metadata say, and can be reached"
        }
        TokenIssuerError::Keys(_) => "see that jwks_uri is right and can be reached",
        TokenIssuerError::Introspection(IssuerFault::Introspection(IntrospectionError::Rejected { .. })) => {
            "its client must be allowed to ask about tokens"
        }
        _ => "see that it offers introspection (RFC 7662), and can be reached",
    }
}
