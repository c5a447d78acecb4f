//! What stands before the handlers: headers that protect readers, and who may write.

use super::App;
use super::error::ApiError;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// Pages need no scripts, so none may run: log lines are written by strangers.
const CSP: &str = "default-src 'none'; style-src 'self'; img-src 'self' data:; \
    form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Kept report files bring their style with them.
const REPORT_CSP: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; \
    base-uri 'none'; frame-ancestors 'none'";

/// Adds the headers to every answer.
pub(super) async fn headers(request: Request, next: Next) -> Response {
    let report_file = request.uri().path().starts_with("/reports/");
    let mut response = next.run(request).await;
    let csp = if report_file { REPORT_CSP } else { CSP };
    let all: [(HeaderName, &'static str); 5] = [
        (header::CONTENT_SECURITY_POLICY, csp),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "same-origin"),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
    ];
    let headers = response.headers_mut();
    for (name, value) in all {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

/// Lets writes through only with the token, when one is set, and never from another site's page.
pub(super) async fn writers(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    if matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::OPTIONS
    ) {
        return next.run(request).await;
    }
    if !same_origin(request.headers()) {
        return ApiError::forbidden("requests from other sites' pages are refused").into_response();
    }
    let api = request.uri().path().starts_with("/api/");
    match &app.config().intake.token {
        Some(token) if api && !bearer(request.headers(), token.expose()) => {
            ApiError::unauthorized().into_response()
        }
        _ => next.run(request).await,
    }
}

/// True for programs (no such headers) and for our own pages.
fn same_origin(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
    if let Some(site) = text("sec-fetch-site") {
        return matches!(site, "same-origin" | "none");
    }
    let Some(origin) = text("origin") else {
        return true;
    };
    let host = text("host").unwrap_or_default();
    origin
        .split_once("://")
        .is_some_and(|(_, from)| from == host)
}

/// Compares digests without stopping early, so that time tells nothing about the token.
pub(super) fn bearer(headers: &HeaderMap, token: &str) -> bool {
    let given = headers
        .get(header::AUTHORIZATION)
        .and_then(|v| v.to_str().ok());
    let given = given
        .and_then(|v| v.strip_prefix("Bearer "))
        .unwrap_or_default();
    let (given, wanted) = (Sha256::digest(given), Sha256::digest(token));
    let difference = given
        .iter()
        .zip(wanted.iter())
        .fold(0, |sum, (a, b)| sum | (a ^ b));
    difference == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = pairs.iter();
        pairs
            .map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v)))
            .collect()
    }

    #[test]
    fn another_sites_page_may_not_write() {
        assert!(same_origin(&with(&[])));
        assert!(same_origin(&with(&[("sec-fetch-site", "same-origin")])));
        assert!(!same_origin(&with(&[("sec-fetch-site", "cross-site")])));
        assert!(same_origin(&with(&[
            ("origin", "http://h:1"),
            ("host", "h:1")
        ])));
        assert!(!same_origin(&with(&[
            ("origin", "http://evil"),
            ("host", "h:1")
        ])));
        assert!(!same_origin(&with(&[("origin", "null"), ("host", "h:1")])));
    }

    #[test]
    fn only_the_whole_token_opens() {
        assert!(bearer(&with(&[("authorization", "Bearer abc")]), "abc"));
        for wrong in ["Bearer ab", "Bearer abcd", "abc", "Basic abc"] {
            assert!(
                !bearer(&with(&[("authorization", wrong)]), "abc"),
                "{wrong}"
            );
        }
        assert!(!bearer(&with(&[]), "abc"));
    }
}
