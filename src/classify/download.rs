//! What the configuration says of downloads, as the downloader takes it.

use crate::config::{Download, Wrong};
use crate::intake::download::listing::Choice;
use crate::intake::download::{HostPattern, Hosts, Settings};

/// Whom downloads may ask, and their limits. The error names the key.
pub fn settings(config: &Download) -> Result<Settings, Wrong> {
    let public = patterns("hosts", &config.hosts)?;
    let private = patterns("private-hosts", &config.private_hosts)?;
    let ca = config.ca_file.as_ref().map(|file| {
        std::fs::read_to_string(file).map_err(|error| {
            let message = format!("{}: {error}", file.display());
            Wrong::new("download.ca-file", message)
        })
    });
    Ok(Settings {
        ca: ca.transpose()?,
        parallel: config.parallel,
        per_host: config.per_host,
        waiting: config.waiting,
        connect: config.connect_timeout.0,
        idle: config.idle_timeout.0,
        whole: config.file_timeout.0,
        max_bytes: config.max_file.0,
        tries: config.tries,
        retry: config.retry.0,
        max_wait: config.max_wait.0,
        redirects: config.redirects,
        ..Settings::new(Hosts::listed(public, private))
    })
}

/// Which files of a build are downloaded.
pub fn choice(config: &Download) -> Result<Choice, Wrong> {
    Choice::new(&config.files, config.max_files, config.max_build.0)
        .map_err(|message| Wrong::new("download.files", message))
}

/// What is wrong with hosts and globs.
pub fn wrong(config: &Download) -> impl Iterator<Item = Wrong> {
    let (settings, choice) = (settings(config).err(), choice(config).err());
    settings.into_iter().chain(choice)
}

fn patterns(key: &str, texts: &[String]) -> Result<Vec<HostPattern>, Wrong> {
    let read = |(n, text): (usize, &String)| {
        let pattern = text.parse::<HostPattern>();
        pattern.map_err(|message| Wrong::new(format!("download.{key}[{n}]"), message))
    };
    texts.iter().enumerate().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_told_with_its_key() {
        let config = Download {
            hosts: vec!["logs.example.org".into(), "http://x/".into()],
            files: vec!["a[".into()],
            ..Download::default()
        };
        let told: Vec<String> = wrong(&config).map(|w| w.path).collect();
        assert_eq!(told, ["download.hosts[1]", "download.files"]);
        assert_eq!(wrong(&Download::default()).count(), 0);
        let config = Download {
            ca_file: Some("/nowhere/ca.pem".into()),
            ..Download::default()
        };
        let told: Vec<String> = wrong(&config).map(|w| w.path).collect();
        assert_eq!(told, ["download.ca-file"]);
    }

    #[test]
    fn the_defaults_are_those_of_the_downloader() {
        let told = format!("{:?}", settings(&Download::default()).unwrap());
        let own = format!("{:?}", Settings::new(Hosts::listed(Vec::new(), Vec::new())));
        assert_eq!(told, own);
    }
}
