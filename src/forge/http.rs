//! Requests to a forge's API: bounded in time and size, without redirects, errors without secrets.

use jiff::Timestamp;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, LINK};
use reqwest::{Client, Method, Response};
use serde_json::Value;
use std::fmt;
use std::time::Duration;
use url::Url;

/// Largest answer that is read.
const LARGEST: usize = 16 << 20;
/// Longest part of an error that is kept.
const KEPT: usize = 200;
/// The wait when a forge asks for less haste without saying for how long.
const LESS_HASTE: Duration = Duration::from_secs(60);
/// The longest that a forge can ask to be left alone.
const LONGEST: Duration = Duration::from_secs(3600);

/// Why an API cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetUpError {
    /// The HTTP client cannot be made.
    #[error("forge: {0}")]
    Client(reqwest::Error),
    /// The address cannot have paths.
    #[error("forge: the address of an API begins with http:// or https:// and names a host")]
    Address,
}

/// Why there is no good answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ForgeError {
    /// Nobody answers, or says that something is wrong with them.
    #[error("not reached: {0}")]
    Away(String),
    /// The account is not taken.
    #[error("does not take the credentials")]
    Credentials,
    /// The account may not.
    #[error("refused: {0}")]
    Denied(String),
    /// There is no such thing, or the account may not see it.
    #[error("not found, or the account may not see it")]
    NotFound,
    /// Asks for less haste.
    #[error("asks to be left alone for {} s", .0.as_secs())]
    Later(Duration),
    /// Something else answered, or not all of the answer came.
    #[error("not understood: {0}")]
    Broken(String),
}

impl ForgeError {
    /// True when the same request may be answered later.
    pub fn may_pass(&self) -> bool {
        !matches!(self, Self::NotFound | Self::Denied(_))
    }
}

/// The API of one forge.
pub struct Api {
    client: Client,
    base: Url,
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api")
            .field("host", &self.base.host_str())
            .finish_non_exhaustive()
    }
}

/// A good answer, or that nothing is new.
#[derive(Debug)]
pub struct Answer {
    headers: HeaderMap,
    body: Vec<u8>,
    /// True when it is what the tag of the request stands for.
    pub unchanged: bool,
}

impl Api {
    /// The API at an address.
    pub fn new(base: &Url, timeout: Duration) -> Result<Self, SetUpError> {
        if !matches!(base.scheme(), "http" | "https") || !base.has_host() {
            return Err(SetUpError::Address);
        }
        let client = Client::builder()
            .timeout(timeout)
            .connect_timeout(timeout)
            .user_agent("whorl")
            // Credentials go to the configured address and to no other.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| SetUpError::Client(error.without_url()))?;
        let mut base = base.clone();
        base.set_query(None);
        base.set_fragment(None);
        Ok(Self { client, base })
    }

    /// The address of a resource; each part is one segment of the path, whatever it holds.
    pub fn url(&self, parts: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(parts);
        }
        url
    }

    /// Reads something.
    pub async fn get(
        &self,
        url: Url,
        headers: Vec<(HeaderName, HeaderValue)>,
    ) -> Result<Answer, ForgeError> {
        self.send(Method::GET, url, headers).await
    }

    /// Asks for something to be made; nothing is sent along.
    pub async fn post(
        &self,
        url: Url,
        headers: Vec<(HeaderName, HeaderValue)>,
    ) -> Result<Answer, ForgeError> {
        self.send(Method::POST, url, headers).await
    }

    async fn send(
        &self,
        method: Method,
        url: Url,
        headers: Vec<(HeaderName, HeaderValue)>,
    ) -> Result<Answer, ForgeError> {
        // An address that came in an answer gets our credentials only where they belong.
        if url.origin() != self.base.origin() {
            return Err(ForgeError::Broken("an address somewhere else".to_owned()));
        }
        let headers: HeaderMap = headers.into_iter().collect();
        let request = self.client.request(method, url).headers(headers);
        let answer = crate::chance::http::send(request)
            .await
            .map_err(|error| away(&error))?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let body = whole(answer).await?;
        match status {
            200..=299 | 304 => Ok(Answer {
                headers,
                body,
                unchanged: status == 304,
            }),
            status => Err(refusal(status, &headers, &body, Timestamp::now())),
        }
    }
}

impl Answer {
    /// The JSON in it.
    pub fn json(&self) -> Result<Value, ForgeError> {
        serde_json::from_slice(&self.body)
            .map_err(|_| ForgeError::Broken("not JSON, or not all of it".to_owned()))
    }

    /// What the forge calls this state of the resource.
    pub fn etag(&self) -> Option<HeaderValue> {
        self.headers.get("etag").cloned()
    }

