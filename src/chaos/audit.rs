//! Who did what to whom: a line for each run, fault and taking back, chained by hashes.
//!
//! In: events. Out: `audit.jsonl` in the state folder. Invariants: lines are only ever added, under a
//! lock; each holds the hash of the one before, so that none can be changed or left out unseen. A line
//! that a power loss has torn stays, and the next one vouches for it.

use jiff::Timestamp;
use nix::unistd::{Uid, User};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

const FILE: &str = "audit.jsonl";
/// No line is longer.
const LONGEST: u64 = 1 << 20;
/// What the first line names as the one before.
const NOTHING: &str = "";

/// Writes the lines of one run.
#[derive(Debug, Clone)]
pub struct Audit {
    path: PathBuf,
    run: String,
    who: Value,
}

/// What a check of the lines came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked {
    /// The lines that could be read.
    pub records: Vec<Value>,
    /// The hash of the last one.
    pub head: String,
    /// Where the chain is broken: the line's number and why.
    pub broken: Option<(usize, String)>,
}

impl Audit {
    /// Lines of a run, in a state folder.
    pub fn new(state: &Path) -> Self {
        let now = Timestamp::now().as_millisecond();
        Self {
            path: state.join(FILE),
            run: format!("{now}-{}", std::process::id()),
            who: who(),
        }
    }

    /// Adds a line; with `durable` it is on the disk on return.
    pub fn note(&self, event: &str, fields: &Value, durable: bool) -> io::Result<()> {
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut options = OpenOptions::new();
        let mut file = options
            .create(true)
            .append(true)
            .read(true)
            .mode(0o600)
            .open(&self.path)?;
        file.lock()?;
        let tail = Tail::of(&mut file)?;
        let mut record = Map::new();
        record.insert("n".into(), json!(tail.next));
        record.insert("at".into(), json!(Timestamp::now().to_string()));
        record.insert("run".into(), json!(self.run));
        record.insert("event".into(), json!(event));
        record.insert("who".into(), self.who.clone());
        record.extend(fields.as_object().cloned().unwrap_or_default());
        if let Some(torn) = &tail.torn {
            record.insert("torn".into(), json!(hash(torn)));
        }
        record.insert("before".into(), json!(tail.hash));
        let text = Value::Object(record.clone()).to_string();
        record.insert("hash".into(), json!(hash(text.as_bytes())));
        let end = if tail.open { "\n" } else { "" };
        file.write_all(format!("{end}{}\n", Value::Object(record)).as_bytes())?;
        if durable {
            file.sync_all()?;
            if let Some(folder) = self.path.parent() {
                File::open(folder)?.sync_all()?;
            }
        }
        Ok(())
    }
}

/// What the file ends with.
struct Tail {
    hash: String,
    next: u64,
    /// The last line has no end.
    open: bool,
    torn: Option<Vec<u8>>,
}

