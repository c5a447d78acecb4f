//! How trackers are asked: one request at a time, bounded in time and size, with the account's token
//! sent to the configured place and to no other.

use super::account::{Account, account, percent};
use super::address::SiteError;
use super::error::TrackerError;
use super::limits::failure;
use crate::config::{TrackerKind, TrackerSite};
use reqwest::header::{self, HeaderMap, HeaderValue};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;
use std::fmt;
use std::time::Duration;
use url::Url;

/// No good answer is larger.
pub(super) const LARGEST: usize = 8 << 20;
/// Redirects that are followed.
const HOPS: usize = 3;

/// The way to one tracker.
pub(super) struct Http {
    client: reqwest::Client,
    api: Url,
    kind: TrackerKind,
    account: Account,
}

/// A body that is sent.
pub(super) enum Payload {
    Json(serde_json::Value),
    Form(String),
}

/// A good answer.
pub(super) struct Reply {
    headers: HeaderMap,
    body: Vec<u8>,
}

/// A refusal with what the tracker said.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) error: TrackerError,
    pub(super) said: Vec<u8>,
}

impl From<TrackerError> for Failed {
    fn from(error: TrackerError) -> Self {
        Self {
            error,
            said: Vec::new(),
        }
    }
}

impl From<Failed> for TrackerError {
    fn from(failed: Failed) -> Self {
        failed.error
    }
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http")
            .field("api", &self.api.as_str())
            .finish_non_exhaustive()
    }
}

impl Http {
    pub(super) fn new(site: &TrackerSite, web: &Url, timeout: Duration) -> Result<Self, SiteError> {
        let client = reqwest::Client::builder()
            .timeout(timeout)
            .connect_timeout(timeout)
            .user_agent("whorl")
            // A redirect is looked at before the token goes there.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| SiteError::Client(error.without_url()))?;
        Ok(Self {
            client,
            api: site
                .api
                .clone()
                .unwrap_or_else(|| usual_api(site.kind, web)),
            kind: site.kind,
            account: account(site).ok_or_else(|| SiteError::Token(site.kind.as_str().into()))?,
        })
    }

    /// True when requests come from an account.
    fn has_account(&self) -> bool {
        !matches!(self.account, Account::Nobody)
    }

    /// The address of a resource; each part is one segment of the path, whatever is in it.
    pub(super) fn at(&self, parts: &[&str], query: &[(&str, &str)]) -> Url {
        let mut url = self.api.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(parts);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    /// An address from an answer, if it belongs to this tracker.
    pub(super) fn ours(&self, address: &str) -> Result<Url, TrackerError> {
        let wrong = |_| TrackerError::Malformed("an address in it is none".into());
        self.guarded(self.api.join(address).map_err(wrong)?)
    }

    fn guarded(&self, url: Url) -> Result<Url, TrackerError> {
        if url.origin() == self.api.origin() {
            return Ok(url);
        }
        let host = url.host_str().unwrap_or("no host");
        Err(TrackerError::Elsewhere(super::say::line(host)))
    }

    /// Reads something.
    pub(super) async fn get(&self, url: Url) -> Result<Reply, Failed> {
        let reply = self.get_if(url, None).await?;
        reply.ok_or_else(|| TrackerError::Malformed("304, though nothing was known".into()).into())
    }

    /// Reads something unless it is still what `etag` stands for.
    pub(super) async fn get_if(
        &self,
        url: Url,
        etag: Option<&str>,
    ) -> Result<Option<Reply>, Failed> {
        let mut url = url;
        for _ in 0..=HOPS {
            let mut request = self.request(Method::GET, url.clone());
            if let Some(etag) = etag.and_then(|etag| HeaderValue::from_str(etag).ok()) {
                request = request.header(header::IF_NONE_MATCH, etag);
            }
            let answer = crate::chance::http::send(request)
                .await
                .map_err(|error| network(&error))?;
            match answer.status() {
                StatusCode::NOT_MODIFIED if etag.is_some() => return Ok(None),
                status if moved(status) => url = self.target(&url, &answer)?,
                _ => return self.read(answer).await.map(Some),
            }
        }
        Err(TrackerError::Elsewhere("round and round".into()).into())
    }

    /// Changes something. Redirects are not followed: what is changed must be what was meant.
    pub(super) async fn send(
        &self,
        method: Method,
        url: Url,
        payload: Payload,
    ) -> Result<Reply, Failed> {
        let request = self.request(method, url);
        let request = match payload {
            Payload::Json(json) => request.json(&json),
            Payload::Form(form) => request
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(form),
        };
        let answer = crate::chance::http::send(request)
            .await
            .map_err(|error| network(&error))?;
        if moved(answer.status()) {
            return Err(TrackerError::Elsewhere("a redirect".into()).into());
        }
        self.read(answer).await
    }

    /// The whole answer, or what its status means.
    async fn read(&self, answer: Response) -> Result<Reply, Failed> {
        let (status, headers) = (answer.status(), answer.headers().clone());
        if status.is_success() {
            let body = body(answer, LARGEST).await?;
            return Ok(Reply { headers, body });
        }
        // Some trackers say in the text alone what the refusal is about.
        let said = body(answer, 64 << 10).await.unwrap_or_default();
        let error = failure(status.as_u16(), &headers, &String::from_utf8_lossy(&said));
        // Without an account it is this bug that one is needed for.
        let error = match error {
            TrackerError::Unauthorized if !self.has_account() => TrackerError::Denied,
            error => error,
        };
        Err(Failed { error, said })
    }

    fn target(&self, from: &Url, answer: &Response) -> Result<Url, TrackerError> {
        let lost = || TrackerError::Malformed("a redirect to nowhere".into());
        let location = text(answer.headers(), "location").ok_or_else(lost)?;
        self.guarded(from.join(location).map_err(|_| lost())?)
    }

    fn request(&self, method: Method, url: Url) -> RequestBuilder {
        let request = self.client.request(method, url);
        let request = match self.kind {
            TrackerKind::Github => request
                .header(header::ACCEPT, "application/vnd.github+json")
                .header("X-GitHub-Api-Version", "2022-11-28"),
            // Its documentation asks for both, on every request.
            TrackerKind::Bugzilla => request
                .header(header::ACCEPT, "application/json")
                .header(header::CONTENT_TYPE, "application/json"),
            TrackerKind::Launchpad | TrackerKind::Gitlab | TrackerKind::Jira => {
                request.header(header::ACCEPT, "application/json")
            }
        };
        self.account.sign(request)
    }
}

impl Reply {
    /// The JSON in it.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, TrackerError> {
        self.json_behind(b"")
    }

