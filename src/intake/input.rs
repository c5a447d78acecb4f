//! Where the logs of one build lie: files, folders of files, and whatever else can be read.

use super::decode::decode;
use super::limits::Limits;
use super::problem::{IntakeError, Problem};
use std::cmp::Ordering;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One log file of a build, or what stands in the way of reading it.
#[derive(Debug, Clone)]
pub struct LogInput {
    name: String,
    main: bool,
    source: Source,
}

/// Opens a log that is no file.
type Open = dyn Fn() -> io::Result<Box<dyn Read>> + Send + Sync;

#[derive(Clone)]
enum Source {
    Path(PathBuf),
    Stream(Arc<Open>),
    Refused(Problem),
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => f.debug_tuple("Path").field(path).finish(),
            Self::Stream(_) => f.write_str("Stream"),
            Self::Refused(problem) => f.debug_tuple("Refused").field(problem).finish(),
        }
    }
}

/// A log, decompressed while it is read; limits apply.
pub struct LogReader {
    inner: Box<dyn Read>,
}

impl Read for LogReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buffer)
    }
}

/// The bytes of a log as they lie there.
pub(crate) struct Raw {
    pub(crate) reader: Box<dyn Read>,
    /// Tells whether somebody writes to it.
    pub(crate) watch: Option<Watch>,
}

/// A file that is being read, and its size when it was opened.
pub(crate) struct Watch {
    file: File,
    pub(crate) size: u64,
}

impl Watch {
    /// The size of the file now.
    pub(crate) fn now(&self) -> Option<u64> {
        self.file.metadata().ok().map(|facts| facts.len())
    }
}

impl Raw {
    /// No more than is there now is read: a log that grows as fast as it is read would never end.
    fn of(file: File) -> io::Result<Self> {
        let facts = file.metadata()?;
        let size = facts.len();
        // Pipes have no size, nor have files that the system makes up while they are read.
        if !facts.is_file() || size == 0 {
            return Ok(Self {
                reader: Box::new(file),
                watch: None,
            });
        }
        let watch = Watch {
            file: file.try_clone()?,
            size,
        };
        Ok(Self {
            reader: Box::new(file.take(size)),
            watch: Some(watch),
        })
    }
}

impl LogInput {
    /// A log at `path`, called `name` in events.
    pub fn new(name: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            main: false,
            source: Source::Path(path.into()),
        }
    }

    /// A log that `open` gives when its turn comes, such as standard input or a download. It is
    /// opened once.
    pub fn stream(
        name: impl Into<String>,
        open: impl Fn() -> io::Result<Box<dyn Read>> + Send + Sync + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            main: false,
            source: Source::Stream(Arc::new(open)),
        }
    }

    /// The same log, known to be the build's main log.
    #[must_use]
    pub fn as_main(mut self) -> Self {
        self.main = true;
        self
    }

    /// True when it was said to be the build's main log.
    pub(crate) fn is_main(&self) -> bool {
        self.main
    }

    /// Path below the build's log root, `/` between the parts.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Why it will not be read, when it will not.
    pub fn problem(&self) -> Option<&Problem> {
        match &self.source {
            Source::Path(_) | Source::Stream(_) => None,
            Source::Refused(problem) => Some(problem),
        }
    }

    /// The decompressed log.
    pub fn open(&self, limits: &Limits) -> io::Result<LogReader> {
        let inner = decode(self.raw()?.reader, limits).reader;
        Ok(LogReader { inner })
    }

    /// The bytes as they lie there.
    pub(crate) fn raw(&self) -> io::Result<Raw> {
        match &self.source {
            Source::Path(path) => Raw::of(File::open(path)?),
            Source::Stream(open) => Ok(Raw {
                reader: open()?,
                watch: None,
            }),
            Source::Refused(problem) => Err(io::Error::other(problem.to_string())),
        }
    }

    fn refused(name: String, problem: Problem) -> Self {
        Self {
            name,
            main: false,
            source: Source::Refused(problem),
        }
    }
}

