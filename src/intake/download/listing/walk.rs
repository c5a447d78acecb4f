//! Asking for the list of a build's files.

use super::page::Links;
use super::{Bounds, Choice, Found, Kind, Left, Listing, bucket, folder_of, page, zuul};
use crate::intake::decode::decode;
use crate::intake::download::{Answer, DownloadError, Downloader, Fetched, Request};
use crate::intake::limits::Limits;
use std::collections::VecDeque;
use std::io::Read;
use tokio::task::spawn_blocking;
use url::Url;

/// The list of files that a Zuul executor leaves beside them.
const MANIFEST: &str = "zuul-manifest.json";

/// A page as text.
struct Answered {
    url: Url,
    text: String,
    whole: bool,
}

impl Downloader {
    /// The files below the address of a build's logs. `request` is for this address; its headers go
    /// along within its host. Only folders are looked into that may hold something of the choice.
    pub async fn list(
        &self,
        request: &Request,
        choice: &Choice,
        bounds: &Bounds,
    ) -> Result<Listing, DownloadError> {
        if let Some(prefix) = prefix_of(request.url()) {
            let bucket = folder_of(request.url());
            let found = self.bucket(&request.of(bucket), &prefix, bounds).await?;
            return Ok(found.into_listing(Kind::Bucket));
        }
        let folder = folder_of(request.url());
        if let Some(found) = self.manifest(request, &folder, bounds).await? {
            return Ok(found.into_listing(Kind::Zuul));
        }
        if let Some((bucket, prefix)) = bucket::known(&folder) {
            let found = self.bucket(&request.of(bucket), &prefix, bounds).await?;
            return Ok(found.into_listing(Kind::Bucket));
        }
        let first = self.text(&request.of(folder.clone()), bounds).await?;
        if bucket::is_list(&first.text) {
            let found = self.bucket(&request.of(folder), "", bounds).await?;
            return Ok(found.into_listing(Kind::Bucket));
        }
        let found = self.pages(request, first, choice, bounds).await;
        Ok(found.into_listing(Kind::Pages))
    }

