//! The way to the server.

use super::{PASSWORD_ENV, PASSWORD_FILE, URL};
use crate::chaos::fault::{FaultError, Parameters};
use serde_json::{Value, json};
use std::fs;
use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_postgres::config::Host;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

/// How long one question may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where the server is, and where the password is.
#[derive(Debug, Clone)]
pub(super) struct Login {
    url: String,
    env: Option<String>,
    file: Option<PathBuf>,
}

/// A connection, and the task that drives it.
pub(super) struct Link {
    pub(super) client: Client,
    pub(super) task: JoinHandle<()>,
}

impl Login {
    pub(super) fn read(parameters: &Parameters<'_>) -> Result<Self, FaultError> {
        let wrong = |message: &str| parameters.missing(URL.0, message);
        let url = parameters.text(URL.0)?.ok_or_else(|| wrong("is missing"))?;
        let config: Config = url.parse().map_err(|_| {
            // What it is may hold a password, so it is not repeated.
            wrong("must be postgres://user@host:port/database")
        })?;
        if config.get_password().is_some() {
            return Err(wrong(
                "must not have a password, which would be written down; name it by `password-env` or `password-file`",
            ));
        }
        if config.get_hosts().is_empty() || config.get_user().is_none() {
            return Err(wrong("must have a user and a host"));
        }
        let file = parameters.has(PASSWORD_FILE.0);
        Ok(Self {
            url: url.to_owned(),
            env: parameters.text(PASSWORD_ENV.0)?.map(str::to_owned),
            file: file.then(|| parameters.path(PASSWORD_FILE.0)).transpose()?,
        })
    }

    pub(super) fn from_json(plan: &Value) -> Self {
        let text = |key: &str| plan[key].as_str().map(str::to_owned);
        Self {
            url: text(URL.0).unwrap_or_default(),
            env: text(PASSWORD_ENV.0),
            file: text(PASSWORD_FILE.0).map(PathBuf::from),
        }
    }

    /// What is written down: where the password is, never what it is.
    pub(super) fn to_json(&self) -> Value {
        json!({"url": self.url, "password-env": self.env, "password-file": self.file})
    }

    /// The host that it is on.
    pub(super) fn host(&self) -> String {
        let config: Config = self.url.parse().unwrap_or_default();
        match config.get_hosts().first() {
            Some(Host::Tcp(name)) => name.clone(),
            Some(Host::Unix(path)) => path.display().to_string(),
            None => String::new(),
        }
    }

    /// The address for people.
    pub(super) fn place(&self) -> String {
        let config: Config = self.url.parse().unwrap_or_default();
        let host = self.host();
        let port = config.get_ports().first().copied().unwrap_or(5432);
        format!("postgres://{host}:{port}/{}", database(&config))
    }

    /// The name of the database.
    pub(super) fn database(&self) -> String {
        database(&self.url.parse().unwrap_or_default())
    }

    fn config(&self, name: &str) -> Result<Config, FaultError> {
        let wrong = |error: tokio_postgres::Error| FaultError::Target(error.to_string());
        let mut config: Config = self.url.parse().map_err(wrong)?;
        config.application_name(name).connect_timeout(PATIENCE);
        // Who takes a fault back must not be cancelled by it.
        let given = config.get_options().unwrap_or_default();
        let options = format!("{given} -c statement_timeout=0");
        config.options(options.trim_start());
        if let Some(variable) = &self.env {
            let password = std::env::var(variable).map_err(|_| {
                FaultError::Target(format!(
                    "the password is to be in ${variable}, which is not set"
                ))
            })?;
            config.password(password);
        }
        if let Some(file) = &self.file {
            let password = fs::read_to_string(file).map_err(FaultError::io(file))?;
            config.password(password.trim_end_matches(['\n', '\r']));
        }
        Ok(config)
    }

