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
        "<line class=\"axis\" x1=\"0\" x2=\"{WIDTH}\" y1=\"{BASE}\" y2=\"{BASE}\"/>"
    );
    let first = bars.first().map_or("", |b| b.0.as_str());
    let last = bars.last().map_or("", |b| b.0.as_str());
    let _ = write!(
        svg,
        "<text x=\"0\" y=\"146\">{first}</text><text x=\"{WIDTH}\" y=\"146\" text-anchor=\"end\">{last}</text><text x=\"0\" y=\"12\">{top}</text></svg>"
    );
    svg + &table(label, bars)
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
    }
}
