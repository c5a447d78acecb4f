//! A strict fake of GitLab's REST API, from what its reference documents.

use super::fake::{Reply, Request, Service, page};
use serde_json::{Value, json};
use url::Url;

pub(crate) const TOKEN: &str = "glpat-S3CRET";
pub(crate) const PROJECT: &str = "acme/team/shop";
pub(crate) const SHA: &str = "2d72bb8a0c4de2c0a1f3c9b1a9d8f7e6c5b4a392";

/// GitLab with one project, `acme/team/shop`.
pub(crate) struct Lab {
    url: Url,
    pub(crate) request: Value,
    pub(crate) notes: Vec<Value>,
    /// Pages are named by `Link` only, as keyset pages are.
    pub(crate) keyset: bool,
    next: u64,
}

impl Lab {
    pub(crate) fn new(url: Url) -> Self {
        Self {
            url,
            request: json!({"iid": 7, "state": "opened", "sha": SHA}),
            notes: Vec::new(),
            keyset: false,
            next: 300,
        }
    }

    /// A note by somebody.
    pub(crate) fn note(&mut self, author: u64, body: &str) -> Value {
        self.next += 1;
        let note = json!({
            "id": self.next, "body": body, "system": false, "noteable_iid": 7,
            "author": {"id": author, "username": format!("user{author}")},
        });
        self.notes.push(note.clone());
        note
    }

    fn list(&self, request: &Request) -> Reply {
        let mut all = self.notes.clone();
        if request.query.get("sort").is_none_or(|sort| sort == "desc") {
            all.reverse();
        }
        let (part, more) = page(&all, request, 20);
        let next = request.number("page", 1) + 1;
        let reply = Reply::json(200, &json!(part));
        if self.keyset {
            let path = "api/v4/projects/5/merge_requests/7/notes";
            let url = self.url.join(path).unwrap();
            let link = format!("<{url}?per_page=100&sort=desc&page={next}>; rel=\"next\"");
            return if more {
                reply.with("Link", link)
            } else {
                reply
            };
        }
        reply.with(
            "X-Next-Page",
            if more {
                next.to_string()
            } else {
                String::new()
            },
        )
    }

    fn one(&mut self, request: &Request, id: &str) -> Reply {
        let id: u64 = id.parse().unwrap();
        let Some(note) = self.notes.iter_mut().find(|one| one["id"] == id) else {
            return message(404, "404 Not found");
        };
        if request.method == "GET" {
            return Reply::json(200, note);
        }
        if note["author"]["id"] != 5 {
            return message(403, "403 Forbidden");
        }
        if let Err(reply) = body_of(request) {
            return reply;
        }
        note["body"] = request.body["body"].clone();
        Reply::json(200, note)
    }
}

impl Service for Lab {
    fn answer(&mut self, request: &Request) -> Reply {
        if request.header("PRIVATE-TOKEN") != TOKEN {
            return message(401, "401 Unauthorized");
        }
        let path: Vec<&str> = request.path.iter().map(String::as_str).collect();
        let Some(rest) = path.strip_prefix(&["api", "v4"]) else {
            return Reply::text(404, "text/html", "<html>404</html>");
        };
        match (request.method.as_str(), rest) {
            ("GET", ["user"]) => Reply::json(200, &json!({"id": 5, "username": "whorl"})),
            (
                _,
                [
                    "projects",
                    "acme%2Fteam%2Fshop" | "5",
                    "merge_requests",
                    "7",
                    rest @ ..,
                ],
            ) => match (request.method.as_str(), rest) {
                ("GET", []) => Reply::json(200, &self.request),
                ("GET", ["notes"]) => self.list(request),
                ("POST", ["notes"]) => match body_of(request) {
                    Err(reply) => reply,
                    Ok(body) => Reply::json(201, &self.note(5, &body)),
                },
                ("GET" | "PUT", ["notes", id]) => self.one(request, id),
                _ => message(404, "404 Not Found"),
            },
            _ => message(404, "404 Project Not Found"),
        }
    }
}

pub(crate) fn message(status: u16, text: &str) -> Reply {
    Reply::json(status, &json!({ "message": text }))
}

/// The words, unless they are too long or are commands, which are done and not kept.
fn body_of(request: &Request) -> Result<String, Reply> {
    let body = request.body["body"].as_str().unwrap_or_default();
    if body.is_empty() {
        return Err(message(
            400,
            "400 Bad request - Note {:note=>[\"can't be blank\"]}",
        ));
    }
    if body.chars().count() > 1_000_000 {
        let error = json!({"message": {"note": ["is too long (maximum is 1000000 characters)"]}});
        return Err(Reply::json(400, &error));
    }
    let command = |line: &str| {
        let word = line.strip_prefix('/').unwrap_or_default();
        word.starts_with(|c: char| c.is_ascii_lowercase())
    };
    assert!(!body.lines().any(command), "a command got through: {body}");
    Ok(body.to_owned())
}
