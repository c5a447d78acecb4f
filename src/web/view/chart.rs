//! A bar for each hour, as SVG with the numbers in a table behind it.

use std::fmt::Write;

const WIDTH: usize = 960;
const HEIGHT: usize = 150;
const BASE: usize = 130;

/// Bars of `(hour, explained, unexplained)`, oldest first; `label` says what is counted.
///
/// The texts are ours (numbers and times), so that the result needs no escaping.
pub(in crate::web) fn hours(label: &str, bars: &[(String, u64, u64)]) -> String {
    let Some(top) = bars
        .iter()
        .map(|(_, a, b)| a + b)
        .max()
        .filter(|top| *top > 0)
    else {
        return "<p class=\"soft\">Nothing yet.</p>".to_owned();
    };
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{label}, highest hour {top}\">"
    );
    let step = WIDTH as f64 / bars.len() as f64;
    svg.push_str(&days(bars, step));
    for (n, (hour, first, second)) in bars.iter().enumerate() {
        let x = n as f64 * step;
        let wide = (step - 0.6).max(0.8);
        let tall = |count: u64| count as f64 / top as f64 * 112.0;
        let (a, b) = (tall(*first), tall(*second));
        let base = BASE as f64;
        // Writing to a string cannot fail.
        let _ = write!(svg, "<g><title>{hour}: {}</title>", counts(*first, *second));
        let _ = write!(
            svg,
            "<rect class=\"bar\" x=\"{x:.1}\" y=\"{:.1}\" width=\"{wide:.1}\" height=\"{a:.1}\"/>",
            base - a
        );
        let _ = write!(
            svg,
            "<rect class=\"bar other\" x=\"{x:.1}\" y=\"{:.1}\" width=\"{wide:.1}\" height=\"{b:.1}\"/></g>",
            base - a - b
        );
    }
    let _ = write!(
        svg,
        "<line class=\"axis\" x1=\"0\" x2=\"{WIDTH}\" y1=\"{BASE}\" y2=\"{BASE}\"/><text x=\"0\" y=\"12\">{top}</text></svg>"
    );
    svg + legend(bars) + &table(label, bars)
}

/// A line and the date at every midnight (the hours are `2026-11-21 00:00` and so on).
fn days(bars: &[(String, u64, u64)], step: f64) -> String {
    let mut svg = String::new();
    let midnights = bars.iter().enumerate();
    for (n, (hour, ..)) in midnights.filter(|(_, b)| b.0.ends_with(" 00:00")) {
        let x = n as f64 * step;
        let day = hour.get(5..10).unwrap_or_default();
        // The last days' labels would be cut off at the edge.
        let (at, anchor) = if x > WIDTH as f64 - 40.0 {
            (x - 3.0, "end")
        } else {
            (x + 3.0, "start")
        };
        let _ = write!(
            svg,
            "<line class=\"day\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"16\" y2=\"{HEIGHT}\"/><text x=\"{at:.1}\" y=\"146\" text-anchor=\"{anchor}\">{day}</text>"
        );
    }
    svg
}

/// What the colours mean, where there are two.
fn legend(bars: &[(String, u64, u64)]) -> &'static str {
    if bars.iter().all(|(_, _, other)| *other == 0) {
        return "";
    }
    "<p class=\"legend\"><span><i class=\"bar\"></i>explained</span><span><i class=\"other\"></i>other</span></p>"
}

fn table(label: &str, bars: &[(String, u64, u64)]) -> String {
    let mut out = format!(
        "<details><summary>The numbers</summary><table><caption>{label}</caption><thead><tr><th scope=\"col\">Hour</th><th scope=\"col\" class=\"n\">Explained</th><th scope=\"col\" class=\"n\">Other</th></tr></thead><tbody>"
    );
    for (hour, first, second) in bars.iter().filter(|(_, a, b)| a + b > 0) {
        let _ = write!(
            out,
            "<tr><td>{hour}</td><td class=\"n\">{first}</td><td class=\"n\">{second}</td></tr>"
        );
    }
    out + "</tbody></table></details>"
}

fn counts(first: u64, second: u64) -> String {
    if second == 0 {
        return first.to_string();
    }
    format!("{first} explained, {second} other")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_builds_make_no_chart() {
        assert!(!hours("x", &[("now".into(), 0, 0)]).contains("<svg"));
        assert!(!hours("x", &[]).contains("<svg"));
    }

    #[test]
    fn every_hour_has_a_bar_and_a_number() {
        let svg = hours("Builds", &[("10:00".into(), 2, 1), ("11:00".into(), 0, 0)]);
        assert_eq!(svg.matches("<g>").count(), 2);
        assert!(svg.contains("10:00: 2 explained, 1 other"));
        assert_eq!(svg.matches("<tr><td>").count(), 1);
        assert!(svg.contains("class=\"legend\""));
    }

    #[test]
    fn midnights_are_dated_and_one_colour_needs_no_legend() {
        let bars = [
            ("2026-11-20 23:00".into(), 1, 0),
            ("2026-11-21 00:00".into(), 0, 0),
        ];
        let svg = hours("Builds", &bars);
        assert_eq!(svg.matches("class=\"day\"").count(), 1);
        assert!(svg.contains(">11-21</text>"));
        assert!(!svg.contains("legend"));
    }
}
