//! Why a request is not answered, as OpenAI's clients read it.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse;
use serde_json::{Value, json};

/// Why a request is not answered.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    /// The field of the request that is at fault.
    pub(crate) field: Option<String>,
    /// A word for programs, where there is one.
    pub(crate) code: Option<&'static str>,
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            field: None,
            code: None,
            message: message.into(),
        }
    }

    /// A field that cannot be honoured.
    pub(crate) fn field(
        field: impl Into<String>,
        expected: impl std::fmt::Display,
        got: impl std::fmt::Display,
    ) -> Self {
        let field = field.into();
        Self {
            status: StatusCode::BAD_REQUEST,
            message: format!("`{field}`: expected {expected}, got {got}"),
            field: Some(field),
            code: None,
        }
    }

    pub(crate) fn coded(self, code: &'static str) -> Self {
        Self {
            code: Some(code),
            ..self
        }
    }

    /// The queue has no room.
    pub(crate) fn busy(waiting: usize) -> Self {
        let message = format!("{waiting} requests wait already: try again in a moment");
        Self::new(StatusCode::TOO_MANY_REQUESTS, message).coded("queue_full")
    }

    /// The answer did not come in time.
    pub(crate) fn late(seconds: f64) -> Self {
        let message =
            format!("no answer within {seconds} s, the time that the server gives a request");
        Self::new(StatusCode::GATEWAY_TIMEOUT, message).coded("timeout")
    }

    /// The server ends.
    pub(crate) fn ending() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "the server is ending").coded("ending")
    }

    /// What the engine said of a question. What is not the client's to mend is told to the log alone: it may name files.
    pub(crate) fn of_engine(error: &curt::Error, several: bool) -> Self {
        match error {
            curt::Error::Option { field, .. } => Self {
                status: StatusCode::BAD_REQUEST,
                field: Some(field_of(field, several)),
                code: None,
                message: error.to_string(),
            },
            curt::Error::Image { name, .. } => Self {
                status: StatusCode::BAD_REQUEST,
                field: Some(name.clone()),
                code: Some("invalid_image"),
                message: error.to_string(),
            },
            curt::Error::Context { .. } | curt::Error::LongText { .. } => Self {
                status: StatusCode::BAD_REQUEST,
                field: Some("messages".into()),
                code: Some("context_length_exceeded"),
                message: error.to_string(),
            },
            curt::Error::Capacity { .. } => Self {
                status: StatusCode::BAD_REQUEST,
                field: Some(field_of("paths", several)),
                code: Some("out_of_memory"),
                message: error.to_string(),
            },
            curt::Error::Template { source, .. } => Self::field(
                "messages",
                "a conversation that the model's template takes",
                source,
            ),
            curt::Error::Tokenizer { source, .. } => Self::field(
                "messages",
                "a text that the model's tokenizer takes",
                source,
            ),
            curt::Error::Cancelled { .. } => Self::ending(),
            other => {
                log::error!("a question failed: {other}");
                let message = "the engine failed; the server's log says why";
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, message).coded("engine")
            }
        }
    }

    /// As it stands in a response.
    pub(crate) fn body(&self) -> Value {
        let kind = match self.status.as_u16() {
            401 => "authentication_error",
            403 => "permission_error",
            429 => "rate_limit_error",
            500.. => "server_error",
            _ => "invalid_request_error",
        };
        json!({"error": {
            "message": self.message, "type": kind, "param": self.field, "code": self.code,
        }})
    }
}

/// The request's field for the engine's. `several`: its paths are the request's `n`.
fn field_of(field: &str, several: bool) -> String {
    match field {
        "paths" if several => "n".into(),
        "question" | "images" | "max_image_pixels" | "prompt" => "messages".into(),
        "temperature" | "top_p" | "top_k" | "min_p" | "seed" | "max_tokens" | "stop"
        | "repetition_penalty" => field.into(),
        other => format!("curt.{other}"),
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::from(self.body().to_string()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        match self.status {
            StatusCode::TOO_MANY_REQUESTS => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            StatusCode::UNAUTHORIZED => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            _ => {}
        }
        response
    }
}
