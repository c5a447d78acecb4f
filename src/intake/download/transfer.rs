//! One file: tries, resuming, limits.

use super::error::{DownloadError, chain};
use super::part::Part;
use super::request::{Answer, Cut, Fetched, Known, Request};
use super::send::{Got, Sent, Trouble, text};
use super::wait::pause;
use super::{Core, hosts};
use reqwest::StatusCode;
use reqwest::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, LAST_MODIFIED,
    TRANSFER_ENCODING,
};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::bytes::Bytes;
use url::Url;

/// A file on its way.
pub(super) struct Transfer<'a> {
    pub(super) core: &'a Core,
    pub(super) request: &'a Request,
    target: PathBuf,
    pub(super) part: Part,
    /// What the part is a part of.
    version: Version,
    /// True when the server gives no parts, or wrong ones.
    whole_only: bool,
    /// When the first connection was asked for.
    pub(super) started: Option<Instant>,
    tries: u32,
    resumes: u32,
    restarts: u32,
}

/// What is known of the file that is on its way.
#[derive(Debug, Clone, Default)]
struct Version {
    known: Known,
    /// What `If-Range` may say: the server then gives the rest of this version and of no other.
    strong: Option<String>,
    encoding: Option<String>,
    kind: Option<String>,
    total: Option<u64>,
}

/// How a try ended that did not fail.
enum End {
    Whole { framed: bool, url: Url },
    Cut { cut: Cut, url: Url },
    Unchanged,
}

impl<'a> Transfer<'a> {
    pub(super) fn new(core: &'a Core, request: &'a Request, target: &Path) -> Self {
        Self {
            core,
            request,
            target: target.to_owned(),
            part: Part::beside(target),
            version: Version::default(),
            whole_only: false,
            started: None,
            tries: 0,
            resumes: 0,
            restarts: 0,
        }
    }

    /// Asks until the file is there, or no try is left.
    pub(super) async fn run(mut self) -> Result<Answer, DownloadError> {
        loop {
            self.tries += 1;
            let (error, after) = match self.attempt().await {
                Ok(End::Unchanged) => return Ok(Answer::Unchanged),
                Ok(End::Whole { framed, url }) => return self.finish(url, framed, None).await,
                Ok(End::Cut { cut, url }) => return self.finish(url, true, Some(cut)).await,
                Err(Trouble::Final(error)) => return Err(error),
                Err(Trouble::Again { error, after }) => (error, after),
            };
            let wait = after.unwrap_or_else(|| pause(self.tries, self.core.settings.retry));
            if self.tries >= self.core.settings.tries || wait > self.left() {
                return self.give_up(error).await;
            }
            tracing::debug!(url = hosts::shown(&self.request.url), %error, try = self.tries, "download failed; it is tried again");
            tokio::time::sleep(wait).await;
        }
    }

    /// What is left of the time for the whole file.
    pub(super) fn left(&self) -> Duration {
        let whole = self.core.settings.whole;
        whole.saturating_sub(self.started.map_or(Duration::ZERO, |at| at.elapsed()))
    }

    async fn give_up(self, error: DownloadError) -> Result<Answer, DownloadError> {
        // Only what is missing may be told apart from what is cut.
        if self.part.bytes == 0 {
            return Err(error);
        }
        let url = self.request.url.clone();
        self.finish(url, true, Some(Cut::Failed(error))).await
    }

    async fn attempt(&mut self) -> Result<End, Trouble> {
        let range = self.range();
        let got = self.send(range.as_ref()).await?;
        match got.response.status() {
            StatusCode::NOT_MODIFIED if self.request.known.is_some() => return Ok(End::Unchanged),
            StatusCode::PARTIAL_CONTENT => match (&range, self.wrong_part(&got)) {
                (None, _) => {
                    self.restart().await?;
                    return Err(got.nonsense("a part was sent and the whole asked for"));
                }
                (Some(_), Some(wrong)) => {
                    self.whole_only = true;
                    self.restart().await?;
                    return Err(got.nonsense(&wrong));
                }
                (Some(_), None) => self.resumes += 1,
            },
            StatusCode::RANGE_NOT_SATISFIABLE if range.is_some() => {
                self.whole_only = true;
                self.restart().await?;
                return Err(got.nonsense("the file has become shorter"));
            }
            status
                if status == StatusCode::OK
                    || status == StatusCode::NON_AUTHORITATIVE_INFORMATION =>
            {
                self.restart().await?;
                self.version = Version::of(&got)?;
            }
            _ => return Err(got.refused(&self.core.settings)),
        }
        self.body(got).await
    }

    /// Where to go on and by what the server knows the version, when both are known.
    fn range(&self) -> Option<(u64, String)> {
        if self.part.bytes == 0 || self.whole_only {
            return None;
        }
        let strong = self.version.strong.clone()?;
        Some((self.part.bytes, strong))
    }

    /// Forgets what is there: it belongs to another version, or may do.
    async fn restart(&mut self) -> Result<(), Trouble> {
        if self.part.bytes > 0 {
            self.restarts += 1;
            if let Some(budget) = &self.request.budget {
                budget.give_back(self.part.bytes);
            }
            self.part.empty().await.map_err(Trouble::Final)?;
        }
        self.version = Version::default();
        Ok(())
    }

