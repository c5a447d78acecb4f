//! Tokens to tree, after the grammar of Lucene's classic query parser and what OpenSearch's
//! `QueryStringQueryParser` makes of each part.
//!
//! The clause rule is flat: `AND` makes the clause before and the clause after it required, `NOT`
//! makes the next one prohibited, `OR` leaves both as they are; there is no precedence. Words side
//! by side are analysed as one text, which matters for keywords (`tags:(a b)` is the tag `a b`).

use super::ast::{Clause, Kind, Node, Occur, Operator};
use super::leaf::{self, Leaf};
use super::lexer::{self, Token, TokenKind};
use super::number::java_float;
use super::{QueryError, Schema};
use std::ops::Range;

/// Longest query that a cluster takes by default, in characters.
const MAX_LENGTH: usize = 32_000;
/// Most conditions that a cluster takes by default.
const MAX_CLAUSES: usize = 1024;
/// Deepest nesting of groups; far beyond what people write, and safe for the stack.
const MAX_DEPTH: usize = 200;

/// The field that text without a field is looked up in.
pub(super) const DEFAULT_FIELD: &str = "message";

/// A parsed query: its tree, and the texts that the analyser reduced to nothing.
pub(super) struct Parsed {
    pub(super) root: Node,
    pub(super) dropped: Vec<Range<usize>>,
}

/// Parses a whole query.
pub(super) fn parse(text: &str, schema: &Schema) -> Result<Parsed, QueryError> {
    let length = text.chars().count();
    if length > MAX_LENGTH {
        let message = format!("the query has {length} characters; at most {MAX_LENGTH} are taken");
        return Err(QueryError { message, offset: 0 });
    }
    let all = 0..text.len();
    if text.trim_matches(|c| c <= ' ').is_empty() {
        let root = Node {
            span: all,
            kind: Kind::Nothing,
        };
        return Ok(Parsed {
            root,
            dropped: Vec::new(),
        });
    }
    let tokens = lexer::tokens(text)?;
    let mut parser = Parser {
        text,
        schema,
        tokens,
        at: 0,
        depth: 0,
        dropped: Vec::new(),
    };
    let root = parser.query(None)?;
    if parser.kind() != TokenKind::End {
        return Err(parser.unexpected());
    }
    if let Some(root) = &root {
        count_leaves(root, &mut 0)?;
    }
    let root = root.unwrap_or(Node {
        span: all,
        kind: Kind::Nothing,
    });
    Ok(Parsed {
        root,
        dropped: parser.dropped,
    })
}

/// Refuses what a cluster refuses by default: a group of more than 1,024 clauses, or more than
/// that many conditions in all.
fn count_leaves(node: &Node, leaves: &mut usize) -> Result<(), QueryError> {
    match &node.kind {
        Kind::Bool(clauses) => {
            if clauses.len() > MAX_CLAUSES {
                return Err(too_many(node));
            }
            return clauses
                .iter()
                .try_for_each(|c| count_leaves(&c.node, leaves));
        }
        Kind::Boost(inner, _) => return count_leaves(inner, leaves),
        _ => *leaves += 1,
    }
    if *leaves > MAX_CLAUSES + 1 {
        Err(too_many(node))
    } else {
        Ok(())
    }
}

fn too_many(node: &Node) -> QueryError {
    let message = format!("more than {MAX_CLAUSES} conditions; split the query");
    QueryError {
        message,
        offset: node.span.start,
    }
}

/// The sign before a clause.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Modifier {
    None,
    Required,
    Prohibited,
}

struct Parser<'a> {
    text: &'a str,
    schema: &'a Schema,
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
    dropped: Vec<Range<usize>>,
}

