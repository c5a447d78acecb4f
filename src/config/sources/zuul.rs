//! Zuul as a source.

use crate::config::{Period, Secret, Wrong};
use serde::Deserialize;
use std::path::PathBuf;
use url::Url;

/// One Zuul: how it is asked, and which of its builds count.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ZuulSource {
    /// Its name here.
    #[serde(default = "zuul")]
    pub name: String,
    /// Address of its pages; without it only its messages are heard.
    pub url: Option<Url>,
    /// Tenants; none where the address is that of one tenant alone (white label).
    #[serde(default)]
    pub tenants: Vec<String>,
    /// Bearer token, where reading needs one.
    pub token: Option<Secret>,
    /// PEM file of the authorities to trust beside the public ones.
    pub ca_file: Option<PathBuf>,
    /// How often it is asked.
    #[serde(default = "every")]
    pub every: Period,
    /// How long a build may run, and how late it may appear, to be heard of for sure.
    #[serde(default = "look_back")]
    pub look_back: Period,
    /// How far back the first look goes.
    #[serde(default = "first")]
    pub first: Period,
    /// Builds of one answer.
    #[serde(default = "page")]
    pub page: usize,
    /// Answers of one look at most.
    #[serde(default = "max_pages")]
    pub max_pages: usize,
    /// How long one answer may take.
    #[serde(default = "timeout")]
    pub timeout: Period,
    /// Pipelines that count; none: all.
    #[serde(default)]
    pub pipelines: Vec<String>,
    /// Projects that count; none: all.
    #[serde(default)]
    pub projects: Vec<String>,
    /// Results that count; none: every failure that was not cancelled.
    #[serde(default)]
    pub results: Vec<String>,
    /// Builds that passed are recorded too, without their logs.
    #[serde(default)]
    pub passed: bool,
    /// Builds that Zuul itself ran again are looked at too.
    #[serde(default)]
    pub retried: bool,
    /// The broker to which its MQTT reporter speaks.
    pub mqtt: Option<ZuulMqtt>,
}

/// A broker of MQTT.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ZuulMqtt {
    /// Name or address of the broker.
    pub host: String,
    /// Port; 8883 with TLS and 1883 without when it is not given.
    pub port: Option<u16>,
    /// Encrypt; off, everything goes in the clear.
    #[serde(default = "yes")]
    pub tls: bool,
    /// PEM file of the authorities to trust beside the public ones.
    pub ca_file: Option<PathBuf>,
    /// The account.
    pub user: Option<String>,
    /// Its password.
    pub password: Option<Secret>,
    /// The name under which the broker keeps what we missed: never the same for two clients.
    pub client_id: Option<String>,
    /// Topics to listen to, as a filter.
    #[serde(default = "topic")]
    pub topic: String,
    /// How often the broker is asked whether it is there.
    #[serde(default = "keep_alive")]
    pub keep_alive: Period,
}

fn zuul() -> String {
    "zuul".to_owned()
}

fn every() -> Period {
    Period::seconds(60)
}

fn look_back() -> Period {
    Period::seconds(4 * 3600)
}

fn first() -> Period {
    Period::seconds(3600)
}

fn page() -> usize {
    200
}

fn max_pages() -> usize {
    100
}

fn timeout() -> Period {
    Period::seconds(60)
}

fn yes() -> bool {
    true
}

fn topic() -> String {
    "zuul/#".to_owned()
}

fn keep_alive() -> Period {
    Period::seconds(30)
}

impl ZuulSource {
    pub(super) fn secrets(&mut self) -> Vec<&mut Secret> {
        let password = self.mqtt.as_mut().and_then(|mqtt| mqtt.password.as_mut());
        self.token.iter_mut().chain(password).collect()
    }

    pub(super) fn check(&self, path: &str) -> Result<(), Wrong> {
        let wrong = |key: &str, why: &str| Err(Wrong::new(format!("{path}.{key}"), why));
        match &self.url {
            None if self.mqtt.is_none() => {
                return Err(Wrong::new(path, "give `url`, `mqtt` or both"));
            }
            Some(url) if !matches!(url.scheme(), "http" | "https") || !url.has_host() => {
                return wrong("url", "an address begins with http:// or https://");
            }
            _ => {}
        }
        let bad = |name: &String| name.is_empty() || name.contains(['/', '?', '#', '%']);
        if let Some(n) = self.tenants.iter().position(bad) {
            return wrong(&format!("tenants[{n}]"), "not the name of a tenant");
        }
        if self.every.0.as_secs() < 5 {
            return wrong("every", "at least 5s");
        }
        if !(1..=1000).contains(&self.page) {
            return wrong("page", "1 to 1000");
        }
        if self.max_pages == 0 {
            return wrong("max-pages", "give at least 1");
        }
        for (key, period) in [
            ("look-back", self.look_back),
            ("first", self.first),
            ("timeout", self.timeout),
        ] {
            if period.0.is_zero() {
                return wrong(key, "give more than nothing");
            }
        }
        if self.token.as_ref().is_some_and(|token| !sendable(token)) {
            return wrong("token", "must be one word of visible ASCII");
        }
        let mqtt = self.mqtt.as_ref();
        mqtt.map_or(Ok(()), |mqtt| mqtt.check(&format!("{path}.mqtt")))
    }
}

