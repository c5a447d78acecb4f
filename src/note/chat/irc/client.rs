//! The task that keeps one connection to one server, and the handle to it.

use super::connect::{Connection, Connector, Reader, Writer};
use super::cut::clean;
use super::pace::back_off;
use super::register::{Failure, Registered, Registration};
use super::saying::Reply;
use super::session::Session;
use super::settings::{Settings, Unusable};
use super::status::{Incoming, SayError, Status};
use super::wire::Message;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

/// Lines to us that may wait to be heard.
const HEARD: usize = 64;
/// A connection that lived for so long was a good one: the next failure is the first again.
const GOOD: Duration = Duration::from_secs(60);
/// How long a server that ends the connection may take to say why.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Longest error that is kept.
const KEPT_ERROR: usize = 300;

/// One client of one server.
#[derive(Debug)]
pub struct IrcClient;

/// To speak, to hear and to see how the client is; clones share one client.
#[derive(Debug, Clone)]
pub struct IrcHandle {
    settings: Arc<Settings>,
    texts: mpsc::Sender<Saying>,
    heard: Arc<Mutex<mpsc::Receiver<Incoming>>>,
    status: watch::Receiver<Status>,
}

/// A text on its way to the task.
struct Saying {
    channel: String,
    /// The channel is a person.
    private: bool,
    texts: Vec<String>,
    reply: Reply,
}

/// The task's side.
struct Task {
    settings: Arc<Settings>,
    connector: Connector,
    texts: mpsc::Receiver<Saying>,
    heard: mpsc::Sender<Incoming>,
    status: watch::Sender<Status>,
    /// The account was proven before, so a server without SASL now lacks it for a while only.
    proven: bool,
    /// Since when the present connection, or the one before, could be used.
    registered: Option<Instant>,
}

impl IrcClient {
    /// Starts a client in the background; it lives until `stop` is cancelled, or until the server
    /// refuses what only a person can mend (account, password, nick): see [`Status::stopped`].
    pub fn start(settings: Settings, stop: CancellationToken) -> Result<IrcHandle, Unusable> {
        settings.check()?;
        let connector = Connector::new(&settings)?;
        let settings = Arc::new(settings);
        let (texts_in, texts) = mpsc::channel(settings.queue.max(1));
        let (heard, heard_out) = mpsc::channel(HEARD);
        let (status, status_out) = watch::channel(Status::default());
        let task = Task {
            settings: Arc::clone(&settings),
            connector,
            texts,
            heard,
            status,
            proven: false,
            registered: None,
        };
        tokio::spawn(task.run(stop));
        Ok(IrcHandle {
            settings,
            texts: texts_in,
            heard: Arc::new(Mutex::new(heard_out)),
            status: status_out,
        })
    }
}

impl IrcHandle {
    /// Says one text, as one or more lines, and waits until the server has provably taken all of it.
    /// Line ends in the text become spaces: what comes from outside cannot look like more than one note.
    pub async fn say(&self, channel: &str, text: &str) -> Result<(), SayError> {
        self.say_lines(channel, vec![text.to_owned()]).await
    }

    /// The same for texts that begin a new line each.
    pub async fn say_lines(&self, channel: &str, texts: Vec<String>) -> Result<(), SayError> {
        self.hand_over(channel, false, texts).await
    }

    /// The same to one person alone.
    pub async fn say_to(&self, nick: &str, texts: Vec<String>) -> Result<(), SayError> {
        self.hand_over(nick, true, texts).await
    }

