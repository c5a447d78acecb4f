//! What the address of a build says about it.

/// Segments of an address that are looked at.
const MOST_SEGMENTS: usize = 64;
/// Last parts of an address that name a view of the build and not the build.
const VIEWS: &[&str] = &[
    "console",
    "consoleText",
    "consoleFull",
    "index.html",
    "display",
    "redirect",
    "pipeline",
    "artifact",
    "log",
];

/// What could be read from the address of a build or its logs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Address {
    /// Zuul's name of the build: 32 hexadecimal digits.
    pub uuid: Option<String>,
    /// Its first seven digits, as log folders carry them.
    pub short_uuid: Option<String>,
    /// The pipeline, which log folders of Zuul carry.
    pub pipeline: Option<String>,
    /// The job's name.
    pub job: Option<String>,
    /// The change's number.
    pub change: Option<String>,
    /// The patchset's number.
    pub patchset: Option<String>,
    /// The build's number in Jenkins.
    pub number: Option<u64>,
}

impl Address {
    /// Reads an address; `name` is the job's name where the comment says it.
    pub fn read(url: &str, name: Option<&str>) -> Self {
        let segments = segments(url);
        let mut found = jenkins(&segments)
            .or_else(|| log_folder(&segments, name))
            .unwrap_or_default();
        let hex = |length: usize| {
            let all = segments.iter().rev();
            all.copied()
                .find(|part| is_hex(part, length))
                .map(str::to_owned)
        };
        found.uuid = hex(32).map(|uuid| uuid.to_ascii_lowercase());
        let short = || found.uuid.as_ref().map(|uuid| uuid[..7].to_owned());
        found.short_uuid = found.short_uuid.take().or_else(short);
        if found.job.is_none() {
            found.job = last_name(&segments);
        }
        found
    }
}

/// The parts of the path, without empty ones.
fn segments(url: &str) -> Vec<&str> {
    let path = url.split_once("://").map_or(url, |(_, rest)| {
        rest.split_once('/').map_or("", |(_, path)| path)
    });
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let parts = path.split('/').filter(|part| !part.is_empty());
    parts.take(MOST_SEGMENTS).collect()
}

fn is_hex(part: &str, length: usize) -> bool {
    part.len() == length && part.bytes().all(|b| b.is_ascii_hexdigit())
}

fn is_number(part: &str) -> bool {
    !part.is_empty() && part.len() <= 18 && part.bytes().all(|b| b.is_ascii_digit())
}

/// `…/job/FOLDER/job/NAME/NUMBER/…`, or the same build in Jenkins' other pages.
fn jenkins(segments: &[&str]) -> Option<Address> {
    let mut names: Vec<String> = Vec::new();
    let mut at = segments.iter().position(|part| *part == "job")?;
    while segments.get(at) == Some(&"job") {
        names.push(decoded(segments.get(at + 1)?));
        at += 2;
    }
    let number = segments[at..].iter().find(|part| is_number(part));
    Some(Address {
        job: Some(names.join("/")),
        number: number.and_then(|number| number.parse().ok()),
        ..Address::default()
    })
}

/// `…/NN/CHANGE/PATCHSET/PIPELINE/JOB/SHORT-UUID/…`, where `NN` ends the change's number.
fn log_folder(segments: &[&str], name: Option<&str>) -> Option<Address> {
    let at = (0..segments.len()).find(|&at| is_log_folder(segments, at, name))?;
    let short = segments[at + 3..].iter().find(|part| is_hex(part, 7));
    Some(Address {
        short_uuid: short.map(|short| short.to_ascii_lowercase()),
        pipeline: Some(segments[at + 2].to_owned()),
        job: Some(decoded(segments[at + 3])),
        change: Some(segments[at].to_owned()),
        patchset: Some(segments[at + 1].to_owned()),
        ..Address::default()
    })
}

fn is_log_folder(segments: &[&str], at: usize, name: Option<&str>) -> bool {
    let Some(&[change, patchset, pipeline, job]) = segments.get(at..at + 4) else {
        return false;
    };
    let shaped = is_number(change) && is_number(patchset) && !is_number(pipeline);
    if !shaped {
        return false;
    }
    let sorted = at.checked_sub(1).is_some_and(|before| {
        let part = segments[before];
        is_number(part) && part.len() <= 2 && change.ends_with(part)
    });
    let named = name.is_some_and(|name| {
        let job = decoded(job);
        name == job
            || name
                .strip_prefix(job.as_str())
                .is_some_and(|rest| rest.starts_with('/'))
    });
    let hashed = segments.get(at + 4).is_some_and(|part| is_hex(part, 7));
    sorted || named || hashed
}

