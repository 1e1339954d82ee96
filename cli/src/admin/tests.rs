//! Claims about errors: they name the socket, the cause and what to do.

use super::{Admin, refusal};
use hyper::StatusCode;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};
use std::os::unix::net::UnixListener;

#[test]
fn a_missing_socket_and_one_left_behind_say_how_to_start_the_agent() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("admin.sock");
    let error = |socket: &std::path::Path| format!("{:#}", Admin::new(socket).get("/v1/status").err().unwrap());
    let missing = error(&socket);
    drop(UnixListener::bind(&socket).unwrap());
    let left_behind = error(&socket);
    for (text, cause) in [(missing, "there is no socket"), (left_behind, "nobody listens")] {
        assert!(text.contains(cause) && text.contains("backsight-agent --config"), "{text}");
        assert!(text.contains(socket.to_str().unwrap()), "{text}");
    }
}

#[test]
fn what_is_not_the_admin_socket_is_told_as_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let said = |socket: &std::path::Path| format!("{:#}", Admin::new(socket).get("/v1/status").err().unwrap());
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    for other in [file.as_path(), folder.path()] {
        let text = said(other);
        assert!(text.contains("is no socket") && text.contains("agent.admin_socket"), "{text}");
    }
    let producer = folder.path().join("agent.sock");
    let socket = rustix::net::socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).unwrap();
    rustix::net::bind(&socket, &SocketAddrUnix::new(&producer).unwrap()).unwrap();
    rustix::net::listen(&socket, 1).unwrap();
    let text = said(&producer);
    assert!(text.contains("is the producer socket") && text.contains("agent.admin_socket"), "{text}");
    let text = said(&folder.path().join("x".repeat(108)));
    assert!(text.contains("at most 107"), "{text}");
}

#[test]
fn a_socket_that_is_closed_to_this_user_says_whose_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("admin.sock");
    let _listener = UnixListener::bind(&socket).unwrap();
    let error = Admin::new(&socket).unreachable(&std::io::ErrorKind::PermissionDenied.into());
    assert!(error.is_forbidden && error.text.contains("no permission for"), "{error}");
    assert!(error.text.contains("it belongs to user"), "{error}");
}

#[test]
fn a_refusal_is_the_agents_sentence_or_its_status() {
    assert_eq!(refusal(StatusCode::NOT_FOUND, r#"{"error":"no such trace"}"#), "no such trace");
    assert_eq!(refusal(StatusCode::BAD_GATEWAY, "<html>"), "the agent answered 502 Bad Gateway");
}
