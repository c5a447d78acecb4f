//! Tracebacks of Python, Java (JavaScript too), Go and Rust: how each begins and goes on.

const TRACEBACK: &str = "Traceback (most recent call last):";
const CHAINS: [&str; 2] = [
    "During handling of the above exception, another exception occurred:",
    "The above exception was the direct cause of the following exception:",
];

/// The block that the pending event is, as far as it has been read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Block {
    /// Not a block.
    #[default]
    None,
    /// A Python traceback; `before` stands before each of its lines.
    Python { before: String, stage: Stage },
    /// A stack trace of Java or JavaScript.
    Java,
    /// A Go panic or a list of goroutines.
    Go { frames: bool },
    /// A Rust panic.
    Rust { message_next: bool },
}

/// How far a Python traceback has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Frames,
    Exception,
    Chain,
}

impl Block {
    /// The block that begins with this line.
    pub(crate) fn start(body: &str) -> Self {
        if let Some(at) = body.find(TRACEBACK) {
            return Self::Python {
                before: body[..at].to_owned(),
                stage: Stage::Frames,
            };
        }
        if is_goroutine(body) {
            return Self::Go { frames: true };
        }
        if body.starts_with("panic: ") || body.starts_with("fatal error: ") {
            return Self::Go { frames: false };
        }
        if body.starts_with("thread '") && body.contains(" panicked at ") {
            return Self::Rust {
                message_next: body.trim_end().ends_with(':'),
            };
        }
        Self::None
    }

    /// This block, or the other one when this is none.
    pub(crate) fn or(self, other: Self) -> Self {
        if self == Self::None { other } else { self }
    }

    /// True when the line belongs to the block. `after_blank` says that blank lines came before.
    pub(crate) fn takes(&mut self, body: &str, after_blank: bool) -> bool {
        match self {
            Self::None => false,
            Self::Python { before, stage } => {
                let rest = body.strip_prefix(before.as_str());
                if rest.is_none() {
                    // Only the first line has what stands before, such as a level.
                    before.clear();
                }
                stage.takes(rest.unwrap_or(body), after_blank)
            }
            Self::Java => !after_blank && is_java(body),
            Self::Go { frames } => takes_go(frames, body, after_blank),
            Self::Rust { message_next } => !after_blank && takes_rust(message_next, body),
        }
    }
}

impl Stage {
    fn takes(&mut self, rest: &str, after_blank: bool) -> bool {
        let next = match self {
            Self::Frames if rest.starts_with([' ', '\t']) => Some(Self::Frames),
            Self::Frames if !after_blank && is_exception(rest) => Some(Self::Exception),
            Self::Exception if CHAINS.iter().any(|c| rest.trim() == *c) => Some(Self::Chain),
            Self::Exception if !after_blank && is_detail(rest) => Some(Self::Exception),
            Self::Chain if rest.trim_start().starts_with(TRACEBACK) => Some(Self::Frames),
            Self::Frames | Self::Exception | Self::Chain => None,
        };
        // Services write empty lines of a traceback with a prefix; they change nothing.
        if next.is_none() && rest.trim().is_empty() {
            return true;
        }
        *self = next.unwrap_or(*self);
        next.is_some()
    }
}

/// `package.Error: text` or a bare `KeyboardInterrupt`.
fn is_exception(rest: &str) -> bool {
    let end = rest
        .find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.'))
        .unwrap_or(rest.len());
    let after = &rest[end..];
    let named = rest.starts_with(|c: char| c.is_alphabetic() || c == '_');
    named && (after.trim().is_empty() || after.starts_with(':'))
}

/// Lines that database errors put after the exception.
fn is_detail(rest: &str) -> bool {
    ["[SQL:", "[parameters:", "(Background on this error"]
        .iter()
        .any(|start| rest.starts_with(start))
}

/// A frame of a Java or JavaScript stack trace.
pub(crate) fn is_frame(body: &str) -> bool {
    let body = body.strip_prefix("[ERROR]").unwrap_or(body);
    let trimmed = body.trim_start();
    trimmed.len() < body.len()
        && trimmed
            .strip_prefix("at ")
            .is_some_and(|f| !f.trim().is_empty())
}

fn is_java(body: &str) -> bool {
    if is_frame(body) {
        return true;
    }
    let rest = body.strip_prefix("[ERROR]").unwrap_or(body).trim();
    rest.starts_with("Caused by: ")
        || rest.starts_with("Caused: ")
        || rest.starts_with("Also: ")
        || rest.starts_with("Suppressed: ")
        || is_omission(rest)
}

/// `... 12 more`, `... 3 common frames omitted`.
fn is_omission(rest: &str) -> bool {
    rest.strip_prefix("... ").is_some_and(|rest| {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let word = rest[digits..].trim_start();
        digits > 0 && (word.starts_with("more") || word.starts_with("common frames"))
    })
}

/// `goroutine 12 [running]:`
fn is_goroutine(body: &str) -> bool {
    body.strip_prefix("goroutine ").is_some_and(|rest| {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        digits > 0 && rest[digits..].starts_with(" [") && rest.trim_end().ends_with("]:")
    })
}

fn takes_go(frames: &mut bool, body: &str, after_blank: bool) -> bool {
    if is_goroutine(body) {
        *frames = true;
        return true;
    }
    if after_blank {
        return false;
    }
    if body.starts_with('\t') || body.starts_with("created by ") {
        return true;
    }
    if *frames {
        let call = body.trim_end();
        return is_call(call) || call.starts_with("...additional frames elided");
    }
    body.starts_with("panic: ") || body.starts_with("[signal ") || body.starts_with("goroutine ")
}

/// `main.(*T).run(0x1, 0x2)`
fn is_call(line: &str) -> bool {
    let name = line.split('(').next().unwrap_or_default();
    line.ends_with(')') && name.contains('.') && !name.contains(' ')
}

fn takes_rust(message_next: &mut bool, body: &str) -> bool {
    if std::mem::take(message_next) {
        return true;
    }
    body.starts_with([' ', '\t'])
        || body.starts_with("note: ")
        || body.starts_with("stack backtrace:")
}