    /// The JSON behind what stands before it, if it does.
    pub(super) fn json_behind<T: DeserializeOwned>(&self, guard: &[u8]) -> Result<T, TrackerError> {
        let kind = text(&self.headers, "content-type").unwrap_or("something unnamed");
        if !kind.contains("json") {
            return Err(TrackerError::NotJson(super::say::line(kind)));
        }
        let body = self.body.strip_prefix(guard).unwrap_or(&self.body);
        serde_json::from_slice(body)
            .map_err(|error| TrackerError::Malformed(super::say::line(&error.to_string())))
    }

    /// A header.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        text(&self.headers, name)
    }

    /// What the tracker calls this state of the resource.
    pub(super) fn etag(&self) -> Option<String> {
        let etag = self.header("etag")?;
        (etag.len() <= 300).then(|| etag.to_owned())
    }

    /// The address of the next page, by the `Link` header.
    pub(super) fn next(&self) -> Option<&str> {
        self.headers
            .get_all(header::LINK)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .find_map(next_link)
    }
}

/// `<https://…>; rel="next"`.
fn next_link(link: &str) -> Option<&str> {
    let (address, rest) = link.trim().strip_prefix('<')?.split_once('>')?;
    let next = |part: &str| matches!(part.trim(), "rel=\"next\"" | "rel=next");
    rest.split(';').any(next).then_some(address)
}

fn usual_api(kind: TrackerKind, web: &Url) -> Url {
    let mut api = web.clone();
    let below: &[&str] = match (kind, web.host_str()) {
        (TrackerKind::Launchpad, Some(host)) => {
            let host = host.replacen("bugs.", "api.", 1);
            // Hosts that cannot be set keep the one they have.
            let _ = api.set_host(Some(&host));
            &["devel"]
        }
        (TrackerKind::Github, Some("github.com")) => {
            let _ = api.set_host(Some("api.github.com"));
            &[]
        }
        (TrackerKind::Github, _) => &["api", "v3"],
        (TrackerKind::Gitlab, _) => &["api", "v4"],
        (TrackerKind::Jira, _) => &["rest", "api", "2"],
        (TrackerKind::Bugzilla, _) => &["rest"],
        (TrackerKind::Launchpad, None) => &[],
    };
    if let Ok(mut path) = api.path_segments_mut() {
        path.pop_if_empty().extend(below);
    }
    api
}

/// Fields of a form.
pub(super) fn form(fields: &[(&str, &str)]) -> Payload {
    let pairs = fields
        .iter()
        .map(|(name, value)| format!("{}={}", percent(name), percent(value)));
    Payload::Form(pairs.collect::<Vec<_>>().join("&"))
}

fn moved(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

async fn body(mut answer: Response, most: usize) -> Result<Vec<u8>, TrackerError> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| network(&error))? {
        if body.len() + chunk.len() > most {
            return Err(TrackerError::TooLarge(most));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn network(error: &reqwest::Error) -> TrackerError {
    if error.is_timeout() {
        return TrackerError::Timeout;
    }
    // The innermost cause says the most, and none of them our address or token.
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let known = cause.downcast_ref::<reqwest::Error>().is_some();
    let text = if known {
        "the connection was lost".into()
    } else {
        cause.to_string()
    };
    TrackerError::Network(super::say::line(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_found_in_the_link_header() {
        let two = "<https://h/a?page=1>; rel=\"prev\", <https://h/a?page=3>; rel=\"next\"";
        let reply = Reply {
            headers: [(header::LINK, two.parse().unwrap())].into_iter().collect(),
            body: Vec::new(),
        };
        assert_eq!(reply.next(), Some("https://h/a?page=3"));
        assert_eq!(next_link("<https://h/a>; rel=\"last\""), None);
        assert_eq!(next_link("nonsense"), None);
    }
}
