//! Where we are: root or not, in namespaces of our own or in the machine's.

use super::target::{Target, real};
use crate::chaos::mounts::{self, namespace};
use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The number of the first process namespace, in every kernel since 3.8.
const FIRST_PROCESSES: &str = "pid:[4026531836]";
/// Those of the first network and mount namespaces where they are fixed, since Linux 6.18.
const FIRST_NETWORK: &str = "net:[4026531833]";
const FIRST_MOUNTS: &str = "mnt:[4026531832]";

/// What is known of where we run. What cannot be found out is taken for the machine's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one fact, and they hold in any combination"
)]
pub struct Surroundings {
    /// We are root of the machine, not only of a user namespace.
    pub root: bool,
    /// We see no processes of the machine: a container, or `unshare --pid`.
    pub own_processes: bool,
    /// We have a network of our own.
    pub own_network: bool,
    /// What we mount is seen by nobody else.
    pub own_mounts: bool,
    /// The file systems that the machine's first process sees.
    pub(super) machine_devices: BTreeSet<String>,
    pub(super) host: String,
    pub(super) user: u32,
}

impl Surroundings {
    /// Looks.
    pub fn look() -> Self {
        let own_processes = namespace("self", "pid").is_some_and(|found| found != FIRST_PROCESSES);
        let first = mounts::of("1").unwrap_or_default();
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let user = nix::unistd::geteuid();
        Self {
            root: user.is_root() && is_root_outside(),
            own_processes,
            own_network: is_own("net", FIRST_NETWORK, own_processes),
            own_mounts: is_own("mnt", FIRST_MOUNTS, own_processes),
            machine_devices: first.into_iter().map(|mount| mount.device).collect(),
            host: host.trim().to_owned(),
            user: user.as_raw(),
        }
    }

    /// Whether a target is nobody else's business.
    pub fn confines(&self, target: &Target) -> bool {
        match target {
            Target::Own(_) => true,
            Target::Path(path) => self.own_path(path) || self.in_own_temporary(path),
            Target::FileSystem(path) => self.own_path(path),
            Target::Mount(path) => self.own_mounts || self.own_path(path),
            Target::Process { .. } | Target::Cgroup(_) => self.own_processes,
            Target::Host(_) => self.own_network,
            Target::Machine(_) => false,
        }
    }

    /// The file system is not among those that the machine's first process sees. In a container the
    /// first process is the container's: there, the layers of its image are its own.
    fn own_path(&self, path: &Path) -> bool {
        let Some(mount) = mounts::under(&real(path)) else {
            return false;
        };
        if self.own_processes {
            return mount.point == Path::new("/") && mount.kind == "overlay";
        }
        !self.machine_devices.is_empty() && !self.machine_devices.contains(&mount.device)
    }

    /// Below a folder for what is temporary, and made by ourselves.
    fn in_own_temporary(&self, path: &Path) -> bool {
        let path = real(path);
        let folders = [
            std::env::temp_dir(),
            "/tmp".into(),
            "/var/tmp".into(),
            "/dev/shm".into(),
        ];
        let folders: Vec<PathBuf> = folders.iter().map(|folder| real(folder)).collect();
        // What is not there yet belongs to whoever has the folder that it comes into.
        let mut there = path
            .ancestors()
            .filter(|path| fs::symlink_metadata(path).is_ok());
        let Some(path) = there.next() else {
            return false;
        };
        let below = folders.iter().any(|f| path.starts_with(f) && path != f);
        below && fs::symlink_metadata(path).is_ok_and(|data| data.uid() == self.user)
    }
}

impl fmt::Display for Surroundings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = if self.root {
            "as root".into()
        } else {
            format!("as user {}", self.user)
        };
        let own = [
            (self.own_processes, "processes"),
            (self.own_network, "network"),
            (self.own_mounts, "mounts"),
        ];
        let own: Vec<&str> = own
            .iter()
            .filter(|(own, _)| *own)
            .map(|(_, what)| *what)
            .collect();
        write!(f, "{who} on {}", self.host)?;
        if own.is_empty() {
            return write!(f, " itself, in no namespace of its own");
        }
        write!(f, ", with {} of its own", own.join(" and "))
    }
}

/// Whether our root is the one outside of the user namespace, too.
fn is_root_outside() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let ours = map.lines().find_map(|line| {
        let mut numbers = line.split_whitespace();
        (numbers.next()? == "0").then(|| numbers.next().map(str::to_owned))?
    });
    // Without user namespaces there is no such file, and root is root.
    ours.is_none_or(|outside| outside == "0")
}

/// Whether a namespace is not the machine's first one.
fn is_own(kind: &str, first: &str, own_processes: bool) -> bool {
    let Some(ours) = namespace("self", kind) else {
        return false;
    };
    if ours == first {
        return false;
    }
    // In a container the first process is the container's, and says nothing of the machine's.
    match namespace("1", kind).filter(|_| !own_processes) {
        Some(machine) => ours != machine,
        None => numbers_are_fixed(),
    }
}

/// Whether the first namespaces of all kinds have known numbers in this kernel.
fn numbers_are_fixed() -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release
        .split(['.', '-'])
        .map(|n| n.trim().parse::<u32>().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (6, 18)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_own_things_are_not_confined() {
        let machine = Surroundings {
            root: true,
            ..Surroundings::look()
        };
        let bare = Surroundings {
            own_processes: false,
            own_network: false,
            own_mounts: false,
            ..machine
        };
        assert!(!bare.confines(&Target::Path("/etc/passwd".into())));
        assert!(!bare.confines(&Target::Process {
            pid: 1,
            name: "init".into()
        }));
        assert!(!bare.confines(&Target::Host("db".into())));
        assert!(!bare.confines(&Target::Machine("memory".into())));
        assert!(bare.confines(&Target::Own("a proxy".into())));
    }

    #[test]
    fn what_we_made_in_a_temporary_folder_is_ours() {
        let folder = tempfile::tempdir().unwrap();
        let here = Surroundings {
            own_processes: false,
            ..Surroundings::look()
        };
        let file = folder.path().join("f");
        assert!(here.confines(&Target::Path(file.clone())), "not there yet");
        assert!(!here.confines(&Target::Path(std::env::temp_dir().join("not-there"))));
        assert!(!here.confines(&Target::Path(std::env::temp_dir())));
        fs::write(&file, "").unwrap();
        assert!(here.confines(&Target::Path(file)));
        std::os::unix::fs::symlink("/etc", folder.path().join("etc")).unwrap();
        assert!(!here.confines(&Target::Path(folder.path().join("etc/passwd"))));
        assert!(!here.confines(&Target::FileSystem(folder.path().into())) || here.own_mounts);
    }
}
