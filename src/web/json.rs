//! Bodies in JSON, both ways.
//!
//! The web library's own would turn on a way of writing values within texts, for all that reads JSON in
//! this program: a small text then makes a reader call itself without end.

use super::error::ApiError;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

/// A body that is JSON.
pub(super) struct Json<T>(pub(super) T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(body) => ([(header::CONTENT_TYPE, "application/json")], body).into_response(),
            Err(error) => ApiError::internal(error).into_response(),
        }
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        // No page of another site can send this type without being asked first.
        if !is_json(request.headers()) {
            return Err(ApiError::media_type());
        }
        let body = Bytes::from_request(request, state).await;
        let body = body.map_err(|rejected| ApiError::body(&rejected))?;
        let read = serde_json::from_slice(&body);
        read.map(Self).map_err(|error| match error.classify() {
            Category::Data => ApiError::unfit(format!("JSON body: {error}")),
            _ => ApiError::bad(format!("JSON body: {error}")),
        })
    }
}

/// True for `application/json` and `application/*+json`, with or without parameters.
fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE);
    let value = value.and_then(|value| value.to_str().ok());
    let essence = value.and_then(|value| value.split(';').next());
    let essence = essence.unwrap_or_default().trim().to_ascii_lowercase();
    let kind = essence.strip_prefix("application/");
    kind.is_some_and(|kind| kind == "json" || kind.ends_with("+json"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use axum::http::StatusCode;
    use serde_json::{Value, json};

    async fn status(content_type: &str, body: &str) -> Result<Vec<u8>, StatusCode> {
        let request = Request::builder().header(header::CONTENT_TYPE, content_type);
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let read = Json::<Vec<u8>>::from_request(request, &()).await;
        read.map(|Json(read)| read)
            .map_err(|error| error.into_response().status())
    }

    #[tokio::test]
    async fn a_body_is_read_or_refused_with_the_right_status() {
        let json = "application/json";
        assert_eq!(status(json, "[1, 2]").await, Ok(vec![1, 2]));
        let with_more = "Application/Problem+JSON; charset=utf-8";
        assert_eq!(status(with_more, "[]").await, Ok(vec![]));
        for (content_type, body, expected) in [
            ("text/plain", "[]", StatusCode::UNSUPPORTED_MEDIA_TYPE),
            ("", "[]", StatusCode::UNSUPPORTED_MEDIA_TYPE),
            (
                "application/jsonp",
                "[]",
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ),
            (json, "[1", StatusCode::BAD_REQUEST),
            (json, "[1] 2", StatusCode::BAD_REQUEST),
            (json, "", StatusCode::BAD_REQUEST),
            (json, "[300]", StatusCode::UNPROCESSABLE_ENTITY),
            (json, "{}", StatusCode::UNPROCESSABLE_ENTITY),
        ] {
            let read = status(content_type, body).await;
            assert_eq!(read, Err(expected), "{content_type}: {body}");
        }
    }

    #[tokio::test]
    async fn an_answer_says_that_it_is_json() {
        let answer = Json(json!({"a": 1})).into_response();
        assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/json");
        let body = axum::body::to_bytes(answer.into_body(), 100).await.unwrap();
        assert_eq!(&body[..], br#"{"a":1}"#);
    }

    /// Holds for the whole program: a crate that asks for this of `serde_json` gives it to all.
    #[test]
    fn no_text_is_read_as_the_value_that_is_written_in_it() {
        let text = r#"{"$serde_json::private::RawValue":"[1]"}"#;
        let read: Value = serde_json::from_str(text).unwrap();
        assert_eq!(read["$serde_json::private::RawValue"], "[1]");
        let text = r#"{"$serde_json::private::Number":"1"}"#;
        let read: Value = serde_json::from_str(text).unwrap();
        assert!(read.is_object(), "{read}");
    }
}
