//! The file in which a download grows, beside its target until it is whole.

use super::error::DownloadError;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::io::{self, SeekFrom};
use std::path::{Path, PathBuf};
use tempfile::TempPath;
use tokio::fs::File;
use tokio::io::{AsyncSeekExt, AsyncWriteExt, BufWriter};

/// Written in one go at most.
const BUFFER: usize = 256 << 10;

/// Bytes that have come. The file is removed when this is dropped.
pub(super) struct Part {
    file: BufWriter<File>,
    path: TempPath,
    pub(super) bytes: u64,
    digest: Sha256,
}

fn disk(path: &Path) -> impl FnOnce(io::Error) -> DownloadError {
    let path: PathBuf = path.to_owned();
    move |source| DownloadError::Disk { path, source }
}

impl Part {
    pub(super) fn beside(target: &Path) -> Result<Self, DownloadError> {
        let folder = target
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        let made = tempfile::Builder::new()
            .prefix(".download-")
            .tempfile_in(folder.unwrap_or(Path::new(".")));
        let (file, path) = made.map_err(disk(target))?.into_parts();
        Ok(Self {
            file: BufWriter::with_capacity(BUFFER, File::from_std(file)),
            path,
            bytes: 0,
            digest: Sha256::new(),
        })
    }

    pub(super) async fn add(&mut self, bytes: &[u8]) -> Result<(), DownloadError> {
        self.digest.update(bytes);
        self.bytes += bytes.len() as u64;
        self.file.write_all(bytes).await.map_err(disk(&self.path))
    }

    /// Begins anew.
    pub(super) async fn empty(&mut self) -> Result<(), DownloadError> {
        self.bytes = 0;
        self.digest = Sha256::new();
        let emptied = async {
            self.file.flush().await?;
            self.file.get_mut().set_len(0).await?;
            self.file.get_mut().seek(SeekFrom::Start(0)).await
        };
        emptied.await.map(drop).map_err(disk(&self.path))
    }

    /// Ends the file: at its target when it is whole, else where it is. Its digest, and where it is
    /// when that is not the target.
    pub(super) async fn finish(
        mut self,
        target: &Path,
        whole: bool,
    ) -> Result<(String, Option<TempPath>), DownloadError> {
        let written = async {
            self.file.flush().await?;
            self.file.get_ref().sync_all().await
        };
        written.await.map_err(disk(&self.path))?;
        let mut sha256 = String::with_capacity(64);
        for byte in self.digest.finalize() {
            // Writing to a string cannot fail.
            let _ = write!(sha256, "{byte:02x}");
        }
        if !whole {
            return Ok((sha256, Some(self.path)));
        }
        let moved = self.path.persist(target);
        moved.map_err(|error| disk(target)(error.error))?;
        Ok((sha256, None))
    }
}
