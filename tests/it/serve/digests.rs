//! Digests on the schedule where nobody takes mail.

use super::program::{Home, until};
use jiff::{SignedDuration, Timestamp};
use std::net::TcpListener;
use whorl::state::State;

/// A service with a digest that is due at its start, and what else the configuration says.
fn home(port: u16, more: &str) -> Home {
    let home = Home::new(&format!(
        "notes:
  {more}
  mail:
    {{host: 127.0.0.1, port: {port}, security: plain, from: a@b.example, to: [c@d.example],
     daily: '*/5 * * * *'}}
"
    ));
    let state = State::open(home.data().join("state.db")).unwrap();
    let wanted = Timestamp::now() - SignedDuration::from_hours(1);
    state.set_digests_until("daily", wanted).unwrap();
    home
}

#[test]
fn in_a_dry_run_a_digest_is_only_shown() {
    // Nobody may knock here.
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    nobody.set_nonblocking(true).unwrap();
    let home = home(nobody.local_addr().unwrap().port(), "dry-run: true");
    let program = home.start();
    let page = until("a digest", || {
        Some(program.get("/notes")).filter(|page| page.contains("shown only here"))
    });
    assert!(page.contains("<td>mail</td>"), "{page}");
    assert!(page.contains("No build failed."), "{page}");
    assert!(nobody.accept().is_err(), "somebody was told");
}

#[test]
fn a_digest_that_no_server_takes_waits_and_says_why() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = gone.local_addr().unwrap().port();
    drop(gone);
    let home = home(port, "base-url: 'https://whorl.example/'");
    let program = home.start();
    let page = until("an error", || {
        Some(program.get("/notes")).filter(|page| page.contains("refused"))
    });
    assert!(page.contains("<td>mail</td><td>due"), "{page}");
}

#[test]
fn a_schedule_that_is_none_is_refused_with_its_place() {
    let home = Home::new("");
    home.configure(
        "notes:\n  mail:\n    host: localhost\n    from: a@b.example\n    to: [c@d.example]\n    daily: 61 6 * * *\n    weekly: sometimes\n",
    );
    let out = home.fails();
    let said = String::from_utf8(out.stderr).unwrap();
    assert_eq!(out.status.code(), Some(1), "{said}");
    assert!(
        said.contains("whorl.yaml:9:12: notes.mail.daily: ") && said.contains("minute (0 to 59)"),
        "{said}"
    );
    assert!(
        said.contains("whorl.yaml:10:13: notes.mail.weekly: ") && said.contains("give five"),
        "{said}"
    );
}
