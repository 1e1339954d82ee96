//! Claims about hosts apart: they reach each other over the kernel's own TCP, as late as was said, whatever is lost, and not while parted.

use super::links::Link;
use super::{Host, Network, address, available, number};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// Returns a network, or says why there can be none here.
fn network(n_hosts: usize) -> Option<Network> {
    match available() {
        Ok(()) => Some(Network::start(n_hosts, 1).unwrap()),
        Err(why) => {
            println!("skipped: {why}");
            None
        }
    }
}

/// Sends `len` bytes from one host to another and back; returns how long that took.
fn echo(from: &Host, to: &Host, len: usize) -> Duration {
    let listener = to.inside(|| TcpListener::bind((to.address(), 0)).unwrap()).unwrap();
    let port = listener.local_addr().unwrap().port();
    let echoes = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut bytes = vec![0; len];
        stream.read_exact(&mut bytes).unwrap();
        stream.write_all(&bytes).unwrap();
    });
    let started = Instant::now();
    let mut stream = from.inside(|| TcpStream::connect((to.address(), port)).unwrap()).unwrap();
    let sent: Vec<u8> = (0..len).map(|idx| idx as u8).collect();
    stream.write_all(&sent).unwrap();
    let mut received = vec![0; len];
    stream.read_exact(&mut received).unwrap();
    echoes.join().unwrap();
    assert_eq!(sent, received);
    started.elapsed()
}

#[test]
fn hosts_reach_each_other_late_and_through_loss() {
    let Some(network) = network(2) else { return };
    let [a, b] = network.hosts() else { unreachable!() };
    echo(a, b, 100_000);
    network.link_all(Link { delay: Duration::from_millis(30), loss_share: 0.0 });
    // A handshake and an echo are four ways at least.
    assert!(echo(b, a, 1) >= Duration::from_millis(120));
    network.link_all(Link { delay: Duration::from_millis(1), loss_share: 0.1 });
    echo(a, b, 300_000);
    let counts = network.counts();
    assert!(counts.lost > 0 && counts.arrived > counts.lost && counts.parted == 0, "{counts:?}");
}

#[test]
fn parted_hosts_do_not_reach_each_other_until_they_are_healed() {
    let Some(network) = network(3) else { return };
    let [a, b, c] = network.hosts() else { unreachable!() };
    network.part(&[0]);
    let refused =
        a.inside(|| TcpStream::connect_timeout(&(b.address(), 1).into(), Duration::from_millis(300))).unwrap();
    assert_eq!(refused.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
    assert!(network.counts().parted > 0);
    echo(b, c, 1000);
    network.heal();
    echo(a, b, 1000);
}

#[test]
fn addresses_are_those_of_hosts() {
    assert!((0..super::HOSTS_MAX).all(|host| number(address(host)) == Some(host)));
    assert_eq!(number([10, 98, 0, 1].into()), None);
    assert_eq!(number([10, 99, 0, 0].into()), None);
}