    /// A connection of this name.
    pub(super) async fn connect(&self, name: &str) -> Result<Link, Refusal> {
        let config = self.config(name).map_err(Refusal::Other)?;
        let connected = config.connect(NoTls).await;
        let (client, connection) = connected.map_err(|error| Refusal::of(&error, self))?;
        let task = tokio::spawn(async move {
            // How it ended is seen by who asks.
            let _ = connection.await;
        });
        Ok(Link { client, task })
    }

    /// The server says that there is no such database.
    pub(super) fn gone(&self) -> bool {
        let gone = async {
            let link = self.connect("whorl chaos").await;
            Ok(matches!(link, Err(Refusal::Gone)))
        };
        wait(gone).unwrap_or(false)
    }

    /// Asks one thing; each row's first column.
    pub(super) fn ask(&self, sql: &str) -> Result<Vec<String>, FaultError> {
        wait(async {
            let link = self.connect("whorl chaos").await?;
            link.ask(sql).await
        })
    }
}

fn database(config: &Config) -> String {
    let name = config.get_dbname().or(config.get_user());
    name.unwrap_or_default().to_owned()
}

/// Why there is no connection.
pub(super) enum Refusal {
    /// The server has as many as it may have.
    Full,
    /// There is no such database.
    Gone,
    /// Something else.
    Other(FaultError),
}

impl Refusal {
    fn of(error: &tokio_postgres::Error, login: &Login) -> Self {
        match error.code() {
            Some(&SqlState::TOO_MANY_CONNECTIONS) => Self::Full,
            Some(&SqlState::INVALID_CATALOG_NAME) => Self::Gone,
            _ => Self::Other(failed(error, &login.place())),
        }
    }
}

impl From<Refusal> for FaultError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Full => Self::Target("the server takes no more connections".into()),
            Refusal::Gone => Self::Target("there is no such database".into()),
            Refusal::Other(error) => error,
        }
    }
}

fn failed(error: &tokio_postgres::Error, place: &str) -> FaultError {
    let text = match error.as_db_error() {
        Some(error) => error.message().to_owned(),
        None => error.to_string(),
    };
    FaultError::Target(format!("{place}: {text}"))
}

impl Link {
    /// Asks one thing; each row's first column.
    pub(super) async fn ask(&self, sql: &str) -> Result<Vec<String>, FaultError> {
        let asked = tokio::time::timeout(PATIENCE, self.client.simple_query(sql)).await;
        let late = |_| FaultError::Target("the server does not answer".into());
        let messages = asked.map_err(late)?;
        let messages = messages.map_err(|error| failed(&error, "the server"))?;
        let rows = messages.into_iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or_default().to_owned()),
            _ => None,
        });
        Ok(rows.collect())
    }
}

/// Waits for what is done with the server.
pub(super) fn wait<T>(work: impl Future<Output = Result<T, FaultError>>) -> Result<T, FaultError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| FaultError::Target(error.to_string()))?;
    runtime.block_on(work)
}

/// A name in SQL.
pub(super) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text in SQL.
pub(super) fn text(text: &str) -> String {
    // Backslashes mean nothing in it unless an old setting says so.
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Result<Login, String> {
        let map = json!({"url": url});
        let map = map.as_object().unwrap();
        Login::read(&Parameters::new("database-lock", map)).map_err(|error| error.to_string())
    }

    #[test]
    fn an_address_with_a_password_is_refused_and_not_repeated() {
        for url in ["postgres://me:s3cret@h/d", "postgres://me:s3cret@h:x/d"] {
            let error = read(url).unwrap_err();
            assert!(!error.contains("s3cret"), "{error}");
        }
        let login = read("postgres://me@h:6000/d").unwrap();
        assert_eq!(login.place(), "postgres://h:6000/d");
        assert_eq!(
            read("postgres://me@h").unwrap().place(),
            "postgres://h:5432/me"
        );
        assert!(read("postgres:///d").is_err());
    }

    #[test]
    fn names_and_texts_cannot_end_early() {
        assert_eq!(identifier("a\"b"), "\"a\"\"b\"");
        assert_eq!(text("a'; DROP"), "'a''; DROP'");
    }
}
