//! A small disk of the test's own, on which a service runs.

use super::super::serve::program::{Home, Program};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// A mount namespace in which the data folder of a service is a file system in memory. It is gone with the
/// process that holds it.
pub(super) struct Disk {
    holder: Child,
    data: PathBuf,
}

impl Disk {
    /// A disk of so many megabytes; nothing, and why has been said, where nobody may mount.
    pub(super) fn new(home: &Home, megabytes: u64) -> Option<Self> {
        fs::create_dir_all(home.data()).unwrap();
        // With the rights of root, or with those that everybody has in a user namespace of their own.
        let ways: [&[&str]; 2] = [&["--mount"], &["--user", "--map-root-user", "--mount"]];
        for way in ways {
            let spawned = Command::new("unshare")
                .args(way)
                .args(["--propagation", "private", "sh", "-c"])
                .arg("mount -t tmpfs -o size=$1m whorl-test \"$0\" && echo ready && exec sleep 600")
                .arg(home.data())
                .arg(megabytes.to_string())
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn();
            let Ok(mut holder) = spawned else {
                crate::skip("no unshare here, so no file system of the test's own");
                return None;
            };
            let mut line = String::new();
            let out = holder.stdout.take().unwrap();
            BufReader::new(out).read_line(&mut line).unwrap();
            let disk = Self {
                holder,
                data: home.data(),
            };
            if line.trim() == "ready" {
                return Some(disk);
            }
        }
        crate::skip("no right to mount a file system, not even in a user namespace");
        None
    }

    /// The data folder as the service sees it, from outside.
    pub(super) fn data(&self) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.id()));
        root.join(self.data.strip_prefix("/").unwrap())
    }

    /// Starts the service of `home` on the disk.
    pub(super) fn start(&self, home: &Home) -> Program {
        let whorl = home.command();
        let id = self.holder.id();
        let mut command = Command::new("nsenter");
        if fs::read_link(format!("/proc/{id}/ns/user")).unwrap()
            != fs::read_link("/proc/self/ns/user").unwrap()
        {
            command
                .arg(format!("--user=/proc/{id}/ns/user"))
                .arg("--preserve-credentials");
        }
        command
            .arg(format!("--mount=/proc/{id}/ns/mnt"))
            .arg(whorl.get_program())
            .args(whorl.get_args());
        Home::start_by(command)
    }

    /// Takes all room but so many bytes.
    pub(super) fn fill(&self, but: u64) {
        let free = nix::sys::statvfs::statvfs(&self.data()).unwrap();
        let free = free.blocks_available() * free.fragment_size();
        self.take(free.saturating_sub(but));
    }

    /// Takes the last byte too, which needs several tries when others write meanwhile.
    fn take(&self, bytes: u64) {
        use std::io::Write;
        let file = fs::File::options()
            .create(true)
            .append(true)
            .open(self.ballast());
        let mut file = file.unwrap();
        let block = vec![0x5a; 4096];
        for _ in 0..bytes / 4096 {
            if file.write_all(&block).is_err() {
                return;
            }
        }
    }

    fn ballast(&self) -> PathBuf {
        self.data().join("ballast")
    }

    /// Gives the room back.
    pub(super) fn clear(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // With the last process its mount is gone.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
