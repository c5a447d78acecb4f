//! From the address of a build's logs to its files.
//!
//! A Zuul manifest says all at once. Else the page of the folder is read: an index page of Apache,
//! nginx, Swift and others, or the list of an object store. Everything here is bounded, and says what
//! it left out; nothing outside the folder is listed.

mod bucket;
mod build;
mod choose;
mod page;
mod walk;
mod zuul;

pub use build::Logs;
pub use choose::{Choice, Chosen};

use crate::intake::problem::NameError;
use url::Url;

/// One file that a listing names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Path below the log folder, `/` between the parts.
    pub name: String,
    /// Where it is.
    pub url: Url,
    /// Bytes, where the listing says so.
    pub size: Option<u64>,
    /// Its kind, where the listing says so.
    pub mimetype: Option<String>,
    /// How it is compressed, where the listing says so.
    pub encoding: Option<String>,
}

/// How files were found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `zuul-manifest.json`.
    Zuul,
    /// Pages of links.
    Pages,
    /// The list of an object store.
    Bucket,
}

/// Something of a listing that was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Left {
    /// More files than are looked at.
    #[error("more than {limit} files are listed; the others were not looked at")]
    Files {
        /// The limit.
        limit: usize,
    },
    /// More pages than are asked for.
    #[error("more than {limit} pages of files; the others were not asked for")]
    Pages {
        /// The limit.
        limit: usize,
    },
    /// Folders in folders.
    #[error("{folder}: more than {limit} folders deep, not looked at")]
    Deep {
        /// The folder.
        folder: String,
        /// The limit.
        limit: usize,
    },
    /// A page that is too large to be read as a whole.
    #[error(
        "{folder}: the list of its files is larger than {limit} bytes and was not read to its end"
    )]
    Large {
        /// The folder.
        folder: String,
        /// The limit.
        limit: u64,
    },
    /// A page that could not be had.
    #[error("{folder}: its files could not be listed: {reason}")]
    Failed {
        /// The folder.
        folder: String,
        /// Why.
        reason: String,
    },
    /// A name that must not be used.
    #[error("{name:?}: not taken, {reason}")]
    Name {
        /// The name, cut to a readable length.
        name: String,
        /// Why.
        reason: NameError,
    },
}

/// The files of a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// How they were found.
    pub kind: Kind,
    /// The files.
    pub entries: Vec<Entry>,
    /// What is missing; empty when this is all.
    pub left: Vec<Left>,
}

/// Bounds of a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Files that are looked at.
    pub files: usize,
    /// Pages that are asked for.
    pub pages: usize,
    /// Folders in folders.
    pub depth: usize,
    /// Bytes of one page.
    pub page_bytes: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            files: 20_000,
            pages: 200,
            depth: 12,
            page_bytes: 8 << 20,
        }
    }
}

/// Files as they are found, up to a limit.
struct Found {
    entries: Vec<Entry>,
    left: Vec<Left>,
    limit: usize,
}

impl Found {
    fn new(limit: usize) -> Self {
        Self {
            entries: Vec::new(),
            left: Vec::new(),
            limit,
        }
    }

    fn is_full(&self) -> bool {
        self.entries.len() >= self.limit
    }

    /// Takes a file; says when there is no room.
    fn add(&mut self, entry: Entry) {
        if self.is_full() {
            let left = Left::Files { limit: self.limit };
            self.leave(left);
            return;
        }
        self.entries.push(entry);
    }

    /// Says what was left, once each, and of a hostile page not for ever.
    fn leave(&mut self, left: Left) {
        if self.left.len() < 100 && !self.left.contains(&left) {
            self.left.push(left);
        }
    }

    fn bad_name(&mut self, name: &str, reason: NameError) {
        let name = name.chars().take(200).collect();
        self.leave(Left::Name { name, reason });
    }

    fn into_listing(self, kind: Kind) -> Listing {
        let (entries, left) = (self.entries, self.left);
        Listing {
            kind,
            entries,
            left,
        }
    }
}

/// The address of a file below a folder: each part of the name is escaped, so that none is taken for
/// a query or for a way up.
fn below(folder: &Url, name: &str) -> Option<Url> {
    let mut url = folder.clone();
    url.set_query(None);
    url.set_fragment(None);
    url.path_segments_mut()
        .ok()?
        .pop_if_empty()
        .extend(name.split('/'));
    Some(url)
}

