//! When reports are made: five fields as in crontab, brought into the form that the crate `cron`
//! understands (it counts seconds first and weekdays from 1 = Sunday).

use chrono::{DateTime, Utc};
use jiff::Timestamp;
use std::fmt;
use std::str::FromStr;

/// Why a schedule is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// Not five fields.
    #[error(
        "schedule {text:?} has {found} fields: give five (minute hour day-of-month month day-of-week), or @hourly, @daily, @weekly, @monthly, @yearly"
    )]
    Fields {
        /// The schedule.
        text: String,
        /// How many fields it has.
        found: usize,
    },
    /// A field cannot be read.
    #[error("schedule {text:?}: {part:?} is no {field} ({range})")]
    Field {
        /// The schedule.
        text: String,
        /// The field's name.
        field: &'static str,
        /// The part that cannot be read.
        part: String,
        /// What can be given.
        range: String,
    },
    /// The schedule never comes.
    #[error("schedule {text:?} never comes: there is no such date")]
    Never {
        /// The schedule.
        text: String,
    },
}

/// A schedule in UTC.
#[derive(Debug, Clone)]
pub struct Schedule {
    text: String,
    /// One, or two when day of month and weekday are both restricted: then either may hold.
    parts: Vec<cron::Schedule>,
}

impl Schedule {
    /// Reads a crontab line's five fields, or `@hourly` and its like.
    pub fn parse(text: &str) -> Result<Self, ScheduleError> {
        let text = text.trim();
        let fields: Vec<&str> = nickname(text).unwrap_or(text).split_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields[..] else {
            return Err(ScheduleError::Fields {
                text: text.to_owned(),
                found: fields.len(),
            });
        };
        let time = format!(
            "0 {} {}",
            MINUTE.read(text, minute)?,
            HOUR.read(text, hour)?
        );
        let days = DAY.read(text, day)?;
        let months = MONTH.read(text, month)?;
        let weekdays = WEEKDAY.read(text, weekday)?;
        let lines = if restricted(day) && restricted(weekday) {
            vec![
                format!("{time} {days} {months} *"),
                format!("{time} * {months} {weekdays}"),
            ]
        } else {
            vec![format!("{time} {days} {months} {weekdays}")]
        };
        let never = || ScheduleError::Never {
            text: text.to_owned(),
        };
        let parts = lines
            .iter()
            .map(|line| cron::Schedule::from_str(line).map_err(|_| never()))
            .collect::<Result<_, _>>()?;
        let schedule = Self {
            text: text.to_owned(),
            parts,
        };
        match schedule.next(Timestamp::now()) {
            Some(_) => Ok(schedule),
            None => Err(never()),
        }
    }

    /// The first time after `now` at which the schedule comes. The end of time, should the
    /// calendar's end be reached.
    pub fn next_after(&self, now: Timestamp) -> Timestamp {
        self.next(now).unwrap_or(Timestamp::MAX)
    }

    /// The last time up to `now` at which the schedule came, if it ever did.
    pub fn latest_until(&self, now: Timestamp) -> Option<Timestamp> {
        let end = now.checked_add(jiff::SignedDuration::from_secs(1)).ok()?;
        let end = DateTime::<Utc>::from_timestamp(end.as_second(), 0)?;
        let before = |part: &cron::Schedule| part.after(&end).next_back();
        let latest = self.parts.iter().filter_map(before).max()?;
        Timestamp::from_second(latest.timestamp()).ok()
    }

    fn next(&self, now: Timestamp) -> Option<Timestamp> {
        let now = DateTime::<Utc>::from_timestamp_micros(now.as_microsecond())?;
        let next = self.parts.iter().filter_map(|part| part.after(&now).next());
        Timestamp::from_second(next.min()?.timestamp()).ok()
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Schedule {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        Self::parse(text)
    }
}

fn nickname(text: &str) -> Option<&'static str> {
    Some(match text.to_ascii_lowercase().as_str() {
        "@hourly" => "0 * * * *",
        "@daily" | "@midnight" => "0 0 * * *",
        "@weekly" => "0 0 * * 0",
        "@monthly" => "0 0 1 * *",
        "@yearly" | "@annually" => "0 0 1 1 *",
        _ => return None,
    })
}

/// As crontab sees it: a field that begins with `*` does not restrict the day.
fn restricted(field: &str) -> bool {
    !field.starts_with(['*', '?'])
}

/// What may stand in a field.
struct Kind {
    name: &'static str,
    low: u32,
    high: u32,
    names: &'static [&'static str],
}

