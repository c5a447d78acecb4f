//! Faults of a real `PostgreSQL`, seen by its other users. `tests/real/run postgresql -- chaos::database`.

use super::proxy::Holding;
use super::{Place, until};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::io::Write;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio_postgres::{Config, NoTls, SimpleQueryMessage};

/// The variable that names the server.
const VARIABLE: &str = "WHORL_POSTGRES";
/// Tells the databases of one run apart.
static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A database of a test's own, with a role of its own; both go with it.
struct Database {
    server: Config,
    own: Config,
    name: String,
}

/// A session.
struct Session {
    runtime: tokio::runtime::Runtime,
    client: tokio_postgres::Client,
}

impl Session {
    fn open(config: &Config) -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let connected = runtime.block_on(config.connect(NoTls));
        let (client, connection) = connected.map_err(|error| said(&error))?;
        runtime.spawn(connection);
        Ok(Self { runtime, client })
    }

    /// The first column, or the code of the error.
    fn ask(&self, sql: &str) -> Result<Vec<String>, String> {
        let messages = self.runtime.block_on(self.client.simple_query(sql));
        let messages = messages.map_err(|error| said(&error))?;
        let rows = messages.into_iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or_default().to_owned()),
            _ => None,
        });
        Ok(rows.collect())
    }
}

fn said(error: &tokio_postgres::Error) -> String {
    error
        .as_db_error()
        .map_or_else(|| error.to_string(), |error| error.message().to_owned())
}

impl Database {
    /// A database, or nothing, said aloud, when there is no server.
    fn new() -> Option<Self> {
        let Ok(url) = std::env::var(VARIABLE) else {
            let text = format!(
                "SKIPPED: no PostgreSQL. Set {VARIABLE}=postgres://user@host:port/database\n"
            );
            // Not `eprintln!`: that is only seen when a test fails.
            std::io::stderr().write_all(text.as_bytes()).unwrap();
            return None;
        };
        let server: Config = url.parse().unwrap();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("whorl_chaos_{}_{number}", std::process::id());
        let admin = Session::open(&server).unwrap();
        admin
            .ask(&format!("CREATE ROLE {name} LOGIN PASSWORD 's3cret'"))
            .unwrap();
        let create = format!("CREATE DATABASE {name} OWNER {name} CONNECTION LIMIT 6");
        admin.ask(&create).unwrap();
        let mut own = server.clone();
        own.user(&name).dbname(&name).password("s3cret");
        let database = Self { server, own, name };
        database
            .session()
            .ask("CREATE TABLE builds (id int); INSERT INTO builds VALUES (1)")
            .unwrap();
        Some(database)
    }

    fn session(&self) -> Session {
        Session::open(&self.own).unwrap()
    }

    /// The address as the role, without its password.
    fn url(&self) -> String {
        let port = self.own.get_ports()[0];
        format!("postgres://{0}@127.0.0.1:{port}/{0}", self.name)
    }

    /// A run that holds a fault. The password is in a file.
    fn hold(&self, fault: &str, mut arguments: Value) -> Holding {
        let place = Place::new();
        place.write("password", "s3cret\n");
        arguments["url"] = json!(self.url());
        arguments["password-file"] = json!("password");
        Holding::of(place, fault, 5, &arguments)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let Ok(admin) = Session::open(&self.server) else {
            return;
        };
        for sql in [
            format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name),
            format!("DROP ROLE IF EXISTS {}", self.name),
        ] {
            // A test that fails says why by itself.
            let _ = admin.ask(&sql);
        }
    }
}

const READ: &str = "SET lock_timeout = 200; SELECT id FROM builds";

fn nothing_says_the_password(place: &Place) {
    for run in place.runs() {
        let journal = std::fs::read_to_string(run.join("undo.jsonl")).unwrap();
        assert!(
            journal.contains("database-") && !journal.contains("s3cret"),
            "{journal}"
        );
    }
}

#[test]
fn a_table_is_locked_until_the_run_ends() {
    let Some(database) = Database::new() else {
        return;
    };
    let holding = database.hold("database-lock", json!({"table": "public.builds"}));
    nothing_says_the_password(&holding.place);
    let session = database.session();
    let error = session.ask(READ).unwrap_err();
    assert_eq!(error, "canceling statement due to lock timeout");
    let place = holding.end();
    assert_eq!(session.ask(READ).unwrap(), ["1"]);
    assert!(place.runs().is_empty());
    assert!(!place.read("journal.json").contains("s3cret"));
    let writes = database.hold(
        "database-lock",
        json!({"table": "builds", "mode": "exclusive"}),
    );
    assert_eq!(session.ask(READ).unwrap(), ["1"], "reading goes on");
    assert!(
        session
            .ask("SET lock_timeout = 200; DELETE FROM builds")
            .is_err()
    );
    drop(writes);
}

