//! The way of every request: is it let in, is there room, what does its endpoint say.
//!
//! Called by the router. Nothing here blocks; endpoints, which do, run on threads for that.

use super::answer::{Answer, Form, Ready, Wish};
use super::endpoint::{Asked, Endpoint};
use super::guard::{Envelope, Refusal};
use super::{Admission, Api, Done};
use crate::params::Params;
use crate::problem::{Code, Problem};
use axum::body::Body;
use axum::extract::{FromRequestParts, RawPathParams, Request};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, header};
use axum::response::Response;
use std::sync::Arc;

/// A request that is not answered as it was asked.
enum Failure {
    Refused(Refusal),
    Problem(Problem),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

/// Answers a request for `endpoint`, or for none that there is.
pub(super) async fn serve(api: Arc<Api>, endpoint: Option<&'static Endpoint>, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    let began_ns = api.keeper.monotonic_ns();
    let form = endpoint.map_or_else(|| of_path(&api, &parts), |endpoint| endpoint.form);
    let (mut refusal, mut origin) = (None, None);
    let answered = answer(&api, endpoint, &mut parts, &mut origin).await;
    let mut response = answered.unwrap_or_else(|failure| match failure {
        Failure::Problem(problem) => form.refuse(&problem),
        Failure::Refused(why) => {
            refusal = Some(why);
            form.refuse(&why.problem())
        }
    });
    if let Some(origin) = origin {
        response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        response.headers_mut().append(header::VARY, HeaderValue::from_static("origin"));
    }
    let took_ns = api.keeper.monotonic_ns().saturating_sub(began_ns);
    api.keeper.done(Done { endpoint: endpoint.map_or("none", |endpoint| endpoint.name), refusal, took_ns });
    response
}

/// Returns the form of errors below a path that is no endpoint's.
fn of_path(api: &Api, parts: &Parts) -> Form {
    let path = parts.uri.path();
    let path = path.strip_prefix(api.options.base_path.as_str()).unwrap_or(path);
    match path {
        path if path.starts_with("/api/v3/") => Form::V3,
        path if path.starts_with("/api/") && !path.starts_with("/api/v1/") => Form::Classic,
        _ => Form::Ours,
    }
}

async fn answer(
    api: &Arc<Api>,
    endpoint: Option<&'static Endpoint>,
    parts: &mut Parts,
    origin: &mut Option<HeaderValue>,
) -> Result<Response, Failure> {
    let (method, uri, headers) = (parts.method.clone(), parts.uri.clone(), parts.headers.clone());
    let envelope = Envelope { method: &method, uri: &uri, headers: &headers };
    let listed = envelope.check(&api.options)?;
    *origin = listed.and_then(|listed| HeaderValue::from_str(listed).ok());
    if method == Method::OPTIONS {
        return Ok(preflight());
    }
    if endpoint.is_none_or(|endpoint| !endpoint.is_open) {
        admit(api, envelope.token()).await?;
    }
    let endpoint = endpoint.ok_or_else(|| Problem::new(Code::NotFound, format!("no endpoint is at {}", uri.path())))?;
    let params = Params::parse(uri.query().unwrap_or_default()).map_err(Problem::from)?;
    let captured = captured(parts).await?;
    let wish = Wish::of(&envelope);
    let permit = api.room.clone().try_acquire_owned().map_err(|_| Refusal::TooMany)?;
    let api = api.clone();
    let answered = tokio::task::spawn_blocking(move || {
        let ready = ask(&api, endpoint, params, captured).map(|answer| answer.ready(&wish));
        drop(permit);
        ready
    });
    let answered = answered.await.map_err(|_| Problem::new(Code::Unavailable, "answering came to a bad end"))?;
    Ok(answered.map(Ready::into_response)?)
}

fn ask(api: &Api, endpoint: &Endpoint, params: Params, captured: Vec<String>) -> Result<Answer, Problem> {
    let (archive, keeper) = (&*api.archive, &*api.keeper);
    let (now_ns, budget) = (keeper.now_ns(), keeper.budget());
    (endpoint.handler)(&Asked { archive, keeper, options: &api.options, params, captured, now_ns, budget })
}

async fn admit(api: &Arc<Api>, token: Option<&str>) -> Result<(), Failure> {
    match (api.keeper.admission(token), token) {
        (Admission::Admitted, _) => Ok(()),
        (Admission::Refused(refusal), _) => Err(refusal.into()),
        (Admission::Unproved, None) => Err(Refusal::NoToken.into()),
        (Admission::Unproved, Some(token)) => {
            let (api, token) = (api.clone(), token.to_owned());
            let proved = tokio::task::spawn_blocking(move || api.keeper.prove(&token)).await;
            let proved = proved.map_err(|_| Problem::new(Code::Unavailable, "the token cannot be looked at"))?;
            Ok(proved?)
        }
    }
}

/// Returns the parts of the path that its endpoint captures, decoded.
async fn captured(parts: &mut Parts) -> Result<Vec<String>, Problem> {
    let bad = |why| Problem::new(Code::BadParameter, format!("the path cannot be read: {why}"));
    match RawPathParams::from_request_parts(parts, &()).await {
        Ok(params) => Ok(params.iter().map(|(_, value)| value.to_owned()).collect()),
        Err(why) => Err(bad(why.body_text())),
    }
}

/// Tells a browser what a page of a listed origin may ask.
fn preflight() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = axum::http::StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("authorization, content-type"));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    response
}
