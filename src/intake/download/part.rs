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

/// Bytes that have come. The file is made when the first of them come, so that who waits holds none,
/// and is removed when this is dropped.
pub(super) struct Part {
    target: PathBuf,
    open: Option<(BufWriter<File>, TempPath)>,
    pub(super) bytes: u64,
    digest: Sha256,
}

impl Part {
    pub(super) fn beside(target: &Path) -> Self {
        Self {
            target: target.to_owned(),
            open: None,
            bytes: 0,
            digest: Sha256::new(),
        }
    }

    fn disk(&self) -> impl FnOnce(io::Error) -> DownloadError + use<> {
        let path = self.target.clone();
        move |source| DownloadError::Disk { path, source }
    }

    fn file(&mut self) -> io::Result<&mut BufWriter<File>> {
        if self.open.is_none() {
            let folder = self.target.parent();
            let folder = folder.filter(|folder| !folder.as_os_str().is_empty());
            let made = tempfile::Builder::new()
                .prefix(".download-")
                .tempfile_in(folder.unwrap_or(Path::new(".")));
            let (file, path) = made?.into_parts();
            let file = BufWriter::with_capacity(BUFFER, File::from_std(file));
            self.open = Some((file, path));
        }
        let open = self.open.as_mut().map(|(file, _)| file);
        open.ok_or_else(|| io::Error::other("no file"))
    }

    pub(super) async fn add(&mut self, bytes: &[u8]) -> Result<(), DownloadError> {
        self.digest.update(bytes);
        self.bytes += bytes.len() as u64;
        let disk = self.disk();
        let written = async { self.file()?.write_all(bytes).await };
        written.await.map_err(disk)
    }

    /// Begins anew.
    pub(super) async fn empty(&mut self) -> Result<(), DownloadError> {
        self.bytes = 0;
        self.digest = Sha256::new();
        let disk = self.disk();
        let emptied = async {
            let file = self.file()?;
            file.flush().await?;
            file.get_mut().set_len(0).await?;
            file.get_mut().seek(SeekFrom::Start(0)).await
        };
        emptied.await.map(drop).map_err(disk)
    }

    /// Ends the file: at its target when it is whole, else where it is. Its digest, and where it is
    /// when that is not the target.
    pub(super) async fn finish(
        mut self,
        whole: bool,
    ) -> Result<(String, Option<TempPath>), DownloadError> {
        let disk = self.disk();
        let written = async {
            let file = self.file()?;
            file.flush().await?;
            file.get_ref().sync_all().await
        };
        written.await.map_err(disk)?;
        let mut sha256 = String::with_capacity(64);
        for byte in self.digest.clone().finalize() {
            // Writing to a string cannot fail.
            let _ = write!(sha256, "{byte:02x}");
        }
        let disk = self.disk();
        let path = self.open.map(|(_, path)| path);
        match path {
            Some(path) if whole => {
                let moved = path.persist(&self.target);
                moved.map_err(|error| disk(error.error))?;
                Ok((sha256, None))
            }
            path => Ok((sha256, path)),
        }
    }
}
