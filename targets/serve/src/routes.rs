//! What can be asked of the server, and by which way.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request as HttpRequest, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderValue,
};
use axum::http::{Response, StatusCode, header};
use axum::middleware::{Next as Rest, from_fn_with_state};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::json;
use tokio::time::timeout;

use crate::counts::Counts;
use crate::facts::Facts;
use crate::gate::Gate;
use crate::options::{Asset, Limits};
use crate::queue::Queue;
use crate::refusal::Refusal;
use crate::reply::{Chunks, Course, Head, Tokens};
use crate::request::Request;
use crate::waiting::{Next, Waiting};
use crate::worker::{Done, Job, Told};

/// What all requests share.
pub(crate) struct Shared {
    pub(crate) facts: Facts,
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) gate: Gate,
    pub(crate) limits: Limits,
    pub(crate) assets: &'static [Asset],
    pub(crate) queue: Arc<Queue<Job>>,
    pub(crate) counts: Arc<Counts>,
    pub(crate) done: Arc<Done>,
    pub(crate) number: AtomicU64,
}

/// Nothing from elsewhere runs in a page of ours, or shows it in a frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; \
     media-src 'self' blob:; connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'";

/// A camera for our own pages, and nothing else of the machine.
const PERMISSIONS: &str = "camera=(self), microphone=(), geolocation=(), display-capture=()";

/// The router.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    let mut router = Router::new()
        .route("/v1/chat/completions", post(complete))
        .route("/v1/models", get(models))
        .route("/v1/models/{model}", get(model))
        .route("/healthz", get(healthy))
        .route("/metrics", get(metrics));
    for asset in shared.assets {
        router = router.route(asset.path, get(move || async move { file(asset) }));
    }
    router
        .fallback(nothing)
        .method_not_allowed_fallback(no_method)
        .layer(from_fn_with_state(Arc::clone(&shared), guarded))
        .with_state(shared)
}

/// What holds for every request: who may ask, and what browsers may do with what they get.
async fn guarded(
    State(shared): State<Arc<Shared>>,
    request: HttpRequest,
    rest: Rest,
) -> Response<Body> {
    let route = route(request.uri().path());
    let allowed = shared.gate.origin(request.method(), request.headers());
    let mut response = match allowed {
        Ok(()) => rest.run(request).await,
        Err(refusal) => refusal.into_response(),
    };
    shared.counts.responded(route, response.status().as_u16());
    let headers = response.headers_mut();
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (
            header::HeaderName::from_static("permissions-policy"),
            PERMISSIONS,
        ),
        (
            header::HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
        (
            header::HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

/// A route as the counts name it: what clients make up is one.
fn route(path: &str) -> &'static str {
    match path {
        "/v1/chat/completions" => "chat",
        "/v1/models" => "models",
        "/healthz" => "healthz",
        "/metrics" => "metrics",
        _ => "other",
    }
}

async fn complete(
    State(shared): State<Arc<Shared>>,
    request: HttpRequest,
) -> Result<Response<Body>, Refusal> {
    shared.gate.key(request.headers())?;
    is_json(request.headers())?;
    let from = request.extensions().get::<SocketAddr>().map(SocketAddr::ip);
    let from = from.unwrap_or(IpAddr::from([0, 0, 0, 0]));
    // Whoever is told at once need not send a picture first.
    if shared.queue.len() >= shared.limits.queue {
        return Err(Refusal::busy(shared.queue.len()));
    }
    let body = read(request, &shared.limits).await?;
    let request = Request::read(&body, &shared.facts, &shared.limits)?;
    drop(body);
    let reply = request.reply.clone();
    let paths = request.options.paths;
    let format = request.options.format;
    let number = shared.number.fetch_add(1, Ordering::Relaxed);
    let head = Head::new(number, &shared.facts.model, &shared.facts.fingerprint);
    let time = shared.limits.answer_time;
    let mut waiting = Waiting::of(request, from, &shared.queue, time)?;
    let seconds = time.as_secs_f64();
    let mut queue_ms = 0.0;
    loop {
        match waiting.next().await {
            Next::Told(Told::Began { queue_ms: ms }) => {
                queue_ms = ms;
                if reply.stream {
                    let course = Course {
                        live: match (paths, reply.several) {
                            (1, _) => format != curt::Format::Cascade,
                            (_, several) => {
                                several
                                    && shared.facts.formats.is_empty()
                                    && format == curt::Format::Auto
                            }
                        },
                        reply,
                        paths,
                        queue_ms,
                        seconds,
                    };
                    let (tokens, counts) = (Arc::clone(&shared.tokens), Arc::clone(&shared.counts));
                    let chunks = Chunks::new(waiting, head, course, tokens, counts);
                    let body = Body::from_stream(chunks);
                    return Ok(typed("text/event-stream; charset=utf-8", body));
                }
            }
            Next::Told(Told::Seen(_)) => {}
            Next::Told(Told::Ended(outcome)) => {
                let answer = (*outcome)
                    .map_err(|failed| Refusal::of_engine(&failed.error, reply.several))?;
                shared.counts.answered(&answer);
                let whole = head.whole(&answer, &reply, &shared.tokens, queue_ms);
                return Ok(json_response(&whole));
            }
            Next::Late => return Err(Refusal::late(seconds)),
            Next::Gone => return Err(Refusal::ending()),
        }
    }
}

/// A form of another page can send other types without asking first.
fn is_json(headers: &HeaderMap) -> Result<(), Refusal> {
    let given = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let kind = given.and_then(|kind| kind.split(';').next());
    if kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json")) {
        return Ok(());
    }
    Err(Refusal {
        status: StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ..Refusal::field(
            "Content-Type",
            "application/json",
            given.unwrap_or("nothing"),
        )
    })
}

/// The body, in time and within its bounds.
async fn read(request: HttpRequest, limits: &Limits) -> Result<axum::body::Bytes, Refusal> {
    let most = limits.body_bytes;
    let too_large = || {
        let message = format!("`body`: expected at most {most} bytes, got more");
        Refusal {
            field: Some("body".into()),
            ..Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, message)
        }
    };
    let length = request.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > most as u64) {
        return Err(too_large());
    }
    let body = Limited::new(request.into_body(), most).collect();
    match timeout(limits.body_time, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(Refusal::field(
            "body",
            "a whole body",
            "one that breaks off",
        )),
        Err(_) => {
            let seconds = limits.body_time.as_secs_f64();
            let message = format!("the body was not there within {seconds} s");
            Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, message).coded("timeout"))
        }
    }
}