const MINUTE: Kind = Kind::numbers("minute", 0, 59);
const HOUR: Kind = Kind::numbers("hour", 0, 23);
const DAY: Kind = Kind::numbers("day of month", 1, 31);
const MONTH: Kind = Kind {
    name: "month",
    low: 1,
    high: 12,
    names: &[
        "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
    ],
};
/// 7 is Sunday as well as 0.
const WEEKDAY: Kind = Kind {
    name: "day of week",
    low: 0,
    high: 6,
    names: &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
};

impl Kind {
    const fn numbers(name: &'static str, low: u32, high: u32) -> Self {
        Self {
            name,
            low,
            high,
            names: &[],
        }
    }

    /// The field as a plain list without ranges, steps and weekday numbers.
    fn read(&self, text: &str, field: &str) -> Result<String, ScheduleError> {
        if matches!(field, "*" | "?") {
            return Ok("*".to_owned());
        }
        let mut values = Vec::new();
        for part in field.split(',') {
            let part_values = self.part(part).ok_or_else(|| ScheduleError::Field {
                text: text.to_owned(),
                field: self.name,
                part: part.to_owned(),
                range: self.range(),
            })?;
            values.extend(part_values);
        }
        values.sort_unstable();
        values.dedup();
        let words: Vec<String> = values.into_iter().map(|value| self.word(value)).collect();
        Ok(words.join(","))
    }

    fn range(&self) -> String {
        let high = if self.wraps_at_seven() { 7 } else { self.high };
        match self.names {
            [] => format!("{} to {high}", self.low),
            [first, .., last] => format!("{} to {high}, or {first} to {last}", self.low),
            [one] => (*one).to_owned(),
        }
    }

    fn wraps_at_seven(&self) -> bool {
        self.high == 6
    }

    /// The crate's weekday numbers are not crontab's, so weekdays go by name.
    fn word(&self, value: u32) -> String {
        match self.names.get(value as usize) {
            Some(name) if self.wraps_at_seven() => (*name).to_owned(),
            _ => value.to_string(),
        }
    }

    /// The values of `*`, `a`, `a-b`, each with or without `/step`.
    fn part(&self, part: &str) -> Option<Vec<u32>> {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, number(step).filter(|step| *step > 0)?),
            None => (part, 1),
        };
        let (from, to) = match (range, range.split_once('-')) {
            ("*", _) => (self.low, self.high),
            (_, Some((from, to))) => (self.value(from)?, self.value(to)?),
            (one, None) if part.contains('/') => (self.value(one)?, self.high),
            (one, None) => (self.value(one)?, self.value(one)?),
        };
        self.between(from, to, step)
    }

    fn between(&self, from: u32, to: u32, step: u32) -> Option<Vec<u32>> {
        let step = step as usize;
        if from <= to {
            // `0-7` and `7` name Sunday by its second number.
            return Some((from..=to).step_by(step).map(|v| self.folded(v)).collect());
        }
        // Names may go round (FRI-MON); for numbers of a clock that is a slip of the pen.
        if self.names.is_empty() {
            return None;
        }
        let round = (from..=self.high).chain(self.low..=to);
        Some(round.step_by(step).collect())
    }

    fn folded(&self, value: u32) -> u32 {
        if self.wraps_at_seven() {
            value % 7
        } else {
            value
        }
    }

    fn value(&self, word: &str) -> Option<u32> {
        if let Some(at) = self.names.iter().position(|n| n.eq_ignore_ascii_case(word)) {
            return Some(self.low + u32::try_from(at).ok()?);
        }
        let high = if self.wraps_at_seven() { 7 } else { self.high };
        number(word).filter(|value| (self.low..=high).contains(value))
    }
}

