//! Lucene's regular expressions (`org.apache.lucene.util.automaton.RegExp` with all its options)
//! over one whole word: besides the usual operators `~` complement, `&` intersection, `#` nothing,
//! `@` anything, `<1-10>` numeric intervals and `"…"` literal text.
//!
//! An expression without these operators is matched by the `regex` crate. Of others a word is matched by
//! taking Brzozowski derivatives, so that complement and intersection need no special case and the work is
//! bounded.

mod usual;

use regex::Regex;
use std::rc::Rc;
use usual::usual;

/// Why an expression is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RegexProblem {
    pub(super) message: String,
    /// Byte offset in the expression.
    pub(super) offset: usize,
}

/// Most nodes that one match may build before it gives up; the cluster refuses such expressions
/// ("too complex to determinize").
const MAX_WORK: usize = 2_000_000;
/// Deepest nodes that one match may build before it gives up: each takes a part of the stack.
const MAX_DEPTH: usize = 500;
/// Most copies that repetitions may make of their operands.
const MAX_COPIES: usize = 10_000;

/// Most copies and characters of the expressions of one query that are left to the `regex` crate, which
/// takes memory for each.
const MAX_USUAL: usize = 12_000;

/// A parsed expression.
#[derive(Debug, Clone)]
pub(super) struct Program {
    tree: Tree,
    /// What it takes for the `regex` crate.
    size: usize,
    usual: Option<Regex>,
}

#[derive(Debug, Clone, PartialEq)]
enum Tree {
    Nothing,
    Empty,
    /// One character of (or outside) these ranges.
    Set(Vec<(char, char)>, bool),
    Sequence(Vec<Tree>),
    Either(Vec<Tree>),
    Both(Vec<Tree>),
    Not(Box<Tree>),
    Repeat(Box<Tree>, u32, Option<u32>),
    /// A decimal number between two bounds, with exactly so many digits, or any number of leading
    /// zeros when 0.
    Interval(u64, u64, usize),
}

impl Program {
    /// Reads an expression. It is slow until it is [made ready](Self::make_ready).
    pub(super) fn new(pattern: &str) -> Result<Self, RegexProblem> {
        let mut reader = Reader {
            chars: pattern.char_indices().collect(),
            at: 0,
            end: pattern.len(),
            copies: 0,
            depth: 0,
        };
        if pattern.is_empty() {
            return Ok(Self::of(Tree::Empty, 0));
        }
        let tree = reader.union()?;
        if reader.at < reader.chars.len() {
            return Err(reader.problem("end of the expression expected"));
        }
        Ok(Self::of(tree, reader.copies + reader.chars.len()))
    }

    fn of(tree: Tree, size: usize) -> Self {
        Self {
            tree,
            size,
            usual: None,
        }
    }

    /// Has it matched by the `regex` crate if it can be and there is room: `taken` is what the expressions
    /// of a query take together.
    pub(super) fn make_ready(&mut self, taken: &mut usize) {
        let all = *taken + self.size;
        if all <= MAX_USUAL {
            *taken = all;
            self.usual = usual(&self.tree);
        }
    }

    /// True when the whole text matches.
    pub(super) fn matches(&self, text: &str) -> bool {
        match &self.usual {
            Some(usual) => usual.is_match(text),
            None => self.matches_by_derivatives(text),
        }
    }

    fn matches_by_derivatives(&self, text: &str) -> bool {
        let mut work = Work::default();
        let mut state = Rc::new(lower(&self.tree));
        for c in text.chars() {
            state = derive(&state, c, &mut work);
            if work.is_too_much() || matches!(*state, Node::Nothing) {
                return false;
            }
        }
        nullable(&state)
    }
}

/// What one match has cost so far.
#[derive(Default)]
struct Work {
    nodes: usize,
    depth: usize,
    is_too_deep: bool,
}

impl Work {
    fn is_too_much(&self) -> bool {
        self.nodes > MAX_WORK || self.is_too_deep
    }
}

struct Reader {
    chars: Vec<(usize, char)>,
    at: usize,
    end: usize,
    copies: usize,
    depth: usize,
}

type Read = Result<Tree, RegexProblem>;

