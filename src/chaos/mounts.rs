//! What is mounted where, and work in the mount namespace of others.

use nix::sched::{CloneFlags, setns, unshare};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;

/// One line of `/proc/PID/mountinfo`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mount {
    /// `major:minor` of its file system.
    pub(crate) device: String,
    /// Which part of the file system it shows.
    pub(crate) root: PathBuf,
    /// Where it is.
    pub(crate) point: PathBuf,
    /// What holds for this mount only, such as `ro`.
    pub(crate) options: String,
    /// The kind of its file system.
    pub(crate) kind: String,
    /// What is mounted, in the words of who mounted it.
    pub(crate) source: String,
    /// What holds for the file system.
    pub(crate) shared_options: String,
}

fn parsed(line: &str) -> Option<Mount> {
    let (left, right) = line.split_once(" - ")?;
    let mut left = left.split(' ').skip(2);
    let mut right = right.split(' ');
    Some(Mount {
        device: left.next()?.to_owned(),
        root: unescaped(left.next()?),
        point: unescaped(left.next()?),
        options: left.next()?.to_owned(),
        kind: right.next()?.to_owned(),
        source: unescaped(right.next()?).display().to_string(),
        shared_options: right.next().unwrap_or_default().to_owned(),
    })
}

/// Blanks and the like are written as three octal digits.
fn unescaped(text: &str) -> PathBuf {
    let mut rest = text;
    let mut whole = String::new();
    while let Some((before, after)) = rest.split_once('\\') {
        whole.push_str(before);
        let code = after.get(..3).and_then(|d| u8::from_str_radix(d, 8).ok());
        let Some(code) = code else {
            whole.push('\\');
            rest = after;
            continue;
        };
        whole.push(char::from(code));
        rest = &after[3..];
    }
    whole.push_str(rest);
    PathBuf::from(whole)
}

/// The mounts that a process sees, `self` or a pid; later ones lie over earlier ones.
pub(crate) fn of(who: &str) -> io::Result<Vec<Mount>> {
    let text = fs::read_to_string(format!("/proc/{who}/mountinfo"))?;
    Ok(text.lines().filter_map(parsed).collect())
}

/// The mount that a path lies on.
pub(crate) fn under(path: &Path) -> Option<Mount> {
    let mut best: Option<Mount> = None;
    // This thread's: it may be in another namespace than the rest of the process.
    for mount in of("thread-self").ok()? {
        let deeper =
            |best: &Mount| mount.point.components().count() >= best.point.components().count();
        if path.starts_with(&mount.point) && best.as_ref().is_none_or(deeper) {
            best = Some(mount);
        }
    }
    best
}

/// Which namespace of a kind a process is in, such as `mnt:[4026531832]`.
pub(crate) fn namespace(who: &str, kind: &str) -> Option<String> {
    let link = fs::read_link(format!("/proc/{who}/ns/{kind}")).ok()?;
    Some(link.display().to_string())
}

/// The mount namespace of this thread.
pub(crate) fn here() -> String {
    namespace("thread-self", "mnt").unwrap_or_default()
}

/// A process that is in a mount namespace.
fn somebody_in(wanted: &str) -> Option<File> {
    let pids = fs::read_dir("/proc").ok()?.flatten();
    pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .find(|pid| namespace(&pid.to_string(), "mnt").is_some_and(|found| found == wanted))
        .and_then(|pid| File::open(format!("/proc/{pid}/ns/mnt")).ok())
}

/// Does something in a mount namespace; here, when that one is gone with all that was mounted there.
pub(crate) fn within<T: Send>(wanted: &str, act: impl FnOnce() -> T + Send) -> io::Result<T> {
    if wanted.is_empty() || here() == wanted {
        return Ok(act());
    }
    let Some(space) = somebody_in(wanted) else {
        return Ok(act());
    };
    // A thread of its own, so that nothing else of us moves.
    let done = thread::scope(|scope| {
        let moved = scope.spawn(move || {
            unshare(CloneFlags::CLONE_FS)?;
            setns(&space, CloneFlags::CLONE_NEWNS)?;
            Ok(act())
        });
        moved.join()
    });
    match done {
        Ok(Ok(value)) => Ok(value),
        Ok(Err::<T, nix::Error>(errno)) => Err(io::Error::from(errno)),
        Err(_) => Err(io::Error::other(
            "the work in the other namespace broke off",
        )),
    }
}

/// Does something in a mount namespace of its own, which ends with it.
pub(crate) fn apart<T: Send>(act: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    use nix::mount::{MsFlags, mount};
    let done = thread::scope(|scope| {
        let moved = scope.spawn(move || {
            unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_FS)?;
            let flags = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
            mount(None::<&str>, "/", None::<&str>, flags, None::<&str>)?;
            act()
        });
        moved.join()
    });
    done.unwrap_or_else(|_| Err(io::Error::other("the work in a namespace broke off")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_taken_apart() {
        let line =
            "36 35 98:0 /mnt1 /mnt2\\040a rw,noatime shared:1 - ext3 /dev/root rw,errors=continue";
        let mount = parsed(line).unwrap();
        assert_eq!(mount.point, Path::new("/mnt2 a"));
        assert_eq!(
            (mount.device.as_str(), mount.kind.as_str()),
            ("98:0", "ext3")
        );
        assert_eq!(
            (mount.options.as_str(), mount.source.as_str()),
            ("rw,noatime", "/dev/root")
        );
    }

    #[test]
    fn every_path_is_on_a_mount() {
        assert_eq!(under(Path::new("/proc/self/stat")).unwrap().kind, "proc");
        assert!(under(Path::new("/")).is_some());
    }
}