    async fn hand_over(
        &self,
        channel: &str,
        private: bool,
        texts: Vec<String>,
    ) -> Result<(), SayError> {
        let (reply, answer) = oneshot::channel();
        let saying = Saying {
            channel: channel.to_owned(),
            private,
            texts,
            reply,
        };
        match self.texts.try_send(saying) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => return Err(SayError::Busy),
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(self.stopped()),
        }
        answer.await.unwrap_or_else(|_| Err(self.stopped()))
    }

    fn stopped(&self) -> SayError {
        let why = self.status.borrow().stopped.clone();
        SayError::Stopped(why.unwrap_or_else(|| "the service stops".to_owned()))
    }

    /// The next line that somebody addressed to us; `None` when the client has stopped.
    pub async fn hear(&self) -> Option<Incoming> {
        self.heard.lock().await.recv().await
    }

    /// The server's name alone.
    pub fn host(&self) -> &str {
        &self.settings.host
    }

    /// How the client is now.
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// Waits until the status is as wished; `None` when the client has stopped before that.
    pub async fn until(&self, mut wished: impl FnMut(&Status) -> bool) -> Option<Status> {
        let mut status = self.status.clone();
        let found = status.wait_for(|status| wished(status)).await;
        found.ok().map(|status| status.clone())
    }

    /// The server, for people: `irc.example.org:6697`.
    pub fn server(&self) -> String {
        format!("{}:{}", self.settings.host, self.settings.port)
    }
}

impl Task {
    async fn run(mut self, stop: CancellationToken) {
        let mut failures = 0;
        loop {
            self.status.send_modify(|status| status.tries += 1);
            self.registered = None;
            let failure = match self.connection(&stop).await {
                Ok(()) => break,
                Err(failure) => failure,
            };
            self.failed(&failure);
            if self.stops(&failure) {
                let why = self.readable(&failure);
                tracing::error!(server = self.settings.host, error = why, "irc client stops");
                self.status.send_modify(|status| status.stopped = Some(why));
                return;
            }
            if self.registered.is_some_and(|since| since.elapsed() > GOOD) {
                failures = 0;
            }
            let wait = back_off(failures, self.settings.first_delay, self.settings.max_delay);
            failures += 1;
            tracing::info!(
                server = self.settings.host,
                ?wait,
                "irc client connects again"
            );
            let pause = sleep_until(Instant::now() + wait);
            tokio::select! {
                () = stop.cancelled() => break,
                () = pause => {}
                () = refuse(&mut self.texts, &self.status) => {}
            }
        }
        self.status.send_modify(|status| {
            status.connected = false;
            status.stopped = Some("the service stops".into());
        });
    }

    fn stops(&self, failure: &Failure) -> bool {
        match failure {
            Failure::Sasl(_) | Failure::Password(_) | Failure::Nick(_) => true,
            Failure::NoSasl(_) => !self.proven,
            Failure::Lost(_) => false,
        }
    }

    fn readable(&self, failure: &Failure) -> String {
        let text = self.settings.redact(&failure.to_string());
        text.chars().take(KEPT_ERROR).collect()
    }

    fn failed(&self, failure: &Failure) {
        let why = self.readable(failure);
        tracing::warn!(
            server = self.settings.host,
            error = why,
            "irc connection ended"
        );
        self.status.send_modify(|status| {
            status.connected = false;
            (status.nick, status.account) = (None, None);
            status
                .channels
                .values_mut()
                .for_each(|channel| channel.joined = false);
            status.last_error = Some(why);
        });
    }

    /// One connection from its begin to its end; `Ok` when we were told to stop.
    async fn connection(&mut self, stop: &CancellationToken) -> Result<(), Failure> {
        let made = tokio::select! {
            made = open(&self.settings, &self.connector) => made,
            () = stop.cancelled() => return Ok(()),
            () = refuse(&mut self.texts, &self.status) => return Ok(()),
        };
        let (connection, registered) = made?;
        self.proven = self.settings.sasl.is_some();
        self.registered = Some(Instant::now());
        let Connection {
            mut reader,
            mut writer,
        } = connection;
        let mut session = Session::new(Arc::clone(&self.settings), registered, Instant::now());
        tracing::info!(server = self.settings.host, "irc client is registered");
        let ended = self
            .converse(&mut session, &mut reader, &mut writer, stop)
            .await;
        let why = match &ended {
            Ok(()) => "the service stops".to_owned(),
            Err(failure) => self.readable(failure),
        };
        session.end(&why);
        writer
            .close(
                ended
                    .is_ok()
                    .then(|| Message::new("QUIT", &["whorl stops"])),
            )
            .await;
        ended
    }

