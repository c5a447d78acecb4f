//! Where a state of a test is kept: a file, or a schema of its own on a server.

use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use whorl::state::State;

/// The variable that names the server.
const VARIABLE: &str = "WHORL_POSTGRES";
/// Tells the schemas of one run apart.
static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A place of a test's own; what is in it goes with it.
pub(crate) enum Place {
    File(tempfile::TempDir),
    Server { url: String, schema: String },
}

impl Place {
    /// A file.
    pub(crate) fn file() -> Self {
        Self::File(tempfile::tempdir().unwrap())
    }

    /// A schema on the server, or `None`, said aloud, when there is no server.
    pub(crate) fn server() -> Option<Self> {
        let Ok(url) = std::env::var(VARIABLE) else {
            // Not `eprintln!`: that is only seen when a test fails.
            let said = writeln!(
                std::io::stderr(),
                "SKIPPED: no PostgreSQL. Set {VARIABLE}=postgres://user@host:port/database"
            );
            said.unwrap();
            return None;
        };
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let schema = format!("whorl_test_{}_{number}", std::process::id());
        ask(&url, &format!("CREATE SCHEMA {schema}"));
        Some(Self::Server { url, schema })
    }

    /// Another place of the same kind.
    pub(crate) fn another(&self) -> Self {
        match self {
            Self::File(_) => Self::file(),
            Self::Server { .. } => Self::server().unwrap(),
        }
    }

    /// The state in it.
    pub(crate) fn open(&self) -> State {
        match self {
            Self::File(_) => State::open(self.path()).unwrap(),
            Self::Server { .. } => State::connect(&self.url()).unwrap(),
        }
    }

    /// The file.
    pub(crate) fn path(&self) -> PathBuf {
        let Self::File(folder) = self else {
            panic!("not a file");
        };
        folder.path().join("state.db")
    }

    /// The address with the schema.
    pub(crate) fn url(&self) -> String {
        let Self::Server { url, schema } = self else {
            panic!("not a server");
        };
        let sign = if url.contains('?') { '&' } else { '?' };
        format!("{url}{sign}options=-csearch_path%3D{schema}")
    }

    /// Runs SQL in it, beside the state, and gives the first column as text.
    pub(crate) fn ask(&self, sql: &str) -> Vec<String> {
        ask(&self.url(), sql)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Self::Server { url, schema } = self {
            ask(url, &format!("DROP SCHEMA {schema} CASCADE"));
        }
    }
}

fn ask(url: &str, sql: &str) -> Vec<String> {
    use tokio_postgres::SimpleQueryMessage;
    let (url, sql) = (url.to_owned(), sql.to_owned());
    // A thread of its own: a caller may be in a runtime.
    let asked = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(async {
            let tls = tokio_postgres::NoTls;
            let (client, connection) = tokio_postgres::connect(&url, tls).await.unwrap();
            tokio::spawn(connection);
            client.simple_query(&sql).await.unwrap()
        })
    });
    let messages = asked.join().unwrap();
    let rows = messages.into_iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or_default().to_owned()),
        _ => None,
    });
    rows.collect()
}
