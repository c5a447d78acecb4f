//! Evidence cut into marked and unmarked pieces.

/// A part of an excerpt.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::web) struct Piece {
    pub(in crate::web) text: String,
    pub(in crate::web) marked: bool,
}

/// Cuts `text` at the spans; spans that are out of order or inside a character are left out.
pub(in crate::web) fn pieces(text: &str, spans: &[(usize, usize)]) -> Vec<Piece> {
    let mut out = Vec::new();
    let mut push = |part: Option<&str>, marked| {
        if let Some(part) = part.filter(|p| !p.is_empty()) {
            let text = part.to_owned();
            out.push(Piece { text, marked });
        }
    };
    let mut at = 0;
    for &(from, to) in spans {
        if from < at || text.get(from..to).is_none() {
            continue;
        }
        push(text.get(at..from), false);
        push(text.get(from..to), true);
        at = to;
    }
    push(text.get(at..), false);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_whatever_the_spans() {
        let text = "aé b";
        for spans in [
            vec![],
            vec![(0, 1)],
            vec![(0, 2)],
            vec![(1, 3), (2, 4)],
            vec![(4, 99)],
        ] {
            let all: String = pieces(text, &spans).into_iter().map(|p| p.text).collect();
            assert_eq!(all, text, "{spans:?}");
        }
        assert_eq!(
            pieces(text, &[(1, 3)])[1],
            Piece {
                text: "é".into(),
                marked: true
            }
        );
    }
}