/// The address with `/` at its end, without query: what lies below it can be told.
fn folder_of(url: &Url) -> Url {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    if let Ok(mut parts) = url.path_segments_mut() {
        parts.pop_if_empty().push("");
    }
    url
}

/// Undoes `%41`. `None` for what is then no text.
fn unescaped(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = text.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        if let Some(byte) = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            plain.push(byte);
            at += 3;
        } else {
            plain.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8(plain).ok()
}

/// Undoes the few entities that stand in addresses and keys, and numbered ones.
fn without_entities(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        plain.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = rest.char_indices().take(10).find(|(_, c)| *c == ';');
        let entity = end.and_then(|(end, _)| Some((entity(&rest[1..end])?, end)));
        if let Some((c, end)) = entity {
            plain.push(c);
            rest = &rest[end + 1..];
        } else {
            plain.push('&');
            rest = &rest[1..];
        }
    }
    plain.push_str(rest);
    plain
}

fn entity(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::name::clean_name;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    #[test]
    fn names_become_addresses_below_the_folder() {
        let folder = folder_of(&Url::parse("https://h/a/b?x=1#y").unwrap());
        assert_eq!(folder.as_str(), "https://h/a/b/");
        let url = |name| below(&folder, name).unwrap().to_string();
        assert_eq!(url("c/d e.txt"), "https://h/a/b/c/d%20e.txt");
        assert_eq!(url("a?b#c%2f"), "https://h/a/b/a%3Fb%23c%252f");
    }

    #[test]
    fn escapes_are_undone() {
        assert_eq!(unescaped("a%20b%2Fc%"), Some("a b/c%".into()));
        assert_eq!(unescaped("%zz%e9"), None);
        assert_eq!(unescaped("é%C3%A9"), Some("éé".into()));
        assert_eq!(
            without_entities("a&amp;b&#x2f;&#47;&nbsp;&"),
            "a&b//&nbsp;&"
        );
    }

    /// What lists of files are written in, and ways to lead astray.
    const WORDS: &[&str] = &[
        "<a href=\"",
        "\">x</a>",
        "<a href='",
        "'>",
        "<pre>",
        "../",
        "..",
        "%2e%2e/",
        "%2f",
        "/etc/passwd",
        "//other/",
        "https://other/a/b/x",
        "/a/b/",
        "/a/bc",
        "sub/",
        "log.txt",
        "?C=N;O=D",
        "#x",
        "javascript:x",
        "&#x2e;",
        "&amp;",
        "<ListBucketResult>",
        "<Contents><Key>",
        "</Key><Size>12</Size></Contents>",
        "<IsTruncated>true</IsTruncated>",
        "<NextMarker>",
        "{\"tree\": [",
        "{\"name\": \"",
        "\", \"children\": [",
        "\", \"size\": 1e999}",
        "\"}",
        "]}",
        ",",
        "\\",
        "\0",
        "\u{202e}",
        "\u{e9}",
    ];

    /// Below the folder, and of a name that leads nowhere else.
    fn is_inside(entry: &Entry, folder: &Url) -> bool {
        let path = entry.url.path();
        let same = entry.url.origin() == folder.origin() && path.starts_with(folder.path());
        same && !path.contains("/../") && clean_name(&entry.name).as_ref() == Ok(&entry.name)
    }

    proptest! {
        #[test]
        fn no_list_leads_out_of_its_folder(words in vec(prop_oneof![
            9 => select(WORDS).prop_map(str::to_owned),
            1 => "\\PC{0,3}",
        ], 0..24)) {
            let text = words.concat();
            let folder = Url::parse("https://h/a/b/").unwrap();
            let bounds = Bounds { files: 5, ..Bounds::default() };
            let mut found = Found::new(bounds.files);
            let links = page::read(&text, &folder, "p", &bounds, &mut found);
            bucket::read(&text, &folder, "", &mut found);
            prop_assert!(links.files.len() + links.folders.len() <= bounds.files + 1);
            for (name, url) in &links.folders {
                prop_assert!(url.path().starts_with("/a/b/") && url.origin() == folder.origin(), "{name} {url}");
            }
            let json = zuul::read(text.as_bytes(), &folder, &bounds);
            let more = json.iter().flat_map(|found| &found.entries);
            prop_assert!(found.entries.len() <= bounds.files && found.left.len() <= 100);
            for entry in links.files.iter().chain(&found.entries).chain(more) {
                prop_assert!(is_inside(entry, &folder), "{entry:?}");
            }
        }
    }
}
