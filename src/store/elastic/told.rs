//! How it is said what a cluster answered, or why it did not.

use elasticsearch::http::Method;
use serde_json::Value;
use std::error::Error as _;
use url::Url;

/// Bytes of an error's text that are told.
const TOLD: usize = 600;

/// True when the node answers and says that the data is on nodes that are not there.
pub(super) fn misses_shards(body: &[u8]) -> bool {
    let kinds = [
        "search_phase_execution_exception",
        "no_shard_available_action_exception",
        "unavailable_shards_exception",
    ];
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    kinds.iter().any(|kind| value["error"]["type"] == *kind)
}

/// True when a node that is gone was asked by the one that answers, which has not heard of it yet: a moment later
/// another copy is asked, or the answer is that shards are missing.
pub(super) fn lost_a_node(body: &[u8]) -> bool {
    let kinds = [
        "connect_transport_exception",
        "node_closed_exception",
        "node_disconnected_exception",
        "node_not_connected_exception",
        "send_request_transport_exception",
    ];
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    let error = &value["error"];
    let causes = error["root_cause"].as_array().into_iter().flatten();
    let lost = |cause: &Value| kinds.iter().any(|kind| cause["type"] == *kind);
    lost(error) || causes.into_iter().any(lost)
}

/// The address without what may be secret in it.
pub(super) fn shown(url: &Url) -> String {
    let port = url.port_or_known_default().unwrap_or(0);
    format!("{}://{}:{port}", url.scheme(), url.host_str().unwrap_or(""))
}

/// The method as it is written.
pub(super) fn verb(method: Method) -> &'static str {
    match method {
        Method::Get => "GET",
        Method::Put => "PUT",
        Method::Post => "POST",
        Method::Delete => "DELETE",
        Method::Head => "HEAD",
    }
}

/// The error with what lies below it: the outer text of the HTTP library says nothing of the cause.
pub(super) fn causes(error: &elasticsearch::Error) -> String {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(cause) = below {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        below = cause.source();
    }
    text
}

/// The sentence in an error's body: the root cause where the cluster names one.
pub(super) fn reason(body: &[u8]) -> String {
    let Ok(value) = serde_json::from_slice::<Value>(body) else {
        return cut(&String::from_utf8_lossy(body));
    };
    let error = &value["error"];
    let inner = [
        &error["caused_by"]["reason"],
        &error["failed_shards"][0]["reason"]["caused_by"]["reason"],
        &error["failed_shards"][0]["reason"]["reason"],
        &error["root_cause"][0]["reason"],
        &error["reason"],
    ];
    let told = inner.into_iter().find_map(Value::as_str);
    cut(told.unwrap_or(&value.to_string()))
}

fn cut(text: &str) -> String {
    let fits = |(at, c): &(usize, char)| at + c.len_utf8() <= TOLD;
    let fitting = text.char_indices().take_while(fits);
    fitting
        .map(|(_, c)| c)
        .collect::<String>()
        .trim()
        .to_owned()
}

/// What may be wrong with an address where nothing was ever heard.
pub(super) fn hint(url: &Url, why: &str) -> &'static str {
    let ends = [
        "closed before message",
        "reset by peer",
        "handshake",
        "corrupt message",
    ];
    match url.scheme() {
        _ if !ends.iter().any(|end| why.contains(end)) => "",
        "http" => " (does it speak https there?)",
        _ => " (does it speak plain http there?)",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_cause_is_told() {
        let body = br#"{"error":{"root_cause":[{"reason":"outer"}],"reason":"all shards failed",
            "failed_shards":[{"reason":{"reason":"Failed to parse","caused_by":{"reason":"Encountered x"}}}]},"status":400}"#;
        assert_eq!(reason(body), "Encountered x");
        assert_eq!(reason(b"Forbidden\n"), "Forbidden");
        assert_eq!(reason(b""), "");
    }

    #[test]
    fn a_node_that_is_gone_is_no_fault_of_the_request() {
        let gone = br#"{"error":{"root_cause":[{"type":"node_not_connected_exception",
            "reason":"[node-3][127.0.0.1:9372] Node not connected"}],"type":"search_phase_execution_exception",
            "reason":"Partial shards failure","phase":"query"},"status":500}"#;
        assert!(lost_a_node(gone));
        assert!(lost_a_node(
            br#"{"error":{"type":"node_disconnected_exception"},"status":500}"#
        ));
        assert!(!lost_a_node(
            br#"{"error":{"root_cause":[{"type":"null_pointer_exception"}]},"status":500}"#
        ));
        assert!(!lost_a_node(b"Internal Server Error"));
    }

    #[test]
    fn an_address_is_shown_without_secrets() {
        let url = Url::parse("https://user:hunter2@node:9200/").unwrap();
        assert_eq!(shown(&url), "https://node:9200");
    }
}