    /// Speaks and listens until the connection ends.
    async fn converse(
        &mut self,
        session: &mut Session,
        reader: &mut Reader,
        writer: &mut Writer,
        stop: &CancellationToken,
    ) -> Result<(), Failure> {
        loop {
            session.tick(Instant::now())?;
            if let Err(error) = writer.send(&session.take_out()).await {
                return Err(last_words(reader, &error).await);
            }
            self.show(session);
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                line = reader.next() => session.on(&line.map_err(|e| lost(&e))?, Instant::now())?,
                () = sleep_until(session.next()) => {}
                saying = self.texts.recv(), if session.wants_more() => match saying {
                    Some(one) if one.private => session.say_to(&one.channel, &one.texts, one.reply),
                    Some(saying) => session.say(&saying.channel, &saying.texts, saying.reply),
                    // Nobody has a handle any more.
                    None => return Ok(()),
                },
            }
            for incoming in session.take_incoming() {
                if self.heard.try_send(incoming).is_err() {
                    self.status.send_modify(|status| status.dropped += 1);
                }
            }
        }
    }

    fn show(&self, session: &Session) {
        self.status.send_if_modified(|status| {
            let before = status.clone();
            session.show(status);
            *status != before
        });
    }
}

/// Connects and registers, each within the time that is given for it.
async fn open(
    settings: &Arc<Settings>,
    connector: &Connector,
) -> Result<(Connection, Registered), Failure> {
    let late = |what: &str| Failure::Lost(format!("{what} took too long"));
    let mut connection = timeout(settings.timeout, connector.connect(settings))
        .await
        .map_err(|_| late("connecting"))?
        .map_err(|e| lost(&e))?;
    let registered = timeout(settings.timeout, register(settings, &mut connection)).await;
    match registered.unwrap_or_else(|_| Err(late("registering"))) {
        Ok(registered) => Ok((connection, registered)),
        Err(failure) => {
            // Never CAP END: the server has not let us in and need not.
            connection
                .writer
                .close(Some(Message::new("QUIT", &[])))
                .await;
            Err(failure)
        }
    }
}

async fn register(
    settings: &Arc<Settings>,
    connection: &mut Connection,
) -> Result<Registered, Failure> {
    let (mut registration, first) = Registration::begin(Arc::clone(settings));
    connection.writer.send(&first).await.map_err(|e| lost(&e))?;
    loop {
        let line = connection.reader.next().await.map_err(|e| lost(&e))?;
        let progress = registration.on(&line)?;
        connection
            .writer
            .send(&progress.send)
            .await
            .map_err(|e| lost(&e))?;
        if let Some(registered) = progress.done {
            return Ok(registered);
        }
    }
}

/// While there is no connection, who wants to speak is told so at once. Ends when nobody can any more.
async fn refuse(texts: &mut mpsc::Receiver<Saying>, status: &watch::Sender<Status>) {
    while let Some(saying) = texts.recv().await {
        let why = status.borrow().last_error.clone();
        let why = why.unwrap_or_else(|| "not registered yet".to_owned());
        // Who asked may be gone.
        let _ = saying.reply.send(Err(SayError::NotConnected(why)));
    }
}

/// Why the server ended the connection, when we noticed by a line that did not get through.
async fn last_words(reader: &mut Reader, error: &std::io::Error) -> Failure {
    let said = async {
        while let Ok(line) = reader.next().await {
            if line.command == "ERROR" {
                return Some(Failure::Lost(clean(line.last())));
            }
        }
        None
    };
    let said = timeout(LAST_WORDS, said).await;
    said.ok().flatten().unwrap_or_else(|| lost(error))
}

fn lost(error: &std::io::Error) -> Failure {
    Failure::Lost(clean(&error.to_string()))
}
