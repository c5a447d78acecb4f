//! The mirror: every operation is done on the folder below, when luck allows.

use super::luck::{Fate, Luck, Operation};
use super::nodes::Nodes;
use fuser::{
    FileAttr, FileType, Filesystem, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty,
    ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow,
};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag};
use nix::sys::stat::{UtimensatFlags, utimensat};
use nix::sys::statvfs::fstatvfs;
use nix::sys::time::TimeSpec;
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{
    DirBuilderExt, FileExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown,
    lchown, symlink,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The kernel asks again every time: others may change what is below.
const NEVER_KEPT: Duration = Duration::ZERO;
/// Reads and writes come to us, not out of the kernel's memory.
const DIRECT: u32 = 1;
/// Bits of `open(2)` that are the kernel's business: who makes the file, and where it goes on. What is
/// appended would come elsewhere than the kernel says.
fn ours(flags: i32) -> i32 {
    let kernels = OFlag::O_ACCMODE
        | OFlag::O_CREAT
        | OFlag::O_EXCL
        | OFlag::O_TRUNC
        | OFlag::O_NOFOLLOW
        | OFlag::O_APPEND
        | OFlag::O_DIRECT;
    flags & !kernels.bits()
}

fn truncates(flags: i32) -> bool {
    OFlag::from_bits_truncate(flags).contains(OFlag::O_TRUNC)
}

/// A folder listed once, when it was opened.
type Listing = Vec<(u64, FileType, OsString)>;

/// The mirror of a folder.
#[derive(Debug)]
pub(super) struct Mirror {
    below: File,
    /// A way to the folder that no mount can cover.
    root: PathBuf,
    nodes: Nodes,
    files: HashMap<u64, (Arc<File>, PathBuf)>,
    listings: HashMap<u64, Listing>,
    next: u64,
    luck: Arc<Luck>,
}

fn code(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(Errno::EIO as i32)
}

fn gone() -> io::Error {
    Errno::ENOENT.into()
}

fn kind(kind: fs::FileType) -> FileType {
    match kind {
        k if k.is_dir() => FileType::Directory,
        k if k.is_symlink() => FileType::Symlink,
        k if k.is_fifo() => FileType::NamedPipe,
        k if k.is_socket() => FileType::Socket,
        k if k.is_char_device() => FileType::CharDevice,
        k if k.is_block_device() => FileType::BlockDevice,
        _ => FileType::RegularFile,
    }
}

fn time(seconds: i64, nanoseconds: i64) -> SystemTime {
    let nanoseconds = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(0));
    let whole = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 {
        UNIX_EPOCH - whole + nanoseconds
    } else {
        UNIX_EPOCH + whole + nanoseconds
    }
}

fn attributes(number: u64, data: &Metadata) -> FileAttr {
    let narrow = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    FileAttr {
        ino: number,
        size: data.size(),
        blocks: data.blocks(),
        atime: time(data.atime(), data.atime_nsec()),
        mtime: time(data.mtime(), data.mtime_nsec()),
        ctime: time(data.ctime(), data.ctime_nsec()),
        crtime: UNIX_EPOCH,
        kind: kind(data.file_type()),
        perm: u16::try_from(data.mode() & 0o7777).unwrap_or(0),
        nlink: narrow(data.nlink()),
        uid: data.uid(),
        gid: data.gid(),
        rdev: narrow(data.rdev()),
        blksize: narrow(data.blksize()),
        flags: 0,
    }
}

fn timespec(time: Option<TimeOrNow>) -> TimeSpec {
    match time {
        None => TimeSpec::UTIME_OMIT,
        Some(TimeOrNow::Now) => TimeSpec::UTIME_NOW,
        Some(TimeOrNow::SpecificTime(time)) => {
            TimeSpec::from(time.duration_since(UNIX_EPOCH).unwrap_or_default())
        }
    }
}

/// What is asked to be changed.
struct Change {
    mode: Option<u32>,
    owner: (Option<u32>, Option<u32>),
    size: Option<u64>,
    times: (Option<TimeOrNow>, Option<TimeOrNow>),
}

