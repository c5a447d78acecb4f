//! What belongs together becomes one event.
//!
//! Only neighbouring lines of one writer are joined, so that an event is one stretch of its file
//! and its text can be mapped back to it.

use super::block::{Block, is_call_site, is_frame};
use super::format::{Format, Prefix};
use super::limits::Limits;
use super::lines::RawLine;
use super::strip::{is_blank, line_text};
use crate::event::{Event, FieldValue, Fields, Location};
use std::sync::Arc;

/// Blank lines inside a block that are held until it is known whether the block goes on.
pub(crate) const MAX_BLANKS: usize = 3;

/// Makes events of lines.
pub(crate) struct Joiner<'a> {
    format: Format,
    limits: &'a Limits,
    file: Arc<str>,
    shared: Arc<Fields>,
    pending: Option<Pending>,
    block: Block,
    blanks: Vec<(String, u64)>,
    events: u64,
    /// True when the pending event goes on with a block that became too large for one.
    continued: bool,
    /// True when events have their place and nothing else.
    bare: bool,
}

/// Takes events.
type Sink<'s> = &'s mut dyn FnMut(Event);

struct Pending {
    /// Empty, as the fields are, when events are bare.
    message: String,
    /// Bytes of the message.
    size: usize,
    own: Fields,
    at: Location,
    writer: [Option<String>; 3],
    level: Option<String>,
    module: Option<String>,
    known: bool,
}

impl<'a> Joiner<'a> {
    pub(crate) fn new(
        format: Format,
        limits: &'a Limits,
        file: Arc<str>,
        shared: Arc<Fields>,
    ) -> Self {
        Self {
            format,
            limits,
            file,
            shared,
            pending: None,
            block: Block::None,
            blanks: Vec::new(),
            events: 0,
            continued: false,
            bare: false,
        }
    }

    /// Gives events no message and no fields of their own; [`make`] does, where their lines are at hand.
    pub(crate) fn bare(mut self) -> Self {
        self.bare = true;
        self
    }

    /// True while events are bare.
    pub(crate) fn is_bare(&self) -> bool {
        self.bare
    }

    /// Makes whole events from now on. `make` gives the pending one what it has so far.
    pub(crate) fn wake(&mut self, make: impl FnOnce(&mut Event)) {
        self.bare = false;
        let Some(pending) = &mut self.pending else {
            return;
        };
        let mut event = pending.event(&self.shared);
        make(&mut event);
        (pending.message, pending.own) = (event.message, event.own);
    }

    /// Makes bare events again, from the pending one on, whose lines are at hand.
    pub(crate) fn sleep(&mut self) {
        self.bare = true;
        if let Some(pending) = &mut self.pending {
            pending.message = String::new();
            pending.own = Fields::default();
        }
    }

    /// Takes one line; `text` is its cleaned text. Hands out what is whole by now.
    pub(crate) fn push(&mut self, line: &RawLine<'_>, text: &str, sink: Sink<'_>) {
        let prefix = self.format.prefix(text);
        if line.piece {
            self.flush(sink);
            self.begin(line, text, &prefix);
            self.flush(sink);
            return;
        }
        if is_blank(text, &prefix) {
            self.hold_blank(line, &text[prefix.cut..], sink);
            return;
        }
        let body = &text[prefix.body..];
        if self.belongs(&prefix, body) {
            self.append(line, text, &prefix, sink);
            return;
        }
        self.flush(sink);
        self.block = Block::start(body);
        self.begin(line, text, &prefix);
    }

    /// Hands out what is pending; the number of events so far.
    pub(crate) fn finish(mut self, sink: Sink<'_>) -> u64 {
        self.flush(sink);
        self.events
    }

    /// Where the pending event begins (`next` when there is none, which is where the next line does), if
    /// that is behind `wanted` and nothing but its own lines has to be known to go on.
    pub(crate) fn begun_after(&self, wanted: u64, next: u64) -> Option<u64> {
        let start = self.pending.as_ref().map_or(next, |p| p.at.offset);
        (start > wanted && !self.continued).then_some(start)
    }

    fn hold_blank(&mut self, line: &RawLine<'_>, text: &str, sink: Sink<'_>) {
        if self.pending.is_none() {
            return;
        }
        if self.blanks.len() >= MAX_BLANKS {
            self.flush(sink);
            return;
        }
        self.blanks.push((text.to_owned(), line.length));
    }

    fn belongs(&mut self, prefix: &Prefix<'_>, body: &str) -> bool {
        let Some(pending) = &self.pending else {
            return false;
        };
        let after_blank = !self.blanks.is_empty();
        if self.format == Format::Oslo && !prefix.known {
            // Services write the rest of a long message without a prefix.
            return pending.known;
        }
        if !pending.same_writer(prefix) {
            return false;
        }
        if !after_blank && pending.is_traced_by(prefix, body) {
            // TRACE lines are whole without it, ERROR lines go on by the block's own rules.
            self.block = Block::start(body).or(std::mem::take(&mut self.block));
            return true;
        }
        if self.block.takes(body, after_blank) {
            return true;
        }
        let frame = is_call_site(body) || (!after_blank && is_frame(body));
        if matches!(self.block, Block::None) && frame {
            self.block = Block::of_frame(body);
            return true;
        }
        false
    }