impl Parser<'_> {
    fn kind(&self) -> TokenKind {
        self.kind_at(0)
    }

    fn kind_at(&self, ahead: usize) -> TokenKind {
        let last = self.tokens.len() - 1;
        self.tokens[(self.at + ahead).min(last)].kind
    }

    fn take(&mut self) -> Token {
        let token = self.tokens[self.at].clone();
        if self.at + 1 < self.tokens.len() {
            self.at += 1;
        }
        token
    }

    fn image(&self, token: &Token) -> &str {
        &self.text[token.span.clone()]
    }

    /// A list of clauses up to `)` or the end; `None` when the analyser left nothing of it.
    fn query(&mut self, field: Option<&str>) -> Result<Option<Node>, QueryError> {
        let start = self.tokens[self.at].span.start;
        let mut clauses = Vec::new();
        let mut first: Option<Node> = None;
        if self.starts_run() {
            first = self.run(field, &mut clauses)?;
        } else {
            let modifier = self.modifier();
            let node = self.clause(field)?;
            if modifier == Modifier::None {
                first.clone_from(&node);
            }
            add_clause(&mut clauses, Operator::None, modifier, node);
        }
        while !matches!(self.kind(), TokenKind::End | TokenKind::RightParen) {
            if self.starts_run() {
                self.run(field, &mut clauses)?;
                continue;
            }
            let operator = self.operator();
            let modifier = self.modifier();
            let node = self.clause(field)?;
            add_clause(&mut clauses, operator, modifier, node);
        }
        let end = self.tokens[self.at.saturating_sub(1)].span.end;
        Ok(match (clauses.len(), first) {
            (1, Some(node)) => Some(node),
            (0, _) => None,
            _ => Some(Node {
                span: start..end,
                kind: Kind::Bool(clauses),
            }),
        })
    }

    /// Two words side by side, the second not belonging to a field, an operator or a suffix.
    fn starts_run(&self) -> bool {
        self.kind() == TokenKind::Term && self.continues_run(1)
    }

    fn continues_run(&self, ahead: usize) -> bool {
        use TokenKind as K;
        let follower = self.kind_at(ahead + 1);
        self.kind_at(ahead) == K::Term
            && !matches!(
                follower,
                K::Colon | K::Star | K::FuzzySlop | K::Caret | K::And | K::Or
            )
    }

    /// Words side by side: one text for the analyser, each word of it an optional clause.
    fn run(
        &mut self,
        field: Option<&str>,
        clauses: &mut Vec<Clause>,
    ) -> Result<Option<Node>, QueryError> {
        let first = self.take();
        let mut raw = self.image(&first).to_owned();
        // What is wrong with an escape is told here: in all of them together it has another place.
        leaf::unescape(&raw, first.span.start)?;
        let mut span = first.span;
        while self.continues_run(0) {
            let token = self.take();
            let image = &self.text[token.span.clone()];
            leaf::unescape(image, token.span.start)?;
            raw.push(' ');
            raw.push_str(image);
            span.end = token.span.end;
        }
        let node = self.field_query(field, &raw, span)?;
        let Some(node) = node else { return Ok(None) };
        match &node.kind {
            Kind::Bool(parts) => clauses.extend(parts.iter().cloned()),
            _ => clauses.push(Clause {
                occur: Occur::Should,
                operator: Operator::None,
                node: node.clone(),
            }),
        }
        Ok(Some(node))
    }

    fn operator(&mut self) -> Operator {
        let operator = match self.kind() {
            TokenKind::And => Operator::And,
            TokenKind::Or => Operator::Or,
            _ => return Operator::None,
        };
        self.take();
        operator
    }

    fn modifier(&mut self) -> Modifier {
        let modifier = match self.kind() {
            TokenKind::Plus => Modifier::Required,
            TokenKind::Minus | TokenKind::Not => Modifier::Prohibited,
            _ => return Modifier::None,
        };
        self.take();
        modifier
    }

    /// `[field:] (term | "(" query ")" ["^" number])`.
    fn clause(&mut self, outer: Option<&str>) -> Result<Option<Node>, QueryError> {
        let own = self.field_name()?;
        let field = own.as_deref().or(outer);
        if self.kind() != TokenKind::LeftParen {
            return self.term(field);
        }
        let open = self.take();
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            let message = format!("groups are nested more than {MAX_DEPTH} deep");
            return Err(QueryError {
                message,
                offset: open.span.start,
            });
        }
        let inner = self.query(field)?;
        self.depth -= 1;
        if self.kind() != TokenKind::RightParen {
            let message = "this `(` is never closed".to_owned();
            return Err(if self.kind() == TokenKind::End {
                QueryError {
                    message,
                    offset: open.span.start,
                }
            } else {
                self.unexpected()
            });
        }
        self.take();
        let boost = self.boost()?;
        Ok(boosted(inner, boost))
    }

    fn field_name(&mut self) -> Result<Option<String>, QueryError> {
        if self.kind_at(1) != TokenKind::Colon {
            return Ok(None);
        }
        let name = match self.kind() {
            TokenKind::Term => {
                let token = &self.tokens[self.at];
                leaf::unescape(self.image(token), token.span.start)?
            }
            TokenKind::Star => "*".to_owned(),
            _ => return Ok(None),
        };
        self.take();
        self.take();
        Ok(Some(name))
    }

    fn boost(&mut self) -> Result<Option<f32>, QueryError> {
        if self.kind() != TokenKind::Caret {
            return Ok(None);
        }
        self.take();
        if self.kind() != TokenKind::Number {
            return Err(self.unexpected());
        }
        let token = self.take();
        Ok(self.image(&token).parse().ok())
    }

    /// `^2`, `~1`, both in either order.
    fn suffixes(&mut self) -> Result<(Option<Token>, Option<f32>), QueryError> {
        let mut boost = self.boost()?;
        let mut slop = None;
        if self.kind() == TokenKind::FuzzySlop {
            slop = Some(self.take());
            if boost.is_none() {
                boost = self.boost()?;
            }
        }
        Ok((slop, boost))
    }

    fn term(&mut self, field: Option<&str>) -> Result<Option<Node>, QueryError> {
        use TokenKind as K;
        match self.kind() {
            K::Quoted => self.quoted(field),
            K::RangeStart => self.range(field),
            K::Term | K::Star | K::Prefix | K::Wild | K::Regex | K::Number | K::BareOperator => {
                self.bare(field)
            }
            _ => Err(self.unexpected()),
        }
    }

    fn bare(&mut self, field: Option<&str>) -> Result<Option<Node>, QueryError> {
        let token = self.take();
        let (slop, boost) = self.suffixes()?;
        let image = self.image(&token).to_owned();
        let span = token.span.clone();
        let node = match token.kind {
            TokenKind::BareOperator => self.field_query(field, &image[..1], span)?,
            TokenKind::Star | TokenKind::Wild => Some(self.leaf(field, span).wildcard(&image)?),
            TokenKind::Prefix => Some(self.leaf(field, span).prefix(&image)?),
            TokenKind::Regex => {
                let pattern = &image[1..image.len() - 1];
                Some(self.leaf(field, span).regex(pattern)?)
            }
            _ => match slop {
                None => self.field_query(field, &image, span)?,
                Some(slop) => {
                    let written = self.text[slop.span.start + 1..slop.span.end].to_owned();
                    let leaf = self.leaf(field, span.start..slop.span.end);
                    Some(leaf.fuzzy(&image, &written)?)
                }
            },
        };
        Ok(boosted(node, boost))
    }

    fn field_query(
        &mut self,
        field: Option<&str>,
        raw: &str,
        span: Range<usize>,
    ) -> Result<Option<Node>, QueryError> {
        let node = self.leaf(field, span.clone()).text(raw)?;
        if node.is_none() {
            self.dropped.push(span);
        }
        Ok(node)
    }

    fn quoted(&mut self, field: Option<&str>) -> Result<Option<Node>, QueryError> {
        let token = self.take();
        let (slop, boost) = self.suffixes()?;
        let end = slop.as_ref().map_or(token.span.end, |s| s.span.end);
        let slop = slop.and_then(|s| java_float(&self.text[s.span.start + 1..s.span.end]));
        let inner = self.text[token.span.start + 1..token.span.end - 1].to_owned();
        let leaf = self.leaf(field, token.span.start..end);
        let node = leaf.phrase(&inner, slop.unwrap_or(0.0))?;
        if node.is_none() {
            self.dropped.push(token.span);
        }
        Ok(boosted(node, boost))
    }

    fn range(&mut self, field: Option<&str>) -> Result<Option<Node>, QueryError> {
        let open = self.take();
        let lower = self.bound()?;
        if self.kind() != TokenKind::RangeTo {
            return Err(self.range_shape());
        }
        self.take();
        let upper = self.bound()?;
        if self.kind() != TokenKind::RangeEnd {
            return Err(self.range_shape());
        }
        let close = self.take();
        let boost = self.boost()?;
        let from_included = self.image(&open) == "[";
        let to_included = self.image(&close) == "]";
        let leaf = self.leaf(field, open.span.start..close.span.end);
        let lower = lower.map(|value| (value, from_included));
        let upper = upper.map(|value| (value, to_included));
        let node = leaf.range(lower.as_ref(), upper.as_ref())?;
        Ok(boosted(Some(node), boost))
    }

    fn bound(&mut self) -> Result<Option<String>, QueryError> {
        let (kind, span) = (self.kind(), self.tokens[self.at].span.clone());
        let image = self.text[span.clone()].to_owned();
        let (raw, offset) = match kind {
            TokenKind::RangeQuoted => (&image[1..image.len() - 1], span.start + 1),
            TokenKind::RangeWord | TokenKind::RangeTo => (&image[..], span.start),
            _ => return Err(self.range_shape()),
        };
        self.take();
        if kind != TokenKind::RangeQuoted && raw == "*" {
            return Ok(None);
        }
        let value = leaf::unescape(raw, offset)?;
        Ok((value != "*").then_some(value))
    }

    fn leaf(&self, field: Option<&str>, span: Range<usize>) -> Leaf<'_> {
        Leaf {
            schema: self.schema,
            field: field.map(str::to_owned),
            span,
        }
    }

    fn range_shape(&self) -> QueryError {
        let offset = self.tokens[self.at].span.start;
        QueryError {
            message: "a range is written `[from TO to]`, with `*` for an open side".into(),
            offset,
        }
    }

    fn unexpected(&self) -> QueryError {
        let token = &self.tokens[self.at];
        let message = match token.kind {
            TokenKind::End => "the query ends where a term, a phrase or a group is expected".into(),
            TokenKind::RightParen => {
                "unexpected `)`; nothing is open or nothing stands inside".into()
            }
            _ => format!(
                "unexpected `{}`; a term, a phrase or a group is expected here (quote it to look for the text itself)",
                self.image(token)
            ),
        };
        QueryError {
            message,
            offset: token.span.start,
        }
    }
}

fn boosted(node: Option<Node>, boost: Option<f32>) -> Option<Node> {
    let node = node?;
    Some(match boost {
        None => node,
        Some(boost) => Node {
            span: node.span.clone(),
            kind: Kind::Boost(Box::new(node), boost),
        },
    })
}

/// Lucene's flat clause rule. A clause that the analyser reduced to nothing is left out, but an
/// `AND` before it still makes the clause before required.
fn add_clause(
    clauses: &mut Vec<Clause>,
    operator: Operator,
    modifier: Modifier,
    node: Option<Node>,
) {
    if operator == Operator::And
        && let Some(before) = clauses.last_mut()
        && before.occur != Occur::MustNot
    {
        before.occur = Occur::Must;
    }
    let Some(node) = node else { return };
    let occur = match (modifier, operator) {
        (Modifier::Prohibited, _) => Occur::MustNot,
        (Modifier::Required, _) | (Modifier::None, Operator::And) => Occur::Must,
        (Modifier::None, _) => Occur::Should,
    };
    clauses.push(Clause {
        occur,
        operator,
        node,
    });
}