    /// What is wrong with an answer that should be the rest of the file.
    fn wrong_part(&self, got: &Got) -> Option<String> {
        let headers = got.response.headers();
        let range = text(headers, &CONTENT_RANGE);
        let Some((first, last, total)) = range.as_deref().and_then(content_range) else {
            return Some("a part without a place in the file".into());
        };
        if first != self.part.bytes || last < first {
            return Some("another part than the one that was asked for".into());
        }
        let differs = |new: &Option<u64>, old: &Option<u64>| matches!((new, old), (Some(a), Some(b)) if a != b);
        if differs(&total, &self.version.total) {
            return Some("a part of a file of another length".into());
        }
        let etag = text(headers, &ETAG);
        let changed = text(headers, &LAST_MODIFIED);
        let other = |new: &Option<String>, old: &Option<String>| new.is_some() && new != old;
        if other(&etag, &self.version.known.etag)
            || other(&changed, &self.version.known.last_modified)
        {
            return Some("a part of another version".into());
        }
        if text(headers, &CONTENT_ENCODING) != self.version.encoding {
            return Some("a part with another encoding".into());
        }
        None
    }

    /// Takes the body, up to the limits.
    async fn body(&mut self, mut got: Got) -> Result<End, Trouble> {
        let limit = self
            .request
            .max_bytes
            .unwrap_or(self.core.settings.max_bytes);
        let url = got.response.url().clone();
        let framed = got.is_framed();
        loop {
            let chunk = self.next_chunk(&mut got).await?;
            let Some(chunk) = chunk else {
                break;
            };
            let room = limit.saturating_sub(self.part.bytes);
            let fits = room.min(chunk.len() as u64);
            let may = match &self.request.budget {
                Some(budget) => budget.take(fits),
                None => fits,
            };
            let end = usize::try_from(may).unwrap_or(usize::MAX).min(chunk.len());
            self.part.add(&chunk[..end]).await.map_err(Trouble::Final)?;
            if end == chunk.len() {
                continue;
            }
            let cut = match &self.request.budget {
                Some(budget) if may < fits => Cut::Budget {
                    limit: budget.total(),
                },
                _ => Cut::TooLarge { limit },
            };
            return Ok(End::Cut { cut, url });
        }
        if self
            .version
            .total
            .is_some_and(|total| total > self.part.bytes)
        {
            return Err(got.broken("the end is missing"));
        }
        Ok(End::Whole { framed, url })
    }

    async fn next_chunk(&mut self, got: &mut Got) -> Result<Option<Bytes>, Trouble> {
        let sent = self
            .within(self.core.settings.idle, got.response.chunk())
            .await;
        match sent {
            Sent::Came(Ok(chunk)) => Ok(chunk),
            Sent::Came(Err(error)) => Err(got.broken(&chain(&error.without_url()))),
            Sent::Late(error) => {
                got.slot.failed();
                Err(error)
            }
        }
    }

    async fn finish(
        self,
        url: Url,
        framed: bool,
        cut: Option<Cut>,
    ) -> Result<Answer, DownloadError> {
        let bytes = self.part.bytes;
        let whole = cut.is_none();
        let (sha256, part) = self.part.finish(whole).await?;
        Ok(Answer::Fetched(Box::new(Fetched {
            url,
            bytes,
            sha256,
            framed,
            known: self.version.known,
            content_type: self.version.kind,
            content_encoding: self.version.encoding,
            tries: self.tries,
            resumes: self.resumes,
            restarts: self.restarts,
            cut,
            part,
            target: self.target,
        })))
    }
}

impl Version {
    /// What the head of a whole answer says.
    fn of(got: &Got) -> Result<Self, Trouble> {
        let headers = got.response.headers();
        let known = Known {
            etag: text(headers, &ETAG),
            last_modified: text(headers, &LAST_MODIFIED),
        };
        let encoding = text(headers, &CONTENT_ENCODING);
        if let Some(encoding) = encoding.as_deref().and_then(unknown_encoding) {
            return Err(got.encoding(encoding));
        }
        let strong = super::send::strong(headers, &known);
        let total = text(headers, &CONTENT_LENGTH).and_then(|length| length.parse().ok());
        let chunked = headers.contains_key(TRANSFER_ENCODING);
        Ok(Self {
            known,
            strong,
            encoding,
            kind: text(headers, &CONTENT_TYPE),
            total: total.filter(|_| !chunked),
        })
    }
}

/// The part of `Content-Encoding` that nothing here can undo. What intake recognises by its first
/// bytes may be called as it likes.
fn unknown_encoding(encoding: &str) -> Option<&str> {
    const UNKNOWN: [&str; 4] = ["br", "deflate", "compress", "x-compress"];
    let mut all = encoding.split(',').map(str::trim);
    all.find(|one| UNKNOWN.iter().any(|name| one.eq_ignore_ascii_case(name)))
}

/// `bytes FIRST-LAST/TOTAL`, where the total may be `*`.
fn content_range(text: &str) -> Option<(u64, u64, Option<u64>)> {
    let rest = text.trim().strip_prefix("bytes ")?;
    let (range, total) = rest.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let total = match total.trim() {
        "*" => None,
        digits => Some(digits.parse().ok()?),
    };
    Some((first.trim().parse().ok()?, last.trim().parse().ok()?, total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_parts() {
        assert_eq!(content_range("bytes 5-9/10"), Some((5, 9, Some(10))));
        assert_eq!(content_range("bytes 5-9/*"), Some((5, 9, None)));
        for bad in [
            "",
            "bytes */10",
            "5-9/10",
            "bytes 5-9",
            "bytes -5-9/10",
            "bytes 5-/10",
        ] {
            assert_eq!(content_range(bad), None, "{bad}");
        }
    }

    #[test]
    fn encodings_that_cannot_be_undone() {
        assert_eq!(unknown_encoding("gzip"), None);
        assert_eq!(unknown_encoding("aws-chunked"), None);
        assert_eq!(unknown_encoding("gzip, BR"), Some("BR"));
        assert_eq!(unknown_encoding("deflate"), Some("deflate"));
    }
}
