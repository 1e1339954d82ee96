//! Requests about triggers that are expressions: read on the admin thread, expressions parsed before the loop hears of them.

use super::http::{Answer, Refused, bad, json, read};
use super::{Client, Command, Reply};
use backsight_core::expr::{Expr, parse};
use backsight_proto::admin::{SetTriggerRequest, TEST_TRACES_MAX, TestRequest};
use hyper::body::Incoming;
use hyper::{Request, StatusCode};

pub(super) async fn set(request: Request<Incoming>, client: &Client) -> Result<Answer, Refused> {
    let request: SetTriggerRequest = read(request).await?;
    let when = request.when.as_deref().map(parsed).transpose()?;
    match client.ask(Command::SetTrigger { name: request.name, when }).await? {
        Reply::TriggerSet(Ok(set)) => Ok(json(StatusCode::OK, &set)),
        Reply::TriggerSet(Err(error)) => Err(bad(error)),
        _ => Err(Refused::new(StatusCode::INTERNAL_SERVER_ERROR, "the agent answered something else")),
    }
}

pub(super) async fn test(request: Request<Incoming>, client: &Client) -> Result<Answer, Refused> {
    let request: TestRequest = read(request).await?;
    let (expr, n_traces) = (parsed(&request.when)?, request.n_traces.min(TEST_TRACES_MAX));
    tested(client.ask(Command::StartTest { expr, n_traces }).await?)
}

pub(super) async fn look_at_test(id: u64, client: &Client) -> Result<Answer, Refused> {
    tested(client.ask(Command::Test(id)).await?)
}

fn tested(reply: Reply) -> Result<Answer, Refused> {
    match reply {
        Reply::Test(Some(test)) => Ok(json(StatusCode::OK, &*test)),
        Reply::TestBusy => Err(Refused::new(StatusCode::CONFLICT, "another back-test is running")),
        _ => Err(Refused::new(StatusCode::NOT_FOUND, "another back-test was begun since")),
    }
}

fn parsed(when: &str) -> Result<Expr, Refused> {
    parse(when).map_err(|error| bad(format!("no trigger expression: {error}")))
}
