//! A `PostgreSQL` that asks for a password: the right one, a wrong one, none.
//!
//! `WHORL_POSTGRES_KEEPER` is the server's `host:port`; `tests/real/start-postgresql.sh` makes the user.

use super::program::{Home, log_of};
use std::io::Write;

/// The password of the user `keeper`, and as it is written in an address.
const PASSWORD: (&str, &str) = ("p@ss:w/rd", "p%40ss%3Aw%2Frd");

fn server() -> Option<String> {
    let found = std::env::var("WHORL_POSTGRES_KEEPER").ok();
    if found.is_none() {
        // Not `eprintln!`: that is only seen when a test fails.
        let said = writeln!(
            std::io::stderr(),
            "SKIPPED: no PostgreSQL with a password (WHORL_POSTGRES_KEEPER=host:port)"
        );
        said.unwrap();
    }
    found
}

fn home(server: &str, who: &str, shared: &std::path::Path) -> Home {
    Home::new(&format!(
        "state: {{url: 'postgres://{who}@{server}/keeper', shared-dir: '{}'}}\n",
        shared.display()
    ))
}

#[test]
fn with_the_password_one_gets_in_by_scram() {
    let Some(server) = server() else { return };
    let shared = tempfile::tempdir().unwrap();
    let home = home(&server, &format!("keeper:{}", PASSWORD.1), shared.path());
    // The database is of this test; the logs that it knows are in a folder of an earlier run.
    clear(&server);
    let program = home.start();
    assert_eq!(program.feed("u", &log_of(3)), 202);
    program.verdict("u", "matched");
    assert!(!program.log().concat().contains(PASSWORD.0));
    assert_eq!(program.stop(), Some(0));
}

#[test]
fn a_wrong_password_is_told_and_never_shown() {
    let Some(server) = server() else { return };
    let shared = tempfile::tempdir().unwrap();
    for (who, told) in [
        ("keeper:hunter2", "password authentication failed"),
        ("stranger:hunter2", "password authentication failed"),
        ("keeper", "password missing"),
    ] {
        let failed = home(&server, who, shared.path()).fails();
        let said = String::from_utf8_lossy(&failed.stderr).into_owned();
        assert_eq!(failed.status.code(), Some(1), "{who}: {said}");
        assert!(said.contains(told), "{who}: {said}");
        assert!(
            said.contains("check user and password in `state.url`"),
            "{said}"
        );
        assert!(!said.contains("hunter2"), "{said}");
    }
}

/// Empties the database.
fn clear(server: &str) {
    let url = format!("postgres://keeper:{}@{server}/keeper", PASSWORD.1);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(async {
        let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls)
            .await
            .unwrap();
        tokio::spawn(connection);
        let sql = "DROP SCHEMA IF EXISTS public CASCADE; CREATE SCHEMA public";
        client.batch_execute(sql).await.unwrap();
    });
}
