//! From words to a path: the grammar of `jsonpath2`.

use super::lex::{Spot, Token, words};
use super::{Function, Operand, Path, PathError, Pick, Step, Test};
use serde_json::{Map, Value};

/// How deep brackets may stand in each other.
const DEPTH: usize = 64;

pub(super) fn path(text: &str) -> Result<Path, PathError> {
    let mut parser = Parser {
        text,
        words: words(text)?,
        at: 0,
        depth: 0,
    };
    if !parser.take(&Token::Root) {
        return Err(parser.wrong("a path begins with `$`"));
    }
    let steps = parser.steps()?;
    if parser.peek().is_some() {
        return Err(parser.wrong("the path should end here, or go on with `.`, `..` or `[`"));
    }
    Ok(Path { steps })
}

struct Parser<'a> {
    text: &'a str,
    words: Vec<Spot>,
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.words.get(self.at).map(|(_, token)| token)
    }

    fn next(&mut self) -> Option<Token> {
        let token = self.peek().cloned();
        self.at += 1;
        token
    }

    fn take(&mut self, token: &Token) -> bool {
        let there = self.peek() == Some(token);
        self.at += usize::from(there);
        there
    }

    fn need(&mut self, token: &Token, what: &str) -> Result<(), PathError> {
        if self.take(token) {
            return Ok(());
        }
        Err(self.wrong(&format!("{what} is missing")))
    }

    fn wrong(&self, message: &str) -> PathError {
        let at = self
            .words
            .get(self.at)
            .map_or(self.text.len(), |(at, _)| *at);
        PathError {
            column: self.text[..at].chars().count() + 1,
            message: message.to_owned(),
        }
    }

    fn deeper(&mut self) -> Result<(), PathError> {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(self.wrong("too many brackets in each other"));
        }
        Ok(())
    }

    fn steps(&mut self) -> Result<Vec<Step>, PathError> {
        let mut steps = Vec::new();
        loop {
            let deep = self.take(&Token::Deep);
            let picks = if deep || self.take(&Token::Dot) {
                if deep && self.peek() == Some(&Token::Bracket) {
                    self.picks()?
                } else {
                    vec![self.bare()?]
                }
            } else if self.peek() == Some(&Token::Bracket) {
                self.picks()?
            } else {
                return Ok(steps);
            };
            steps.push(Step { deep, picks });
        }
    }

    /// What may follow a dot: a name, a call, `*`.
    fn bare(&mut self) -> Result<Pick, PathError> {
        if self.take(&Token::Star) {
            return Ok(Pick::All);
        }
        let name = self.name()?;
        if self.peek() == Some(&Token::Open) {
            return self.call(&name);
        }
        Ok(Pick::Name(name))
    }

    fn name(&mut self) -> Result<String, PathError> {
        match self.peek() {
            Some(Token::Word(word)) if !keyword(word) => {
                let word = word.clone();
                self.at += 1;
                Ok(word)
            }
            Some(Token::Word(_)) => Err(self.wrong("this word has a meaning: write [\"…\"]")),
            _ => Err(self.wrong("a name or `*` is missing")),
        }
    }

    fn picks(&mut self) -> Result<Vec<Pick>, PathError> {
        self.deeper()?;
        self.need(&Token::Bracket, "`[`")?;
        let mut picks = vec![self.pick()?];
        while self.take(&Token::Comma) {
            picks.push(self.pick()?);
        }
        self.need(&Token::Unbracket, "`]`")?;
        self.depth -= 1;
        Ok(picks)
    }

    fn pick(&mut self) -> Result<Pick, PathError> {
        match self.peek() {
            Some(Token::Text(text)) => {
                let pick = Pick::Name(text.clone());
                self.at += 1;
                Ok(pick)
            }
            Some(Token::Number(_)) => {
                let index = self.integer()?;
                if self.peek() == Some(&Token::Colon) {
                    return self.slice(Some(index));
                }
                Ok(Pick::Index(index))
            }
            Some(Token::Colon) => self.slice(None),
            Some(Token::Star) => {
                self.at += 1;
                Ok(Pick::All)
            }
            Some(Token::Question) => {
                self.at += 1;
                self.need(&Token::Open, "`(`")?;
                let test = self.and()?;
                self.need(&Token::Close, "`)`")?;
                Ok(Pick::Filter(test))
            }
            Some(Token::Root | Token::Here) => Ok(Pick::By(self.operand()?)),
            Some(Token::Word(_)) => {
                let name = self.name()?;
                self.call(&name)
            }
            _ => Err(self.wrong("a name in double quotes, a number, `*`, `:`, or `?(` is missing")),
        }
    }

    fn integer(&mut self) -> Result<i64, PathError> {
        let wrong = self.wrong("a whole number is missing");
        match self.next() {
            Some(Token::Number(text)) => text.parse().map_err(|_| wrong),
            _ => Err(wrong),
        }
    }

    fn slice(&mut self, start: Option<i64>) -> Result<Pick, PathError> {
        let mut parts = [None, None];
        for part in &mut parts {
            if !self.take(&Token::Colon) {
                break;
            }
            if matches!(self.peek(), Some(Token::Number(_))) {
                *part = Some(self.integer()?);
            }
        }
        Ok(Pick::Slice(start, parts[0], parts[1]))
    }

    fn call(&mut self, name: &str) -> Result<Pick, PathError> {
        let function = match name {
            "charAt" => Function::CharAt,
            "entries" => Function::Entries,
            "keys" => Function::Keys,
            "length" => Function::Length,
            "substring" => Function::Substring,
            "values" => Function::Values,
            _ => return Err(self.wrong(&format!("there is no function {name}()"))),
        };
        self.deeper()?;
        self.need(&Token::Open, "`(`")?;
        let mut arguments = Vec::new();
        if !self.take(&Token::Close) {
            arguments.push(self.operand()?);
            while self.take(&Token::Comma) {
                arguments.push(self.operand()?);
            }
            self.need(&Token::Close, "`)`")?;
        }
        self.depth -= 1;
        Ok(Pick::Call(function, arguments))
    }

    fn and(&mut self) -> Result<Test, PathError> {
        self.deeper()?;
        let mut tests = vec![self.or()?];
        while self.take(&Token::Word("and".into())) {
            tests.push(self.or()?);
        }
        self.depth -= 1;
        Ok(one_or(tests, Test::And))
    }

    fn or(&mut self) -> Result<Test, PathError> {
        let mut tests = vec![self.not()?];
        while self.take(&Token::Word("or".into())) {
            tests.push(self.not()?);
        }
        Ok(one_or(tests, Test::Or))
    }

    fn not(&mut self) -> Result<Test, PathError> {
        let mut negated = false;
        while self.take(&Token::Word("not".into())) {
            negated = !negated;
        }
        let test = if self.take(&Token::Open) {
            let test = self.and()?;
            self.need(&Token::Close, "`)`")?;
            test
        } else {
            self.comparison()?
        };
        Ok(if negated {
            Test::Not(Box::new(test))
        } else {
            test
        })
    }

    fn comparison(&mut self) -> Result<Test, PathError> {
        let left = self.operand()?;
        let Some(&Token::Operator(operator)) = self.peek() else {
            return Ok(Test::Some(left));
        };
        self.at += 1;
        if self.peek() == Some(&Token::Operator(super::Operator::Equal)) {
            return Err(self.wrong("equality is written with one `=`"));
        }
        Ok(Test::Compare(left, operator, self.operand()?))
    }

    fn operand(&mut self) -> Result<Operand, PathError> {
        if self.take(&Token::Root) {
            return Ok(Operand::Root(self.steps()?));
        }
        if self.take(&Token::Here) {
            return Ok(Operand::Here(self.steps()?));
        }
        Ok(Operand::Literal(self.literal()?))
    }

    fn literal(&mut self) -> Result<Value, PathError> {
        let wrong = self.wrong("`@`, `$` or a JSON value is missing");
        match self.next() {
            Some(Token::Text(text)) => Ok(Value::String(text)),
            Some(Token::Number(text)) => serde_json::from_str(&text).map_err(|_| wrong),
            Some(Token::Word(word)) => match word.as_str() {
                "true" => Ok(Value::Bool(true)),
                "false" => Ok(Value::Bool(false)),
                "null" => Ok(Value::Null),
                _ => Err(wrong),
            },
            Some(Token::Bracket) => self.array(),
            Some(Token::Curly) => self.object(),
            _ => Err(wrong),
        }
    }

    fn array(&mut self) -> Result<Value, PathError> {
        self.deeper()?;
        let mut items = Vec::new();
        if !self.take(&Token::Unbracket) {
            items.push(self.literal()?);
            while self.take(&Token::Comma) {
                items.push(self.literal()?);
            }
            self.need(&Token::Unbracket, "`]`")?;
        }
        self.depth -= 1;
        Ok(Value::Array(items))
    }

    fn object(&mut self) -> Result<Value, PathError> {
        self.deeper()?;
        let mut map = Map::new();
        let mut more = !self.take(&Token::Uncurly);
        while more {
            let wrong = self.wrong("a key in double quotes is missing");
            let Some(Token::Text(key)) = self.next() else {
                return Err(wrong);
            };
            self.need(&Token::Colon, "`:`")?;
            map.insert(key, self.literal()?);
            more = self.take(&Token::Comma);
            if !more {
                self.need(&Token::Uncurly, "`}`")?;
            }
        }
        self.depth -= 1;
        Ok(Value::Object(map))
    }
}

fn one_or(mut tests: Vec<Test>, many: fn(Vec<Test>) -> Test) -> Test {
    if tests.len() == 1 {
        return tests.remove(0);
    }
    many(tests)
}

fn keyword(word: &str) -> bool {
    matches!(word, "and" | "or" | "not" | "true" | "false" | "null")
}
