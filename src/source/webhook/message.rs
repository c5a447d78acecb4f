//! The message of the signed webhook, as `docs/sources/webhook.schema.json` describes it.

use crate::event::Build;
use crate::intake::clean_name;
use crate::source::Logs;
use serde::Deserialize;
use url::Url;

/// Builds in one message.
const BUILDS: usize = 500;
/// Log files that stand in a message for one build.
const FILES: usize = 20;
/// Bytes of the log files that stand in a message for one build.
const INLINE: usize = 1 << 20;

/// What a CI tells.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Message {
    pub(super) version: u64,
    #[serde(default)]
    pub(super) builds: Vec<Told>,
    #[serde(default)]
    pub(super) patchsets: Vec<Newer>,
}

/// A build that ended.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Told {
    pub(super) build: Build,
    #[serde(default)]
    pub(super) logs: Option<Where>,
}

/// A change has a new patchset.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Newer {
    pub(super) project: String,
    pub(super) change: String,
    pub(super) patchset: String,
}

/// Where logs are: exactly one of these.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Where {
    /// A folder in the web.
    Root(Folder),
    /// A file in the web.
    File(File),
    /// In the message itself.
    Inline(Vec<Inline>),
}

/// A folder in the web.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Folder {
    pub(super) url: Url,
}

/// A file in the web.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) url: Url,
    pub(super) name: String,
}

/// A small log.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Inline {
    pub(super) name: String,
    pub(super) text: String,
}

/// Reads a message and checks all of it: it is taken whole or not at all.
pub(super) fn read(body: &[u8]) -> Result<Message, String> {
    let message: Message = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    if message.version != 1 {
        return Err(format!("version {} is not known: use 1", message.version));
    }
    if message.builds.len() > BUILDS || message.patchsets.len() > BUILDS {
        return Err(format!("more than {BUILDS} builds or patchsets"));
    }
    for (n, told) in message.builds.iter().enumerate() {
        told.check().map_err(|why| format!("builds[{n}]: {why}"))?;
    }
    for (n, one) in message.patchsets.iter().enumerate() {
        let parts = [&one.project, &one.change, &one.patchset];
        if parts.iter().any(|part| part.is_empty()) {
            return Err(format!("patchsets[{n}]: an empty text"));
        }
    }
    Ok(message)
}

impl Told {
    fn check(&self) -> Result<(), String> {
        Build::check_uuid(&self.build.uuid).map_err(|error| error.to_string())?;
        if self.build.result.as_deref().is_none_or(str::is_empty) {
            return Err("build.result: what became of it is missing".to_owned());
        }
        match &self.logs {
            None => Ok(()),
            Some(Where::Root(folder)) => web(&folder.url),
            Some(Where::File(file)) => web(&file.url).and_then(|()| named(&file.name)),
            Some(Where::Inline(files)) => inline(files),
        }
    }
}

impl Where {
    /// What the desk is told of logs in the web.
    pub(super) fn in_web(&self) -> Option<Logs> {
        match self {
            Self::Root(folder) => Some(Logs::Root {
                url: folder.url.to_string(),
            }),
            Self::File(file) => Some(Logs::File {
                url: file.url.to_string(),
                name: clean_name(&file.name).ok()?,
                account: None,
            }),
            Self::Inline(_) => None,
        }
    }
}

fn web(url: &Url) -> Result<(), String> {
    let plain = url.username().is_empty() && url.password().is_none();
    if matches!(url.scheme(), "http" | "https") && url.has_host() && plain {
        return Ok(());
    }
    Err("logs: an address begins with http:// or https:// and has no password".to_owned())
}

fn named(name: &str) -> Result<(), String> {
    let clean = clean_name(name).map(|_| ());
    clean.map_err(|error| format!("logs: name {name:?}: {error}"))
}

fn inline(files: &[Inline]) -> Result<(), String> {
    if files.is_empty() || files.len() > FILES {
        return Err(format!("logs.inline: give 1 to {FILES} files"));
    }
    if files.iter().map(|file| file.text.len()).sum::<usize>() > INLINE {
        return Err("logs.inline: more than 1 MiB: give an address instead".to_owned());
    }
    let mut names = std::collections::BTreeSet::new();
    for file in files {
        named(&file.name)?;
        if !names.insert(clean_name(&file.name).unwrap_or_default()) {
            return Err(format!("logs.inline: {:?} is there twice", file.name));
        }
    }
    Ok(())
}
