//! One request and its redirects, each looked at before it is followed.

use super::error::{DownloadError, chain, may_pass, refusal};
use super::hosts::shown;
use super::request::{Known, Settings, same_origin};
use super::slots::Slot;
use super::transfer::Transfer;
use super::wait::{date, retry_after};
use jiff::Timestamp;
use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_LENGTH, DATE, HeaderMap, HeaderName, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, IF_RANGE, LOCATION, RANGE, TRANSFER_ENCODING,
};
use reqwest::{RequestBuilder, Response, StatusCode, Version};
use std::future::Future;
use std::time::Duration;
use tokio::time::Instant;
use url::Url;

/// Why a try came to nothing.
pub(super) enum Trouble {
    /// It would come to nothing again.
    Final(DownloadError),
    /// Another try may go well; the server may have said when.
    Again {
        error: DownloadError,
        after: Option<Duration>,
    },
}

impl Trouble {
    fn again(error: DownloadError) -> Self {
        let after = None;
        Self::Again { error, after }
    }
}

/// What was waited for.
pub(super) enum Sent<T> {
    Came(T),
    Late(Trouble),
}

/// An answer, and the place that its download takes.
pub(super) struct Got {
    pub(super) response: Response,
    pub(super) slot: Slot,
}

/// Statuses that name another address.
fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Under which name a host's places are counted.
fn key(url: &Url) -> String {
    let port = url.port_or_known_default().unwrap_or_default();
    format!("{}:{port}", url.host_str().unwrap_or_default())
}

impl Transfer<'_> {
    /// Asks, and asks where it is sent to. `range` is where to go on and by what the version is known.
    pub(super) async fn send(&mut self, range: Option<&(u64, String)>) -> Result<Got, Trouble> {
        let mut url = self.request.url.clone();
        let limit = self.core.settings.redirects;
        for _ in 0..=limit {
            let checked = self.core.settings.hosts.check(&url);
            checked.map_err(|refusal| Trouble::Final(refusal.into()))?;
            let slot = self.core.slots.take(&key(&url)).await;
            let slot = slot.map_err(Trouble::again)?;
            self.started.get_or_insert_with(Instant::now);
            let got = self.ask(&url, slot, range).await?;
            if !is_redirect(got.response.status()) {
                return Ok(got);
            }
            url = next(&got, &url)?;
        }
        let url = shown(&self.request.url);
        Err(Trouble::Final(DownloadError::Redirects { url, limit }))
    }

    async fn ask(
        &self,
        url: &Url,
        slot: Slot,
        range: Option<&(u64, String)>,
    ) -> Result<Got, Trouble> {
        let settings = &self.core.settings;
        let request = self.headers(url, range);
        match self
            .within(
                settings.connect + settings.idle,
                crate::chance::http::send(request),
            )
            .await
        {
            Sent::Came(Ok(response)) => {
                slot.answered();
                Ok(Got { response, slot })
            }
            Sent::Came(Err(error)) => {
                if let Some(refusal) = refusal(&error) {
                    return Err(Trouble::Final(refusal.into()));
                }
                slot.failed();
                let error = error.without_url();
                let (url, reason) = (shown(url), chain(&error));
                Err(Trouble::again(if error.is_connect() {
                    DownloadError::Connect { url, reason }
                } else {
                    DownloadError::Broken { url, reason }
                }))
            }
            Sent::Late(trouble) => {
                slot.failed();
                Err(trouble)
            }
        }
    }

    fn headers(&self, url: &Url, range: Option<&(u64, String)>) -> RequestBuilder {
        let mut request = self.core.client.get(url.clone());
        request = request
            .header(ACCEPT, "*/*")
            .header(ACCEPT_ENCODING, "gzip, identity");
        if same_origin(url, &self.request.url) {
            // They replace ours of the same name.
            request = request.headers(self.request.headers.clone());
        }
        if let Some((from, strong)) = range {
            return request
                .header(RANGE, format!("bytes={from}-"))
                .header(IF_RANGE, strong);
        }
        let known = self.request.known.as_ref();
        if let Some(etag) = known.and_then(|known| known.etag.as_ref()) {
            request = request.header(IF_NONE_MATCH, etag);
        } else if let Some(date) = known.and_then(|known| known.last_modified.as_ref()) {
            request = request.header(IF_MODIFIED_SINCE, date);
        }
        request
    }

    /// Waits for so long, and not beyond the time for the whole file.
    pub(super) async fn within<T>(
        &self,
        limit: Duration,
        what: impl Future<Output = T>,
    ) -> Sent<T> {
        let left = self.left();
        if let Ok(came) = tokio::time::timeout(limit.min(left), what).await {
            return Sent::Came(came);
        }
        let url = shown(&self.request.url);
        let whole = self.core.settings.whole;
        Sent::Late(Trouble::again(if left < limit {
            DownloadError::TooSlow { url, limit: whole }
        } else {
            DownloadError::Idle { url, after: limit }
        }))
    }
}

