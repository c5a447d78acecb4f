//! `provider: {type: http}`.

use super::{Call, Failure, seconds};
use crate::chaos::bell::{Slot, Waited};
use crate::chaos::log::Level;
use crate::chaos::py;
use crate::chaos::substitute::substitute;
use reqwest::blocking::{Client, RequestBuilder, Response};
use reqwest::header::HeaderMap;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// What is asked.
struct Request {
    url: String,
    method: String,
    headers: Vec<(String, String)>,
    arguments: Value,
    json: bool,
    connect: Option<Duration>,
    read: Option<Duration>,
    verify_tls: bool,
    retries: u64,
}

pub(super) fn run(call: &Call<'_>) -> Result<Value, Failure> {
    let request = request(call)?;
    let url = request.url.clone();
    let slot = Arc::new(Slot::default());
    let (put, bell) = (Arc::clone(&slot), Arc::clone(&call.tools.bell));
    thread::spawn(move || {
        put.put(ask(&request));
        bell.poke();
    });
    let answer = match call.tools.bell.wait(None, call.ear, || slot.take()) {
        Waited::Ready(answer) => answer?,
        Waited::Stopped(stop) => return Err(Failure::Stopped(stop)),
        Waited::Late => return Err(Failure::Unexpected(format!("{url}: no answer"))),
    };
    let status = answer["status"].as_u64().unwrap_or(0);
    if !call.judged() && status > 399 {
        call.tools.log.log(
            Level::Warning,
            "This HTTP call returned a response with a HTTP status code above 400. This may \
             indicate some error and not what you expected. Please have a look at the logs.",
        );
    }
    Ok(answer)
}

fn request(call: &Call<'_>) -> Result<Request, Failure> {
    let provider = call.provider();
    let names = call.names();
    let replaced = |key: &str| {
        provider
            .get(key)
            .map(|value| substitute(value, names))
            .unwrap_or_default()
    };
    let mut arguments = provider.get("arguments").cloned().unwrap_or_default();
    if py::truth(&arguments) && names.any() {
        arguments = substitute(&arguments, names);
    }
    let headers = replaced("headers");
    let headers: Vec<(String, String)> = headers.as_object().map_or_else(Vec::new, |map| {
        map.iter()
            .map(|(key, value)| (key.clone(), py::text(value)))
            .collect()
    });
    let (connect, read) = match replaced("timeout") {
        Value::Array(pair) if pair.len() == 2 => (seconds(&pair[0])?, seconds(&pair[1])?),
        both => (seconds(&both)?, seconds(&both)?),
    };
    let method = provider
        .get("method")
        .and_then(Value::as_str)
        .unwrap_or("GET");
    Ok(Request {
        url: py::text(&replaced("url")),
        method: method.to_uppercase(),
        json: headers
            .iter()
            .any(|(key, value)| key == "Content-Type" && value == "application/json"),
        headers,
        arguments,
        connect,
        read,
        verify_tls: provider.get("verify_tls").is_none_or(py::truth),
        retries: provider
            .get("max_retries")
            .and_then(Value::as_u64)
            .unwrap_or(0),
    })
}

fn ask(request: &Request) -> Result<Value, Failure> {
    let unexpected = |error: reqwest::Error| Failure::Unexpected(told(&error));
    let mut client = Client::builder()
        .danger_accept_invalid_certs(!request.verify_tls)
        .http1_title_case_headers()
        .user_agent(concat!("whorl/", env!("CARGO_PKG_VERSION")))
        .timeout(request.read);
    if let Some(connect) = request.connect {
        client = client.connect_timeout(connect);
    }
    let client = client.build().map_err(unexpected)?;
    let mut tries = 0;
    loop {
        match build(&client, request)?.send() {
            Ok(answer) => return output(answer),
            Err(error) if error.is_connect() && tries < request.retries => tries += 1,
            Err(error) => return Err(failed(&request.url, &error)),
        }
    }
}