#[test]
fn a_killed_runner_leaves_no_lock() {
    let Some(database) = Database::new() else {
        return;
    };
    let mut holding = database.hold("database-lock", json!({"table": "builds"}));
    let session = database.session();
    assert!(session.ask(READ).is_err());
    holding.kill_runner();
    until("the lock is gone", || session.ask(READ).is_ok());
    until("the written down", || holding.place.runs().is_empty());
}

#[test]
fn the_server_takes_no_more_connections() {
    let Some(database) = Database::new() else {
        return;
    };
    let before = database.session();
    let holding = database.hold("database-connections", json!({}));
    let refused = || Session::open(&database.own).err();
    let wanted = format!("too many connections for database \"{}\"", database.name);
    assert_eq!(refused(), Some(wanted.clone()));
    // One that somebody gives back is taken, too.
    drop(before);
    let taken = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}'",
        database.name
    );
    let admin = Session::open(&database.server).unwrap();
    until("all of them", || admin.ask(&taken).unwrap() == ["6"]);
    // The one that was given back may still have been among them.
    until("nobody gets one", || refused() == Some(wanted.clone()));
    holding.end();
    assert_eq!(database.session().ask(READ).unwrap(), ["1"]);
    let mut some = database.hold("database-connections", json!({"leave": 1}));
    let one = database.session();
    assert!(refused().is_some());
    some.kill_runner();
    until("free connections", || refused().is_none());
    drop(one);
}

#[test]
fn statements_are_cancelled_and_the_earlier_setting_comes_back() {
    let Some(database) = Database::new() else {
        return;
    };
    let admin = Session::open(&database.server).unwrap();
    let show = || database.session().ask("SHOW statement_timeout").unwrap();
    for (earlier, command) in [
        ("0", String::new()),
        (
            "30s",
            format!(
                "ALTER DATABASE {} SET statement_timeout = '30s'",
                database.name
            ),
        ),
    ] {
        admin.ask(&command).unwrap();
        assert_eq!(show(), [earlier]);
        let session = database.session();
        let arguments = json!({"timeout": 150, "reconnect": "yes"});
        let holding = database.hold("database-timeout", arguments);
        nothing_says_the_password(&holding.place);
        assert!(session.ask("SELECT 1").is_err(), "it has to connect again");
        let error = database.session().ask("SELECT pg_sleep(5)").unwrap_err();
        assert_eq!(error, "canceling statement due to statement timeout");
        holding.end();
        assert_eq!(show(), [earlier]);
    }
    // Not even the shortest one hits who takes it back.
    let holding = database.hold("database-timeout", json!({"timeout": 1}));
    let error = database.session().ask("SELECT pg_sleep(5)").unwrap_err();
    assert_eq!(error, "canceling statement due to statement timeout");
    holding.end();
    assert_eq!(show(), ["30s"]);
    let mut holding = database.hold(
        "database-timeout",
        json!({"timeout": 150, "role": database.name}),
    );
    assert_eq!(show(), ["150ms"]);
    holding.kill_runner();
    until("the earlier setting", || show() == ["30s"]);
}

#[test]
fn sessions_are_ended() {
    let Some(database) = Database::new() else {
        return;
    };
    let mut other = database.own.clone();
    let other = Session::open(other.application_name("other")).unwrap();
    let session = database.session();
    let holding = database.hold("database-kill", json!({"application": "other"}));
    let error = other.ask("SELECT 1").unwrap_err();
    assert!(
        error.contains("terminating connection") || error.contains("closed"),
        "{error}"
    );
    assert_eq!(session.ask("SELECT 1").unwrap(), ["1"]);
    holding.end();
    let holding = database.hold("database-kill", json!({"every": 20}));
    for _ in 0..3 {
        // Those that come later are ended, too; some before they have come.
        let Ok(late) = Session::open(&database.own) else {
            continue;
        };
        let error = late.ask("SELECT pg_sleep(10)").unwrap_err();
        assert!(
            error.contains("terminating connection") || error.contains("closed"),
            "{error}"
        );
    }
    holding.send(Signal::SIGKILL);
    until("sessions live", || {
        Session::open(&database.own).is_ok_and(|late| late.ask("SELECT pg_sleep(0.2)").is_ok())
    });
}

#[test]
fn a_password_is_not_written_down() {
    let place = Place::new();
    let method = json!([{"type": "action", "name": "a", "provider": {"type": "fault",
        "fault": "database-lock", "arguments": {"url": "postgres://me:s3cret@h/d", "table": "t"}}}]);
    place.write(
        "e.json",
        serde_json::to_vec_pretty(&json!({"title": "t", "description": "d", "method": method}))
            .unwrap(),
    );
    let ran = place.chaos(&["validate", "e.json"]);
    assert!(
        ran.err.contains("`password-env`") && !ran.err.contains("s3cret"),
        "{}",
        ran.err
    );
}
