//! `postgres://user:password@host:port/database?sslmode=verify-full&sslrootcert=ca.pem`

use super::{ServerError, chain};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

/// How much of the server's certificate is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// Nothing: the connection is only hidden from those who listen.
    Anybody,
    /// That an authority we trust has signed it.
    Signed,
    /// That it is the server's own, too.
    Named,
}

/// Where the database is, and how to get there.
#[derive(Clone)]
pub(super) struct Address {
    pub(super) config: Config,
    pub(super) trust: Trust,
    /// File of the authorities; without it those that browsers know.
    pub(super) authorities: Option<PathBuf>,
    /// The address without user and password.
    pub(super) place: String,
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The password does not go into logs.
        f.debug_tuple("Address").field(&self.place).finish()
    }
}

impl Address {
    /// Reads an address. What is not said here (passwords too) is not taken from anywhere else.
    pub(super) fn parse(url: &str) -> Result<Self, ServerError> {
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(wrong("must begin with postgres://"));
        }
        let (plain, mode, authorities) = apart(url);
        let mut config: Config = plain.parse().map_err(|e| wrong(&chain(&e)))?;
        if config.get_hosts().is_empty() {
            return Err(wrong("names no host"));
        }
        let signed = authorities.is_some();
        let (ssl, trust) = match mode.as_deref() {
            Some("disable") => (SslMode::Disable, Trust::Anybody),
            None | Some("prefer") => (SslMode::Prefer, Trust::Anybody),
            Some("require") if signed => (SslMode::Require, Trust::Signed),
            Some("require") => (SslMode::Require, Trust::Anybody),
            Some("verify-ca") => (SslMode::Require, Trust::Signed),
            Some("verify-full") => (SslMode::Require, Trust::Named),
            Some(_) => {
                return Err(wrong(
                    "sslmode is one of disable, prefer, require, verify-ca, verify-full",
                ));
            }
        };
        config.ssl_mode(ssl);
        config.connect_timeout(Duration::from_secs(5));
        config.tcp_user_timeout(Duration::from_secs(15));
        config.keepalives_idle(Duration::from_secs(10));
        if config.get_application_name().is_none() {
            config.application_name("whorl");
        }
        Ok(Self {
            place: place(&config),
            config,
            trust,
            authorities: authorities.map(PathBuf::from),
        })
    }
}

fn wrong(why: &str) -> ServerError {
    ServerError::Address(why.to_owned())
}

/// The address without what our TLS is told, and that.
fn apart(url: &str) -> (String, Option<String>, Option<String>) {
    let Some((base, query)) = url.split_once('?') else {
        return (url.to_owned(), None, None);
    };
    let (mut mode, mut authorities, mut rest) = (None, None, Vec::new());
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let value = || {
            let mut decoded = url::form_urlencoded::parse(pair.as_bytes());
            decoded.next().map(|(_, value)| value.into_owned())
        };
        match pair.split('=').next() {
            Some("sslmode") => mode = value(),
            Some("sslrootcert") => authorities = value(),
            _ => rest.push(pair),
        }
    }
    if rest.is_empty() {
        return (base.to_owned(), mode, authorities);
    }
    (format!("{base}?{}", rest.join("&")), mode, authorities)
}

fn place(config: &Config) -> String {
    let hosts = config.get_hosts().iter().enumerate().map(|(n, host)| {
        let ports = config.get_ports();
        let port = ports.get(n).or(ports.first()).copied().unwrap_or(5432);
        match host {
            Host::Tcp(name) => format!("{name}:{port}"),
            Host::Unix(path) => path.display().to_string(),
        }
    });
    let hosts: Vec<String> = hosts.collect();
    let name = config.get_dbname().or(config.get_user());
    format!(
        "postgres://{}/{}",
        hosts.join(","),
        name.unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_where_and_how_but_never_its_password() {
        let of = |url: &str| Address::parse(url).unwrap();
        let plain = of("postgres://me:s3cret@db.example.org/whorl");
        assert_eq!(plain.place, "postgres://db.example.org:5432/whorl");
        assert!(!format!("{plain:?}").contains("s3cret"));
        assert_eq!(plain.config.get_ssl_mode(), SslMode::Prefer);
        let full = of(
            "postgresql://me@db:6000/w?sslmode=verify-full&connect_timeout=3&sslrootcert=%2Fetc%2Fca.pem",
        );
        assert_eq!(
            (full.trust, &*full.place),
            (Trust::Named, "postgres://db:6000/w")
        );
        assert_eq!(full.authorities, Some("/etc/ca.pem".into()));
        assert_eq!(of("postgres://u@h/d?sslmode=require").trust, Trust::Anybody);
        let signed = of("postgres://u@h/d?sslmode=require&sslrootcert=a");
        assert_eq!(signed.trust, Trust::Signed);
    }

    #[test]
    fn an_address_that_cannot_be_is_refused_without_being_repeated() {
        for bad in [
            "mysql://me:s3cret@h/d",
            "postgres://me:s3cret@h:notaport/d",
            "postgres://me:s3cret@h/d?sslmode=maybe",
            "postgres:///d",
        ] {
            let error = Address::parse(bad).unwrap_err().to_string();
            assert!(
                error.starts_with("state.url: ") && !error.contains("s3cret"),
                "{error}"
            );
        }
    }
}
