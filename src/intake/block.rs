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
    /// A stack trace of Java or JavaScript, and what the next line may be.
    Java(After),
    /// A Go panic or a list of goroutines.
    Go { frames: bool },
    /// A Rust panic.
    Rust { message_next: bool },
    /// A report of Go's race detector, up to the line of `=` under it.
    Race,
}

/// How far a Python traceback has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Frames,
    Exception,
    Chain,
}

/// What comes next in a stack trace of Java or JavaScript.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    /// Frames and causes.
    Frames,
    /// The properties of a JavaScript error, up to a `}`.
    Object,
    /// The exception that stands under a bare `Caused by:`, as Gradle writes it.
    Cause,
}

impl Block {
    /// The block that begins with this line.
    pub(crate) fn start(body: &str) -> Self {
        let mut capitals = memchr::memchr_iter(b'T', body.as_bytes());
        if let Some(at) = capitals.find(|at| body[*at..].starts_with(TRACEBACK)) {
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
        if body.trim_end() == "WARNING: DATA RACE" {
            return Self::Race;
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

    /// The block whose first frame is this line.
    pub(crate) fn of_frame(frame: &str) -> Self {
        Self::Java(After::frame(frame))
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
            Self::Java(after) => after.takes(body, after_blank),
            Self::Go { frames } => takes_go(frames, body, after_blank),
            Self::Race => is_race(body),
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

/// Lines of the exception's own text: indented ones, and what database errors put there.
fn is_detail(rest: &str) -> bool {
    if rest.starts_with([' ', '\t']) {
        return true;
    }
    ["[SQL:", "[parameters:", "(Background on this error"]
        .iter()
        .any(|start| rest.starts_with(start))
}

/// False when no event goes on with this line, unless a block of [`Block::start`] does, or the line before
/// is a bare `Caused by:`.
pub(crate) fn may_go_on(body: &str) -> bool {
    body.starts_with(TRACEBACK)
        || body.starts_with("  ")
        || body.starts_with('}')
        || is_frame(body)
        || body.trim() == "Caused by:"
        || is_cause(body)
}

/// True when the line is the traceback of a message before it, or what stands under it belongs to it.
pub(crate) fn takes_up(body: &str) -> bool {
    body.starts_with(TRACEBACK) || body.trim() == "Caused by:"
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

impl After {
    /// `    at f (x.js:1:2) {`: the properties of the error follow.
    fn frame(body: &str) -> Self {
        if body.trim_end().ends_with(" {") {
            Self::Object
        } else {
            Self::Frames
        }
    }

    fn takes(&mut self, body: &str, after_blank: bool) -> bool {
        match self {
            Self::Object if !after_blank => {
                if body.starts_with('}') {
                    *self = Self::Frames;
                    return true;
                }
                return body.starts_with("  ");
            }
            Self::Cause if !after_blank => {
                *self = Self::Frames;
                return true;
            }
            Self::Object | Self::Cause | Self::Frames => {}
        }
        if is_frame(body) {
            *self = Self::frame(body);
            return !after_blank || is_call_site(body);
        }
        if body.trim() == "Caused by:" {
            *self = Self::Cause;
            return true;
        }
        !after_blank && is_cause(body)
    }
}

/// A frame that no other text looks like, so that it belongs to a trace after a blank line too:
/// Gradle and Jenkins put such lines there.
pub(crate) fn is_call_site(body: &str) -> bool {
    is_frame(body) && body.trim_end().ends_with(')') && body.contains('(')
}

fn is_cause(body: &str) -> bool {
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
        return is_call(call)
            || call.starts_with("...additional frames elided")
            || call.starts_with("goroutine running on other thread");
    }
    body.starts_with("panic: ") || body.starts_with("[signal ") || body.starts_with("goroutine ")
}

/// `main.(*T).run(0x1, 0x2)`, or `panic(…)`, which is the only one without a package.
fn is_call(line: &str) -> bool {
    let name = line.split('(').next().unwrap_or_default();
    line.ends_with(')') && (name.contains('.') || name == "panic") && !name.contains(' ')
}

/// The headings of the stacks in a report, and their frames.
fn is_race(body: &str) -> bool {
    let heading = [
        "Read at ",
        "Write at ",
        "Previous ",
        "Goroutine ",
        "Location is ",
    ];
    body.starts_with("  ") || heading.iter().any(|start| body.starts_with(start))
}

fn takes_rust(message_next: &mut bool, body: &str) -> bool {
    if std::mem::take(message_next) {
        return true;
    }
    body.starts_with([' ', '\t'])
        || body.starts_with("note: ")
        || body.starts_with("stack backtrace:")
}
