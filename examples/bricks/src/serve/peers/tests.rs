//! Claims about where errors of calls come from.

use super::{Origin, client};
use crate::rpc::VisitRequest;
use std::net::{Ipv4Addr, SocketAddr};
use tokio::net::{TcpListener, TcpSocket};
use tonic::{Code, Status};

async fn origin_of_a_call_to(address: SocketAddr) -> Origin {
    Origin::of(&client(address).unwrap().visit(VisitRequest::default()).await.unwrap_err())
}

#[tokio::test]
async fn call_to_nobody_never_left() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap(); // taken, and nobody listens
    assert_eq!(origin_of_a_call_to(socket.local_addr().unwrap()).await, Origin::Nobody);
}

#[tokio::test]
async fn call_whose_connection_breaks_may_have_arrived() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let breaking = tokio::spawn(async move { drop(listener.accept().await) });
    assert_eq!(origin_of_a_call_to(address).await, Origin::Transport);
    breaking.await.unwrap();
}

#[test]
fn error_that_was_answered_comes_from_the_callee() {
    assert_eq!(Origin::of(&Status::new(Code::Aborted, "no")), Origin::Callee);
}
