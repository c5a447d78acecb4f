//! A strict fake of GitHub's REST API, from what its reference documents.

use super::fake::{Reply, Request, Service, page};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use url::Url;

pub(crate) const TOKEN: &str = "ghp_S3CRET";
pub(crate) const APP: u64 = 4711;
const APP_ID: &str = "4711";
pub(crate) const KEY: &str = include_str!("app-key.pem");
pub(crate) const REPOSITORY: &str = "acme/shop.api";
pub(crate) const SHA: &str = "6dcb09b5b57875f334f61aebed695e2e4193db5e";

/// GitHub with one repository, `acme/shop.api`, whose number is 77.
pub(crate) struct Hub {
    url: Url,
    /// Pull requests: their state, when merged, their head.
    pub(crate) pull: Value,
    pub(crate) comments: Vec<Value>,
    pub(crate) runs: Vec<Value>,
    /// Tokens of installations, with their ends.
    pub(crate) tokens: Vec<(String, Timestamp)>,
    pub(crate) lifetime: SignedDuration,
    pub(crate) app_may: bool,
    next: u64,
}

impl Hub {
    pub(crate) fn new(url: Url) -> Self {
        Self {
            url,
            pull: json!({"number": 7, "state": "open", "merged_at": null, "head": {"sha": SHA}}),
            comments: Vec::new(),
            runs: Vec::new(),
            tokens: Vec::new(),
            lifetime: SignedDuration::from_hours(1),
            app_may: true,
            next: 1000,
        }
    }

    /// A comment by somebody.
    pub(crate) fn comment(&mut self, login: &str, body: &str) -> Value {
        self.next += 1;
        let comment = json!({
            "id": self.next, "node_id": "x", "user": {"login": login, "type": "User"}, "body": body,
            "html_url": format!("https://hub.example/{}", self.next),
        });
        self.comments.push(comment.clone());
        comment
    }

