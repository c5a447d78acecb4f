//! All logs of a build: listed, chosen, downloaded.

use super::{Bounds, Choice, Chosen, Entry, Kind, Left};
use crate::intake::download::{
    Answer, Budget, DownloadError, Downloader, Fetched, Request, Wanted,
};
use std::io;
use std::path::Path;

/// The logs of a build, as far as they could be had.
#[derive(Debug)]
pub struct Logs {
    /// How they were found.
    pub kind: Kind,
    /// Those that were chosen, the most important first, and what came of each. The beginning of one
    /// that is cut stands in its place.
    pub files: Vec<(Entry, Result<Fetched, DownloadError>)>,
    /// What the listing did not take.
    pub left: Vec<Left>,
    /// Files that are wanted and do not fit the limits.
    pub left_out: usize,
    /// Bytes of them, as far as the listing says how long they are.
    pub left_bytes: u64,
    /// Files that nobody wants.
    pub unwanted: usize,
}

impl Logs {
    /// True when all that is wanted is there, and whole.
    pub fn is_complete(&self) -> bool {
        let whole = |answer: &Result<Fetched, _>| answer.as_ref().is_ok_and(Fetched::is_complete);
        self.left.is_empty() && self.left_out == 0 && self.files.iter().all(|(_, a)| whole(a))
    }

    /// True when what is missing may be there later.
    pub fn is_worth_another_try(&self) -> bool {
        self.files.iter().any(|(_, answer)| match answer {
            Ok(fetched) => fetched.may_be_whole_later(),
            Err(error) => error.is_temporary(),
        })
    }

    /// What is missing, in words.
    pub fn problems(&self) -> Vec<String> {
        let mut told: Vec<String> = self.left.iter().map(ToString::to_string).collect();
        if self.left_out > 0 {
            let (files, bytes) = (self.left_out, self.left_bytes);
            told.push(format!(
                "{files} files ({bytes} bytes or more) do not fit the limits and were not downloaded"
            ));
        }
        for (entry, answer) in &self.files {
            match answer {
                Err(error) => told.push(format!("{}: {error}", entry.name)),
                Ok(fetched) => {
                    let cut = fetched.cut.as_ref();
                    told.extend(cut.map(|cut| format!("{}: {cut}", entry.name)));
                }
            }
        }
        told
    }
}

impl Downloader {
    /// Downloads the logs of a build into a folder, under their names. `request` is for the address
    /// of the logs; its headers go along within its host.
    pub async fn logs(
        &self,
        request: &Request,
        choice: &Choice,
        bounds: &Bounds,
        folder: &Path,
    ) -> Result<Logs, DownloadError> {
        let listing = self.list(request, choice, bounds).await?;
        let chosen = choice.choose(listing.entries);
        let budget = Budget::new(choice.max_bytes());
        let request = request.clone().within(&budget);
        let wanted = targets(&chosen, &request, folder)?;
        let answers = self.fetch_all(wanted).await;
        let files = chosen.files.into_iter().zip(answers);
        Ok(Logs {
            kind: listing.kind,
            files: files.map(|(entry, a)| (entry, kept(a, folder))).collect(),
            left: listing.left,
            left_out: chosen.left_out,
            left_bytes: chosen.left_bytes,
            unwanted: chosen.unwanted,
        })
    }
}

fn disk(folder: &Path) -> impl FnOnce(io::Error) -> DownloadError {
    let path = folder.to_owned();
    move |source| DownloadError::Disk { path, source }
}

/// Where each file goes; the names were looked at when they were listed.
fn targets(
    chosen: &Chosen,
    request: &Request,
    folder: &Path,
) -> Result<Vec<Wanted>, DownloadError> {
    let mut wanted = Vec::with_capacity(chosen.files.len());
    for entry in &chosen.files {
        let target = folder.join(&entry.name);
        let parent = target.parent().unwrap_or(folder);
        std::fs::create_dir_all(parent).map_err(disk(parent))?;
        let request = request.of(entry.url.clone());
        wanted.push(Wanted { request, target });
    }
    Ok(wanted)
}

fn kept(answer: Result<Answer, DownloadError>, folder: &Path) -> Result<Fetched, DownloadError> {
    match answer? {
        Answer::Fetched(mut fetched) => {
            fetched.keep().map_err(disk(folder))?;
            Ok(*fetched)
        }
        // Nothing was known of it.
        Answer::Unchanged => Err(DownloadError::Stopped),
    }
}