impl Mirror {
    pub(super) fn new(below: File, luck: Arc<Luck>) -> io::Result<Self> {
        let root = PathBuf::from(format!("/proc/self/fd/{}", below.as_raw_fd()));
        fs::metadata(&root)?;
        Ok(Self {
            below,
            root,
            nodes: Nodes::default(),
            files: HashMap::new(),
            listings: HashMap::new(),
            next: 1,
            luck,
        })
    }

    /// Where a path of the mirror really is.
    fn real(&self, path: &Path) -> PathBuf {
        if path.as_os_str().is_empty() {
            // The link itself is not meant.
            return self.root.join(".");
        }
        self.root.join(path)
    }

    fn path(&self, number: u64) -> io::Result<PathBuf> {
        self.nodes.path(number).ok_or_else(gone)
    }

    fn child(&self, parent: u64, name: &OsStr) -> io::Result<PathBuf> {
        self.nodes.child(parent, name).ok_or_else(gone)
    }

    fn entry(&mut self, path: &Path) -> io::Result<FileAttr> {
        let data = fs::symlink_metadata(self.real(path))?;
        Ok(attributes(self.nodes.number(path), &data))
    }

    /// What was made belongs to who asked for it.
    fn made(&mut self, path: &Path, request: &Request<'_>) -> io::Result<FileAttr> {
        lchown(self.real(path), Some(request.uid()), Some(request.gid()))?;
        self.entry(path)
    }

    fn keep(&mut self, file: File, path: PathBuf) -> u64 {
        let number = self.next;
        self.next += 1;
        self.files.insert(number, (Arc::new(file), path));
        number
    }

    fn opened(&mut self, path: &Path, flags: i32) -> io::Result<u64> {
        let access = flags & OFlag::O_ACCMODE.bits();
        let file = OpenOptions::new()
            .read(access != OFlag::O_WRONLY.bits())
            .write(access != OFlag::O_RDONLY.bits())
            .custom_flags(ours(flags))
            .open(self.real(path))?;
        if truncates(flags) && access != OFlag::O_RDONLY.bits() {
            file.set_len(0)?;
        }
        Ok(self.keep(file, path.to_owned()))
    }

    fn listed(&mut self, number: u64) -> io::Result<Listing> {
        let path = self.path(number)?;
        let up = path.parent().map_or(number, |up| self.nodes.number(up));
        let mut listing: Listing = vec![
            (number, FileType::Directory, ".".into()),
            (up, FileType::Directory, "..".into()),
        ];
        for entry in fs::read_dir(self.real(&path))? {
            let entry = entry?;
            let number = self.nodes.number(&path.join(entry.file_name()));
            listing.push((number, kind(entry.file_type()?), entry.file_name()));
        }
        Ok(listing)
    }

    fn change(
        &mut self,
        number: u64,
        handle: Option<u64>,
        change: &Change,
    ) -> io::Result<FileAttr> {
        let path = self.path(number)?;
        let real = self.real(&path);
        if let Some(size) = change.size {
            match handle.and_then(|handle| self.files.get(&handle)) {
                Some((file, _)) => file.set_len(size)?,
                None => OpenOptions::new().write(true).open(&real)?.set_len(size)?,
            }
        }
        if let Some(mode) = change.mode {
            fs::set_permissions(&real, Permissions::from_mode(mode & 0o7777))?;
        }
        if change.owner != (None, None) {
            lchown(&real, change.owner.0, change.owner.1)?;
        }
        if change.times.0.is_some() || change.times.1.is_some() {
            let (read, written) = (timespec(change.times.0), timespec(change.times.1));
            utimensat(
                AT_FDCWD,
                &real,
                &read,
                &written,
                UtimensatFlags::NoFollowSymlink,
            )?;
        }
        self.entry(&path)
    }

