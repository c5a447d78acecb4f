//! The tree of a query as it was understood: clauses after Lucene's rules, texts after analysis.

use std::ops::Range;

/// Whether a clause must hold, may hold or must not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occur {
    /// `+`: the group holds only if this does.
    Must,
    /// No sign: where a group has no `+`, one of these must hold.
    Should,
    /// `-`: the group does not hold if this does.
    MustNot,
}

/// The operator that stood in front of a clause in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// None: the first clause, or two clauses side by side.
    None,
    /// `AND` or `&&`.
    And,
    /// `OR` or `||`.
    Or,
}

/// One part of a group.
#[derive(Debug, Clone, PartialEq)]
pub struct Clause {
    /// What the clause rules made of it.
    pub occur: Occur,
    /// The operator written before it.
    pub operator: Operator,
    /// What must, may or must not hold.
    pub node: Node,
}

/// A node of the tree with the bytes of the query text that it came from.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Byte range in the query's text.
    pub span: Range<usize>,
    /// What it means.
    pub kind: Kind,
}

/// What a node means.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// Every event (`*`, `*:*`).
    All,
    /// No event: text that the analyser reduces to nothing, a field that does not exist.
    Nothing,
    /// A group of clauses.
    Bool(Vec<Clause>),
    /// A group whose score is changed; matches what the group matches.
    Boost(Box<Node>, f32),
    /// `_exists_:field` and `field:*`.
    Exists(String),
    /// One exact value: an analysed word for a text field, the whole string for a keyword, the
    /// canonical form for numbers, dates and booleans.
    Term {
        /// Field name.
        field: String,
        /// The value to compare with.
        value: String,
    },
    /// Words of a text field at given positions.
    Phrase {
        /// Field name.
        field: String,
        /// The analysed words with their positions (positions can have gaps).
        words: Vec<(u32, String)>,
        /// How far the words may be moved in all.
        slop: u32,
    },
    /// `*` and `?` over one word or keyword; already in the field's case.
    Wildcard {
        /// Field name.
        field: String,
        /// The pattern with `\` as escape.
        pattern: String,
    },
    /// A regular expression (Lucene's dialect) over one whole word or keyword.
    Regex {
        /// Field name.
        field: String,
        /// The expression between the slashes.
        pattern: String,
    },
    /// Words within an edit distance.
    Fuzzy {
        /// Field name.
        field: String,
        /// The word to be near to.
        value: String,
        /// 0, 1 or 2 edits (a transposition is one).
        distance: u8,
    },
    /// Values between two bounds; an open side is `None`, else the value and whether it belongs.
    Range {
        /// Field name.
        field: String,
        /// Lower bound.
        lower: Option<(String, bool)>,
        /// Upper bound.
        upper: Option<(String, bool)>,
    },
}

impl Kind {
    /// The field that a leaf is about.
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::Exists(field)
            | Self::Term { field, .. }
            | Self::Phrase { field, .. }
            | Self::Wildcard { field, .. }
            | Self::Regex { field, .. }
            | Self::Fuzzy { field, .. }
            | Self::Range { field, .. } => Some(field),
            Self::All | Self::Nothing | Self::Bool(_) | Self::Boost(..) => None,
        }
    }
}
