//! Hours in which a channel hears nothing.

use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};

/// A time of the day, on some days of the week, in which nothing is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Silence {
    /// On which days it begins.
    pub days: Vec<Weekday>,
    /// When it begins.
    pub from: Time,
    /// When it ends: on the next day if that is not later than its beginning.
    pub to: Time,
}

/// All silences of a channel, by the clock of one place.
#[derive(Debug, Clone)]
pub struct Quiet {
    zone: TimeZone,
    silences: Vec<Silence>,
}

impl Quiet {
    /// By the clock of `zone`.
    pub fn new(zone: TimeZone, silences: Vec<Silence>) -> Self {
        Self { zone, silences }
    }

    /// Never quiet.
    pub fn never() -> Self {
        Self::new(TimeZone::UTC, Vec::new())
    }

    /// Whether nothing is said at `at`.
    pub fn is_quiet(&self, at: Timestamp) -> bool {
        let local = at.to_zoned(self.zone.clone());
        let (time, today) = (local.time(), local.weekday());
        self.silences.iter().any(|one| one.holds(today, time))
    }

    /// The first moment from `at` on at which something may be said; none if there is none within two
    /// weeks: a channel that is never spoken to.
    pub fn end(&self, at: Timestamp) -> Option<Timestamp> {
        if !self.is_quiet(at) {
            return Some(at);
        }
        let mut ends: Vec<Timestamp> = self.ends(at).filter(|end| *end > at).collect();
        ends.sort_unstable();
        ends.into_iter().find(|end| !self.is_quiet(*end))
    }

    /// Every moment within two weeks at which some silence may end. Where clocks are put forward over
    /// it, that is the moment of the change.
    fn ends(&self, at: Timestamp) -> impl Iterator<Item = Timestamp> {
        let today = at.to_zoned(self.zone.clone()).date();
        let days = (0..15).filter_map(move |n: i64| today.checked_add(n.days()).ok());
        let times = days.flat_map(|day| {
            let ends = self.silences.iter().map(move |one| day.to_datetime(one.to));
            ends.collect::<Vec<_>>()
        });
        let moments = times.flat_map(|local| {
            let around = self.zone.to_ambiguous_timestamp(local);
            // A time that comes twice ends a silence twice.
            let both = [around.earlier(), around.later()];
            both.into_iter().filter_map(Result::ok).collect::<Vec<_>>()
        });
        moments.chain(self.changes(at))
    }

    /// When the clocks are changed within two weeks.
    fn changes(&self, at: Timestamp) -> impl Iterator<Item = Timestamp> {
        let last = at
            .saturating_add(SignedDuration::from_hours(15 * 24))
            .unwrap_or(at);
        let next = self.zone.following(at).map(|change| change.timestamp());
        next.take_while(move |change| *change <= last)
            .collect::<Vec<_>>()
            .into_iter()
    }
}

impl Silence {
    fn holds(&self, today: Weekday, time: Time) -> bool {
        let begins_today = self.days.contains(&today);
        if self.from < self.to {
            return begins_today && time >= self.from && time < self.to;
        }
        let began_yesterday = self.days.contains(&today.previous());
        (begins_today && time >= self.from) || (began_yesterday && time < self.to)
    }
}

/// A day of the week as people write it: `mon` or `monday`.
pub fn day(word: &str) -> Option<Weekday> {
    Some(match word.to_ascii_lowercase().as_str() {
        "mon" | "monday" => Weekday::Monday,
        "tue" | "tuesday" => Weekday::Tuesday,
        "wed" | "wednesday" => Weekday::Wednesday,
        "thu" | "thursday" => Weekday::Thursday,
        "fri" | "friday" => Weekday::Friday,
        "sat" | "saturday" => Weekday::Saturday,
        "sun" | "sunday" => Weekday::Sunday,
        _ => return None,
    })
}
