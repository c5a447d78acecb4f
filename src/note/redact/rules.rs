//! What everybody's secrets look like.

use regex::Regex;

/// One rule.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    pub(super) name: String,
    pub(super) regex: Regex,
    pub(super) test: Test,
}

/// What a find must be besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Test {
    /// Nothing.
    Any,
    /// No word of a sentence and no name of a variable: what stands after `password:` may be "is wrong".
    Value,
    /// As random as generated secrets are.
    Random,
}

/// Shortest text that can look random.
const RANDOM: usize = 16;

/// Words that stand after `password:` and the like without being one.
const WORDS: [&str; 58] = [
    "a",
    "absent",
    "an",
    "and",
    "any",
    "authentication",
    "auth",
    "bad",
    "being",
    "cannot",
    "changed",
    "could",
    "does",
    "empty",
    "error",
    "expected",
    "expired",
    "failed",
    "failure",
    "false",
    "for",
    "from",
    "has",
    "hidden",
    "in",
    "incorrect",
    "invalid",
    "is",
    "it",
    "loading",
    "mismatch",
    "missing",
    "must",
    "nil",
    "no",
    "none",
    "not",
    "null",
    "of",
    "or",
    "policy",
    "rejected",
    "required",
    "reset",
    "set",
    "str",
    "string",
    "the",
    "this",
    "true",
    "undefined",
    "unset",
    "using",
    "was",
    "with",
    "wrong",
    "yes",
    "you",
];

/// What a value begins with that is code, a variable, or hidden already.
const CODE: [&str; 12] = [
    "self.",
    "conf.",
    "cfg.",
    "config.",
    "os.environ",
    "kwargs",
    "args.",
    "$",
    "%(",
    "{",
    "<",
    "[redacted",
];

impl Test {
    pub(super) fn holds(self, found: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Value => value(found),
            Self::Random => random(found),
        }
    }
}

fn value(found: &str) -> bool {
    let plain = found.trim_end_matches(['.', ',', '!', '?', ')', ';', ':']);
    let lower = plain.to_ascii_lowercase();
    let hidden = plain
        .chars()
        .all(|c| matches!(c, '*' | '.' | 'x' | 'X' | '-'));
    let code = CODE.iter().any(|start| lower.starts_with(start)) && !lower.starts_with("{sha");
    !hidden && !code && !WORDS.contains(&lower.as_str())
}

/// Long enough, with letters and digits (or both cases), and not of the same few characters. A path
/// or a name of several words is none.
fn random(found: &str) -> bool {
    if found.len() < RANDOM || !value(found) {
        return false;
    }
    let has = |is: fn(&u8) -> bool| found.as_bytes().iter().any(is);
    let digit = has(u8::is_ascii_digit);
    let mixed = has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase);
    let letter = has(u8::is_ascii_alphabetic);
    let bits = entropy(found.as_bytes());
    (digit && letter && bits >= 2.8) || (mixed && bits >= 3.6 && !found.contains(['.', '/', '_']))
}

/// Bits for each byte, from how often each occurs.
fn entropy(bytes: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in bytes {
        counts[usize::from(*byte)] += 1;
    }
    let all = bytes.len() as f64;
    let share = |count: &u32| {
        let p = f64::from(*count) / all;
        if p > 0.0 { -p * p.log2() } else { 0.0 }
    };
    counts.iter().map(share).sum()
}

