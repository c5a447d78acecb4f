//! An event of `stream-events`, or a row of `gerrit query`, as far as comments need it.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::Value;

/// A comment on a change, and what is known of the change.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Comment {
    /// Number of the change.
    pub change: Option<String>,
    /// Number of the patchset.
    pub patchset: Option<String>,
    /// The repository.
    pub project: Option<String>,
    /// The branch.
    pub branch: Option<String>,
    /// The commit of the patchset.
    pub commit: Option<String>,
    /// Where people find the change.
    pub change_url: Option<String>,
    /// The author's account name.
    pub username: Option<String>,
    /// The author's full name.
    pub name: Option<String>,
    /// The tag, which programs give their comments.
    pub tag: Option<String>,
    /// The text.
    pub text: String,
    /// When it was written.
    pub created: Option<Timestamp>,
}

impl Comment {
    /// A comment of which only the text is known.
    pub fn of_text(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            ..Self::default()
        }
    }

    /// The author's account name, or what else is known of the author.
    pub fn author(&self) -> Option<&str> {
        self.username.as_deref().or(self.name.as_deref())
    }

    fn with_author(mut self, author: &Value) -> Self {
        self.username = text(&author["username"]);
        self.name = text(&author["name"]).or_else(|| text(&author["email"]));
        self
    }
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happened {
    /// Somebody wrote a comment.
    Comment(Box<Comment>),
    /// An event of another type, which it is.
    Other(String),
    /// No event at all: why.
    Unknown(&'static str),
}

impl Happened {
    /// Reads one event. Numbers may be written as texts, as old versions do; what is missing or of
    /// another type is left out.
    pub fn from_json(event: &Value) -> Self {
        let Some(kind) = event["type"].as_str() else {
            return Self::Unknown("it has no `type`");
        };
        if kind != "comment-added" {
            return Self::Other(kind.to_owned());
        }
        let Some(said) = event["comment"].as_str() else {
            return Self::Unknown("a `comment-added` without `comment`");
        };
        let patchset = &event["patchSet"];
        let mut comment = of_change(&event["change"]).with_author(&event["author"]);
        comment.project = comment.project.or_else(|| text(&event["project"]));
        comment.patchset = text(&patchset["number"]);
        comment.commit = text(&patchset["revision"]);
        comment.tag = text(&event["tag"]);
        said.clone_into(&mut comment.text);
        comment.created = moment(&event["eventCreatedOn"]);
        Self::Comment(Box::new(comment))
    }
}

/// The comments in a row of `gerrit query --comments --format=JSON`, or in a change as the REST API
/// gives it with `o=MESSAGES`; none for any other object.
pub(super) fn of_row(row: &Value) -> Option<Vec<Comment>> {
    let change = of_change(row);
    if let Some(comments) = row["comments"].as_array() {
        return Some(
            comments
                .iter()
                .filter_map(|one| of_query(&change, one))
                .collect(),
        );
    }
    let messages = row["messages"].as_array()?;
    Some(
        messages
            .iter()
            .filter_map(|one| of_rest(&change, one))
            .collect(),
    )
}

fn of_query(change: &Comment, one: &Value) -> Option<Comment> {
    let said = one["message"].as_str()?;
    let mut comment = change.clone().with_author(&one["reviewer"]);
    comment.patchset = patchset_of(said);
    said.clone_into(&mut comment.text);
    comment.created = moment(&one["timestamp"]);
    Some(comment)
}

fn of_rest(change: &Comment, one: &Value) -> Option<Comment> {
    let said = one["message"].as_str()?;
    let mut comment = change.clone().with_author(&one["author"]);
    comment.patchset = text(&one["_revision_number"]).or_else(|| patchset_of(said));
    comment.tag = text(&one["tag"]);
    said.clone_into(&mut comment.text);
    // `2026-01-02 03:04:05.000000000`, in UTC.
    let date = one["date"]
        .as_str()
        .and_then(|date| date.parse::<DateTime>().ok());
    comment.created = date
        .and_then(|date| date.to_zoned(TimeZone::UTC).ok())
        .map(|date| date.timestamp());
    Some(comment)
}

fn of_change(change: &Value) -> Comment {
    Comment {
        change: text(&change["number"]).or_else(|| text(&change["_number"])),
        project: text(&change["project"]),
        branch: text(&change["branch"]),
        change_url: text(&change["url"]),
        ..Comment::default()
    }
}

/// The number in `Patch Set 3:`, with which Gerrit begins a comment.
fn patchset_of(said: &str) -> Option<String> {
    let rest = said.strip_prefix("Patch Set ")?;
    let (number, _) = rest.split_once(':')?;
    let good = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    good.then(|| number.to_owned())
}

/// The pipeline in a tag such as `autogenerated:zuul:check` or `autogenerated:ci-test`.
pub(super) fn tag_pipeline(tag: &str) -> Option<String> {
    let rest = tag.strip_prefix("autogenerated:")?;
    let name = rest
        .strip_prefix("zuul:")
        .or_else(|| rest.strip_prefix("ci-"))?;
    let good = !name.is_empty() && !name.contains(char::is_whitespace);
    good.then(|| name.to_owned())
}

/// A text that is not empty, or a number as a text.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Seconds since 1970.
fn moment(value: &Value) -> Option<Timestamp> {
    let seconds = value.as_i64().or_else(|| value.as_str()?.parse().ok())?;
    Timestamp::from_second(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_event_of_any_age_is_read() {
        let old = json!({
            "type": "comment-added", "comment": "Build failed.", "eventCreatedOn": 1_400_000_000,
            "author": {"username": "ci", "name": "The CI"},
            "change": {"number": "12", "project": "shop/api", "branch": "main", "url": "https://r.example/12"},
            "patchSet": {"number": "3", "revision": "abc"},
        });
        let mut new = old.clone();
        new["change"]["number"] = json!(12);
        new["patchSet"]["number"] = json!(3);
        let Happened::Comment(read) = Happened::from_json(&old) else {
            panic!("no comment");
        };
        assert_eq!(Happened::from_json(&new), Happened::Comment(read.clone()));
        assert_eq!(read.change.as_deref(), Some("12"));
        assert_eq!(read.author(), Some("ci"));
        assert_eq!(
            read.created.map(|at| at.to_string()).as_deref(),
            Some("2014-05-13T16:53:20Z")
        );
    }

    #[test]
    fn what_is_missing_is_missing_and_what_is_wrong_too() {
        let bare = json!({"type": "comment-added", "comment": "x", "change": 7, "author": [], "eventCreatedOn": 1e300});
        assert_eq!(
            Happened::from_json(&bare),
            Happened::Comment(Box::new(Comment::of_text("x")))
        );
        assert_eq!(
            Happened::from_json(&json!({"type": "ref-updated"})),
            Happened::Other("ref-updated".into())
        );
        for broken in [
            json!({"type": "comment-added"}),
            json!({"type": 3}),
            json!([]),
            json!(null),
        ] {
            assert!(
                matches!(Happened::from_json(&broken), Happened::Unknown(_)),
                "{broken}"
            );
        }
    }

    #[test]
    fn a_row_of_a_query_has_many_comments() {
        let row = json!({"number": 5, "project": "p", "comments": [
            {"timestamp": 1_400_000_000, "reviewer": {"username": "ci"}, "message": "Patch Set 2: Verified-1\n\nBuild failed."},
            {"reviewer": {"name": "A Person"}, "message": "hello"},
            {"reviewer": {"name": "nobody"}},
        ]});
        let all = of_row(&row).unwrap();
        let seen: Vec<_> = all
            .iter()
            .map(|c| (c.author(), c.patchset.as_deref(), c.change.as_deref()))
            .collect();
        assert_eq!(
            seen,
            [
                (Some("ci"), Some("2"), Some("5")),
                (Some("A Person"), None, Some("5"))
            ]
        );
        assert_eq!(of_row(&json!({"type": "stats"})), None);
    }

    #[test]
    fn a_change_of_the_rest_api_has_many_messages() {
        let change = json!({"_number": 5, "project": "p", "branch": "main", "messages": [
            {"author": {"username": "ci"}, "tag": "autogenerated:zuul:check", "_revision_number": 3,
             "date": "2026-01-02 03:04:05.678000000", "message": "Patch Set 3:\n\nBuild failed."},
            {"message": "Uploaded patch set 1.", "date": "yesterday"},
        ]});
        let all = of_row(&change).unwrap();
        assert_eq!(all.len(), 2);
        let expected = Comment {
            change: Some("5".into()),
            patchset: Some("3".into()),
            project: Some("p".into()),
            branch: Some("main".into()),
            username: Some("ci".into()),
            tag: Some("autogenerated:zuul:check".into()),
            created: "2026-01-02T03:04:05.678Z".parse().ok(),
            ..Comment::of_text("Patch Set 3:\n\nBuild failed.")
        };
        assert_eq!(all[0], expected);
        assert_eq!((all[1].created, all[1].author()), (None, None));
    }

    #[test]
    fn tags_name_pipelines() {
        assert_eq!(
            tag_pipeline("autogenerated:zuul:check").as_deref(),
            Some("check")
        );
        assert_eq!(
            tag_pipeline("autogenerated:ci-gate-and-submit").as_deref(),
            Some("gate-and-submit")
        );
        assert_eq!(tag_pipeline("autogenerated:zuul"), None);
        assert_eq!(tag_pipeline("autogenerated:gerrit:abandon"), None);
    }
}
