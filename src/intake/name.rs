//! Names of log files: which are safe, and what they tell.

use super::problem::NameError;

const MAX_NAME: usize = 1024;

/// Names of files that are a build's main log wherever they appear.
const MAIN: [&str; 6] = [
    "console.html",
    "console.txt",
    "console.log",
    "consoleText",
    "job-output.txt",
    "job-output.log",
];

/// Suffixes that say how a file is compressed or packed.
const PACKED: [&str; 6] = [".gz", ".zst", ".zstd", ".xz", ".bz2", ".lzma"];

/// The name as it may be used below a folder: `/` between the parts, no `.` parts. Refused are
/// names that could lead out of the folder or that no file system takes.
pub fn clean_name(name: &str) -> Result<String, NameError> {
    if name.len() > MAX_NAME {
        return Err(NameError::TooLong);
    }
    if name.chars().any(char::is_control) {
        return Err(NameError::Control);
    }
    if is_absolute(name) {
        return Err(NameError::Absolute);
    }
    // A backslash separates parts on some systems, so a `..` between backslashes is one too.
    if name.split(['/', '\\']).any(|part| part == "..") {
        return Err(NameError::Parent);
    }
    let parts: Vec<&str> = name
        .split('/')
        .filter(|p| !p.is_empty() && *p != ".")
        .collect();
    if parts.is_empty() {
        return Err(NameError::Empty);
    }
    Ok(parts.join("/"))
}

fn is_absolute(name: &str) -> bool {
    let bytes = name.as_bytes();
    let drive = bytes.len() >= 2
        && bytes[0].is_ascii_alphabetic()
        && bytes[1] == b':'
        && matches!(bytes.get(2), None | Some(b'\\' | b'/'));
    drive || name.starts_with(['/', '\\'])
}

/// The name without a suffix that only says how the file is compressed.
pub(crate) fn without_compression(name: &str) -> &str {
    PACKED
        .iter()
        .find_map(|suffix| name.strip_suffix(suffix))
        .filter(|rest| !rest.is_empty() && !rest.ends_with('/'))
        .unwrap_or(name)
}

/// The last part of the name, without compression suffix.
pub(crate) fn base_name(name: &str) -> &str {
    let name = without_compression(name);
    name.rsplit('/').next().unwrap_or(name)
}

/// True when a file of this name is a build's main log.
pub(crate) fn is_main(name: &str) -> bool {
    MAIN.contains(&base_name(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_lead_out_are_refused() {
        let bad = [
            ("../x", NameError::Parent),
            ("a/../../x", NameError::Parent),
            ("a\\..\\x", NameError::Parent),
            ("/etc/passwd", NameError::Absolute),
            ("\\\\host\\x", NameError::Absolute),
            ("C:\\x", NameError::Absolute),
            ("c:/x", NameError::Absolute),
            ("a\0b", NameError::Control),
            ("a\nb", NameError::Control),
            ("", NameError::Empty),
            ("././", NameError::Empty),
        ];
        for (name, why) in bad {
            assert_eq!(clean_name(name), Err(why), "{name:?}");
        }
        assert_eq!(clean_name(&"x".repeat(1025)), Err(NameError::TooLong));
    }

    #[test]
    fn good_names_are_normalised() {
        assert_eq!(
            clean_name("./logs//n-api.txt.gz"),
            Ok("logs/n-api.txt.gz".into())
        );
        assert_eq!(clean_name("..x/a..b"), Ok("..x/a..b".into()));
        assert_eq!(clean_name("a b/ü"), Ok("a b/ü".into()));
    }

    #[test]
    fn base_names_have_no_compression_suffix() {
        assert_eq!(base_name("logs/screen-n-api.txt.gz"), "screen-n-api.txt");
        assert_eq!(base_name("console.html"), "console.html");
        assert_eq!(base_name("a/.gz"), ".gz");
        assert!(is_main("x/job-output.txt.zst"));
        assert!(!is_main("x/job-output.json"));
    }
}
