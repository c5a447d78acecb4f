//! One note as a mail.

use super::wrap::wrapped;
use crate::note::chat::text::{clean, html, once, one_line};
use crate::state::Note;
use askama::Template;
use lettre::Message;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, MultiPartKind, SinglePart};
use std::time::SystemTime;

/// Longest subject, in characters.
const SUBJECT: usize = 120;
/// Longest text, in bytes.
const TEXT: usize = 1 << 20;
/// Columns of the plain text.
const COLUMNS: usize = 76;

/// A mail that is ready to go.
pub(super) struct Letter {
    /// Its `Message-ID`.
    pub(super) id: String,
    pub(super) mail: Message,
}

/// Why a note cannot be a mail.
#[derive(Debug, thiserror::Error)]
pub(super) enum LetterError {
    #[error(transparent)]
    Mail(#[from] lettre::error::Error),
    #[error(transparent)]
    Page(#[from] askama::Error),
    #[error("{0}")]
    Header(#[from] lettre::message::header::InvalidHeaderName),
}

#[derive(Template)]
#[template(path = "mail/note.html")]
struct Page<'a> {
    subject: &'a str,
    /// HTML that was made from the note's text, everything escaped.
    body: &'a str,
}

/// Writes the mail. A note may bring a `subject` and its own `html` in its data, as digests do.
pub(super) fn write(
    note: &Note,
    from: &Mailbox,
    to: &[Mailbox],
    list_id: Option<&str>,
) -> Result<Letter, LetterError> {
    let id = format!("<{}@{}>", once(note), from.email.domain());
    let subject = subject(note);
    let text = clean(&note.text);
    let text = text.get(..TEXT).unwrap_or(&text);
    let page = match note.json.get("html").and_then(|html| html.as_str()) {
        Some(html) => html.to_owned(),
        None => Page {
            subject: &subject,
            body: &html(text),
        }
        .render()?,
    };
    let mut mail = Message::builder()
        .from(from.clone())
        .date(SystemTime::from(note.created_at))
        .subject(&subject)
        .message_id(Some(id.clone()));
    for one in to {
        mail = mail.to(one.clone());
    }
    if let Some(first) = note.remote.as_deref().filter(|first| is_message_id(first)) {
        mail = mail
            .in_reply_to(first.to_owned())
            .references(first.to_owned());
    }
    // No holiday notices in return.
    mail = mail.raw_header(header("Auto-Submitted", "auto-generated")?);
    if let Some(list) = list_id {
        mail = mail.raw_header(header("List-Id", &format!("<{list}>"))?);
    }
    // Every try is the same mail to the byte.
    let body = MultiPart::builder()
        .kind(MultiPartKind::Alternative)
        .boundary(once(note))
        .singlepart(SinglePart::plain(wrapped(text, COLUMNS)))
        .singlepart(SinglePart::html(page));
    let mail = mail.multipart(body)?;
    Ok(Letter { id, mail })
}

fn header(name: &str, value: &str) -> Result<HeaderValue, LetterError> {
    let name = HeaderName::new_from_ascii(name.to_owned())?;
    Ok(HeaderValue::new(name, value.to_owned()))
}

fn subject(note: &Note) -> String {
    let own = note
        .json
        .get("subject")
        .and_then(|subject| subject.as_str());
    let text = own.or_else(|| note.text.trim().lines().next());
    let text = one_line(text.unwrap_or_default());
    let text = text.trim_end_matches(':');
    if text.chars().count() <= SUBJECT {
        return text.to_owned();
    }
    let cut: String = text.chars().take(SUBJECT - 1).collect();
    format!("{cut}…")
}

fn is_message_id(text: &str) -> bool {
    let inner = text.strip_prefix('<').and_then(|t| t.strip_suffix('>'));
    inner.is_some_and(|t| {
        t.contains('@')
            && t.chars()
                .all(|c| c.is_ascii_graphic() && c != '<' && c != '>')
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{Manner, NoteState};

    fn note(text: &str, json: serde_json::Value) -> Note {
        let at = "2026-11-20T08:00:00Z".parse().unwrap();
        Note {
            id: 7,
            build: Some("u1".into()),
            manner: Manner::Follow,
            target: "mail".into(),
            topic: "build:u1".into(),
            generation: 1,
            remote: None,
            kind: "known-bug".into(),
            text: text.into(),
            json,
            state: NoteState::Due,
            attempts: 0,
            created_at: at,
            next_try: at,
            delivered_at: None,
            error: None,
        }
    }

    fn written(note: &Note) -> (String, String) {
        let from = "whorl <whorl@example.org>".parse().unwrap();
        let to = ["team@example.org".parse().unwrap()];
        let letter = write(note, &from, &to, Some("whorl.example.org")).unwrap();
        (
            letter.id,
            String::from_utf8(letter.mail.formatted()).unwrap(),
        )
    }

    fn headers(mail: &str) -> Vec<&str> {
        let head = mail.split("\r\n\r\n").next().unwrap();
        let names = head.split("\r\n").filter(|l| !l.starts_with([' ', '\t']));
        names.filter_map(|l| l.split(':').next()).collect()
    }

    #[test]
    fn no_text_makes_a_header() {
        let plain = written(&note("hello", serde_json::Value::Null)).1;
        let evil = "a\r\nBcc: x@evil.example\r\n\r\nbody";
        let json = serde_json::json!({"subject": evil});
        let mail = written(&note(evil, json)).1;
        assert_eq!(headers(&mail), headers(&plain));
        assert!(headers(&mail).contains(&"List-Id"), "{mail}");
    }

    #[test]
    fn the_id_is_the_same_for_every_try_and_another_for_every_change() {
        let first = note("text", serde_json::Value::Null);
        let again = Note {
            attempts: 3,
            ..first.clone()
        };
        let changed = Note {
            generation: 2,
            remote: Some(written(&first).0),
            text: "other".into(),
            ..first.clone()
        };
        assert_eq!(written(&first), written(&again));
        let (id, mail) = written(&changed);
        assert_ne!(id, written(&first).0);
        assert!(
            mail.contains(&format!("In-Reply-To: {}", written(&first).0)),
            "{mail}"
        );
    }
}