impl Reader {
    fn problem(&self, message: impl Into<String>) -> RegexProblem {
        let offset = self.chars.get(self.at).map_or(self.end, |(at, _)| *at);
        RegexProblem {
            message: message.into(),
            offset,
        }
    }

    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).map(|(_, c)| *c)
    }

    fn eat(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    fn take(&mut self) -> Result<char, RegexProblem> {
        let c = self
            .peek()
            .ok_or_else(|| self.problem("the expression ends too early"))?;
        self.at += 1;
        Ok(c)
    }

    fn union(&mut self) -> Read {
        self.depth += 1;
        if self.depth > 200 {
            return Err(self.problem("groups are nested more than 200 deep"));
        }
        let mut all = vec![self.intersection()?];
        while self.eat('|') {
            all.push(self.intersection()?);
        }
        self.depth -= 1;
        Ok(one_or(all, Tree::Either))
    }

    fn intersection(&mut self) -> Read {
        let mut all = vec![self.sequence()?];
        while self.eat('&') {
            all.push(self.sequence()?);
        }
        Ok(one_or(all, Tree::Both))
    }

    fn sequence(&mut self) -> Read {
        let mut all = vec![self.repeat()?];
        while self.peek().is_some_and(|c| !matches!(c, ')' | '|' | '&')) {
            all.push(self.repeat()?);
        }
        Ok(one_or(all, Tree::Sequence))
    }

    fn repeat(&mut self) -> Read {
        let mut tree = self.complement()?;
        loop {
            let (least, most) = match self.peek() {
                Some('?') => (0, Some(1)),
                Some('*') => (0, None),
                Some('+') => (1, None),
                Some('{') => self.bounds()?,
                _ => return Ok(tree),
            };
            self.at += 1;
            self.copies += most.unwrap_or(least).max(1) as usize;
            if self.copies > MAX_COPIES {
                return Err(self.problem("too many repetitions"));
            }
            tree = Tree::Repeat(Box::new(tree), least, most);
        }
    }

    /// Reads `{n}`, `{n,}` or `{n,m}` up to, not including, the closing brace.
    fn bounds(&mut self) -> Result<(u32, Option<u32>), RegexProblem> {
        self.at += 1;
        let least = self.integer()?;
        let most = if self.eat(',') {
            if self.peek() == Some('}') {
                None
            } else {
                Some(self.integer()?)
            }
        } else {
            Some(least)
        };
        if self.peek() != Some('}') {
            return Err(self.problem("expected `}`"));
        }
        if most.is_some_and(|m| m < least) {
            return Err(self.problem("the repetition's upper bound is below its lower bound"));
        }
        Ok((least, most))
    }

    fn integer(&mut self) -> Result<u32, RegexProblem> {
        let mut digits = String::new();
        while let Some(c) = self.peek().filter(char::is_ascii_digit) {
            digits.push(c);
            self.at += 1;
        }
        digits
            .parse()
            .map_err(|_| self.problem("expected a number"))
    }

    fn complement(&mut self) -> Read {
        if self.eat('~') {
            self.depth += 1;
            if self.depth > 200 {
                return Err(self.problem("complements are nested more than 200 deep"));
            }
            let inner = self.complement()?;
            self.depth -= 1;
            return Ok(Tree::Not(Box::new(inner)));
        }
        self.class_or_simple()
    }

    fn class_or_simple(&mut self) -> Read {
        if !self.eat('[') {
            return self.simple();
        }
        let negated = self.eat('^');
        let mut ranges = Vec::new();
        loop {
            self.class_part(&mut ranges)?;
            if self.eat(']') {
                return Ok(Tree::Set(ranges, negated));
            }
            if self.peek().is_none() {
                return Err(self.problem("expected `]`"));
            }
        }
    }

    fn class_part(&mut self, ranges: &mut Vec<(char, char)>) -> Result<(), RegexProblem> {
        if self.peek() == Some('\\')
            && let Some(Tree::Set(inner, false)) = self.shorthand()
        {
            ranges.extend(inner);
            return Ok(());
        }
        let from = self.character()?;
        if !self.eat('-') {
            ranges.push((from, from));
            return Ok(());
        }
        let to = self.character()?;
        if to < from {
            return Err(self.problem("the range is the wrong way round"));
        }
        ranges.push((from, to));
        Ok(())
    }

    /// One character; a letter behind a `\` must be one of the classes.
    fn character(&mut self) -> Result<char, RegexProblem> {
        if self.eat('\\') && self.peek().is_some_and(|c| c.is_ascii_alphabetic()) {
            return Err(self.problem("only `\\d`, `\\s`, `\\w` and their capitals are classes"));
        }
        self.take()
    }

    /// `\d`, `\s`, `\w` and their opposites, taken when one stands here.
    fn shorthand(&mut self) -> Option<Tree> {
        let letter = self.chars.get(self.at + 1).map(|(_, c)| *c)?;
        let ranges = match letter.to_ascii_lowercase() {
            'd' => vec![('0', '9')],
            's' => vec![(' ', ' '), ('\t', '\t'), ('\n', '\n'), ('\r', '\r')],
            'w' => vec![('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')],
            _ => return None,
        };
        self.at += 2;
        if letter.is_ascii_uppercase() {
            return Some(Tree::Set(complement(&ranges), false));
        }
        Some(Tree::Set(ranges, false))
    }

    fn simple(&mut self) -> Read {
        if self.peek() == Some('\\')
            && let Some(set) = self.shorthand()
        {
            return Ok(set);
        }
        match self.peek() {
            Some('.') => self.just(Tree::Set(Vec::new(), true)),
            Some('#') => self.just(Tree::Nothing),
            Some('@') => self.just(any_text()),
            Some('"') => self.literal(),
            Some('(') => self.group(),
            Some('<') => self.interval(),
            _ => {
                let c = self.character()?;
                Ok(Tree::Set(vec![(c, c)], false))
            }
        }
    }

    #[expect(clippy::unnecessary_wraps, reason = "an arm among fallible ones")]
    fn just(&mut self, tree: Tree) -> Read {
        self.at += 1;
        Ok(tree)
    }

    fn literal(&mut self) -> Read {
        self.at += 1;
        let mut all = Vec::new();
        loop {
            match self.take() {
                Ok('"') => return Ok(Tree::Sequence(all)),
                Ok(c) => all.push(Tree::Set(vec![(c, c)], false)),
                Err(_) => return Err(self.problem("expected `\"`")),
            }
        }
    }

    fn group(&mut self) -> Read {
        self.at += 1;
        if self.eat(')') {
            return Ok(Tree::Empty);
        }
        let inner = self.union()?;
        if self.eat(')') {
            Ok(inner)
        } else {
            Err(self.problem("expected `)`"))
        }
    }

    /// `<n-m>`; `<name>` would be an automaton that nobody has defined.
    fn interval(&mut self) -> Read {
        self.at += 1;
        let mut inner = String::new();
        loop {
            match self.take() {
                Ok('>') => break,
                Ok(c) => inner.push(c),
                Err(_) => return Err(self.problem("expected `>`")),
            }
        }
        let bounds = inner.split_once('-').and_then(|(from, to)| {
            let numbers = (from.parse::<u64>().ok()?, to.parse::<u64>().ok()?);
            Some((
                numbers,
                if from.len() == to.len() {
                    from.len()
                } else {
                    0
                },
            ))
        });
        let Some(((from, to), digits)) = bounds else {
            return Err(self.problem("expected a numeric interval such as `<1-10>`"));
        };
        Ok(Tree::Interval(from.min(to), from.max(to), digits))
    }
}