/// Digits only: `parse` alone would take a sign.
fn number(word: &str) -> Option<u32> {
    if !word.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    word.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The next `count` runs after Saturday, 21 November 2026, 12:34:56, as `MM-DD HH:MM`.
    fn runs(text: &str, count: usize) -> Vec<String> {
        let schedule = Schedule::parse(text).unwrap();
        let mut at: Timestamp = "2026-11-21T12:34:56Z".parse().unwrap();
        let mut runs = Vec::new();
        for _ in 0..count {
            at = schedule.next_after(at);
            runs.push(at.strftime("%m-%d %H:%M").to_string());
        }
        runs
    }

    /// The weekdays on which `text` runs in a week, Sunday first.
    fn weekdays(text: &str) -> Vec<String> {
        let schedule = Schedule::parse(&format!("0 0 * * {text}")).unwrap();
        let mut at: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let end: Timestamp = "2026-11-28T12:00:00Z".parse().unwrap();
        let mut days = Vec::new();
        loop {
            at = schedule.next_after(at);
            if at > end {
                return days;
            }
            days.push(at.strftime("%a").to_string());
        }
    }

    #[test]
    fn five_fields_run_at_the_full_minute() {
        assert_eq!(
            runs("*/30 * * * *", 3),
            ["11-21 13:00", "11-21 13:30", "11-21 14:00"]
        );
        assert_eq!(runs("5,10-12 4 * * *", 2), ["11-22 04:05", "11-22 04:10"]);
        assert_eq!(runs("50/5 12 * * *", 2), ["11-21 12:50", "11-21 12:55"]);
    }

    #[test]
    fn fields_for_seconds_and_years_are_refused() {
        for text in ["0 */30 * * * *", "* 0,30 * * * * *", "* * * *", ""] {
            let error = Schedule::parse(text).unwrap_err();
            assert!(matches!(error, ScheduleError::Fields { .. }), "{error}");
        }
    }

    #[test]
    fn weekday_numbers_are_those_of_crontab() {
        assert_eq!(weekdays("0"), ["Sun"]);
        assert_eq!(weekdays("7"), ["Sun"]);
        assert_eq!(weekdays("1"), ["Mon"]);
        assert_eq!(weekdays("6"), ["Sat"]);
        assert_eq!(weekdays("5-7"), ["Sun", "Fri", "Sat"]);
        assert_eq!(weekdays("0-7").len(), 7);
        assert_eq!(weekdays("1-5/2"), ["Mon", "Wed", "Fri"]);
        assert_eq!(weekdays("*/2"), ["Sun", "Tue", "Thu", "Sat"]);
    }

    #[test]
    fn weekday_names_may_go_round() {
        assert_eq!(weekdays("FRI-SUN"), ["Sun", "Fri", "Sat"]);
        assert_eq!(weekdays("fri-mon"), ["Sun", "Mon", "Fri", "Sat"]);
        assert_eq!(weekdays("MON-FRI").len(), 5);
        assert_eq!(weekdays("SAT,SUN"), ["Sun", "Sat"]);
        assert_eq!(weekdays("?").len(), 7);
    }

    #[test]
    fn nicknames() {
        assert_eq!(runs("@hourly", 2), ["11-21 13:00", "11-21 14:00"]);
        assert_eq!(runs("@daily", 1), ["11-22 00:00"]);
        assert_eq!(runs("@weekly", 1), ["11-22 00:00"]);
        assert_eq!(runs("@monthly", 1), ["12-01 00:00"]);
        assert_eq!(runs("@yearly", 1), ["01-01 00:00"]);
    }

    #[test]
    fn either_day_may_hold_when_both_are_restricted() {
        assert_eq!(
            runs("0 0 1,15 * MON", 4),
            ["11-23 00:00", "11-30 00:00", "12-01 00:00", "12-07 00:00"]
        );
        // One of them is free: the other one alone decides.
        assert_eq!(runs("0 0 1,15 * *", 2), ["12-01 00:00", "12-15 00:00"]);
    }

    #[test]
    fn dates_that_never_come_are_refused() {
        let error = Schedule::parse("0 0 31 2 *").unwrap_err();
        assert!(matches!(error, ScheduleError::Never { .. }), "{error}");
        // But the weekday comes.
        Schedule::parse("0 0 31 2 MON").unwrap();
        Schedule::parse("0 0 29 2 *").unwrap();
    }

    #[test]
    fn utc_has_no_gap_in_spring() {
        let schedule = Schedule::parse("30 2 * * *").unwrap();
        let night: Timestamp = "2026-03-29T00:00:00Z".parse().unwrap();
        let next = schedule.next_after(night).to_string();
        assert_eq!(next, "2026-03-29T02:30:00Z");
    }

    #[test]
    fn slips_are_told_with_what_can_be_given() {
        for bad in [
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * * 13 *",
            "* * * * 8",
            "*/0 * * * *",
            "50-10 * * * *",
            "+1 * * * *",
            "1,, * * * *",
            "* * * * XYZ",
        ] {
            let error = Schedule::parse(bad).unwrap_err();
            assert!(matches!(error, ScheduleError::Field { .. }), "{error}");
        }
        let error = Schedule::parse("* * * * 8").unwrap_err().to_string();
        assert_eq!(
            error,
            r#"schedule "* * * * 8": "8" is no day of week (0 to 7, or SUN to SAT)"#
        );
    }
}
