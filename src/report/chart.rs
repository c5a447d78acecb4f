//! The hourly histogram, drawn by the server.

use jiff::{SignedDuration, Timestamp};

/// Hours that a chart shows.
const HOURS: i32 = 240;
/// Seconds in an hour.
const HOUR: i64 = 3600;
/// Width of a bar with its gap, in the drawing's units.
const STEP: i32 = 2;
/// Height of the drawing, in its units.
const HEIGHT: u64 = 40;

/// A histogram of the ten days up to a time, ready for an SVG template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chart {
    /// The bars; hours without builds have none.
    pub bars: Vec<Bar>,
    /// Width of the drawing.
    pub width: i32,
    /// Height of the drawing.
    pub height: u64,
    /// Builds in the busiest hour.
    pub busiest: u64,
    /// Builds in all hours.
    pub total: u64,
}

/// One hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bar {
    /// Left edge.
    pub x: i32,
    /// Upper edge.
    pub y: u64,
    /// Height, at least 1.
    pub height: u64,
    /// Start of the hour.
    pub hour: Timestamp,
    /// Builds in it.
    pub builds: u64,
}

impl Chart {
    /// Draws `histogram` (start of the hour, builds) for the ten days up to `now`.
    pub fn new(histogram: &[(Timestamp, u64)], now: Timestamp) -> Self {
        let busiest = histogram
            .iter()
            .map(|(_, builds)| *builds)
            .max()
            .unwrap_or(0);
        let last = now.as_second().div_euclid(HOUR);
        let bars = histogram
            .iter()
            .filter_map(|&(hour, builds)| bar(hour, builds, last, busiest))
            .collect();
        Self {
            bars,
            // The window begins within an hour, so 241 hours have a part in it.
            width: (HOURS + 1) * STEP,
            height: HEIGHT,
            busiest,
            total: histogram.iter().map(|(_, builds)| builds).sum(),
        }
    }
}

fn bar(hour: Timestamp, builds: u64, last: i64, busiest: u64) -> Option<Bar> {
    let back = i32::try_from(last - hour.as_second().div_euclid(HOUR)).ok()?;
    if !(0..=HOURS).contains(&back) || builds == 0 {
        return None;
    }
    let height = (builds * HEIGHT / busiest.max(1)).clamp(1, HEIGHT);
    Some(Bar {
        x: (HOURS - back) * STEP,
        y: HEIGHT - height,
        height,
        hour,
        builds,
    })
}

/// A length of time as people say it: `3 min ago`, `5 h ago`, `2 d ago`.
pub(super) fn ago(then: Timestamp, now: Timestamp) -> String {
    let past = now.duration_since(then).max(SignedDuration::ZERO);
    match past.as_secs() {
        s if s < 3600 => format!("{} min ago", s / 60),
        s if s < 2 * 86_400 => format!("{} h ago", s / 3600),
        s => format!("{} d ago", s / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busiest_hour_is_as_high_as_the_chart() {
        let now: Timestamp = "2026-11-21T15:30:00Z".parse().unwrap();
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let chart = Chart::new(
            &[
                (at("2026-11-11T15:00:00Z"), 1),
                (at("2026-11-21T14:00:00Z"), 400),
                (at("2026-11-21T15:00:00Z"), 200),
            ],
            now,
        );
        let drawn: Vec<_> = chart.bars.iter().map(|b| (b.x, b.y, b.height)).collect();
        assert_eq!(drawn, [(0, 39, 1), (478, 0, 40), (480, 20, 20)]);
        assert_eq!((chart.busiest, chart.total), (400, 601));
        assert!(Chart::new(&[], now).bars.is_empty());
    }
}