/// Name, expression, test. The first group is the secret; without one all of it is.
pub(super) const RULES: [(&str, &str, Test); 26] = [
    (
        "private key",
        r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----(?:[\s\S]*?-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|[\s\S]*)",
        Test::Any,
    ),
    // The excerpt began within the key.
    (
        "private key",
        r"(?:[A-Za-z0-9+/=]{40,100}\s{1,4}){0,60}(?:[A-Za-z0-9+/=]{1,100}\s{1,4})?-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----",
        Test::Any,
    ),
    (
        "github token",
        r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{22,})",
        Test::Any,
    ),
    (
        "gitlab token",
        r"\bgl(?:pat|dt|rt|cbt|ptt|ft|soat|oas|agent|imt|ffct)-[A-Za-z0-9_-]{16,}",
        Test::Any,
    ),
    (
        "slack token",
        r"\bx(?:ox[a-z]|app)-[A-Za-z0-9-]{10,}",
        Test::Any,
    ),
    (
        "slack webhook",
        r"hooks\.slack\.com/(?:services|workflows|triggers)/([A-Za-z0-9/_-]{10,})",
        Test::Any,
    ),
    (
        "aws key",
        r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b",
        Test::Any,
    ),
    (
        "jwt",
        r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?",
        Test::Any,
    ),
    (
        "fernet token",
        r"\bgAAAAA[A-Za-z0-9_-]{30,}={0,2}",
        Test::Any,
    ),
    (
        "service token",
        r"\b(?:npm_[A-Za-z0-9]{30,100}|pypi-[A-Za-z0-9_-]{40,}|AIza[A-Za-z0-9_-]{35}|[sr]k_(?:live|test)_[A-Za-z0-9]{16,100}|sk-[A-Za-z0-9_-]{32,200}|SG\.[A-Za-z0-9_-]{16,40}\.[A-Za-z0-9_-]{16,60}|hv[sb]\.[A-Za-z0-9_-]{20,}|do[opr]_v1_[a-f0-9]{64}|ya29\.[A-Za-z0-9_-]{20,})",
        Test::Any,
    ),
    // Scheme and secret, in a header or as a program prints one.
    (
        "authorization",
        r#"(?i)authorization["']?\s{0,3}[:=]\s{0,3}["']?(?:(?:basic|bearer|token|digest|negotiate|aws4-hmac-sha256)\s+)?([^\s"',;]{4,}(?:[ ,;]{1,2}[A-Za-z]+=[^\s"']+)*)"#,
        Test::Value,
    ),
    (
        "bearer token",
        r"(?i)\bbearer\s{1,3}([A-Za-z0-9._~+/=-]{16,})",
        Test::Random,
    ),
    (
        "basic auth",
        r"(?i)\bbasic\s{1,3}([A-Za-z0-9+/]{16,}={0,2})",
        Test::Random,
    ),
    (
        "password in url",
        r"\b[A-Za-z][A-Za-z0-9+.-]{1,20}://[^\s/@:?#]{0,100}:([^\s/?#]{1,200})@",
        Test::Value,
    ),
    (
        "token in url",
        r"\b[A-Za-z][A-Za-z0-9+.-]{1,20}://([^\s/@:?#]{16,200})@",
        Test::Random,
    ),
    (
        "signed url",
        r"(?i)[?&;](?:access_token|sig|signature|x-amz-signature|x-amz-security-token|x-amz-credential|x-goog-signature|temp_url_sig|token|api_?key|key|auth|code|client_secret|password)=([^&\s#;]{8,})",
        Test::Value,
    ),
    // An assignment, a field of JSON or YAML, a header: the value in quotes, all of it.
    (
        "password",
        r#"(?i)(?:password|passwd|passphrase|pwd|passwort|secret|api[_ -]?key|access[_-]?key(?:[_-]?id)?|private[_-]?key|secret[_-]?key|account[_-]?key|encryption[_-]?key|signing[_-]?key|credentials?)[A-Za-z0-9_-]{0,30}\\?["']?\s{0,3}(?:=>|:=|==?|:)\s{0,3}(?:[urb]{0,2}\\?"([^"\n\\]{1,})|[urb]{0,2}\\?'([^'\n\\]{1,}))"#,
        Test::Value,
    ),
    (
        "password",
        r#"(?i)(?:password|passwd|passphrase|pwd|passwort|secret|api[_-]?key|access[_-]?key(?:[_-]?id)?|private[_-]?key|secret[_-]?key|account[_-]?key|encryption[_-]?key|signing[_-]?key|credentials?)[A-Za-z0-9_-]{0,30}\\?["']?\s{0,3}(?:=>|:=|=|:)\s{0,3}([^\s"',;&|<>()]{1,})"#,
        Test::Value,
    ),
    // These names are used for much that is public, so the value must look like a secret.
    (
        "token",
        r#"(?i)(?:token|auth|session(?:[_-]?id)?|cookie|signature|nonce|csrf|otp|pass|pin|salt)[A-Za-z0-9_-]{0,20}\\?["']?\s{0,3}(?:=>|:=|=|:)\s{0,3}[urb]{0,2}\\?["']?([A-Za-z0-9._~+/=!@#$%^*-]{16,})"#,
        Test::Random,
    ),
    (
        "cookie",
        r"(?i)\b(?:set-)?cookie\s{0,3}:\s{0,3}([^\r\n]{4,})",
        Test::Value,
    ),
    // On a command line.
    (
        "password",
        r#"(?i)\s--?(?:[a-z]{1,20}-){0,3}(?:password|passwd|passphrase|secret|token|api-?key)[ =]{1,2}["']?([^\s"']{1,})"#,
        Test::Value,
    ),
    (
        "password",
        r#"\s(?:-u|--user|--proxy-user)[ =]?["']?[A-Za-z0-9._@-]{1,60}:([^\s"'/][^\s"']{0,200})"#,
        Test::Value,
    ),
    (
        "password",
        r#"\bsshpass\s{1,3}-p\s{0,2}["']?([^\s"']{1,200})"#,
        Test::Any,
    ),
    (
        "password",
        r#"\bmysql[a-z]{0,10}\s[^\n|;]{0,80}?-p["']?([^\s"'-][^\s"']{2,100})"#,
        Test::Any,
    ),
    (
        "password hash",
        r"\$(?:1|2[abxy]?|5|6|y|argon2id?)\$[A-Za-z0-9./$=,+-]{20,200}",
        Test::Any,
    ),
    (
        "password hash",
        r"\{(?:SSHA|SHA|SMD5|SSHA256|SSHA512|CRYPT)\}[A-Za-z0-9+/=$.]{16,200}",
        Test::Any,
    ),
];