fn one_or(mut all: Vec<Tree>, many: fn(Vec<Tree>) -> Tree) -> Tree {
    if all.len() == 1 {
        all.remove(0)
    } else {
        many(all)
    }
}

fn any_text() -> Tree {
    Tree::Repeat(Box::new(Tree::Set(Vec::new(), true)), 0, None)
}

fn complement(ranges: &[(char, char)]) -> Vec<(char, char)> {
    let mut sorted = ranges.to_vec();
    sorted.sort_unstable();
    let mut out = Vec::new();
    let mut from = 0_u32;
    for (low, high) in sorted {
        if u32::from(low) > from {
            let below = char::from_u32(u32::from(low) - 1);
            out.extend(char::from_u32(from).zip(below));
        }
        from = u32::from(high) + 1;
    }
    out.extend(char::from_u32(from).map(|c| (c, char::MAX)));
    out
}

/// The matching form: binary nodes that are shared.
#[derive(Debug, PartialEq)]
enum Node {
    Nothing,
    Empty,
    Set(Vec<(char, char)>, bool),
    Then(Rc<Node>, Rc<Node>),
    Either(Rc<Node>, Rc<Node>),
    Both(Rc<Node>, Rc<Node>),
    Not(Rc<Node>),
    Star(Rc<Node>),
    Between {
        node: Rc<Node>,
        least: u32,
        most: Option<u32>,
    },
    Interval {
        from: u64,
        to: u64,
        digits: usize,
        seen: String,
    },
}

