//! Code review services that are told.

use super::{Period, Secret, Size, Wrong};
use serde::Deserialize;
use std::path::PathBuf;

/// Where review notes go.
#[derive(Debug, Clone, PartialEq, Deserialize, Default)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Review {
    /// A Gerrit.
    pub gerrit: Option<GerritAt>,
    /// GitHub or a GitHub Enterprise Server.
    pub github: Option<GitHubAt>,
    /// A GitLab.
    pub gitlab: Option<GitLabAt>,
}

/// A Gerrit.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct GerritAt {
    /// Its address.
    pub url: String,
    /// The account.
    pub user: String,
    /// Its HTTP password.
    pub password: Secret,
    /// Globs of the projects that are told here.
    #[serde(default = "every")]
    pub projects: Vec<String>,
    /// Whom Gerrit mails.
    #[serde(default)]
    pub notify: ReviewNotify,
    /// A vote that goes with each note.
    #[serde(default)]
    pub vote: Option<ReviewVote>,
    /// Longest message: `change.commentSizeLimit` of the Gerrit.
    #[serde(default = "longest_message")]
    pub longest_message: Size,
    /// Nothing is sent: its notes are only shown on the page.
    #[serde(default)]
    pub dry_run: bool,
    /// How long one request may take.
    #[serde(default = "timeout")]
    pub timeout: Period,
}

/// Whom Gerrit mails of a note.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
pub enum ReviewNotify {
    /// Nobody.
    None,
    /// The owner of the change.
    #[default]
    Owner,
    /// The owner and the reviewers.
    OwnerReviewers,
    /// All who watch.
    All,
}

/// A vote in Gerrit.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ReviewVote {
    /// The label.
    pub label: String,
    /// Its value when all failures are known.
    pub known: i32,
    /// Its value when some are not.
    pub unexplained: i32,
}

/// GitHub.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct GitHubAt {
    /// The address of its API.
    #[serde(default = "api_of_github")]
    pub url: String,
    /// A token of an account; or `app`.
    #[serde(default)]
    pub token: Option<Secret>,
    /// A GitHub App; or `token`.
    #[serde(default)]
    pub app: Option<GitHubApp>,
    /// The login under which the account writes, where the token cannot ask for it.
    #[serde(default)]
    pub login: Option<String>,
    /// Name of the check run that an App makes.
    #[serde(default)]
    pub check_run: Option<String>,
    /// Globs of the projects (`owner/name`) that are told here.
    #[serde(default = "every")]
    pub projects: Vec<String>,
    /// Nothing is sent: its notes are only shown on the page.
    #[serde(default)]
    pub dry_run: bool,
    /// How long one request may take.
    #[serde(default = "timeout")]
    pub timeout: Period,
}

/// A GitHub App.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct GitHubApp {
    /// Its number or its client id.
    pub id: String,
    /// Its private key, as PEM; or `private-key-file`.
    #[serde(default)]
    pub private_key: Option<Secret>,
    /// The file that holds it; or `private-key`.
    #[serde(default)]
    pub private_key_file: Option<PathBuf>,
    /// The installation; without it, asked for each repository.
    #[serde(default)]
    pub installation: Option<u64>,
}

/// A GitLab.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct GitLabAt {
    /// Its address, without `/api/v4`.
    #[serde(default = "gitlab_com")]
    pub url: String,
    /// The access token.
    pub token: Secret,
    /// Globs of the projects (`group/name`) that are told here.
    #[serde(default = "every")]
    pub projects: Vec<String>,
    /// Nothing is sent: its notes are only shown on the page.
    #[serde(default)]
    pub dry_run: bool,
    /// How long one request may take.
    #[serde(default = "timeout")]
    pub timeout: Period,
}

fn every() -> Vec<String> {
    vec!["*".to_owned()]
}

fn longest_message() -> Size {
    // 16k in Gerrit, which says that it counts only roughly.
    Size(16_000)
}

fn timeout() -> Period {
    Period::seconds(10)
}

fn api_of_github() -> String {
    "https://api.github.com".to_owned()
}

fn gitlab_com() -> String {
    "https://gitlab.com".to_owned()
}

impl Review {
    /// What may contain variables.
    pub fn secrets(&mut self) -> Vec<&mut Secret> {
        let mut all: Vec<&mut Secret> = Vec::new();
        all.extend(self.gerrit.as_mut().map(|at| &mut at.password));
        all.extend(self.gitlab.as_mut().map(|at| &mut at.token));
        if let Some(at) = &mut self.github {
            all.extend(at.token.as_mut());
            all.extend(at.app.as_mut().and_then(|app| app.private_key.as_mut()));
        }
        all
    }

    /// Looks at all values; `path` is where they stand.
    pub fn check(&self, path: &str) -> Result<(), Wrong> {
        if let Some(at) = &self.gerrit {
            at.check(&format!("{path}.gerrit"))?;
        }
        if let Some(at) = &self.github {
            at.check(&format!("{path}.github"))?;
        }
        if let Some(at) = &self.gitlab {
            let path = format!("{path}.gitlab");
            common(&path, &at.url, at.timeout, &at.projects)?;
            filled(&format!("{path}.token"), at.token.expose())?;
        }
        Ok(())
    }
}

