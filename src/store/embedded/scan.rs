//! Which events of a block are meant, exactly.

use super::excerpt::Excerpt;
use super::need::Need;
use super::unpack::{Facts, Payload, Rows, Unpacker};
use crate::event::Event;
use crate::query::{Document, Kind, Node, Schema};
use crate::store::fields::{keyword_of, votes};
use crate::store::{Filters, Selection, StoreError};
use jiff::Timestamp;
use memchr::memmem::Finder;
use std::collections::{BTreeSet, BinaryHeap, HashMap};
use std::ops::Range;
use std::time::Instant;

/// Who wants to see more events than this gets them from all that were found.
const LARGE: usize = 10_000;

/// What is asked of every block that may have an answer.
pub(super) struct Question<'a> {
    selection: &'a Selection<'a>,
    now: Timestamp,
    /// Microseconds since 1970, the end excluded.
    pub(super) time: Range<i64>,
    need: Need,
    excerpt: Option<Excerpt>,
    /// The fields that it depends on.
    fields: BTreeSet<&'a str>,
    /// The page for which events are wanted, where they are only counted otherwise.
    page: Option<Page>,
}

/// The events that somebody wants to see.
#[derive(Debug, Clone, Copy)]
struct Page {
    /// So many of the first ones, with those of the pages before.
    wanted: usize,
    newest_first: bool,
}

/// An event of a block: its number there and its moment.
pub(super) type Hit = (u32, i64);

/// Looks into one block after the other; keeps its memory for the next one.
pub(super) struct Scanner<'q> {
    question: &'q Question<'q>,
    unpacker: Unpacker,
    facts: Vec<u8>,
    text: Vec<u8>,
    folded: Vec<u8>,
    /// The moments of the first events of the page so far, turned round for newest first, the last one on top.
    first: BinaryHeap<i64>,
}

impl<'a> Question<'a> {
    pub(super) fn new(selection: &'a Selection<'a>, schema: &Schema, now: Timestamp) -> Self {
        let mut fields = BTreeSet::new();
        let Filters { equal, voting, .. } = &selection.filters;
        fields.extend(equal.iter().map(|(field, _)| field.as_str()));
        fields.extend(voting.map(|_| "voting"));
        let (mut need, mut excerpt) = (Need::Any, None);
        if let Some(query) = selection.query {
            fields_of(query.root(), &mut fields);
            need = Need::of(query.root(), schema);
            excerpt = Excerpt::of(query.root(), schema);
        }
        Self {
            selection,
            now,
            time: selection.from.map_or(i64::MIN, Timestamp::as_microsecond)
                ..selection.to.map_or(i64::MAX, Timestamp::as_microsecond),
            need,
            excerpt,
            fields,
            page: None,
        }
    }

    /// Of events only those are kept that may be among so many first ones; all are counted.
    pub(super) fn for_page(mut self, wanted: usize, newest_first: bool) -> Self {
        let page = Page {
            wanted,
            newest_first,
        };
        self.page = Some(page).filter(|page| page.wanted <= LARGE);
        self
    }

    /// True when nobody waits for the answer any more.
    pub(super) fn is_late(&self) -> bool {
        let deadline = self.selection.deadline;
        deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// True when every event of a found block is meant that is in time.
    pub(super) fn asks_nothing(&self) -> bool {
        let Filters { equal, voting, .. } = &self.selection.filters;
        self.selection.query.is_none() && equal.is_empty() && voting.is_none()
    }

    /// True when moments alone do not decide about an event.
    fn reads_text(&self) -> bool {
        self.fields.contains("message")
    }

    fn holds(&self, event: &Event) -> bool {
        let Selection { query, filters, .. } = self.selection;
        let equal = |(field, wanted): &(String, String)| {
            let value = event.field(field);
            let values = value.map(|value| value.values()).unwrap_or_default();
            let mut words = values.into_iter().filter_map(keyword_of);
            words.any(|word| word == *wanted)
        };
        filters.equal.iter().all(equal)
            && filters.voting.is_none_or(|voting| votes(event) == voting)
            && query.is_none_or(|query| query.matches(&Document::new(event), self.now))
    }
}

fn fields_of<'a>(node: &'a Node, fields: &mut BTreeSet<&'a str>) {
    match &node.kind {
        Kind::All | Kind::Nothing => {}
        Kind::Bool(clauses) => clauses.iter().for_each(|c| fields_of(&c.node, fields)),
        Kind::Boost(inner, _) => fields_of(inner, fields),
        Kind::Exists(field)
        | Kind::Term { field, .. }
        | Kind::Phrase { field, .. }
        | Kind::Wildcard { field, .. }
        | Kind::Regex { field, .. }
        | Kind::Fuzzy { field, .. }
        | Kind::Range { field, .. } => {
            fields.insert(field);
        }
    }
}

/// A moment as a number that is the smaller the earlier it comes.
pub(super) fn turned(time: i64, newest_first: bool) -> i64 {
    if newest_first { !time } else { time }
}

impl<'q> Scanner<'q> {
    pub(super) fn new(question: &'q Question<'q>) -> Result<Self, StoreError> {
        Ok(Self {
            question,
            unpacker: Unpacker::new()?,
            facts: Vec::new(),
            text: Vec::new(),
            folded: Vec::new(),
            first: BinaryHeap::new(),
        })
    }