fn build(client: &Client, request: &Request) -> Result<RequestBuilder, Failure> {
    let wrong = |error: String| Failure::Unexpected(format!("{}: {error}", request.url));
    let method = request
        .method
        .parse()
        .map_err(|_| wrong(format!("no method {}", request.method)))?;
    let mut builder = client.request(method, &request.url);
    for (key, value) in &request.headers {
        builder = builder.header(key, value);
    }
    let arguments = &request.arguments;
    if request.method == "GET" {
        return Ok(builder.query(&pairs(arguments)));
    }
    if request.json {
        return Ok(builder.body(arguments.to_string()));
    }
    Ok(match arguments {
        Value::Null => builder,
        Value::String(text) => builder.body(text.clone()),
        form if !py::truth(form) => builder,
        form => builder.form(&pairs(form)),
    })
}

/// Arguments as pairs: lists repeat their key, nulls are left out.
fn pairs(arguments: &Value) -> Vec<(String, String)> {
    let Some(map) = arguments.as_object() else {
        return Vec::new();
    };
    let mut pairs = Vec::new();
    for (key, value) in map {
        let values = match value {
            Value::Array(items) => items.iter().collect(),
            one => vec![one],
        };
        let values = values.into_iter().filter(|value| !value.is_null());
        pairs.extend(values.map(|value| (key.clone(), py::text(value))));
    }
    pairs
}

fn failed(url: &str, error: &reqwest::Error) -> Failure {
    if error.is_timeout() && !error.is_connect() {
        return Failure::Failed("activity took too long to complete".into());
    }
    if error.is_builder() {
        return Failure::Unexpected(format!("{url}: {}", told(error)));
    }
    Failure::Failed(format!(
        "failed to connect to {url}: {}",
        refused(error).unwrap_or_else(|| told(error))
    ))
}

/// A refused connection in the words that people have in their notes.
fn refused(error: &reqwest::Error) -> Option<String> {
    let url = error.url()?;
    let host = url.host_str()?;
    let port = url.port_or_known_default()?;
    let scheme = if url.scheme() == "https" {
        "HTTPSConnection"
    } else {
        "HTTPConnection"
    };
    let path = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    told(error).contains("os error 111").then(|| {
        format!(
            "{scheme}Pool(host='{host}', port={port}): Max retries exceeded with url: {path} (Caused by \
             NewConnectionError(\"{scheme}(host='{host}', port={port}): Failed to establish a new \
             connection: [Errno 111] Connection refused\"))"
        )
    })
}

/// An error with all its causes, without the address that stands before it.
fn told(error: &reqwest::Error) -> String {
    let mut text = String::new();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = error.to_string();
        cause = error.source();
    }
    if text.is_empty() {
        error.to_string()
    } else {
        text
    }
}

fn output(answer: Response) -> Result<Value, Failure> {
    let status = answer.status().as_u16();
    let headers = headers(answer.headers());
    let json = headers.get("Content-Type").and_then(Value::as_str) == Some("application/json");
    let body = answer.bytes().map_err(|error| {
        if error.is_timeout() {
            return Failure::Failed("activity took too long to complete".into());
        }
        Failure::Failed(format!("failed to connect: {}", told(&error)))
    })?;
    let text = crate::chaos::child::text(body.to_vec());
    let body = if json {
        serde_json::from_str(&text)
            .map_err(|error| Failure::Unexpected(format!("the answer is not JSON: {error}")))?
    } else {
        Value::from(text)
    };
    Ok(json!({"status": status, "headers": headers, "body": body}))
}

/// Headers as servers write them: our client has them in lower case.
fn headers(map: &HeaderMap) -> Map<String, Value> {
    let mut headers = Map::new();
    for key in map.keys() {
        let values: Vec<String> = map
            .get_all(key)
            .iter()
            .map(|value| crate::chaos::child::text(value.as_bytes().to_vec()))
            .collect();
        headers.insert(title_case(key.as_str()), Value::from(values.join(", ")));
    }
    headers
}

fn title_case(key: &str) -> String {
    let mut begins = true;
    key.chars()
        .map(|c| {
            let c = if begins { c.to_ascii_uppercase() } else { c };
            begins = c == '-';
            c
        })
        .collect()
}
