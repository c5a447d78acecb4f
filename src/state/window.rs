//! A span of time in parts that are counted already: whole days and hours, and what is left.

use super::counts::{DAY, HOUR};

/// From a moment to another one, which is not in it; microseconds.
pub(super) type Span = (i64, i64);

/// The parts of a span. They do not overlap, and nothing is between them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Parts {
    /// Whole days.
    pub(super) days: Vec<Span>,
    /// Whole hours beside the days.
    pub(super) hours: Vec<Span>,
    /// What is no whole hour.
    pub(super) rest: Vec<Span>,
    /// Days and hours together: all of it in which news are to be added.
    pub(super) whole: Option<Span>,
}

impl Parts {
    /// The parts of a span.
    pub(super) fn of((from, to): Span) -> Self {
        let mut parts = Self::default();
        let (first, last) = (up(from, HOUR), down(to, HOUR));
        if first >= last {
            add(&mut parts.rest, (from, to));
            return parts;
        }
        add(&mut parts.rest, (from, first));
        add(&mut parts.rest, (last, to));
        parts.whole = Some((first, last));
        let (morning, night) = (up(first, DAY), down(last, DAY));
        if morning >= night {
            add(&mut parts.hours, (first, last));
            return parts;
        }
        add(&mut parts.hours, (first, morning));
        add(&mut parts.hours, (night, last));
        add(&mut parts.days, (morning, night));
        parts
    }

    /// Nothing is taken as counted.
    pub(super) fn plain(span: Span) -> Self {
        let mut parts = Self::default();
        add(&mut parts.rest, span);
        parts
    }
}

fn add(spans: &mut Vec<Span>, span: Span) {
    if span.0 < span.1 {
        spans.push(span);
    }
}

/// The last edge that is not after the moment.
pub(super) fn down(moment: i64, width: i64) -> i64 {
    moment - moment.rem_euclid(width)
}

/// The first edge that is not before it.
pub(super) fn up(moment: i64, width: i64) -> i64 {
    down(moment.saturating_add(width - 1), width)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_window_has_two_ragged_ends_hours_and_days() {
        let from = 20 * DAY + 5 * HOUR + 7;
        let parts = Parts::of((from, 24 * DAY + 3 * HOUR + 1));
        assert_eq!(parts.days, [(21 * DAY, 24 * DAY)]);
        assert_eq!(
            parts.hours,
            [
                (20 * DAY + 6 * HOUR, 21 * DAY),
                (24 * DAY, 24 * DAY + 3 * HOUR)
            ]
        );
        assert_eq!(
            parts.rest,
            [
                (from, 20 * DAY + 6 * HOUR),
                (24 * DAY + 3 * HOUR, 24 * DAY + 3 * HOUR + 1)
            ]
        );
    }

    proptest! {
        #[test]
        fn every_moment_is_in_one_part(from in -3 * DAY..3 * DAY, length in 0..5 * DAY, at in -4 * DAY..9 * DAY) {
            let parts = Parts::of((from, from + length));
            let in_span = |span: &&Span| span.0 <= at && at < span.1;
            let number = |spans: &[Span]| spans.iter().filter(in_span).count();
            let found = number(&parts.days) + number(&parts.hours) + number(&parts.rest);
            prop_assert_eq!(found, usize::from(from <= at && at < from + length));
            let whole = parts.whole.iter().filter(in_span).count();
            prop_assert_eq!(number(&parts.days) + number(&parts.hours), whole);
            for (spans, width) in [(&parts.days, DAY), (&parts.hours, HOUR)] {
                let even = spans.iter().all(|s| s.0 % width == 0 && s.1 % width == 0);
                prop_assert!(even);
            }
        }
    }
}
