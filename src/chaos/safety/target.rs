//! What a fault hits, and lists of what may be hit.

use serde_json::Value;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Something that a fault hits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Something that the fault makes itself, for those who come to it.
    Own(String),
    /// A file or folder.
    Path(PathBuf),
    /// The room of the file system that a folder is on, for all who write to it.
    FileSystem(PathBuf),
    /// What is seen below a path, by a mount over it.
    Mount(PathBuf),
    /// A process.
    Process {
        /// Its number.
        pid: i32,
        /// Its name.
        name: String,
    },
    /// All processes of a control group.
    Cgroup(PathBuf),
    /// A host in the network, or all of it.
    Host(String),
    /// Something that all on the machine share: its processors, its memory.
    Machine(String),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own(what) => write!(f, "{what}, which it makes itself"),
            Self::Path(path) => write!(f, "file {}", path.display()),
            Self::FileSystem(path) => {
                write!(f, "all who write to the file system of {}", path.display())
            }
            Self::Mount(path) => write!(f, "all who look below {}", path.display()),
            Self::Process { pid, name } => write!(f, "process {name} ({pid})"),
            Self::Cgroup(path) => write!(f, "control group {}", path.display()),
            Self::Host(name) => write!(f, "host {name}"),
            Self::Machine(what) => write!(f, "this machine's {what}"),
        }
    }
}

impl Target {
    /// Whether something lies where nobody can get at it while this is hit.
    pub(in crate::chaos) fn has(&self, path: &Path) -> bool {
        match self {
            Self::Path(hit) | Self::Mount(hit) => real(path).starts_with(real(hit)),
            _ => false,
        }
    }

    /// How it is listed as something that may be hit.
    pub fn listing(&self) -> Option<String> {
        Some(match self {
            Self::Own(_) => return None,
            Self::Path(path) | Self::FileSystem(path) | Self::Mount(path) => {
                format!("file:{}", path.display())
            }
            Self::Process { name, .. } => format!("process:{name}"),
            Self::Cgroup(path) => format!("cgroup:{}", path.display()),
            Self::Host(name) => format!("host:{name}"),
            Self::Machine(what) => format!("machine:{what}"),
        })
    }
}

/// Something that may be hit: `file:/srv/test` (with all below), `process:NAME`, `pid:N`,
/// `cgroup:/PATH`, `host:NAME`, `machine` or `machine:memory`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    kind: Kind,
    text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    Process,
    Pid,
    Cgroup,
    Host,
    Machine,
}

impl fmt::Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.kind {
            Kind::File => "file",
            Kind::Process => "process",
            Kind::Pid => "pid",
            Kind::Cgroup => "cgroup",
            Kind::Host => "host",
            Kind::Machine => "machine",
        };
        if self.text.is_empty() {
            return f.write_str(word);
        }
        write!(f, "{word}:{}", self.text)
    }
}

impl FromStr for Listed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (word, rest) = text.split_once(':').unwrap_or((text, ""));
        let kind = match word {
            "file" => Kind::File,
            "process" => Kind::Process,
            "pid" => Kind::Pid,
            "cgroup" => Kind::Cgroup,
            "host" => Kind::Host,
            "machine" => Kind::Machine,
            _ => {
                return Err(format!(
                    "target '{text}': known are file:PATH, process:NAME, pid:NUMBER, cgroup:PATH, \
                     host:NAME, machine"
                ));
            }
        };
        if rest.is_empty() && kind != Kind::Machine {
            return Err(format!("target '{text}' names nothing"));
        }
        let text = match kind {
            Kind::File => real(Path::new(rest)).display().to_string(),
            _ => rest.to_owned(),
        };
        Ok(Self { kind, text })
    }
}

impl Listed {
    /// Whether a target is meant.
    pub fn means(&self, target: &Target) -> bool {
        match (self.kind, target) {
            (_, Target::Own(_)) => true,
            (Kind::File, Target::Path(path) | Target::FileSystem(path) | Target::Mount(path)) => {
                real(path).starts_with(&self.text)
            }
            (Kind::Process, Target::Process { name, .. }) | (Kind::Host, Target::Host(name)) => {
                *name == self.text
            }
            (Kind::Pid, Target::Process { pid, .. }) => pid.to_string() == self.text,
            (Kind::Cgroup, Target::Cgroup(path)) => path.starts_with(&self.text),
            (Kind::Machine, Target::Machine(what)) => self.text.is_empty() || *what == self.text,
            _ => false,
        }
    }
}

/// A path without links, as far as it exists.
pub(super) fn real(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    for there in path.ancestors() {
        if let (Ok(found), Ok(rest)) = (there.canonicalize(), path.strip_prefix(there)) {
            // `join` of nothing would add a slash.
            return if rest.as_os_str().is_empty() {
                found
            } else {
                found.join(rest)
            };
        }
    }
    path
}

/// What an experiment lists: `extensions: [{name: whorl, targets: […]}]`.
pub fn listed_in(experiment: &Value) -> Result<Vec<Listed>, String> {
    let extensions = experiment["extensions"].as_array().into_iter().flatten();
    let ours = extensions.filter(|extension| extension["name"] == "whorl");
    let lists = ours.filter_map(|extension| extension.get("targets"));
    let mut listed = Vec::new();
    for list in lists {
        let items = list
            .as_array()
            .ok_or("`targets` of the extension whorl is no list")?;
        for item in items {
            let text = item
                .as_str()
                .ok_or("a target is a text such as file:/srv/test")?;
            listed.push(text.parse()?);
        }
    }
    Ok(listed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn means(listed: &str, target: &Target) -> bool {
        listed.parse::<Listed>().unwrap().means(target)
    }

    #[test]
    fn a_listed_folder_means_what_is_really_below_it() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("in");
        let outside = folder.path().join("in-not");
        std::fs::create_dir(&inside).unwrap();
        std::fs::create_dir(&outside).unwrap();
        std::os::unix::fs::symlink(&outside, inside.join("way-out")).unwrap();
        let listed = format!("file:{}", inside.display());
        assert!(means(&listed, &Target::Path(inside.join("a/b"))));
        assert!(means(&listed, &Target::Mount(inside.clone())));
        assert!(!means(&listed, &Target::Path(outside.join("a"))));
        assert!(!means(&listed, &Target::Path(inside.join("way-out/a"))));
        assert!(!means(&listed, &Target::Path(inside.join("../in-not/a"))));
    }

    #[test]
    fn other_targets_are_meant_by_their_names() {
        let process = Target::Process {
            pid: 7,
            name: "db".into(),
        };
        assert!(means("process:db", &process) && means("pid:7", &process));
        assert!(!means("process:d", &process) && !means("machine", &process));
        let memory = Target::Machine("memory".into());
        assert!(means("machine", &memory) && means("machine:memory", &memory));
        assert!(!means("machine:processors", &memory));
        assert!("files:/x".parse::<Listed>().is_err() && "file:".parse::<Listed>().is_err());
    }

    #[test]
    fn an_experiment_lists_its_targets() {
        let lists = |targets| json!({"extensions": [{"name": "other"}, {"name": "whorl", "targets": targets}]});
        assert_eq!(
            listed_in(&lists(json!(["machine", "host:a"])))
                .unwrap()
                .len(),
            2
        );
        assert!(listed_in(&lists(json!("machine"))).is_err());
        assert!(listed_in(&json!({})).unwrap().is_empty());
    }
}