impl Tail {
    fn of(file: &mut File) -> io::Result<Self> {
        let length = file.seek(SeekFrom::End(0))?;
        file.seek(SeekFrom::Start(length.saturating_sub(2 * LONGEST)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let end = bytes
            .iter()
            .rposition(|b| *b == b'\n')
            .map_or(0, |at| at + 1);
        let open = end < bytes.len();
        // Only its end may be missing.
        let torn = serde_json::from_slice::<Value>(&bytes[end..]).is_err();
        let torn = (open && torn).then(|| bytes[end..].to_vec());
        let mut lines = bytes.split(|b| *b == b'\n').rev();
        let last = lines.find_map(|line| serde_json::from_slice::<Value>(line).ok());
        let hash = last
            .as_ref()
            .and_then(|last| last["hash"].as_str())
            .unwrap_or(NOTHING);
        let next = last
            .as_ref()
            .and_then(|last| last["n"].as_u64())
            .map_or(1, |n| n + 1);
        Ok(Self {
            hash: hash.to_owned(),
            next,
            open,
            torn,
        })
    }
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

/// The hash that tells one experiment from others.
pub fn fingerprint(bytes: &[u8]) -> String {
    hash(bytes)
}

/// Who we are, and from where.
fn who() -> Value {
    let user = nix::unistd::getuid();
    let name = name_of(user);
    let terminal = io::stdin()
        .is_terminal()
        .then(|| fs::read_link("/proc/self/fd/0").ok())
        .flatten();
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let login = fs::read_to_string("/proc/self/loginuid")
        .ok()
        .and_then(|text| text.trim().parse::<u32>().ok());
    json!({
        "uid": user.as_raw(),
        "user": name,
        // Who logged in, when root is only who they became.
        "login-uid": login.filter(|uid| *uid != u32::MAX),
        "sudo-user": std::env::var("SUDO_USER").ok(),
        "tty": terminal,
        "host": host.trim(),
        "pid": std::process::id(),
    })
}

/// The name of a user; other services than the file are asked only when it does not know.
fn name_of(user: Uid) -> Option<String> {
    let text = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let number = user.to_string();
    let line = text
        .lines()
        .find(|line| line.split(':').nth(2) == Some(&number));
    let name = line
        .and_then(|line| line.split(':').next())
        .map(str::to_owned);
    name.or_else(|| User::from_uid(user).ok().flatten().map(|user| user.name))
}

/// Reads all lines and checks the chain.
pub fn check(state: &Path) -> io::Result<Checked> {
    let bytes = match fs::read(state.join(FILE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        bytes => bytes?,
    };
    let mut checked = Checked {
        records: Vec::new(),
        head: NOTHING.into(),
        broken: None,
    };
    let mut torn: Option<(usize, String)> = None;
    for (at, line) in bytes.split_inclusive(|b| *b == b'\n').enumerate() {
        let (number, whole) = (at + 1, line.ends_with(b"\n"));
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let record = serde_json::from_slice::<Value>(text)
            .ok()
            .filter(|r| whole && r.is_object());
        let Some(record) = record else {
            if torn.is_some() {
                checked
                    .broken
                    .get_or_insert((number, "two lines that cannot be read".into()));
            }
            torn = Some((number, hash(text)));
            continue;
        };
        if let Some(why) = fault_of(&record, &checked, torn.take()) {
            checked.broken.get_or_insert((number, why));
        }
        record["hash"]
            .as_str()
            .unwrap_or_default()
            .clone_into(&mut checked.head);
        checked.records.push(record);
    }
    if let Some((number, _)) = torn {
        checked.broken.get_or_insert((
            number,
            "the line is torn, and none after it vouches for it".into(),
        ));
    }
    Ok(checked)
}

/// What is wrong with a line, after those before it.
fn fault_of(record: &Value, before: &Checked, torn: Option<(usize, String)>) -> Option<String> {
    let mut bare = record.as_object()?.clone();
    let claimed = bare.shift_remove("hash");
    let real = hash(Value::Object(bare).to_string().as_bytes());
    if claimed.as_ref().and_then(Value::as_str) != Some(&real) {
        return Some("the line was changed".into());
    }
    if record["before"] != before.head.as_str() || record["n"] != before.records.len() + 1 {
        return Some("the line before is not the one that was there".into());
    }
    let torn = torn.map(|(_, hash)| hash);
    (record["torn"].as_str() != torn.as_deref())
        .then(|| "a line before was torn or taken out".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(lines: usize) -> (tempfile::TempDir, Audit) {
        let folder = tempfile::tempdir().unwrap();
        let audit = Audit::new(folder.path());
        for n in 0..lines {
            audit
                .note("run", &json!({"title": format!("run {n}")}), n == 0)
                .unwrap();
        }
        (folder, audit)
    }

    fn broken(folder: &Path) -> Option<usize> {
        check(folder).unwrap().broken.map(|(line, _)| line)
    }

    #[test]
    fn a_change_anywhere_is_seen() {
        let (folder, _) = written(4);
        let path = folder.path().join(FILE);
        assert_eq!(broken(folder.path()), None);
        let whole = fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = whole.lines().collect();
        let write = |lines: &[&str]| fs::write(&path, lines.join("\n") + "\n").unwrap();
        let changed = lines[1].replace("run 1", "run 7");
        for (text, at) in [
            (vec![lines[0], &changed, lines[2], lines[3]], 2),
            (vec![lines[0], lines[2], lines[3]], 2),
            (vec![lines[1], lines[2], lines[3]], 1),
            (vec![lines[0], lines[2], lines[1], lines[3]], 2),
            (vec![lines[0], lines[1], lines[1], lines[2], lines[3]], 3),
        ] {
            write(&text);
            assert_eq!(broken(folder.path()), Some(at), "{text:?}");
        }
        // What is cut off at the end is seen by who has noted the last hash.
        let head = check(folder.path()).unwrap().head;
        write(&lines[..3]);
        assert_eq!(broken(folder.path()), None);
        assert_ne!(check(folder.path()).unwrap().head, head);
    }

    #[test]
    fn a_torn_line_is_vouched_for_by_the_next() {
        let (folder, audit) = written(3);
        let path = folder.path().join(FILE);
        let whole = fs::read(&path).unwrap();
        let second = whole.iter().position(|b| *b == b'\n').unwrap() + 1;
        for cut in second + 1..whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            let torn = !whole[..cut].ends_with(b"\n");
            assert_eq!(broken(folder.path()).is_some(), torn, "cut at {cut}");
            audit.note("run", &json!({}), false).unwrap();
            assert_eq!(broken(folder.path()), None, "cut at {cut}");
            let text = String::from_utf8(fs::read(&path).unwrap()).unwrap();
            assert!(
                text.as_bytes().starts_with(&whole[..cut]),
                "nothing is taken out"
            );
        }
    }

    #[test]
    fn many_writers_make_one_chain() {
        let folder = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let audit = Audit::new(folder.path());
                    for _ in 0..25 {
                        audit.note("run", &json!({}), false).unwrap();
                    }
                });
            }
        });
        let checked = check(folder.path()).unwrap();
        assert_eq!((checked.records.len(), checked.broken), (100, None));
    }
}