    fn begin(&mut self, line: &RawLine<'_>, text: &str, prefix: &Prefix<'_>) {
        let message = &text[prefix.cut..];
        if is_blank(text, prefix) {
            return;
        }
        let (shown, own) = if self.bare {
            (String::new(), Fields::default())
        } else {
            (message.to_owned(), own_fields(prefix))
        };
        self.pending = Some(Pending {
            message: shown,
            size: message.len(),
            own,
            at: Location {
                file: Arc::clone(&self.file),
                line: line.number,
                lines: 1,
                offset: line.offset,
                length: line.length,
            },
            writer: prefix.writer().map(|word| word.map(str::to_owned)),
            level: prefix.level.map(str::to_owned),
            module: prefix.module.map(str::to_owned),
            known: prefix.known,
        });
    }

    fn append(&mut self, line: &RawLine<'_>, text: &str, prefix: &Prefix<'_>, sink: Sink<'_>) {
        let message = &text[prefix.cut..];
        if self.is_full(message.len()) {
            let block = std::mem::take(&mut self.block);
            self.flush(sink);
            self.block = block;
            self.continued = true;
            self.begin(line, text, prefix);
            return;
        }
        let blanks = std::mem::take(&mut self.blanks);
        let Some(pending) = &mut self.pending else {
            return;
        };
        for (blank, length) in &blanks {
            pending.add(blank, *length, self.bare);
        }
        pending.add(message, line.length, self.bare);
    }

    fn is_full(&self, more: usize) -> bool {
        self.pending.as_ref().is_some_and(|pending| {
            let lines = pending.at.lines as usize + self.blanks.len() + 1;
            lines > self.limits.max_event_lines as usize
                || pending.size + more > self.limits.max_event_bytes
        })
    }

    fn flush(&mut self, sink: Sink<'_>) {
        self.blanks.clear();
        self.block = Block::None;
        self.continued = false;
        let Some(mut pending) = self.pending.take() else {
            return;
        };
        self.events += 1;
        sink(pending.event(&self.shared));
    }
}

impl Pending {
    /// The event as it is by now; its message and fields are taken away.
    fn event(&mut self, shared: &Arc<Fields>) -> Event {
        Event {
            message: std::mem::take(&mut self.message),
            own: std::mem::take(&mut self.own),
            shared: Arc::clone(shared),
            at: self.at.clone(),
        }
    }

    fn add(&mut self, text: &str, length: u64, bare: bool) {
        self.size += text.len() + 1;
        if !bare {
            self.message.push('\n');
            self.message.push_str(text);
        }
        self.at.lines += 1;
        self.at.length += length;
    }

    fn same_writer(&self, prefix: &Prefix<'_>) -> bool {
        self.module.as_deref() == prefix.module
            && self.writer.iter().map(Option::as_deref).eq(prefix.writer())
    }

    /// True when the line is a service log's traceback to this message.
    fn is_traced_by(&self, prefix: &Prefix<'_>, body: &str) -> bool {
        let Some(level) = prefix.level else {
            return false;
        };
        if level == "TRACE" {
            return self.level.is_some();
        }
        prefix.module.is_some()
            && self.level.as_deref() == prefix.level
            && body.starts_with("Traceback (most recent call last):")
    }
}

/// Fields that lines give their events; of all others, the log's own hold for each of its events.
pub(crate) const OWN_FIELDS: [&str; 6] =
    ["@timestamp", "loglevel", "module", "pid", "node", "program"];

/// Gives a bare event its message and its own fields, of its lines with their ends.
pub(crate) fn make<'t>(event: &mut Event, format: Format, lines: impl Iterator<Item = &'t [u8]>) {
    let mut buffer = String::new();
    for (number, line) in lines.enumerate() {
        let text = line_text(line.strip_suffix(b"\n").unwrap_or(line), &mut buffer);
        let prefix = format.prefix(text);
        if number == 0 {
            event.own = own_fields(&prefix);
        } else {
            event.message.push('\n');
        }
        event.message.push_str(&text[prefix.cut..]);
    }
}

fn own_fields(prefix: &Prefix<'_>) -> Fields {
    let mut own = Fields::default();
    let stamp = prefix.stamp.map(|stamp| stamp.rfc3339());
    let values = [
        stamp.as_deref(),
        prefix.level,
        prefix.module,
        prefix.pid,
        prefix.node,
        prefix.program,
    ];
    for (name, value) in OWN_FIELDS.into_iter().zip(values) {
        if let Some(value) = value {
            own.set(name, FieldValue::text(value));
        }
    }
    own
}