/// The logs at `path`: one for a file, all files below it, sorted, for a folder. What is refused
/// is in the list too, so that it is told. A file is called by its last part, the files of a folder
/// by their path below it.
pub fn open_path(path: &Path, limits: &Limits) -> Result<Vec<LogInput>, IntakeError> {
    let name = if path.is_dir() {
        String::new()
    } else {
        let last = path.file_name().unwrap_or(path.as_os_str());
        last.to_string_lossy().into_owned()
    };
    open_path_as(path, &name, limits)
}

/// Like [`open_path`], with `name` for the file, or before the names of the folder's files.
pub fn open_path_as(
    path: &Path,
    name: &str,
    limits: &Limits,
) -> Result<Vec<LogInput>, IntakeError> {
    let failed = |source| IntakeError::Io {
        path: path.to_owned(),
        source,
    };
    let kind = fs::metadata(path).map_err(failed)?;
    if !kind.is_dir() {
        return Ok(vec![LogInput::new(name, path)]);
    }
    let root = path.canonicalize().map_err(failed)?;
    fs::read_dir(&root).map_err(failed)?;
    let mut walk = Walk {
        root: &root,
        limits,
        found: Vec::new(),
        full: false,
    };
    walk.folder(&root, name, 0);
    let mut found = walk.found;
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

struct Walk<'a> {
    root: &'a Path,
    limits: &'a Limits,
    found: Vec<LogInput>,
    full: bool,
}

impl Walk<'_> {
    fn folder(&mut self, folder: &Path, name: &str, depth: usize) {
        if depth > self.limits.max_depth {
            let limit = self.limits.max_depth;
            let file = name.to_owned();
            self.refuse(name, Problem::TooDeep { name: file, limit });
            return;
        }
        match entries(folder) {
            Err(error) => self.refuse(name, not_readable(name, &error)),
            Ok(entries) => {
                for path in entries {
                    self.entry(&path, name, depth);
                }
            }
        }
    }

    fn entry(&mut self, path: &Path, parent: &str, depth: usize) {
        if self.full {
            return;
        }
        let last = path.file_name().unwrap_or_default().to_string_lossy();
        let name = if parent.is_empty() {
            last.into_owned()
        } else {
            format!("{parent}/{last}")
        };
        match fs::symlink_metadata(path) {
            Err(error) => self.refuse(&name, not_readable(&name, &error)),
            Ok(kind) if kind.is_dir() => self.folder(path, &name, depth + 1),
            Ok(kind) if kind.is_file() => self.file(name, path),
            Ok(kind) if kind.is_symlink() => self.link(name, path),
            // Sockets, pipes and devices are no logs, and reading them may never end.
            Ok(_) => {}
        }
    }

    fn link(&mut self, name: String, path: &Path) {
        match path.canonicalize() {
            Err(error) => self.refuse(&name, not_readable(&name, &error)),
            Ok(target) if !target.starts_with(self.root) => {
                let file = name.clone();
                self.refuse(&name, Problem::Outside { name: file });
            }
            Ok(target) if target.is_file() => self.file(name, &target),
            // A folder inside the root is walked anyway.
            Ok(_) => {}
        }
    }

    fn file(&mut self, name: String, path: &Path) {
        if self.found.len() < self.limits.max_files {
            self.found.push(LogInput::new(name, path));
            return;
        }
        let limit = self.limits.max_files;
        self.refuse(&name, Problem::TooManyFiles { limit });
    }

    fn refuse(&mut self, name: &str, problem: Problem) {
        let limit = self.limits.max_files;
        // What is refused takes memory too, so there is no more of it than there may be files.
        let problem = match self.found.len().cmp(&limit) {
            Ordering::Less => problem,
            Ordering::Equal => {
                self.full = true;
                Problem::TooManyFiles { limit }
            }
            Ordering::Greater => return,
        };
        self.found.push(LogInput::refused(name.to_owned(), problem));
    }
}

fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = fs::read_dir(folder)?
        .map(|entry| entry.map(|e| e.path()))
        .collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

fn not_readable(name: &str, error: &io::Error) -> Problem {
    Problem::NotReadable {
        file: name.to_owned(),
        offset: 0,
        reason: error.to_string(),
    }
}
