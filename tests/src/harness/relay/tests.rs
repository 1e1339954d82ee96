//! Claims about the relay.

use super::Relay;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

#[test]
fn bytes_pass_both_ways_and_those_sent_up_are_counted() {
    let upstream = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let relay = Relay::start(upstream.local_addr().unwrap()).unwrap();
    let mut near = TcpStream::connect(relay.url().strip_prefix("http://").unwrap()).unwrap();
    let (mut far, _) = upstream.accept().unwrap();
    near.write_all(b"question").unwrap();
    let mut question = [0; 8];
    far.read_exact(&mut question).unwrap();
    far.write_all(b"an answer").unwrap();
    drop(far);
    let mut answer = String::new();
    near.read_to_string(&mut answer).unwrap();
    assert_eq!((&question, answer.as_str(), relay.sent_bytes()), (b"question", "an answer", 8));
}