fn sendable(token: &Secret) -> bool {
    let token = token.expose();
    !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic())
}

impl ZuulMqtt {
    /// The port, given or usual.
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(if self.tls { 8883 } else { 1883 })
    }

    fn check(&self, path: &str) -> Result<(), Wrong> {
        let wrong = |key: &str, why: &str| Err(Wrong::new(format!("{path}.{key}"), why));
        if self.host.is_empty() || self.host.contains(['/', ' ']) {
            return wrong("host", "give the broker's name, without a scheme");
        }
        if self.topic.is_empty() {
            return wrong("topic", "must not be empty");
        }
        // `#` stands for all levels below, so nothing may follow it.
        let levels: Vec<&str> = self.topic.split('/').collect();
        let mut above = levels.iter().rev().skip(1);
        let odd = |level: &&str| level.len() > 1 && level.contains(['#', '+']);
        if above.any(|level| level.contains('#')) || levels.iter().any(odd) {
            return wrong("topic", "`+` is one whole level, `#` the whole end");
        }
        if self.password.is_some() && self.user.is_none() {
            return wrong("password", "`password` needs `user`");
        }
        if !self.tls && self.ca_file.is_some() {
            return wrong("ca-file", "is for TLS, which is off");
        }
        if self.client_id.as_ref().is_some_and(String::is_empty) {
            return wrong("client-id", "must not be empty");
        }
        if !(1..=3600).contains(&self.keep_alive.0.as_secs()) {
            return wrong("keep-alive", "1s to 1h");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    fn parse(one: &str) -> Result<Config, String> {
        let text = format!("sources:\n  zuul:\n    - {{{one}}}\n");
        let lookup = |name: &str| (name == "TOKEN").then(|| "hush-hush".to_owned());
        Config::parse("w.yaml", &text, &lookup).map_err(|error| error.to_string())
    }

    #[test]
    fn little_has_to_be_said_and_secrets_are_not_shown() {
        let config = parse("url: 'https://zuul.example.org', token: '${TOKEN}'").unwrap();
        let zuul = &config.sources.zuul[0];
        assert_eq!((zuul.name.as_str(), zuul.page), ("zuul", 200));
        assert_eq!(zuul.token.as_ref().unwrap().expose(), "hush-hush");
        let config = parse("mqtt: {host: m.example.org, user: u, password: '${TOKEN}'}").unwrap();
        let mqtt = config.sources.zuul[0].mqtt.as_ref().unwrap();
        assert_eq!((mqtt.port(), mqtt.topic.as_str()), (8883, "zuul/#"));
        assert_eq!(mqtt.password.as_ref().unwrap().expose(), "hush-hush");
        assert!(!format!("{config:?}").contains("hush"));
    }

    #[test]
    fn what_cannot_work_is_refused_with_its_place() {
        let url = "url: 'https://z'";
        for (one, wanted) in [
            ("name: z", "sources.zuul[0]: give `url`"),
            ("url: 'ftp://z'", "sources.zuul[0].url: "),
            (&format!("{url}, tenants: [a, b/c]"), "tenants[1]: "),
            (&format!("{url}, every: 1s"), "every: at least 5s"),
            (&format!("{url}, page: 0"), "page: "),
            (&format!("{url}, max-pages: 0"), "max-pages: "),
            (&format!("{url}, look-back: 0s"), "look-back: "),
            (&format!("{url}, token: 'a b'"), "token: "),
            (&format!("{url}, name: '${{TOKEN}}'"), "only secrets"),
            (&format!("{url}, name: ' '"), "name: use 1 to 40"),
            ("mqtt: {host: 'mqtt://m'}", "mqtt.host: "),
            ("mqtt: {host: m, topic: 'a/#/b'}", "mqtt.topic: "),
            ("mqtt: {host: m, topic: 'a/b+'}", "mqtt.topic: "),
            ("mqtt: {host: m, password: p}", "mqtt.password: "),
            ("mqtt: {host: m, tls: false, ca-file: f}", "mqtt.ca-file: "),
            ("mqtt: {host: m, keep-alive: 0s}", "mqtt.keep-alive: "),
            (&format!("{url}, colour: red"), "unknown key `colour`"),
        ] {
            let error = parse(one).unwrap_err();
            assert!(error.contains(wanted), "{one}: {error}");
        }
        let twice = "sources: {zuul: [{url: 'https://a'}, {url: 'https://b'}]}";
        let error = Config::parse("w.yaml", twice, &|_| None).unwrap_err();
        assert!(error.to_string().contains("another source has this name"));
    }
}