    /// The address of the next page.
    pub fn next(&self) -> Option<Url> {
        let links = self.headers.get_all(LINK).iter();
        links
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .find_map(next_link)
    }
}

/// `<https://…>; rel="next"`.
fn next_link(link: &str) -> Option<Url> {
    let (address, rest) = link.trim().strip_prefix('<')?.split_once('>')?;
    let next = |part: &str| matches!(part.trim(), "rel=\"next\"" | "rel=next");
    let next = rest.split(';').any(next);
    next.then(|| Url::parse(address).ok()).flatten()
}

async fn whole(mut answer: Response) -> Result<Vec<u8>, ForgeError> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| away(&error))? {
        if body.len() + chunk.len() > LARGEST {
            return Err(ForgeError::Broken("answered more than 16 MiB".to_owned()));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn refusal(status: u16, headers: &HeaderMap, body: &[u8], now: Timestamp) -> ForgeError {
    let said = said(body);
    if matches!(status, 403 | 429) {
        let haste = status == 429 || said.to_lowercase().contains("rate limit");
        if let Some(wait) = wish(headers, now).or(haste.then_some(LESS_HASTE)) {
            return ForgeError::Later(wait.min(LONGEST));
        }
    }
    match status {
        401 => ForgeError::Credentials,
        404 | 410 => ForgeError::NotFound,
        408 | 425 | 500..=599 => ForgeError::Away(format!("answered {status}")),
        300..=399 => ForgeError::Broken("a redirect: name the final address".to_owned()),
        _ => ForgeError::Denied(format!("answered {status} {said}")),
    }
}

/// The wait that the forge asks for, if any.
fn wish(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    if let Some(seconds) = text("retry-after").and_then(|value| value.parse().ok()) {
        return Some(Duration::from_secs(seconds));
    }
    let pairs = [
        ("x-ratelimit-remaining", "x-ratelimit-reset"),
        ("ratelimit-remaining", "ratelimit-reset"),
    ];
    let spent = |&&(left, _): &&(&str, &str)| text(left) == Some("0");
    let (_, reset) = pairs.iter().find(spent)?;
    let at = Timestamp::from_second(text(reset)?.parse().ok()?).ok()?;
    let wait = Duration::try_from(at.duration_since(now)).unwrap_or_default();
    // Clocks differ; a second too early is one more refusal.
    Some(wait + Duration::from_secs(1))
}

/// What the forge says about a refusal, on one line.
fn said(body: &[u8]) -> String {
    let json: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = json["message"].as_str().or(json["error"].as_str());
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let text = text.unwrap_or_default();
    text.chars().map(plain).take(KEPT).collect()
}

/// The innermost cause says the most, and none of them an address or a token.
fn away(error: &reqwest::Error) -> ForgeError {
    if error.is_timeout() {
        return ForgeError::Away("no answer in time".to_owned());
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    if cause.downcast_ref::<reqwest::Error>().is_some() {
        return ForgeError::Away("the connection was lost".to_owned());
    }
    ForgeError::Away(cause.to_string().chars().take(KEPT).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |&(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), value.parse().unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn haste_is_told_from_rights() {
        let now = Timestamp::from_second(1_000).unwrap();
        let spent = headers(&[
            ("x-ratelimit-remaining", "0"),
            ("x-ratelimit-reset", "1090"),
        ]);
        let later = |seconds| ForgeError::Later(Duration::from_secs(seconds));
        assert_eq!(refusal(403, &spent, b"", now), later(91));
        let after = headers(&[("retry-after", "7")]);
        assert_eq!(refusal(429, &after, b"", now), later(7));
        let secondary = br#"{"message":"You have exceeded a secondary rate limit."}"#;
        assert_eq!(refusal(403, &HeaderMap::new(), secondary, now), later(60));
        let far = headers(&[("retry-after", "999999999")]);
        assert_eq!(refusal(429, &far, b"", now), later(3600));
        let rights = br#"{"message":"Resource not accessible by integration"}"#;
        let denied = refusal(403, &HeaderMap::new(), rights, now);
        assert!(matches!(&denied, ForgeError::Denied(why) if why.contains("not accessible")));
        assert!(!denied.may_pass());
    }

    #[test]
    fn the_next_page_is_found() {
        let link = "<https://h/a?page=1>; rel=\"prev\", <https://h/a?page=3>; rel=\"next\"";
        let answer = Answer {
            headers: headers(&[("link", link)]),
            body: Vec::new(),
            unchanged: false,
        };
        assert_eq!(answer.next().unwrap().as_str(), "https://h/a?page=3");
    }
}