async fn models(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
) -> Result<Response<Body>, Refusal> {
    shared.gate.key(&headers)?;
    Ok(json_response(
        &json!({"object": "list", "data": [shared.facts.told()]}),
    ))
}

async fn model(
    State(shared): State<Arc<Shared>>,
    axum::extract::Path(name): axum::extract::Path<String>,
    headers: HeaderMap,
) -> Result<Response<Body>, Refusal> {
    shared.gate.key(&headers)?;
    if name != shared.facts.model {
        let message = format!("the model here is {:?}", shared.facts.model);
        return Err(Refusal::new(StatusCode::NOT_FOUND, message).coded("model_not_found"));
    }
    Ok(json_response(&shared.facts.told()))
}

async fn healthy(State(shared): State<Arc<Shared>>) -> Result<Response<Body>, Refusal> {
    if shared.queue.is_closed() {
        return Err(Refusal::ending());
    }
    Ok(json_response(&json!({"status": "ok"})))
}

async fn metrics(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
) -> Result<Response<Body>, Refusal> {
    shared.gate.key(&headers)?;
    let text = shared.counts.text(&shared.done, shared.queue.len());
    Ok(typed(
        "text/plain; version=0.0.4; charset=utf-8",
        Body::from(text),
    ))
}

async fn nothing() -> Refusal {
    let message = "nothing is there: ask /v1/chat/completions, /v1/models, /healthz or /metrics";
    Refusal::new(StatusCode::NOT_FOUND, message)
}

async fn no_method() -> Refusal {
    Refusal::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "this address takes another method",
    )
}

fn file(asset: &Asset) -> Response<Body> {
    let mut response = typed(asset.content_type, Body::from(asset.bytes));
    // Part of the program: asked for anew each time, so that another version is seen.
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

fn json_response(value: &serde_json::Value) -> Response<Body> {
    typed("application/json", Body::from(value.to_string()))
}

fn typed(kind: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
