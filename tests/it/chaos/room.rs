//! A mount namespace with disks of its own, which is gone with the test.

use super::{Place, Ran};
use std::fmt::Write;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// The disks: small file systems in memory, so that nothing of the machine can be filled.
pub(super) const DISKS: [&str; 5] = ["full", "inodes", "ro", "fuse", "io"];

/// A place whose disks only the room's processes see.
pub(super) struct Room {
    pub(super) place: Place,
    holder: Child,
}

impl Room {
    /// Nothing where namespaces or FUSE are not allowed; why has been said.
    pub(super) fn new() -> Option<Self> {
        let place = Place::new();
        let mut script = String::new();
        for disk in DISKS {
            let path = place.path(disk);
            std::fs::create_dir(&path).unwrap();
            let mount = "mount -t tmpfs -o size=8m,nr_inodes=200 whorl-test";
            write!(script, "{mount} {} && ", path.display()).unwrap();
        }
        script.push_str("echo ready && exec sleep 600");
        let mut holder = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", &script])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let out = holder.stdout.take().unwrap();
        BufReader::new(out).read_line(&mut line).unwrap();
        let fuse = std::fs::File::options()
            .read(true)
            .write(true)
            .open("/dev/fuse");
        let room = Self { place, holder };
        if line.trim() == "ready" && fuse.is_ok() {
            return Some(room);
        }
        crate::skip("no right to mount in a namespace, or no /dev/fuse");
        None
    }

    /// A path as the room's processes see it, from outside.
    pub(super) fn inside(&self, name: &str) -> PathBuf {
        let path = self.place.path(name);
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.id()));
        root.join(path.strip_prefix("/").unwrap())
    }

    /// The mounts that the room's processes see.
    pub(super) fn mounts(&self) -> String {
        std::fs::read_to_string(format!("/proc/{}/mountinfo", self.holder.id())).unwrap()
    }

    /// `whorl chaos` in the room.
    pub(super) fn command(&self, args: &[&str]) -> Command {
        let whorl = self.place.command(args);
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--mount=/proc/{}/ns/mnt", self.holder.id()))
            .args(["sh", "-c", "cd \"$0\" && exec \"$@\""])
            .arg(self.place.folder.path())
            .arg(whorl.get_program())
            .args(whorl.get_args())
            .envs(
                whorl
                    .get_envs()
                    .filter_map(|(key, value)| Some((key, value?))),
            )
            .stdin(Stdio::null());
        command
    }

    pub(super) fn chaos(&self, args: &[&str]) -> Ran {
        Ran::of(&self.command(args).output().unwrap())
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // With the last process its mounts are gone.
        self.holder.kill().unwrap();
        self.holder.wait().unwrap();
    }
}
