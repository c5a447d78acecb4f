//! Control groups of either version: where they are, who is in them.

use crate::chaos::fault::FaultError;
use crate::chaos::mounts::{self, Mount};
use std::fs;
use std::path::{Path, PathBuf};

/// A hierarchy of control groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::chaos::fault) struct Tree {
    second: bool,
    /// Where it is mounted, and which of its groups is seen there.
    point: PathBuf,
    root: PathBuf,
}

fn is_memory(mount: &Mount) -> bool {
    mount.kind == "cgroup"
        && mount
            .shared_options
            .split(',')
            .any(|option| option == "memory")
}

fn has_memory(mount: &Mount) -> bool {
    let file = mount.point.join("cgroup.controllers");
    let text = fs::read_to_string(file).unwrap_or_default();
    mount.kind == "cgroup2" && text.split_whitespace().any(|name| name == "memory")
}

/// The group of a line of `/proc/PID/cgroup`, in a hierarchy.
fn group_in(text: &str, second: bool) -> Option<&str> {
    text.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (number, controllers, group) = (fields.next()?, fields.next()?, fields.next()?);
        let ours = if second {
            number == "0" && controllers.is_empty()
        } else {
            controllers.split(',').any(|name| name == "memory")
        };
        ours.then_some(group)
    })
}

impl Tree {
    /// The hierarchy that limits memory: that of version 2 where it has the controller, else version 1.
    pub(in crate::chaos::fault) fn memory() -> Result<Self, FaultError> {
        let all = mounts::of("self").map_err(FaultError::io(Path::new("/proc/self/mountinfo")))?;
        let second = all.iter().find(|mount| has_memory(mount));
        let found = second.or_else(|| all.iter().find(|mount| is_memory(mount)));
        let mount = found.ok_or_else(|| {
            FaultError::Target("no mounted hierarchy of control groups limits memory".into())
        })?;
        Ok(Self {
            second: mount.kind == "cgroup2",
            point: mount.point.clone(),
            root: mount.root.clone(),
        })
    }

    /// The file that has the limit.
    pub(in crate::chaos::fault) fn limit(&self) -> &'static str {
        if self.second {
            "memory.max"
        } else {
            "memory.limit_in_bytes"
        }
    }

    /// No limit, in the words of that file.
    pub(in crate::chaos::fault) fn unlimited(&self) -> &'static str {
        if self.second { "max" } else { "-1" }
    }

    fn folder(&self, group: &str) -> PathBuf {
        let below = Path::new(group)
            .strip_prefix(&self.root)
            .unwrap_or(Path::new(group));
        self.point.join(below.strip_prefix("/").unwrap_or(below))
    }

    /// The group that a process is in.
    pub(in crate::chaos::fault) fn home(&self, pid: i32) -> Result<PathBuf, FaultError> {
        let path = PathBuf::from(format!("/proc/{pid}/cgroup"));
        let text = fs::read_to_string(&path).map_err(FaultError::io(&path))?;
        let group = group_in(&text, self.second)
            .ok_or_else(|| FaultError::Target(format!("process {pid} is in no control group")))?;
        let folder = self.folder(group);
        if folder.join("cgroup.procs").is_file() {
            return Ok(folder);
        }
        Err(FaultError::Target(format!(
            "the control group {group} of process {pid} is not seen here"
        )))
    }

    /// A group that is there, by its path in the hierarchy or in the file system.
    pub(in crate::chaos::fault) fn locate(&self, path: &str) -> Result<PathBuf, FaultError> {
        let folder = if Path::new(path).starts_with(&self.point) {
            PathBuf::from(path)
        } else {
            self.folder(path)
        };
        let clean = folder.components().all(|part| part.as_os_str() != "..");
        if clean && folder != self.point && folder.join(self.limit()).is_file() {
            return Ok(folder);
        }
        Err(FaultError::Target(format!(
            "{path} is no control group whose memory can be limited"
        )))
    }

    /// Where a group of our own can be made for a process of this one. In version 2 a group with
    /// processes has none below it that limit memory, so ours comes beside it.
    pub(in crate::chaos::fault) fn room_beside(&self, home: &Path) -> Result<PathBuf, FaultError> {
        if !self.second {
            return Ok(home.to_owned());
        }
        let hands_on = |group: &Path| {
            let text = fs::read_to_string(group.join("cgroup.subtree_control")).unwrap_or_default();
            text.split_whitespace().any(|name| name == "memory")
        };
        let above = home
            .ancestors()
            .take_while(|group| group.starts_with(&self.point));
        let room = above.into_iter().find(|group| hands_on(group));
        room.map(Path::to_owned).ok_or_else(|| {
            FaultError::Target(format!(
                "no control group above {} hands memory on",
                home.display()
            ))
        })
    }
}

/// The processes of a group, without those of the groups below.
pub(in crate::chaos::fault) fn members(group: &Path) -> Vec<i32> {
    let text = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    text.lines()
        .filter_map(|line| line.trim().parse().ok())
        .filter(|pid| *pid > 0)
        .collect()
}

/// The folders of a group in all hierarchies that are mounted here.
pub(in crate::chaos::fault) fn everywhere(path: &str) -> Vec<PathBuf> {
    let all = mounts::of("self").unwrap_or_default();
    let trees = all
        .into_iter()
        .filter(|mount| mount.kind == "cgroup" || mount.kind == "cgroup2");
    trees
        .map(|mount| Tree {
            second: mount.kind == "cgroup2",
            point: mount.point,
            root: mount.root,
        })
        .filter_map(|tree| {
            let folder = if Path::new(path).starts_with(&tree.point) {
                PathBuf::from(path)
            } else {
                tree.folder(path)
            };
            let clean = folder.components().all(|part| part.as_os_str() != "..");
            (clean && folder != tree.point && folder.join("cgroup.procs").is_file())
                .then_some(folder)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_found_in_either_version() {
        let hybrid = "4:memory:/a/b\n1:cpu,cpuacct:/c\n0::/d\n";
        assert_eq!(group_in(hybrid, false), Some("/a/b"));
        assert_eq!(group_in(hybrid, true), Some("/d"));
        assert_eq!(
            group_in("0::/user.slice/x:y\n", true),
            Some("/user.slice/x:y")
        );
        assert_eq!(group_in("0::/d\n", false), None);
    }

    #[test]
    fn what_a_container_sees_is_below_its_root() {
        let tree = Tree {
            second: true,
            point: "/sys/fs/cgroup".into(),
            root: "/docker/1".into(),
        };
        assert_eq!(tree.folder("/docker/1/x"), Path::new("/sys/fs/cgroup/x"));
        let whole = Tree {
            root: "/".into(),
            ..tree
        };
        assert_eq!(whole.folder("/a/b"), Path::new("/sys/fs/cgroup/a/b"));
    }

    #[test]
    fn a_new_group_of_version_2_comes_where_memory_is_handed_on() {
        let folder = tempfile::tempdir().unwrap();
        let tree = Tree {
            second: true,
            point: folder.path().into(),
            root: "/".into(),
        };
        let home = folder.path().join("slice/service");
        fs::create_dir_all(&home).unwrap();
        fs::write(home.join("cgroup.subtree_control"), "").unwrap();
        assert!(tree.room_beside(&home).is_err());
        fs::write(
            folder.path().join("slice/cgroup.subtree_control"),
            "cpu memory\n",
        )
        .unwrap();
        assert_eq!(
            tree.room_beside(&home).unwrap(),
            folder.path().join("slice")
        );
    }
}
