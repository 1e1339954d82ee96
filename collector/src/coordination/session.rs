//! One agent's connection: its messages are checked here and handed to the coordinator's task in order.

use super::{Coordination, Dialed, Heard, Said, Says};
use crate::streams::Reason;
use backsight_core::ids::AgentId;
use backsight_proto::v1;
use backsight_proto::v1::agent_says::What;
use backsight_proto::wire::WireError;
use tokio::sync::{mpsc, oneshot};
use tonic::{Status, Streaming};

/// Serves a connection until either side ends it.
pub(super) async fn serve(
    coordination: Coordination,
    connection: u64,
    mut hears: Streaming<v1::AgentSays>,
    says: mpsc::Sender<Says>,
) {
    let agent = match greet(&coordination, connection, &mut hears, &says).await {
        Ok(agent) => agent,
        Err(status) => {
            let _ = says.send(Err(status)).await; // the agent may be gone
            return;
        }
    };
    let ended = listen(&coordination, connection, agent, &mut hears, &says).await;
    coordination.tell(Heard::Disconnected { connection, agent }).await;
    if let Err(status) = ended {
        let _ = says.try_send(Err(status)); // as above
    }
}

/// Hears the hello, and has the coordinator's task accept or refuse the agent.
async fn greet(
    coordination: &Coordination,
    connection: u64,
    hears: &mut Streaming<v1::AgentSays>,
    says: &mpsc::Sender<Says>,
) -> Result<AgentId, Status> {
    let refused = coordination.refused();
    let Some(What::Hello(hello)) = refused.first(hears).await?.what else {
        let status = Status::failed_precondition("the first message of a coordination stream must be a hello");
        return Err(refused.with(Reason::BadHello, status));
    };
    let bad = |error: WireError| Status::failed_precondition(error.to_string());
    let agent = hello.check().map_err(|error| refused.with(Reason::BadHello, bad(error)))?;
    let (accepted, answer) = oneshot::channel();
    let says = says.clone();
    coordination.tell(Heard::Connected(Dialed { agent, connection, hello, says, accepted })).await;
    answer.await.unwrap_or_else(|_| Err(Status::unavailable("the collector stops")))?;
    Ok(agent)
}

/// Hands on what the agent says. A message that is malformed, or larger than any may be, ends the stream: who sends one is broken or means
/// harm, and the rest of what it says is worth no more.
async fn listen(
    coordination: &Coordination,
    connection: u64,
    agent: AgentId,
    hears: &mut Streaming<v1::AgentSays>,
    says: &mpsc::Sender<Says>,
) -> Result<(), Status> {
    let closed = says.closed();
    tokio::pin!(closed);
    loop {
        let message = tokio::select! {
            message = hears.message() => message.map_err(|status| coordination.refused().unread(status))?,
            // The coordinator's task has let go of the connection.
            () = &mut closed => return Ok(()),
        };
        let Some(message) = message else { return Ok(()) };
        let what = said(message).map_err(|error| {
            coordination.refused().with(Reason::Malformed, Status::invalid_argument(error.to_string()))
        })?;
        if let Some(what) = what {
            coordination.tell(Heard::Said { connection, agent, what }).await;
        }
    }
}

/// Checks a message; one of a later version is passed over.
fn said(message: v1::AgentSays) -> Result<Option<Said>, WireError> {
    Ok(match message.what {
        Some(What::Announce(announce)) => Some(Said::Announced(announce.try_into()?)),
        Some(What::Answers(answers)) => Some(Said::Answered(answers.try_into()?)),
        Some(What::Update(update)) => Some(Said::Updated(update.try_into()?)),
        Some(What::Hello(_)) => return Err(WireError::Value { field: "hello", value: 2, allowed: "one a stream" }),
        None => None,
    })
}
