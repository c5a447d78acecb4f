//! Index pages: the links of a page that lie right below its folder.

use super::{Bounds, Entry, Found, unescaped, without_entities};
use crate::intake::name::clean_name;
use url::Url;

/// Files and folders of one page.
pub(super) struct Links {
    pub(super) files: Vec<Entry>,
    pub(super) folders: Vec<(String, Url)>,
}

/// The links of a page. `parent` goes before the names. Links to other places, to the folder above and
/// to other orders of the same page are no files.
pub(super) fn read(
    html: &str,
    folder: &Url,
    parent: &str,
    bounds: &Bounds,
    found: &mut Found,
) -> Links {
    let mut links = Links {
        files: Vec::new(),
        folders: Vec::new(),
    };
    let mut seen = std::collections::BTreeSet::new();
    for address in addresses(html) {
        if links.files.len() + links.folders.len() > bounds.files {
            break;
        }
        let Some((part, url, is_folder)) = one_below(folder, &address) else {
            continue;
        };
        if !seen.insert(url.path().to_owned()) {
            continue;
        }
        match clean_name(&part) {
            Ok(name) if !name.contains(['/', '\\']) => {
                let name = if parent.is_empty() {
                    name
                } else {
                    format!("{parent}/{name}")
                };
                if is_folder {
                    links.folders.push((name, url));
                } else {
                    links.files.push(Entry {
                        name,
                        url,
                        size: None,
                        mimetype: None,
                        encoding: None,
                    });
                }
            }
            Ok(_) => found.bad_name(&part, crate::intake::NameError::Parent),
            Err(reason) => found.bad_name(&part, reason),
        }
    }
    links
}

/// The part of a name below the folder, its address, and whether it is a folder.
fn one_below(folder: &Url, address: &str) -> Option<(String, Url, bool)> {
    let url = folder.join(address.trim()).ok()?;
    if url.origin() != folder.origin() || url.query().is_some() || url.fragment().is_some() {
        return None;
    }
    let rest = url.path().strip_prefix(folder.path())?;
    let is_folder = rest.ends_with('/');
    let part = rest.strip_suffix('/').unwrap_or(rest);
    if part.is_empty() || part.contains('/') {
        return None;
    }
    let part = unescaped(part)?;
    Some((part, url, is_folder))
}

/// The values of `href` of all links.
fn addresses(html: &str) -> impl Iterator<Item = String> + '_ {
    let mut rest = html;
    std::iter::from_fn(move || {
        loop {
            let at = rest.find('<')?;
            rest = &rest[at + 1..];
            let is_link = rest
                .strip_prefix(['a', 'A'])
                .is_some_and(|after| after.starts_with(|c: char| c.is_ascii_whitespace()));
            if !is_link {
                continue;
            }
            let end = rest.find('>').unwrap_or(rest.len());
            let tag = &rest[..end];
            rest = &rest[end..];
            if let Some(value) = attribute(tag, "href") {
                return Some(without_entities(value));
            }
        }
    })
}

/// The value of an attribute of a tag.
fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = tag.trim_start_matches(|c: char| !c.is_ascii_whitespace());
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
        let end = rest.find(|c: char| c == '=' || c.is_ascii_whitespace())?;
        let key = &rest[..end];
        rest = rest[end..].trim_start();
        let Some(after) = rest.strip_prefix('=') else {
            continue;
        };
        let after = after.trim_start();
        let first = after.chars().next()?;
        let (value, left) = if matches!(first, '"' | '\'') {
            after[1..].split_once(first)?
        } else {
            let end = after.find(|c: char| c.is_ascii_whitespace());
            after.split_at(end.unwrap_or(after.len()))
        };
        if key.eq_ignore_ascii_case(name) {
            return Some(value);
        }
        rest = left;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(html: &str) -> (Vec<String>, Vec<String>) {
        let folder = Url::parse("https://h/logs/1/").unwrap();
        let mut found = Found::new(100);
        let links = read(html, &folder, "", &Bounds::default(), &mut found);
        let files = links.files.into_iter().map(|f| f.name).collect();
        let folders = links.folders.into_iter().map(|f| f.0).collect();
        (files, folders)
    }

    #[test]
    fn apache() {
        let html = r#"<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 3.2 Final//EN"><html>
            <table><tr><th><a href="?C=N;O=D">Name</a></th><th><a href="?C=M;O=A">Last modified</a></th></tr>
            <tr><td><a href="/logs/">Parent Directory</a></td></tr>
            <tr><td><A HREF="console.html.gz">console.html.gz</A></td><td>12K</td></tr>
            <tr><td><a href="logs/">logs/</a></td></tr>
            <tr><td><a href="a%20b&amp;c.txt">a b&amp;c.txt</a></td></tr></table>"#;
        assert_eq!(
            names(html),
            (
                vec!["console.html.gz".into(), "a b&c.txt".into()],
                vec!["logs".into()]
            )
        );
    }

    #[test]
    fn nginx_and_swift() {
        let html = "<h1>Index of /logs/1/</h1><pre><a href=\"../\">../</a>\n<a href=\"x.txt\">x.txt</a> 01-Jan 12\n<a class='f' href='/logs/1/y.txt' >y</a> <a href=z.txt>z</a><a href=\"x.txt\">again</a></pre>";
        assert_eq!(
            names(html),
            (vec!["x.txt".into(), "y.txt".into(), "z.txt".into()], vec![])
        );
    }

    #[test]
    fn links_elsewhere_are_no_files() {
        let html = r##"<a href="https://evil/logs/1/x"> <a href="//evil/logs/1/x"> <a href="/logs/10/x">
            <a href="/logs/1"> <a href="../2/x"> <a href="mailto:x"> <a href="javascript:alert(1)"> <a href="#x">
            <a href="deep/x.txt"> <a href="x?download"> <a href="http://h/logs/1/x"> <a name=x> <abbr href=no>
            <a href="%2e%2e/x"> <a href="..%2f..%2fx"> <a href="%00">"##;
        assert_eq!(names(html), (vec![], vec![]));
    }

    #[test]
    fn broken_pages_end() {
        for html in [
            "<a href=",
            "<a ",
            "<a href='x",
            "<a =",
            "<a href",
            "<<<<<a href=\"\">",
            "<a é=ü href=ö>",
        ] {
            let (files, _) = names(html);
            assert!(files.len() < 2, "{html}");
        }
    }
}