    /// Those of a block's events that may be on the page, which are all where none is asked for: a search of all
    /// that there is finds millions.
    pub(super) fn of_page(&mut self, mut hits: Vec<Hit>) -> Vec<Hit> {
        let Some(page) = self.question.page else {
            return hits;
        };
        for (_, time) in &hits {
            self.first.push(turned(*time, page.newest_first));
            if self.first.len() > page.wanted {
                self.first.pop();
            }
        }
        // Of events of the same moment another one may come first: all of the last moment stay.
        let last = self.first.peek().copied();
        hits.retain(|(_, time)| last.is_some_and(|last| turned(*time, page.newest_first) <= last));
        hits.shrink_to_fit();
        hits
    }

    /// The events of a block that are meant, in their order.
    pub(super) fn scan(&mut self, payload: &[u8]) -> Result<Vec<Hit>, StoreError> {
        let payload = Payload::read(payload)?;
        if self.question.reads_text() && !self.may_hold(&payload)? {
            return Ok(Vec::new());
        }
        let mut buffer = std::mem::take(&mut self.facts);
        self.unpacker.facts(&payload, &mut buffer)?;
        let facts = Facts::read(&buffer)?;
        let hits = self.events(&payload, &facts);
        self.facts = buffer;
        hits
    }

    /// Unpacks the text and says whether any event may have what is needed.
    fn may_hold(&mut self, payload: &Payload<'_>) -> Result<bool, StoreError> {
        self.unpacker.text(payload, &mut self.text)?;
        if payload.odd_case {
            return Ok(true);
        }
        self.folded.clear();
        self.folded.extend_from_slice(&self.text);
        self.folded.make_ascii_lowercase();
        let anchors = self.question.need.anchors();
        Ok(anchors.is_none_or(|words| words.iter().any(|w| w.find(&self.folded).is_some())))
    }

    fn events(&mut self, payload: &Payload<'_>, facts: &Facts<'_>) -> Result<Vec<Hit>, StoreError> {
        let question = self.question;
        let mut events = if question.reads_text() {
            self.candidates(payload, facts)?
        } else {
            (0..facts.count).collect()
        };
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let times = facts.times()?;
        events.retain(|event| times.get(*event).is_some_and(|t| question.time.contains(t)));
        if !question.asks_nothing() && !events.is_empty() {
            let rows = facts.rows_for(&|name| question.fields.contains(name))?;
            events = if question.reads_text() {
                self.by_text(payload, &rows, events)?
            } else {
                by_fields(question, &rows, events)?
            };
        }
        let hit = |event: usize| {
            let number = u32::try_from(event).ok()?;
            Some((number, *times.get(event)?))
        };
        Ok(events.into_iter().filter_map(hit).collect())
    }

    /// The events whose bytes do not speak against them.
    fn candidates(
        &self,
        payload: &Payload<'_>,
        facts: &Facts<'_>,
    ) -> Result<Vec<usize>, StoreError> {
        let question = self.question;
        if payload.odd_case || matches!(question.need, Need::Any) {
            return Ok((0..facts.count).collect());
        }
        let ends = facts.ends()?;
        let text = |event: usize| {
            let start = event.checked_sub(1).map_or(0, |before| ends[before]);
            self.folded.get(start..ends[event]).unwrap_or_default()
        };
        let found = match question.need.anchors() {
            Some(words) => with_words(&self.folded, &ends, &words),
            None => (0..facts.count).collect(),
        };
        let holds = |event: &usize| question.need.holds(text(*event));
        Ok(found.into_iter().filter(holds).collect())
    }

    fn by_text(
        &self,
        payload: &Payload<'_>,
        rows: &Rows,
        candidates: Vec<usize>,
    ) -> Result<Vec<usize>, StoreError> {
        let excerpt = self.question.excerpt.as_ref().filter(|_| !payload.odd_case);
        let mut events = Vec::new();
        for number in candidates {
            let message = rows.message(number, &self.text)?;
            let folded = self.folded.get(rows.range(number)).unwrap_or_default();
            let part = excerpt.and_then(|excerpt| excerpt.take(folded, message));
            let mut event = rows.fields(number)?;
            event.message = part.unwrap_or_else(|| message.to_owned());
            if self.question.holds(&event) {
                events.push(number);
            }
        }
        Ok(events)
    }
}

/// The events in whose text one of the words begins.
fn with_words(text: &[u8], ends: &[usize], words: &[&Finder<'static>]) -> Vec<usize> {
    let mut events = Vec::new();
    for word in words {
        let mut from = 0;
        while let Some(at) = text.get(from..).and_then(|rest| word.find(rest)) {
            let event = ends.partition_point(|end| *end <= from + at);
            let Some(end) = ends.get(event) else { break };
            events.push(event);
            from = *end;
        }
    }
    if words.len() > 1 {
        events.sort_unstable();
        events.dedup();
    }
    events
}

/// Asks once for all events that have the same values in the fields that matter.
fn by_fields(
    question: &Question<'_>,
    rows: &Rows,
    events: Vec<usize>,
) -> Result<Vec<usize>, StoreError> {
    let mut known: HashMap<(usize, Vec<u8>), bool> = HashMap::new();
    let mut found = Vec::new();
    for event in events {
        let numbers: Option<Vec<u8>> = rows.columns.iter().map(|c| c.number(event)).collect();
        let holds = match numbers {
            None => question.holds(&rows.fields(event)?),
            Some(numbers) => {
                let key = (rows.group(event), numbers);
                if let Some(holds) = known.get(&key) {
                    *holds
                } else {
                    let holds = question.holds(&rows.fields(event)?);
                    known.insert(key, holds);
                    holds
                }
            }
        };
        if holds {
            found.push(event);
        }
    }
    Ok(found)
}