    async fn manifest(
        &self,
        request: &Request,
        folder: &Url,
        bounds: &Bounds,
    ) -> Result<Option<Found>, DownloadError> {
        let Ok(url) = folder.join(MANIFEST) else {
            return Ok(None);
        };
        let text = match self.text(&request.of(url), bounds).await {
            Ok(text) if text.whole => text,
            Ok(_) => return Ok(None),
            // Servers say in many ways that there is none.
            Err(DownloadError::Status { status, .. }) if status.is_client_error() => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        Ok(zuul::read(text.text.as_bytes(), folder, bounds))
    }

    /// Page by page, the outer folders first.
    async fn pages(
        &self,
        request: &Request,
        first: Answered,
        choice: &Choice,
        bounds: &Bounds,
    ) -> Found {
        let mut found = Found::new(bounds.files);
        let mut folders = VecDeque::new();
        let links = take(&first, "", bounds, &mut found);
        sort(links, choice, bounds, &mut folders, &mut found);
        let mut pages = 1;
        while let Some((name, url)) = folders.pop_front() {
            if found.is_full() {
                found.leave(Left::Files {
                    limit: bounds.files,
                });
                break;
            }
            if pages >= bounds.pages {
                found.leave(Left::Pages {
                    limit: bounds.pages,
                });
                break;
            }
            pages += 1;
            match self.text(&request.of(url), bounds).await {
                Ok(text) => {
                    let links = take(&text, &name, bounds, &mut found);
                    sort(links, choice, bounds, &mut folders, &mut found);
                }
                Err(error) => found.leave(Left::Failed {
                    folder: name,
                    reason: error.to_string(),
                }),
            }
        }
        found
    }

    async fn bucket(
        &self,
        request: &Request,
        prefix: &str,
        bounds: &Bounds,
    ) -> Result<Found, DownloadError> {
        let bucket = request.url();
        let mut found = Found::new(bounds.files);
        let mut next: Option<(&'static str, String)> = None;
        for _ in 0..bounds.pages {
            let mut url = bucket.clone();
            let mut query = url.query_pairs_mut();
            query.clear().append_pair("list-type", "2");
            query.append_pair("prefix", prefix);
            if let Some((name, value)) = &next {
                query.append_pair(name, value);
            }
            drop(query);
            let text = self.text(&request.of(url), bounds).await?;
            if !text.whole {
                found.leave(large(prefix, bounds));
            }
            let page = bucket::read(&text.text, bucket, prefix, &mut found);
            if page.next.is_none() || page.next == next {
                return Ok(found);
            }
            if found.is_full() {
                found.leave(Left::Files {
                    limit: bounds.files,
                });
                return Ok(found);
            }
            next = page.next;
        }
        found.leave(Left::Pages {
            limit: bounds.pages,
        });
        Ok(found)
    }

    /// Downloads a page and undoes its compression.
    async fn text(&self, request: &Request, bounds: &Bounds) -> Result<Answered, DownloadError> {
        let disk = |source| DownloadError::Disk {
            path: std::env::temp_dir(),
            source,
        };
        let folder = tempfile::tempdir().map_err(disk)?;
        let target = folder.path().join("page");
        let request = request.clone().at_most(bounds.page_bytes);
        let Answer::Fetched(fetched) = self.fetch(&request, &target).await? else {
            return Err(DownloadError::Nonsense {
                url: request.url().path().to_owned(),
                what: "unchanged, although nothing is known of it".into(),
            });
        };
        if let Some(crate::intake::download::Cut::Failed(error)) = fetched.cut {
            return Err(error);
        }
        let bounds = *bounds;
        let read = spawn_blocking(move || {
            let text = read(&fetched, &bounds);
            drop(folder);
            text
        });
        read.await
            .map_err(|_| DownloadError::Stopped)?
            .map_err(disk)
    }
}

fn read(fetched: &Fetched, bounds: &Bounds) -> std::io::Result<Answered> {
    let limits = Limits {
        max_bytes: bounds.page_bytes * 4,
        ..Limits::default()
    };
    let mut bytes = Vec::new();
    let mut decoded = decode(Box::new(fetched.open()?), &limits).reader;
    let read = decoded.read_to_end(&mut bytes);
    Ok(Answered {
        url: fetched.url.clone(),
        text: String::from_utf8_lossy(&bytes).into_owned(),
        whole: read.is_ok() && fetched.is_complete(),
    })
}

/// `?prefix=` says that the address is a list of an object store.
fn prefix_of(url: &Url) -> Option<String> {
    let mut pairs = url.query_pairs();
    pairs.find_map(|(name, value)| (name == "prefix").then(|| value.into_owned()))
}

fn large(folder: &str, bounds: &Bounds) -> Left {
    Left::Large {
        folder: folder.to_owned(),
        limit: bounds.page_bytes,
    }
}

fn take(text: &Answered, name: &str, bounds: &Bounds, found: &mut Found) -> Links {
    if !text.whole {
        found.leave(large(name, bounds));
    }
    page::read(&text.text, &folder_of(&text.url), name, bounds, found)
}

/// Files to the files, and folders to those that are still to be looked into.
fn sort(
    links: Links,
    choice: &Choice,
    bounds: &Bounds,
    folders: &mut VecDeque<(String, Url)>,
    found: &mut Found,
) {
    for entry in links.files {
        found.add(entry);
    }
    for (name, url) in links.folders {
        if !choice.looks_into(&name) {
            continue;
        }
        if name.split('/').count() > bounds.depth {
            let limit = bounds.depth;
            found.leave(Left::Deep {
                folder: name,
                limit,
            });
            continue;
        }
        // More are never asked for.
        if folders.len() <= bounds.pages {
            folders.push_back((name, url));
        }
    }
}
