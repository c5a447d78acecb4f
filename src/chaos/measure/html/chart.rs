//! Recall and precision with their intervals: a dot or a square on a line for each.

use super::safe;
use crate::chaos::measure::count::{Score, Share};
use std::fmt::Write;

const LEFT: f64 = 230.0;
const WIDTH: f64 = 960.0;
const ROW: f64 = 30.0;
const TOP: f64 = 22.0;

fn x(rate: f64) -> f64 {
    LEFT + rate * (WIDTH - LEFT - 20.0)
}

/// All fingerprints, one below the other.
pub(super) fn intervals(scores: &[Score]) -> String {
    let high = TOP + ROW * scores.len() as f64 + 6.0;
    let mut svg = format!(
        "<div class=\"panel\"><svg viewBox=\"0 0 {WIDTH} {high}\" role=\"img\" aria-label=\"Recall and precision of {} \
         fingerprints with their intervals; the numbers are in the table below\">",
        scores.len()
    );
    for tenth in [0, 2, 4, 6, 8, 10] {
        let at = x(f64::from(tenth) / 10.0);
        // Writing to a string cannot fail.
        let _ = write!(
            svg,
            "<line class=\"day\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{high}\"/><text x=\"{at:.1}\" y=\"14\" \
             text-anchor=\"middle\">{:.1}</text>",
            f64::from(tenth) / 10.0
        );
    }
    for (at, score) in scores.iter().enumerate() {
        let y = TOP + ROW * (at as f64 + 0.5);
        let name = safe(&score.fingerprint);
        let _ = write!(
            svg,
            "<g><title>{name}: recall {}, precision {}</title><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{name}</text>",
            score.recall,
            score.precision,
            LEFT - 10.0,
            y + 4.0
        );
        svg.push_str(&mark(score.recall, y - 5.0, false));
        svg.push_str(&mark(score.precision, y + 5.0, true));
        svg.push_str("</g>");
    }
    svg + "</svg><p class=\"legend\"><span>● recall</span><span>■ precision</span>\
           <span>the line is the interval; nothing where nothing was measured</span></p></div>\n"
}

fn mark(share: Share, y: f64, square: bool) -> String {
    let Some(rate) = share.rate() else {
        return String::new();
    };
    let (low, high, at) = (x(share.low), x(share.high), x(rate));
    let class = if square { "bar second" } else { "bar" };
    let line = format!(
        "<line class=\"whisker\" x1=\"{low:.1}\" x2=\"{high:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>"
    );
    if square {
        let (left, top) = (at - 4.0, y - 4.0);
        return format!(
            "{line}<rect class=\"{class}\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"8\" height=\"8\"/>"
        );
    }
    format!("{line}<circle class=\"{class}\" cx=\"{at:.1}\" cy=\"{y:.1}\" r=\"4.5\"/>")
}