fn lower(tree: &Tree) -> Node {
    let fold = |all: &[Tree], join: fn(Rc<Node>, Rc<Node>) -> Node| {
        let mut nodes = all.iter().rev().map(lower);
        let last = nodes.next().unwrap_or(Node::Empty);
        nodes.fold(last, |right, left| join(Rc::new(left), Rc::new(right)))
    };
    match tree {
        Tree::Nothing => Node::Nothing,
        Tree::Empty => Node::Empty,
        Tree::Set(ranges, negated) => Node::Set(ranges.clone(), *negated),
        Tree::Sequence(all) => fold(all, Node::Then),
        Tree::Either(all) => fold(all, Node::Either),
        Tree::Both(all) => fold(all, Node::Both),
        Tree::Not(inner) => Node::Not(Rc::new(lower(inner))),
        Tree::Repeat(inner, 0, None) => Node::Star(Rc::new(lower(inner))),
        Tree::Repeat(inner, least, most) => Node::Between {
            node: Rc::new(lower(inner)),
            least: *least,
            most: *most,
        },
        Tree::Interval(from, to, digits) => Node::Interval {
            from: *from,
            to: *to,
            digits: *digits,
            seen: String::new(),
        },
    }
}

fn nullable(node: &Node) -> bool {
    match node {
        Node::Nothing | Node::Set(..) => false,
        Node::Empty | Node::Star(_) => true,
        Node::Then(a, b) | Node::Both(a, b) => nullable(a) && nullable(b),
        Node::Either(a, b) => nullable(a) || nullable(b),
        Node::Not(a) => !nullable(a),
        Node::Between { node, least, .. } => *least == 0 || nullable(node),
        Node::Interval {
            from,
            to,
            digits,
            seen,
        } => {
            let length_fits = *digits == 0 || seen.len() == *digits;
            length_fits && seen.parse().is_ok_and(|n: u64| (*from..=*to).contains(&n))
        }
    }
}

fn derive(node: &Rc<Node>, c: char, work: &mut Work) -> Rc<Node> {
    work.nodes += 1;
    work.is_too_deep |= work.depth > MAX_DEPTH;
    if work.is_too_much() {
        return Rc::new(Node::Nothing);
    }
    work.depth += 1;
    let derived = match &**node {
        Node::Set(ranges, negated) => {
            let inside = ranges.iter().any(|(from, to)| (*from..=*to).contains(&c));
            Rc::new(if inside == *negated {
                Node::Nothing
            } else {
                Node::Empty
            })
        }
        Node::Then(a, b) => {
            let first = then(derive(a, c, work), Rc::clone(b));
            if nullable(a) {
                either(first, derive(b, c, work))
            } else {
                first
            }
        }
        Node::Either(a, b) => either(derive(a, c, work), derive(b, c, work)),
        Node::Both(a, b) => both(derive(a, c, work), derive(b, c, work)),
        Node::Not(a) => Rc::new(Node::Not(derive(a, c, work))),
        Node::Star(a) => then(derive(a, c, work), Rc::clone(node)),
        Node::Between {
            node: inner,
            least,
            most,
        } => {
            let rest = Node::Between {
                node: Rc::clone(inner),
                least: least.saturating_sub(1),
                most: most.map(|m| m.saturating_sub(1)),
            };
            match most {
                Some(0) => Rc::new(Node::Nothing),
                _ => then(derive(inner, c, work), Rc::new(rest)),
            }
        }
        Node::Interval {
            from,
            to,
            digits,
            seen,
        } if c.is_ascii_digit() && seen.len() < 19 => {
            let (from, to, digits) = (*from, *to, *digits);
            // Leading zeros change neither the value nor, without a fixed width, what may follow.
            let seen = if digits == 0 && seen == "0" {
                c.to_string()
            } else {
                format!("{seen}{c}")
            };
            Rc::new(Node::Interval {
                from,
                to,
                digits,
                seen,
            })
        }
        Node::Nothing | Node::Empty | Node::Interval { .. } => Rc::new(Node::Nothing),
    };
    work.depth -= 1;
    derived
}

fn then(a: Rc<Node>, b: Rc<Node>) -> Rc<Node> {
    match (&*a, &*b) {
        (Node::Nothing, _) | (_, Node::Nothing) => Rc::new(Node::Nothing),
        (Node::Empty, _) => b,
        (_, Node::Empty) => a,
        _ => Rc::new(Node::Then(a, b)),
    }
}

fn either(a: Rc<Node>, b: Rc<Node>) -> Rc<Node> {
    match (&*a, &*b) {
        (Node::Nothing, _) => b,
        (_, Node::Nothing) => a,
        _ if contains(&a, &b) => a,
        _ => Rc::new(Node::Either(a, b)),
    }
}

