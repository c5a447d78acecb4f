//! The list of an object store: S3, and Google Cloud Storage, which speaks the same.

use super::{Entry, Found, below, folder_of, unescaped, without_entities};
use crate::intake::name::clean_name;
use url::Url;

/// One page of a list.
pub(super) struct Page {
    /// What to ask for the next page with.
    pub(super) next: Option<(&'static str, String)>,
}

/// The bucket and the prefix of a folder in a store that is known by its name: there a folder itself
/// cannot be asked for.
pub(super) fn known(folder: &Url) -> Option<(Url, String)> {
    let host = folder.host_str()?;
    let amazon = host.strip_suffix(".amazonaws.com");
    let by_path = host == "storage.googleapis.com"
        || amazon.is_some_and(|name| name == "s3" || name.starts_with("s3."));
    let by_host = host.ends_with(".storage.googleapis.com")
        || amazon.is_some_and(|name| name.split('.').skip(1).any(|part| part == "s3"));
    let path = unescaped(folder.path().strip_prefix('/')?)?;
    let (bucket, prefix) = match (by_path, by_host) {
        (true, _) => path.split_once('/')?,
        (_, true) => ("", path.as_str()),
        _ => return None,
    };
    let root = folder.join("/").ok()?;
    Some((folder_of(&below(&root, bucket)?), prefix.to_owned()))
}

/// True for the XML of a list.
pub(super) fn is_list(text: &str) -> bool {
    let head: String = text.chars().take(1000).collect();
    head.contains("<ListBucketResult")
}

/// The objects of a page below `prefix`.
pub(super) fn read(xml: &str, bucket: &Url, prefix: &str, found: &mut Found) -> Page {
    let mut last = None;
    for object in elements(xml, "Contents") {
        let Some(key) = element(object, "Key").map(without_entities) else {
            continue;
        };
        if let Some(entry) = one(&key, object, bucket, prefix, found) {
            found.add(entry);
        }
        last = Some(key);
    }
    let more = element(xml, "IsTruncated").is_some_and(|text| text.trim() == "true");
    let value = |name| element(xml, name).map(without_entities);
    let next = if let Some(token) = value("NextContinuationToken") {
        Some(("continuation-token", token))
    } else {
        value("NextMarker")
            .or(last)
            .map(|marker| ("marker", marker))
    };
    Page {
        next: next.filter(|_| more),
    }
}

fn one(key: &str, object: &str, bucket: &Url, prefix: &str, found: &mut Found) -> Option<Entry> {
    let rest = key.strip_prefix(prefix)?;
    // Folders are objects of no length, where somebody has made them.
    if rest.is_empty() || rest.ends_with('/') {
        return None;
    }
    match clean_name(rest) {
        Ok(name) => Some(Entry {
            name,
            url: below(bucket, key)?,
            size: element(object, "Size").and_then(|size| size.trim().parse().ok()),
            mimetype: None,
            encoding: None,
        }),
        Err(reason) => {
            found.bad_name(rest, reason);
            None
        }
    }
}

/// The insides of all elements of this name; they do not stand in each other.
fn elements<'a>(xml: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let mut rest = xml;
    std::iter::from_fn(move || {
        let from = rest.find(&open)? + open.len();
        let inside = &rest[from..];
        let end = inside.find(&close)?;
        rest = &inside[end + close.len()..];
        Some(&inside[..end])
    })
}

fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    elements(xml, name).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_below_a_prefix() {
        let xml = r#"<?xml version="1.0"?><ListBucketResult xmlns="x"><Name>b</Name><Prefix>logs/1/</Prefix>
            <IsTruncated>true</IsTruncated><NextContinuationToken>a&amp;b=</NextContinuationToken>
            <Contents><Key>logs/1/build-log.txt</Key><Size>12</Size></Contents>
            <Contents><Key>logs/1/a&amp;b/c d.txt</Key><Size>3</Size></Contents>
            <Contents><Key>logs/1/folder/</Key><Size>0</Size></Contents>
            <Contents><Key>logs/2/other.txt</Key><Size>3</Size></Contents>
            <Contents><Key>logs/1/../x</Key><Size>3</Size></Contents></ListBucketResult>"#;
        assert!(is_list(xml));
        let bucket = Url::parse("https://s3/b/").unwrap();
        let mut found = Found::new(10);
        let page = read(xml, &bucket, "logs/1/", &mut found);
        let names: Vec<_> = found
            .entries
            .iter()
            .map(|e| (e.name.as_str(), e.url.as_str(), e.size))
            .collect();
        assert_eq!(
            names,
            [
                (
                    "build-log.txt",
                    "https://s3/b/logs/1/build-log.txt",
                    Some(12)
                ),
                ("a&b/c d.txt", "https://s3/b/logs/1/a&b/c%20d.txt", Some(3)),
            ]
        );
        assert_eq!(page.next, Some(("continuation-token", "a&b=".into())));
        assert_eq!(found.left.len(), 1);
    }

    #[test]
    fn stores_that_are_known_by_name() {
        let of = |url: &str| {
            let (bucket, prefix) = known(&Url::parse(url).unwrap())?;
            Some(format!("{bucket} {prefix}"))
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            of("https://storage.googleapis.com/bucket/logs/a%20b/"),
            some("https://storage.googleapis.com/bucket/ logs/a b/")
        );
        assert_eq!(
            of("https://s3.eu-west-1.amazonaws.com/bucket/x/"),
            some("https://s3.eu-west-1.amazonaws.com/bucket/ x/")
        );
        assert_eq!(
            of("https://bucket.s3.amazonaws.com/x/y/"),
            some("https://bucket.s3.amazonaws.com/ x/y/")
        );
        assert_eq!(of("https://logs.example.org/bucket/x/"), None);
        assert_eq!(of("https://s3.amazonaws.com.evil.org/bucket/x/"), None);
    }

    #[test]
    fn older_lists_go_on_after_the_last_key() {
        let xml = "<ListBucketResult><IsTruncated>true</IsTruncated><Contents><Key>a</Key></Contents></ListBucketResult>";
        let mut found = Found::new(10);
        let page = read(xml, &Url::parse("https://s3/b/").unwrap(), "", &mut found);
        assert_eq!(page.next, Some(("marker", "a".into())));
    }
}
