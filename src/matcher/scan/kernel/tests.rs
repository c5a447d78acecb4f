use super::*;
use proptest::prelude::*;

const ALL: [Level; 4] = [Level::Plain, Level::Avx2, Level::Avx512, Level::Vbmi2];

fn keys(words: &[&str], shortest: usize, level: Level) -> Keys {
    let mut all: Vec<u64> = words.iter().map(|w| key_of(w.as_bytes())).collect();
    all.sort_unstable();
    all.dedup();
    Keys::new(&all, shortest, &[], level)
}

/// Those that this processor has.
fn levels() -> impl Iterator<Item = Level> {
    ALL.into_iter().filter(|level| *level <= Level::best())
}

#[test]
fn what_this_processor_lacks_is_told() {
    for level in ALL.iter().filter(|level| **level > Level::best()) {
        let told = format!("SKIPPED: this processor cannot run the kernel for {level:?}\n");
        std::io::Write::write_all(&mut std::io::stderr(), told.as_bytes()).unwrap();
    }
    assert_eq!(levels().next(), Some(Level::Plain));
}

/// The same by looking at one byte after the other.
fn slowly(text: &[u8], words: &[&str], shortest: usize) -> Vec<usize> {
    let folded: Vec<u8> = text.iter().map(|b| fold(*b)).collect();
    let mut found = Vec::new();
    let mut at = 0;
    while at < folded.len() {
        let end = at + folded[at..].iter().take_while(|b| **b != 0).count();
        let token = &folded[at..end];
        let known = words.iter().any(|w| key_of(w.as_bytes()) == key_of(token));
        if token.len() >= shortest && known {
            found.push(at);
        }
        at = end + 1;
    }
    found
}

fn places(keys: &Keys, text: &[u8]) -> (Vec<usize>, Seen) {
    let mut found = Vec::new();
    let seen = keys.scan(text, &mut Scratch::default(), |at, _| found.push(at));
    (found, seen)
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => prop::sample::select(vec!["abc", "ABCDEFGHIJ", "abcdefgh", "x_1", "no", " ", ".", "\n"])
            .prop_map(|s| s.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1..8),
        1 => (1_usize..400).prop_map(|n| vec![b'q'; n]),
    ];
    prop::collection::vec(piece, 0..200).prop_map(|all| all.concat())
}

proptest! {
    #[test]
    fn all_levels_see_the_same(text in text(), shift in 0_usize..70, shortest in 1_usize..=3) {
        // Windows end inside of it.
        let mut long = vec![b' '; WINDOW - shift];
        long.extend(&text);
        long.extend(std::iter::repeat_n(b'.', WINDOW - shift));
        long.extend(&text);
        for text in [&text, &long] {
            let words: &[&str] = if shortest == 3 { &["abc", "abcdefghij", "x_1"] } else { &["abc", "no"] };
            let expected = slowly(text, words, shortest);
            let twin = places(&keys(words, shortest, Level::Plain), text);
            prop_assert_eq!(&twin.0, &expected);
            for level in levels() {
                prop_assert_eq!(&places(&keys(words, shortest, level), text), &twin, "{:?}", level);
            }
        }
    }
}

#[test]
fn what_stands_beside_the_words_is_seen() {
    for level in levels() {
        let keys = keys(&["abc"], 3, level);
        let (found, seen) = places(&keys, b"ABC\n\n abcd abc");
        assert_eq!((found, seen.lines), (vec![0, 11], 2));
        assert!(!seen.nul && !seen.beyond_ascii && seen.long.is_empty());
        assert!(places(&keys, b"a\0").1.nul);
        assert!(places(&keys, "é".as_bytes()).1.beyond_ascii);
        for before in 0..64 {
            let text = [vec![b' '; before], vec![b'x'; 255], vec![b' '; 64]].concat();
            assert_eq!(places(&keys, &text).1.long.len(), 1, "{before}");
        }
        assert!(places(&keys, &[b'x'; 127]).1.long.is_empty());
    }
}