fn next(got: &Got, from: &Url) -> Result<Url, Trouble> {
    let bad = |reason: String| {
        let url = shown(from);
        Trouble::Final(DownloadError::BadRedirect { url, reason })
    };
    let location = text(got.response.headers(), &LOCATION);
    let location = location.ok_or_else(|| bad("no Location".into()))?;
    from.join(&location).map_err(|error| bad(error.to_string()))
}

impl Got {
    fn url(&self) -> String {
        shown(self.response.url())
    }

    pub(super) fn nonsense(&self, what: &str) -> Trouble {
        let (url, what) = (self.url(), what.to_owned());
        Trouble::again(DownloadError::Nonsense { url, what })
    }

    pub(super) fn broken(&self, reason: &str) -> Trouble {
        let (url, reason) = (self.url(), reason.to_owned());
        Trouble::again(DownloadError::Broken { url, reason })
    }

    pub(super) fn encoding(&self, encoding: &str) -> Trouble {
        let (url, encoding) = (self.url(), encoding.to_owned());
        Trouble::Final(DownloadError::Encoding { url, encoding })
    }

    /// An answer that is not the file.
    pub(super) fn refused(&self, settings: &Settings) -> Trouble {
        let (url, status) = (self.url(), self.response.status());
        if !may_pass(status) {
            return Trouble::Final(DownloadError::Status { url, status });
        }
        let after = retry_after(self.response.headers(), Timestamp::now());
        if let Some(after) = after {
            self.slot.rest(after.min(settings.max_wait));
        }
        match after {
            Some(after) if after > settings.max_wait => {
                Trouble::Final(DownloadError::Later { url, after })
            }
            after => Trouble::Again {
                error: DownloadError::Status { url, status },
                after,
            },
        }
    }

    /// True when the server says where the body ends.
    pub(super) fn is_framed(&self) -> bool {
        let headers = self.response.headers();
        headers.contains_key(CONTENT_LENGTH)
            || headers.contains_key(TRANSFER_ENCODING)
            || self.response.version() >= Version::HTTP_2
    }
}

/// A header that is text.
pub(super) fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// What `If-Range` may say: a strong entity tag, or a date that was past when the answer was made, so
/// that no second version can have it.
pub(super) fn strong(headers: &HeaderMap, known: &Known) -> Option<String> {
    if let Some(etag) = &known.etag
        && etag.starts_with('"')
    {
        return Some(etag.clone());
    }
    let changed = known.last_modified.as_ref()?;
    let (before, now) = (date(changed)?, date(&text(headers, &DATE)?)?);
    (now.duration_since(before).as_secs() >= 60).then(|| changed.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_no_second_version_can_have_is_strong() {
        let of = |etag: Option<&str>, changed: Option<&str>| {
            let now = "Sun, 06 Nov 1994 08:49:37 GMT".parse().unwrap();
            let headers = HeaderMap::from_iter([(DATE, now)]);
            let known = Known {
                etag: etag.map(str::to_owned),
                last_modified: changed.map(str::to_owned),
            };
            strong(&headers, &known)
        };
        let (old, new) = (
            "Sun, 06 Nov 1994 08:40:00 GMT",
            "Sun, 06 Nov 1994 08:49:30 GMT",
        );
        assert_eq!(of(Some("\"a\""), Some(new)).as_deref(), Some("\"a\""));
        assert_eq!(of(Some("W/\"a\""), Some(new)), None);
        assert_eq!(of(Some("W/\"a\""), Some(old)).as_deref(), Some(old));
        assert_eq!(of(None, None), None);
        assert_eq!(of(None, Some("yesterday")), None);
    }
}
