//! Answers that say what went wrong.

use super::json::Json;
use crate::state::StateError;
use axum::extract::rejection::BytesRejection;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use std::io::ErrorKind;

/// An answer of the API that is not a success: a status and a JSON object with `error`.
#[derive(Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    message: String,
    retry_after: Option<u32>,
}

impl ApiError {
    #[expect(
        clippy::needless_pass_by_value,
        reason = "so that errors can be mapped by name"
    )]
    fn new(status: StatusCode, message: impl ToString) -> Self {
        Self {
            status,
            message: message.to_string(),
            retry_after: None,
        }
    }

    /// 400: the sender must change the request.
    pub(super) fn bad(message: impl ToString) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// A body that could not be read: 400 or 413.
    pub(super) fn body(rejected: &BytesRejection) -> Self {
        Self::new(rejected.status(), rejected.body_text())
    }

    /// 415: a body of another type than JSON.
    pub(super) fn media_type() -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "the body is not said to be JSON; send the header `Content-Type: application/json`",
        )
    }

    /// 422: JSON that is not what is asked for.
    pub(super) fn unfit(message: impl ToString) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, message)
    }

    /// 401: writing needs the token.
    pub(super) fn unauthorized() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "writing needs the header `Authorization: Bearer <token>`",
        )
    }

    /// 403.
    pub(super) fn forbidden(message: impl ToString) -> Self {
        Self::new(StatusCode::FORBIDDEN, message)
    }

    /// 404.
    pub(super) fn missing(message: impl ToString) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    /// 409.
    pub(super) fn conflict(message: impl ToString) -> Self {
        Self::new(StatusCode::CONFLICT, message)
    }

    /// 408: the sender was silent, or as good as silent, for too long; nothing of the request was kept.
    pub(super) fn too_slow() -> Self {
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            "less than 1 KiB arrived within intake.patience; nothing was kept, send it again",
        )
    }

    /// 413; `what` names the limit.
    pub(super) fn too_large(limit: u64, what: &str) -> Self {
        let message = format!("larger than the limit of {limit} bytes ({what}); nothing was kept");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, message)
    }

    /// 507: the disk is full; nothing of the request was kept.
    pub(super) fn no_space(error: impl std::fmt::Display) -> Self {
        tracing::error!(%error, "no space");
        Self {
            retry_after: Some(60),
            ..Self::new(StatusCode::INSUFFICIENT_STORAGE, error)
        }
    }

    /// What writing a received log may end with.
    pub(super) fn disk(error: std::io::Error) -> Self {
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                Self::no_space(error)
            }
            _ => Self::internal(error),
        }
    }

    /// What writing to the state may end with: 507 without room, 503 when it may go well later.
    pub(super) fn state(error: StateError) -> Self {
        if error.is_full() {
            return Self::no_space(error);
        }
        if error.is_passing() {
            tracing::error!(%error, "the state cannot be used");
            return Self {
                retry_after: Some(5),
                ..Self::new(StatusCode::SERVICE_UNAVAILABLE, error)
            };
        }
        Self::internal(error)
    }

    /// 429: too many builds wait; nothing of the request was kept.
    pub(super) fn busy() -> Self {
        Self {
            retry_after: Some(2),
            ..Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too many builds wait for classification; send this again later",
            )
        }
    }

    /// 503: too much is asked at the same time.
    pub(super) fn overloaded(what: &str) -> Self {
        Self {
            retry_after: Some(5),
            ..Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                format!("too many {what} at the same time; ask again later"),
            )
        }
    }

    /// 503: it takes longer than anybody should wait; asking again would not help.
    pub(super) fn too_long(error: impl ToString) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error)
    }

    /// 503: the service is stopping.
    pub(super) fn stopping() -> Self {
        Self {
            retry_after: Some(5),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "the service is stopping")
        }
    }

    /// True when the request may not have been read to its end.
    fn in_the_middle(&self) -> bool {
        matches!(
            self.status,
            StatusCode::INSUFFICIENT_STORAGE
                | StatusCode::PAYLOAD_TOO_LARGE
                | StatusCode::REQUEST_TIMEOUT
        )
    }

    /// 500: the cause is logged, the sender learns that it was not the request's fault.
    pub(super) fn internal(error: impl std::fmt::Display) -> Self {
        tracing::error!(%error, "request failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, error)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = Json(json!({ "error": self.message }));
        let mut response = (self.status, body).into_response();
        if let Some(seconds) = self.retry_after {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, seconds.into());
        }
        if self.in_the_middle() {
            // The rest of the body is not read: the next request must not follow it.
            let close = header::HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        if self.status == StatusCode::UNAUTHORIZED {
            let bearer = header::HeaderValue::from_static("Bearer");
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, bearer);
        }
        response
    }
}