    /// Does something that luck may keep from happening. Who is late does not keep others waiting.
    fn by_luck(
        &self,
        operation: Operation,
        path: &Path,
        act: impl FnOnce(Result<(), i32>) + Send + 'static,
    ) {
        match self.luck.decide(operation, path) {
            Fate::Well => act(Ok(())),
            Fate::Fails(errno) => act(Err(errno as i32)),
            Fate::Late(delay) => {
                thread::spawn(move || {
                    thread::sleep(delay);
                    act(Ok(()));
                });
            }
        }
    }

    fn handle(&self, handle: u64) -> io::Result<(Arc<File>, PathBuf)> {
        self.files
            .get(&handle)
            .cloned()
            .ok_or_else(|| Errno::EBADF.into())
    }
}

/// Fills the buffer as far as the file goes.
fn read_at(file: &File, offset: i64, size: u32) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; usize::try_from(size).unwrap_or(0)];
    let start = u64::try_from(offset).unwrap_or(0);
    let mut done = 0;
    while done < buffer.len() {
        match file.read_at(&mut buffer[done..], start + done as u64) {
            Ok(0) => break,
            Ok(more) => done += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    buffer.truncate(done);
    Ok(buffer)
}

/// Answers with an entry, or with an error.
fn answer_entry(reply: ReplyEntry, result: io::Result<FileAttr>) {
    match result {
        Ok(attributes) => reply.entry(&NEVER_KEPT, &attributes, 0),
        Err(error) => reply.error(code(&error)),
    }
}

fn answer_attr(reply: ReplyAttr, result: io::Result<FileAttr>) {
    match result {
        Ok(attributes) => reply.attr(&NEVER_KEPT, &attributes),
        Err(error) => reply.error(code(&error)),
    }
}

fn answer(reply: ReplyEmpty, result: io::Result<()>) {
    match result {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(code(&error)),
    }
}

impl Filesystem for Mirror {
    fn lookup(&mut self, _: &Request<'_>, parent: u64, name: &OsStr, reply: ReplyEntry) {
        let found = self.child(parent, name).and_then(|path| self.entry(&path));
        answer_entry(reply, found);
    }

    fn getattr(&mut self, _: &Request<'_>, ino: u64, fh: Option<u64>, reply: ReplyAttr) {
        let open = fh.and_then(|fh| self.files.get(&fh));
        let found = match open {
            Some((file, _)) => file.metadata().map(|data| attributes(ino, &data)),
            None => self.path(ino).and_then(|path| {
                fs::symlink_metadata(self.real(&path)).map(|data| attributes(ino, &data))
            }),
        };
        answer_attr(reply, found);
    }

    fn setattr(
        &mut self,
        _: &Request<'_>,
        ino: u64,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        fh: Option<u64>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<u32>,
        reply: ReplyAttr,
    ) {
        let change = Change {
            mode,
            owner: (uid, gid),
            size,
            times: (atime, mtime),
        };
        answer_attr(reply, self.change(ino, fh, &change));
    }

    fn readlink(&mut self, _: &Request<'_>, ino: u64, reply: ReplyData) {
        match self
            .path(ino)
            .and_then(|path| fs::read_link(self.real(&path)))
        {
            Ok(target) => reply.data(target.as_os_str().as_encoded_bytes()),
            Err(error) => reply.error(code(&error)),
        }
    }

    fn mkdir(
        &mut self,
        request: &Request<'_>,
        parent: u64,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        reply: ReplyEntry,
    ) {
        let made = self.child(parent, name).and_then(|path| {
            fs::DirBuilder::new().mode(mode).create(self.real(&path))?;
            self.made(&path, request)
        });
        answer_entry(reply, made);
    }

    fn unlink(&mut self, _: &Request<'_>, parent: u64, name: &OsStr, reply: ReplyEmpty) {
        let done = self.child(parent, name).and_then(|path| {
            fs::remove_file(self.real(&path))?;
            self.nodes.removed(&path);
            Ok(())
        });
        answer(reply, done);
    }

    fn rmdir(&mut self, _: &Request<'_>, parent: u64, name: &OsStr, reply: ReplyEmpty) {
        let done = self.child(parent, name).and_then(|path| {
            fs::remove_dir(self.real(&path))?;
            self.nodes.removed(&path);
            Ok(())
        });
        answer(reply, done);
    }

    fn symlink(
        &mut self,
        request: &Request<'_>,
        parent: u64,
        name: &OsStr,
        target: &Path,
        reply: ReplyEntry,
    ) {
        let made = self.child(parent, name).and_then(|path| {
            symlink(target, self.real(&path))?;
            self.made(&path, request)
        });
        answer_entry(reply, made);
    }

    fn rename(
        &mut self,
        _: &Request<'_>,
        parent: u64,
        name: &OsStr,
        newparent: u64,
        newname: &OsStr,
        flags: u32,
        reply: ReplyEmpty,
    ) {
        if flags != 0 {
            // Exchanging, or refusing to replace: nobody may think that it was done.
            return reply.error(Errno::EINVAL as i32);
        }
        let both = self
            .child(parent, name)
            .and_then(|from| Ok((from, self.child(newparent, newname)?)));
        let done = both.and_then(|(from, to)| {
            fs::rename(self.real(&from), self.real(&to))?;
            self.nodes.renamed(&from, &to);
            Ok(())
        });
        answer(reply, done);
    }

    fn link(
        &mut self,
        _: &Request<'_>,
        ino: u64,
        newparent: u64,
        newname: &OsStr,
        reply: ReplyEntry,
    ) {
        let both = self
            .path(ino)
            .and_then(|from| Ok((from, self.child(newparent, newname)?)));
        let made = both.and_then(|(from, to)| {
            fs::hard_link(self.real(&from), self.real(&to))?;
            self.entry(&to)
        });
        answer_entry(reply, made);
    }

    fn open(&mut self, _: &Request<'_>, ino: u64, flags: i32, reply: ReplyOpen) {
        let path = match self.path(ino) {
            Ok(path) => path,
            Err(error) => return reply.error(code(&error)),
        };
        let opened = self.opened(&path, flags);
        self.by_luck(Operation::Open, &path, move |luck| match (luck, opened) {
            (Err(errno), _) => reply.error(errno),
            (Ok(()), Ok(handle)) => reply.opened(handle, DIRECT),
            (Ok(()), Err(error)) => reply.error(code(&error)),
        });
    }

    fn create(
        &mut self,
        request: &Request<'_>,
        parent: u64,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        let path = match self.child(parent, name) {
            Ok(path) => path,
            Err(error) => return reply.error(code(&error)),
        };
        if let Fate::Fails(errno) = self.luck.decide(Operation::Open, &path) {
            return reply.error(errno as i32);
        }
        let mut options = OpenOptions::new();
        // Read, too: the kernel may want to fill a page.
        let options = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(truncates(flags));
        let file = options.mode(mode).open(self.real(&path));
        let made = file.and_then(|file| {
            chown(self.real(&path), Some(request.uid()), Some(request.gid()))?;
            let attributes = self.entry(&path)?;
            Ok((self.keep(file, path), attributes))
        });
        match made {
            Ok((handle, attributes)) => reply.created(&NEVER_KEPT, &attributes, 0, handle, DIRECT),
            Err(error) => reply.error(code(&error)),
        }
    }

    fn read(
        &mut self,
        _: &Request<'_>,
        _ino: u64,
        fh: u64,
        offset: i64,
        size: u32,
        _flags: i32,
        _lock_owner: Option<u64>,
        reply: ReplyData,
    ) {
        let (file, path) = match self.handle(fh) {
            Ok(open) => open,
            Err(error) => return reply.error(code(&error)),
        };
        self.by_luck(Operation::Read, &path, move |luck| {
            if let Err(errno) = luck {
                return reply.error(errno);
            }
            match read_at(&file, offset, size) {
                Ok(bytes) => reply.data(&bytes),
                Err(error) => reply.error(code(&error)),
            }
        });
    }

    fn write(
        &mut self,
        _: &Request<'_>,
        _ino: u64,
        fh: u64,
        offset: i64,
        data: &[u8],
        _write_flags: u32,
        _flags: i32,
        _lock_owner: Option<u64>,
        reply: ReplyWrite,
    ) {
        let (file, path) = match self.handle(fh) {
            Ok(open) => open,
            Err(error) => return reply.error(code(&error)),
        };
        let data = data.to_vec();
        self.by_luck(Operation::Write, &path, move |luck| {
            if let Err(errno) = luck {
                return reply.error(errno);
            }
            match file.write_all_at(&data, u64::try_from(offset).unwrap_or(0)) {
                Ok(()) => reply.written(u32::try_from(data.len()).unwrap_or(u32::MAX)),
                Err(error) => reply.error(code(&error)),
            }
        });
    }

    fn flush(&mut self, _: &Request<'_>, _ino: u64, _fh: u64, _owner: u64, reply: ReplyEmpty) {
        reply.ok();
    }

    fn release(
        &mut self,
        _: &Request<'_>,
        _ino: u64,
        fh: u64,
        _flags: i32,
        _lock_owner: Option<u64>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        self.files.remove(&fh);
        reply.ok();
    }

    fn fsync(&mut self, _: &Request<'_>, _ino: u64, fh: u64, datasync: bool, reply: ReplyEmpty) {
        let (file, path) = match self.handle(fh) {
            Ok(open) => open,
            Err(error) => return reply.error(code(&error)),
        };
        self.by_luck(Operation::Fsync, &path, move |luck| {
            if let Err(errno) = luck {
                return reply.error(errno);
            }
            answer(
                reply,
                if datasync {
                    file.sync_data()
                } else {
                    file.sync_all()
                },
            );
        });
    }

    fn opendir(&mut self, _: &Request<'_>, ino: u64, _flags: i32, reply: ReplyOpen) {
        match self.listed(ino) {
            Ok(listing) => {
                let handle = self.next;
                self.next += 1;
                self.listings.insert(handle, listing);
                reply.opened(handle, 0);
            }
            Err(error) => reply.error(code(&error)),
        }
    }

    fn readdir(
        &mut self,
        _: &Request<'_>,
        _ino: u64,
        fh: u64,
        offset: i64,
        mut reply: ReplyDirectory,
    ) {
        let listing = self.listings.get(&fh).map_or(&[][..], Vec::as_slice);
        let from = usize::try_from(offset).unwrap_or(0);
        for (at, (number, kind, name)) in listing.iter().enumerate().skip(from) {
            let next = i64::try_from(at + 1).unwrap_or(i64::MAX);
            if reply.add(*number, next, *kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn releasedir(&mut self, _: &Request<'_>, _ino: u64, fh: u64, _flags: i32, reply: ReplyEmpty) {
        self.listings.remove(&fh);
        reply.ok();
    }

    fn fsyncdir(
        &mut self,
        _: &Request<'_>,
        ino: u64,
        _fh: u64,
        _datasync: bool,
        reply: ReplyEmpty,
    ) {
        let path = match self.path(ino) {
            Ok(path) => path,
            Err(error) => return reply.error(code(&error)),
        };
        let folder = File::open(self.real(&path));
        self.by_luck(Operation::Fsync, &path, move |luck| match luck {
            Err(errno) => reply.error(errno),
            Ok(()) => answer(reply, folder.and_then(|folder| folder.sync_all())),
        });
    }

    fn statfs(&mut self, _: &Request<'_>, _ino: u64, reply: ReplyStatfs) {
        match fstatvfs(&self.below) {
            Ok(data) => reply.statfs(
                data.blocks(),
                data.blocks_free(),
                data.blocks_available(),
                data.files(),
                data.files_free(),
                u32::try_from(data.block_size()).unwrap_or(4096),
                u32::try_from(data.name_max()).unwrap_or(255),
                u32::try_from(data.fragment_size()).unwrap_or(4096),
            ),
            Err(errno) => reply.error(errno as i32),
        }
    }
}