impl GerritAt {
    fn check(&self, path: &str) -> Result<(), Wrong> {
        common(path, &self.url, self.timeout, &self.projects)?;
        filled(&format!("{path}.user"), &self.user)?;
        filled(&format!("{path}.password"), self.password.expose())?;
        if let Some(vote) = &self.vote {
            filled(&format!("{path}.vote.label"), &vote.label)?;
        }
        if !(1_000..=1 << 24).contains(&self.longest_message.0) {
            let path = format!("{path}.longest-message");
            return Err(Wrong::new(path, "give 1000 to 16 MiB"));
        }
        Ok(())
    }
}

impl GitHubAt {
    fn check(&self, path: &str) -> Result<(), Wrong> {
        common(path, &self.url, self.timeout, &self.projects)?;
        match (&self.token, &self.app) {
            (Some(token), None) => {
                filled(&format!("{path}.token"), token.expose())?;
                if self.check_run.is_some() {
                    let message = "only a GitHub App (`app`) can make check runs";
                    return Err(Wrong::new(format!("{path}.check-run"), message));
                }
                Ok(())
            }
            (None, Some(app)) => app.check(&format!("{path}.app")),
            _ => Err(Wrong::new(path, "give either `token` or `app`")),
        }
    }
}

impl GitHubApp {
    fn check(&self, path: &str) -> Result<(), Wrong> {
        filled(&format!("{path}.id"), &self.id)?;
        if self.private_key.is_some() == self.private_key_file.is_some() {
            let message = "give either `private-key` or `private-key-file`";
            return Err(Wrong::new(path, message));
        }
        Ok(())
    }
}

fn common(path: &str, url: &str, timeout: Period, projects: &[String]) -> Result<(), Wrong> {
    let parsed = url::Url::parse(url);
    if !parsed.is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.password().is_none())
    {
        let message = "must be an address that begins with http:// or https://, without a password";
        return Err(Wrong::new(format!("{path}.url"), message));
    }
    if timeout.0.is_zero() {
        let path = format!("{path}.timeout");
        return Err(Wrong::new(path, "give more than nothing"));
    }
    if projects.is_empty() {
        let path = format!("{path}.projects");
        return Err(Wrong::new(path, "name at least one project, or `*`"));
    }
    Ok(())
}

fn filled(path: &str, text: &str) -> Result<(), Wrong> {
    if text.trim().is_empty() {
        return Err(Wrong::new(path, "must not be empty"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Review, String> {
        let review: Review = serde_saphyr::from_str(text).map_err(|e| e.to_string())?;
        let wrong = |w: Wrong| format!("{}: {}", w.path, w.message);
        review.check("notes.review").map_err(wrong)?;
        Ok(review)
    }

    #[test]
    fn what_is_left_out_has_a_default() {
        let mut all = read(
            "gerrit: {url: 'https://r', user: w, password: s1, vote: {label: V, known: 0, unexplained: -1}}\n\
             github: {app: {id: 1, private-key: s2}, check-run: whorl}\n\
             gitlab: {token: s3}\n",
        )
        .unwrap();
        let gerrit = all.gerrit.clone().unwrap();
        assert_eq!(gerrit.notify, ReviewNotify::Owner);
        assert_eq!(gerrit.longest_message, Size(16_000));
        assert_eq!(all.github.clone().unwrap().url, "https://api.github.com");
        assert_eq!(all.gitlab.clone().unwrap().projects, ["*"]);
        assert_eq!(all.secrets().len(), 3);
        let shown = format!("{all:?}");
        assert!(!shown.contains("s1") && !shown.contains("s2") && !shown.contains("s3"));
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_path() {
        let cases = [
            (
                "gerrit: {url: 'ftp://r', user: w, password: s}",
                "notes.review.gerrit.url: ",
            ),
            (
                "gerrit: {url: 'https://u:p@r', user: w, password: s}",
                "notes.review.gerrit.url: ",
            ),
            (
                "gerrit: {url: 'https://r', user: w, password: ''}",
                "notes.review.gerrit.password: ",
            ),
            ("github: {}", "notes.review.github: give either"),
            (
                "github: {token: a, app: {id: 1, private-key: k}}",
                "notes.review.github: ",
            ),
            (
                "github: {token: a, check-run: x}",
                "notes.review.github.check-run: ",
            ),
            ("github: {app: {id: 1}}", "notes.review.github.app: "),
            (
                "gitlab: {token: a, timeout: 0s}",
                "notes.review.gitlab.timeout: ",
            ),
            (
                "gitlab: {token: a, projects: []}",
                "notes.review.gitlab.projects: ",
            ),
        ];
        for (text, wanted) in cases {
            let error = read(text).unwrap_err();
            assert!(error.starts_with(wanted), "{text}: {error}");
        }
        assert!(read("gitlab: {token: a, colour: red}").is_err());
    }

    #[test]
    fn what_the_pages_show_is_accepted() {
        let pages = [
            include_str!("../../docs/targets/gerrit.md"),
            include_str!("../../docs/targets/github.md"),
            include_str!("../../docs/targets/gitlab.md"),
        ];
        for page in pages {
            let (_, rest) = page.split_once("```yaml\n").unwrap();
            let (yaml, _) = rest.split_once("```").unwrap();
            read(yaml).unwrap();
        }
    }
}