    fn who(&self, request: &Request) -> Option<&'static str> {
        let token = request.header("Authorization").strip_prefix("Bearer ")?;
        if token == TOKEN {
            return Some("whorl-bot");
        }
        let alive =
            |(text, until): &(String, Timestamp)| text == token && *until > Timestamp::now();
        self.tokens.iter().any(alive).then_some("whorl-app[bot]")
    }

    fn app(&mut self, request: &Request, path: &[&str]) -> Reply {
        if let Err(why) = statement(request) {
            return message(401, &why);
        }
        match (request.method.as_str(), path) {
            ("GET", ["app"]) => Reply::json(200, &json!({"id": APP, "slug": "whorl-app"})),
            ("GET", ["repos", "acme", "shop.api", "installation"]) => {
                Reply::json(200, &json!({"id": 99, "app_id": APP}))
            }
            ("POST", ["app", "installations", "99", "access_tokens"]) => {
                let token = format!("ghs_{}", self.tokens.len());
                let until = Timestamp::now() + self.lifetime;
                self.tokens.push((token.clone(), until));
                Reply::json(201, &json!({"token": token, "expires_at": until}))
            }
            _ => message(404, "Not Found"),
        }
    }

    fn comments(&mut self, request: &Request, login: &str) -> Reply {
        if request.method == "GET" {
            let (part, more) = page(&self.comments, request, 30);
            return self.linked(
                request,
                &json!(part),
                more,
                "repositories/77/issues/7/comments",
            );
        }
        if let Err(reply) = body_of(request) {
            return reply;
        }
        let comment = self.comment(login, request.body["body"].as_str().unwrap());
        Reply::json(201, &comment)
    }

    fn one_comment(&mut self, request: &Request, id: &str, login: &str) -> Reply {
        let id: u64 = id.parse().unwrap();
        let Some(comment) = self.comments.iter_mut().find(|one| one["id"] == id) else {
            return message(404, "Not Found");
        };
        if request.method == "GET" {
            return Reply::json(200, comment);
        }
        assert_eq!(request.method, "PATCH");
        if comment["user"]["login"] != login {
            return message(403, "Must have admin rights to Repository.");
        }
        if let Err(reply) = body_of(request) {
            return reply;
        }
        comment["body"] = request.body["body"].clone();
        Reply::json(200, comment)
    }

    fn linked(&self, request: &Request, body: &Value, more: bool, path: &str) -> Reply {
        let reply = Reply::json(200, body);
        if !more {
            return reply;
        }
        let mut url = self.url.join(path).unwrap();
        for (name, value) in request.query.iter().filter(|(name, _)| *name != "page") {
            url.query_pairs_mut().append_pair(name, value);
        }
        let (next, last) = (request.number("page", 1) + 1, 99);
        let link = format!("<{url}&page={next}>; rel=\"next\", <{url}&page={last}>; rel=\"last\"");
        reply.with("Link", link)
    }

    fn runs_of(&self, request: &Request, sha: &str) -> Reply {
        let asked = |name: &str| request.query.get(name).cloned().unwrap_or_default();
        assert_eq!(asked("filter"), "all");
        assert_eq!(asked("app_id"), APP.to_string());
        let matching = |run: &&Value| run["head_sha"] == sha && run["name"] == asked("check_name");
        let all: Vec<Value> = self.runs.iter().rev().filter(matching).cloned().collect();
        let (part, more) = page(&all, request, 30);
        let body = json!({"total_count": all.len(), "check_runs": part});
        let path = format!("repositories/77/commits/{sha}/check-runs");
        self.linked(request, &body, more, &path)
    }

    fn run(&mut self, request: &Request, id: Option<&str>) -> Reply {
        let output = &request.body["output"];
        let annotations = output["annotations"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        if let Err(why) = well_formed(output, &annotations) {
            return message(422, why);
        }
        if let Some(id) = id {
            let id: u64 = id.parse().unwrap();
            let run = self.runs.iter_mut().find(|run| run["id"] == id).unwrap();
            run["external_id"] = request.body["external_id"].clone();
            run["output"]["annotations"]
                .as_array_mut()
                .unwrap()
                .extend(annotations);
            return Reply::json(200, run);
        }
        let must = ["name", "head_sha", "conclusion"];
        if must.iter().any(|name| !request.body[*name].is_string()) {
            return message(422, "Invalid request.");
        }
        self.next += 1;
        let mut run = request.body.clone();
        run["id"] = self.next.into();
        run["app"] = json!({"id": APP});
        self.runs.push(run.clone());
        Reply::json(201, &run)
    }
}

impl Service for Hub {
    fn answer(&mut self, request: &Request) -> Reply {
        if request.header("User-Agent").is_empty() {
            return message(403, "Request forbidden by administrative rules.");
        }
        assert_eq!(request.header("Accept"), "application/vnd.github+json");
        assert_eq!(request.header("X-GitHub-Api-Version"), "2022-11-28");
        let path: Vec<&str> = request.path.iter().map(String::as_str).collect();
        if path[0] == "app" || path.last() == Some(&"installation") {
            return self.app(request, &path);
        }
        let Some(login) = self.who(request) else {
            return message(
                401,
                &format!("Bad credentials {}", request.header("Authorization")),
            );
        };
        let app = login.ends_with("[bot]");
        match (request.method.as_str(), path.as_slice()) {
            ("GET", ["user"]) if app => message(403, "Resource not accessible by integration"),
            ("GET", ["user"]) => Reply::json(200, &json!({"login": login, "id": 5})),
            ("GET", ["repos", "acme", "shop.api", "pulls", "7"]) => Reply::json(200, &self.pull),
            ("GET" | "POST", ["repos", "acme", "shop.api", "issues", "7", "comments"])
            | ("GET", ["repositories", "77", "issues", "7", "comments"]) => {
                self.comments(request, login)
            }
            ("GET" | "PATCH", ["repos", "acme", "shop.api", "issues", "comments", id]) => {
                self.one_comment(request, id, login)
            }
            (
                "GET",
                ["repos", "acme", "shop.api", "commits", sha, "check-runs"]
                | ["repositories", "77", "commits", sha, "check-runs"],
            ) => self.runs_of(request, sha),
            (_, ["repos", "acme", "shop.api", "check-runs", ..]) if !app => {
                message(403, "You must authenticate via a GitHub App.")
            }
            (_, ["repos", "acme", "shop.api", "check-runs", ..]) if !self.app_may => {
                message(403, "Resource not accessible by integration")
            }
            ("POST", ["repos", "acme", "shop.api", "check-runs"]) => self.run(request, None),
            ("PATCH", ["repos", "acme", "shop.api", "check-runs", id]) => {
                self.run(request, Some(id))
            }
            _ => message(404, "Not Found"),
        }
    }
}