/// True when `node` is one of the alternatives of `alternatives` already; keeps the states small.
fn contains(alternatives: &Rc<Node>, node: &Rc<Node>) -> bool {
    match &**alternatives {
        Node::Either(a, b) => contains(a, node) || contains(b, node),
        _ => alternatives == node,
    }
}

fn both(a: Rc<Node>, b: Rc<Node>) -> Rc<Node> {
    match (&*a, &*b) {
        (Node::Nothing, _) | (_, Node::Nothing) => Rc::new(Node::Nothing),
        _ if a == b => a,
        _ => Rc::new(Node::Both(a, b)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dialect() {
        for (pattern, text, expected) in [
            ("erro.", "error", true),
            ("err", "error", false),
            ("[a-c]+x{2,3}", "abcxxx", true),
            ("[a-c]+x{2,3}", "abcxxxx", false),
            ("~(abc)", "abd", true),
            ("~(abc)", "abc", false),
            (".*a.*&.*b.*", "xbxa", true),
            (".*a.*&.*b.*", "xa", false),
            ("<1-10>", "7", true),
            ("<1-10>", "11", false),
            ("<01-10>", "7", false),
            ("a\"*\"b", "a*b", true),
            ("@", "anything", true),
            ("#", "", false),
            ("()", "", true),
            ("\\d+\\w", "12x", true),
            ("[^a]", "b", true),
            ("(a|b)*c", "ababc", true),
        ] {
            let program = Program::new(pattern).unwrap();
            assert_eq!(program.matches(text), expected, "{pattern} on {text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn both_ways_agree(
            pattern in r"([ab.é?*+|]|\d|\[a-b\]|\[\^a\]|\(a\|b\)|\(\)|#|@|\{1,2\}){1,8}",
            text in "[abé1\n]{0,6}",
        ) {
            let Ok(mut program) = Program::new(&pattern) else { return Ok(()) };
            program.make_ready(&mut 0);
            proptest::prop_assert!(program.usual.is_some(), "{pattern}");
            let wanted = program.matches_by_derivatives(&text);
            proptest::prop_assert_eq!(program.matches(&text), wanted, "{} on {:?}", pattern, text);
        }
    }

    #[test]
    fn only_what_is_usual_is_left_to_the_other_crate() {
        for (pattern, wanted) in [
            ("a.*b", true),
            ("~a", false),
            ("a&b", false),
            ("<1-2>", false),
        ] {
            let mut program = Program::new(pattern).unwrap();
            program.make_ready(&mut 0);
            assert_eq!(program.usual.is_some(), wanted, "{pattern}");
        }
    }

    #[test]
    fn broken_expressions_say_where() {
        for (pattern, offset) in [("[", 1), ("a(b", 3), ("a{2,1}", 5), ("a)", 1), ("<a>", 3)] {
            assert_eq!(
                Program::new(pattern).unwrap_err().offset,
                offset,
                "{pattern}"
            );
        }
    }

    #[test]
    fn all_of_a_query_have_room_together() {
        let mut taken = 0;
        let mut programs: Vec<_> = (9_000..9_010)
            .map(|copies| Program::new(&format!(".{{{copies}}}")).unwrap())
            .collect();
        for program in &mut programs {
            program.make_ready(&mut taken);
        }
        let ready = programs.iter().filter(|one| one.usual.is_some()).count();
        assert!(ready == 1 && taken <= MAX_USUAL, "{ready} {taken}");
        for (program, copies) in programs.iter().zip(9_000..) {
            assert!(program.matches(&"x".repeat(copies)), "{copies}");
            assert!(!program.matches(&"x".repeat(copies - 1)), "{copies}");
        }
    }

    #[test]
    fn what_grows_with_the_text_is_given_up() {
        let pattern = format!("{}.*{}&@", "(".repeat(100), ".{0,99})".repeat(100));
        let program = Program::new(&pattern).unwrap();
        let thread = std::thread::Builder::new().stack_size(2 << 20);
        let matched = thread.spawn(move || program.matches(&"x".repeat(200)));
        assert!(!matched.unwrap().join().unwrap());
    }

    #[test]
    fn many_parts_that_may_be_left_out_are_not_deep() {
        let program = Program::new(&format!("({})&@", "a?".repeat(150))).unwrap();
        assert!(program.matches("aaa"));
        assert!(!program.matches("aab"));
    }

    #[test]
    fn hostile_expressions_end() {
        let program = Program::new("(a*)*(a*)*(a*)*b").unwrap();
        assert!(!program.matches(&"a".repeat(200)));
    }
}
