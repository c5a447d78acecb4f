//! The mark against a Gerrit of which every comment is known.

use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, VecDeque};

const BEGIN: i64 = 1_800_000_000;

/// What happens.
#[derive(Debug, Clone)]
enum Step {
    /// Somebody writes, so many seconds later; the event is so many seconds late.
    Write {
        text: u8,
        after: i64,
        late: i64,
    },
    Connect,
    /// So many events are taken, and kept unless we are killed before.
    Hear {
        events: usize,
        killed: bool,
    },
    Break,
    /// Ask, and be killed after so many parts were kept.
    Ask {
        killed: Option<usize>,
    },
    Kill,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0..40_u8, 0..20_i64, 0..4_i64)
            .prop_map(|(text, after, late)| Step::Write { text, after, late }),
        2 => Just(Step::Connect),
        4 => (1..6_usize, prop::bool::weighted(0.1))
            .prop_map(|(events, killed)| Step::Hear { events, killed }),
        1 => Just(Step::Break),
        3 => prop::option::weighted(0.2, 0..4_usize).prop_map(|killed| Step::Ask { killed }),
        1 => Just(Step::Kill),
    ];
    prop::collection::vec(step, 1..120)
}

/// A Gerrit and one who hears it.
struct World {
    now: i64,
    written: Vec<(String, i64)>,
    stream: Option<VecDeque<(String, i64)>>,
    mark: Mark,
    kept: String,
    told: BTreeMap<String, usize>,
}

impl World {
    fn new() -> Self {
        let mut mark = Mark::new(BEGIN);
        mark.open();
        let kept = mark.text().unwrap();
        Self {
            now: BEGIN + OVERLAP,
            written: Vec::new(),
            stream: None,
            mark,
            kept,
            told: BTreeMap::new(),
        }
    }

    fn write(&mut self, text: u8, after: i64, late: i64) {
        self.now += after;
        let text = format!("t{text}");
        let again = self.written.iter().rev().find(|(known, _)| *known == text);
        // Whoever says the same within a moment means the same.
        if again.is_some_and(|(_, at)| self.now - at <= 3 * LATER) {
            return;
        }
        self.written.push((text.clone(), self.now));
        if let Some(stream) = &mut self.stream {
            stream.push_back((text, self.now + late));
        }
    }

    fn kill(&mut self) {
        self.stream = None;
        self.mark = Mark::read(&self.kept).unwrap();
        self.mark.open();
    }

    /// All of it, or nothing.
    fn keep(&mut self, news: Vec<String>) {
        self.kept = self.mark.text().unwrap();
        for text in news {
            *self.told.entry(text).or_default() += 1;
        }
    }

    fn hear(&mut self, events: usize, killed: bool) {
        let Some(stream) = &mut self.stream else {
            return;
        };
        let mut news = Vec::new();
        for (text, at) in stream.drain(..events.min(stream.len())) {
            self.mark.advance(at, i64::MAX);
            if self.mark.take(Way::Stream, &text, at) {
                news.push(text);
            }
        }
        if killed {
            return self.kill();
        }
        self.keep(news);
    }

    fn ask(&mut self, killed: Option<usize>) {
        let (from, now) = (self.mark.from(), self.now);
        let recent = |(_, at): &&(String, i64)| *at >= from;
        let found: Vec<_> = self.written.iter().filter(recent).cloned().collect();
        for (number, part) in found.chunks(2).enumerate() {
            if killed == Some(number) {
                return self.kill();
            }
            let mut news = Vec::new();
            for (text, at) in part {
                if self.mark.take(Way::Query, text, *at) {
                    news.push(text.clone());
                }
                self.mark.advance(*at, i64::MAX);
            }
            self.keep(news);
        }
        self.mark.caught_up(now);
        if self.stream.is_some() {
            self.mark.close();
        }
        self.keep(Vec::new());
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Write { text, after, late } => self.write(text, after, late),
            Step::Connect => {
                self.mark.open();
                self.stream = Some(VecDeque::new());
            }
            Step::Hear { events, killed } => self.hear(events, killed),
            Step::Break => {
                self.mark.open();
                self.stream = None;
            }
            Step::Ask { killed } => self.ask(killed),
            Step::Kill => self.kill(),
        }
    }
}

proptest! {
    #[test]
    fn everything_is_told_and_nothing_twice(steps in steps()) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
        }
        world.step(&Step::Hear { events: usize::MAX, killed: false });
        world.step(&Step::Connect);
        world.step(&Step::Ask { killed: None });
        let mut written = BTreeMap::new();
        for (text, _) in &world.written {
            *written.entry(text.clone()).or_default() += 1;
        }
        prop_assert_eq!(&world.told, &written);
    }

    #[test]
    fn a_mark_that_is_no_mark_is_refused_without_a_panic(text in ".{0,200}") {
        let _ = Mark::read(&text);
    }
}

#[test]
fn the_same_words_at_two_times_are_two_comments() {
    let mut mark = Mark::new(BEGIN);
    for (at, new) in [(10, true), (15, true)] {
        assert_eq!(mark.take(Way::Stream, "recheck", BEGIN + at), new);
    }
    // The query has both, a second earlier, and says so again and again.
    for _ in 0..3 {
        for at in [9, 14] {
            assert!(!mark.take(Way::Query, "recheck", BEGIN + at));
        }
    }
    assert!(mark.take(Way::Query, "recheck", BEGIN + 20));
    assert!(!mark.take(Way::Stream, "recheck", BEGIN + 21));
    assert!(mark.take(Way::Stream, "recheck", BEGIN + 22));
}

#[test]
fn it_survives_being_kept_and_does_not_grow() {
    let mut mark = Mark::new(BEGIN);
    for n in 0..10_000 {
        let at = BEGIN + n / 100;
        assert!(mark.take(Way::Stream, &format!("{n:016x}"), at));
        mark.advance(at, i64::MAX);
    }
    let text = mark.text().unwrap();
    assert!(text.len() < 100_000, "{}", text.len());
    let mut again = Mark::read(&text).unwrap();
    assert_eq!(again.from(), BEGIN + 99 - OVERLAP);
    assert!(!again.take(Way::Query, &format!("{:016x}", 9_999), BEGIN + 98));
    assert!(!again.take(Way::Query, "long ago", BEGIN));
}

#[test]
fn a_clock_gone_mad_does_not_hide_what_comes() {
    let mut mark = Mark::new(BEGIN);
    mark.advance(BEGIN * 2, BEGIN + 100);
    assert_eq!(mark.newest(), BEGIN);
}

#[test]
fn an_open_gap_holds_the_mark() {
    let mut mark = Mark::new(BEGIN);
    mark.open();
    mark.take(Way::Stream, "new", BEGIN + 1_000);
    mark.advance(BEGIN + 1_000, i64::MAX);
    assert_eq!(mark.from(), BEGIN - OVERLAP);
    assert!(mark.take(Way::Query, "missed", BEGIN + 5));
    assert!(!mark.take(Way::Query, "new", BEGIN + 999));
    mark.close();
    assert_eq!(mark.from(), BEGIN + 1_000 - OVERLAP);
}