pub(crate) fn message(status: u16, text: &str) -> Reply {
    let documentation = "https://docs.github.com/rest";
    Reply::json(
        status,
        &json!({"message": text, "documentation_url": documentation, "status": status.to_string()}),
    )
}

fn body_of(request: &Request) -> Result<(), Reply> {
    match request.body["body"]
        .as_str()
        .map(|text| text.chars().count())
    {
        None | Some(0) => Err(message(422, "Validation Failed: body cannot be blank")),
        Some(65_537..) => {
            let error = "Validation Failed: body is too long (maximum is 65536 characters)";
            Err(message(422, error))
        }
        Some(_) => Ok(()),
    }
}

fn well_formed(output: &Value, annotations: &[Value]) -> Result<(), &'static str> {
    if annotations.len() > 50 {
        return Err("Invalid request. No more than 50 items are allowed");
    }
    if !output["title"].is_string() || !output["summary"].is_string() {
        return Err("Invalid request. output needs title and summary");
    }
    if output["summary"]
        .as_str()
        .is_some_and(|s| s.chars().count() > 65_535)
    {
        return Err("Invalid request. summary exceeds a maximum");
    }
    let right = |one: &Value| {
        let level = one["annotation_level"].as_str().unwrap_or_default();
        one["path"].is_string()
            && one["start_line"].as_u64() > Some(0)
            && one["end_line"].as_u64() >= one["start_line"].as_u64()
            && one["message"].is_string()
            && ["notice", "warning", "failure"].contains(&level)
            && one["title"]
                .as_str()
                .is_none_or(|t| t.chars().count() <= 255)
    };
    if annotations.iter().all(right) {
        Ok(())
    } else {
        Err("Invalid request. An annotation is wrong")
    }
}

/// The statement of the App: its signature, its times, who it is of.
fn statement(request: &Request) -> Result<(), String> {
    let wrong = || "A JSON web token could not be decoded".to_owned();
    let token = request.header("Authorization").strip_prefix("Bearer ");
    let (signed, signature) = token.and_then(|t| t.rsplit_once('.')).ok_or_else(wrong)?;
    let (head, claims) = signed.split_once('.').ok_or_else(wrong)?;
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| wrong());
    let json = |text: &str| -> Result<Value, String> {
        serde_json::from_slice(&decode(text)?).map_err(|_| wrong())
    };
    let PrivateKeyDer::Pkcs1(key) = PrivateKeyDer::from_pem_slice(KEY.as_bytes()).unwrap() else {
        panic!("the key of the tests is PKCS#1, as GitHub gives it out");
    };
    let pair = RsaKeyPair::from_der(key.secret_pkcs1_der()).unwrap();
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public().as_ref());
    let verified = public.verify(signed.as_bytes(), &decode(signature)?);
    verified.map_err(|_| wrong())?;
    if json(head)?["alg"] != "RS256" {
        return Err(wrong());
    }
    let (claims, now) = (json(claims)?, Timestamp::now().as_second());
    let time = |name: &str| claims[name].as_i64().ok_or_else(wrong);
    if time("iat")? > now || time("exp")? < now || time("exp")? > now + 600 {
        return Err("'Expiration time' claim ('exp') is too far in the future".to_owned());
    }
    if claims["iss"].as_str() != Some(APP_ID) {
        return Err("Integration not found".to_owned());
    }
    Ok(())
}