/// The job's name where the address is the only place that has it: the last part that names
/// something, or the one before a uuid.
fn last_name(segments: &[&str]) -> Option<String> {
    let mut parts = segments.iter().rev().copied();
    let last = parts.find(|part| !VIEWS.contains(part))?;
    let uuid = is_hex(last, 7) || is_hex(last, 32) || last == "None";
    let part = if uuid { parts.next()? } else { last };
    // `…/build/UUID` says nothing about the job.
    let says = !(uuid && part == "build") && part != "job" && !is_number(part);
    says.then(|| decoded(part))
}

/// A part with its `%20` and the like as they are meant; what is not UTF-8 stays as it is written.
fn decoded(part: &str) -> String {
    let bytes = part.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = (bytes[at] == b'%')
            .then(|| part.get(at + 1..at + 3))
            .flatten()
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        out.push(hex.unwrap_or(bytes[at]));
        at += if hex.is_some() { 3 } else { 1 };
    }
    String::from_utf8(out).unwrap_or_else(|_| part.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(url: &str) -> Option<String> {
        Address::read(url, None).job
    }

    #[test]
    fn a_log_folder_says_all() {
        let found = Address::read(
            "http://logs.shop.example/34/1234/5/gate/unit-tests/0a1b2c3/",
            Some("unit-tests"),
        );
        assert_eq!(
            found,
            Address {
                uuid: None,
                short_uuid: Some("0a1b2c3".into()),
                pipeline: Some("gate".into()),
                job: Some("unit-tests".into()),
                change: Some("1234".into()),
                patchset: Some("5".into()),
                number: None,
            }
        );
    }

    #[test]
    fn a_log_folder_is_found_below_any_prefix_and_with_a_part_behind() {
        for url in [
            "https://ci.example/logs/34/1234/5/gate/docs/0a1b2c3/doc/build/html/",
            "https://store.example/v1/AUTH_x/logs_abc/1234/5/gate/docs/0a1b2c3",
            "http://other.example/1234/5/gate/docs/run-17",
        ] {
            let found = Address::read(url, Some("docs"));
            assert_eq!(found.pipeline.as_deref(), Some("gate"), "{url}");
        }
        let unrelated = "https://host.example/a/111/222/three/four";
        assert_eq!(Address::read(unrelated, Some("docs")).pipeline, None);
        // Seven digits are a number too, and a pipeline is none.
        let numbers = "https://host.example/11/1111/2/3/4/5";
        assert_eq!(Address::read(numbers, None).pipeline, None);
    }

    #[test]
    fn a_page_of_zuul_names_the_build_only() {
        let uuid = "00112233445566778899aabbccddeeff";
        let url = format!("https://zuul.shop.example/t/shop/build/{uuid}");
        let found = Address::read(&url, Some("unit"));
        assert_eq!(found.uuid.as_deref(), Some(uuid));
        assert_eq!(found.short_uuid.as_deref(), Some("0011223"));
        assert_eq!((found.pipeline, found.job), (None, None));
        let none = Address::read("https://zuul.shop.example/t/shop/build/None", None);
        assert_eq!((none.uuid, none.job), (None, None));
    }

    #[test]
    fn jenkins_names_job_folder_and_number() {
        let found = Address::read(
            "https://ci.example/view/all/job/shop/job/unit%20tests/17/console",
            None,
        );
        assert_eq!(found.job.as_deref(), Some("shop/unit tests"));
        assert_eq!(found.number, Some(17));
        let matrix = Address::read("https://ci.example/job/shop/arch=arm,os=bsd/17/", None);
        assert_eq!(
            (matrix.job.as_deref(), matrix.number),
            (Some("shop"), Some(17))
        );
        assert_eq!(Address::read("https://ci.example/job/", None).job, None);
    }

    #[test]
    fn the_last_part_that_names_something_is_the_job() {
        assert_eq!(
            job("http://logs.example/x/7/9.1/unit").as_deref(),
            Some("unit")
        );
        assert_eq!(
            job("http://logs.example/x/unit/0a1b2c3").as_deref(),
            Some("unit")
        );
        assert_eq!(job("http://logs.example/1"), None);
        assert_eq!(job("http://logs.example"), None);
        assert_eq!(job("://"), None);
        assert_eq!(job("http://h/%zz%4").as_deref(), Some("%zz%4"));
    }
}
