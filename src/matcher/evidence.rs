//! What is shown of an event.

use crate::event::{Event, Evidence, bounded};

/// Longest excerpt in bytes; of longer events the part round the first span is shown.
const EXCERPT: usize = 2000;
/// How much of the text before the first span stays.
const BEFORE: usize = 400;

/// The place of an event and the part of its text that shows the match.
pub fn evidence(event: &Event, spans: &[(usize, usize)]) -> Evidence {
    let message = &event.message;
    let first = spans.first().map_or(0, |span| span.0);
    let from = if message.len() <= EXCERPT {
        0
    } else {
        first.saturating_sub(BEFORE)
    };
    let from = bounded(message, from).len();
    let to = bounded(message, from + EXCERPT).len();
    let inside = |at: usize| at.clamp(from, to) - from;
    Evidence {
        file: event.at.file.to_string(),
        line: event.at.line,
        offset: event.at.offset,
        excerpt: message[from..to].to_owned(),
        spans: spans
            .iter()
            .map(|&(a, b)| (inside(a), inside(b)))
            .filter(|(a, b)| a < b)
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_event_is_cut_round_its_first_span() {
        let text = format!("{}needle{}", "é".repeat(5000), "x".repeat(9000));
        let at = text.find("needle").unwrap();
        let shown = evidence(&Event::from_message(text), &[(at, at + 6)]);
        let (from, to) = shown.spans[0];
        assert_eq!(&shown.excerpt[from..to], "needle");
        assert!(shown.excerpt.len() <= EXCERPT);
    }
}
