//! What an idle connection takes of a proxy's memory, once it has carried a request.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::PLAIN;
use crate::contestant::{Contestant, Running};
use crate::handshakes;
use crate::stage::Stage;
use crate::table::{Row, Unit};

/// HTTP/1.1.
pub(crate) fn plain(stage: &Stage) -> Vec<Row> {
    let count = within_descriptors(stage, CONNECTIONS);
    let samples = growth(stage, count, |running| connect(running.http));
    vec![Row { title: format!("an idle connection, of {count}"), unit: Unit::KibEach, samples }]
}

/// The same over TLS 1.3; fewer, as each costs a handshake.
pub(crate) fn encrypted(stage: &Stage) -> Vec<Row> {
    let count = within_descriptors(stage, ENCRYPTED);
    let config = handshakes::config(stage);
    let samples = growth(stage, count, |running| {
        let mut tls = handshakes::connect(&config, running.https);
        ask(&mut tls);
        tls
    });
    vec![Row { title: format!("an idle connection, of {count}, TLS 1.3"), unit: Unit::KibEach, samples }]
}

/// What resident memory grows by for each of `count` connections, in KiB, in a fresh process. One round does: the values of
/// several are the same to a hundredth.
fn growth<C>(stage: &Stage, count: usize, open: impl Fn(&Running) -> C) -> Vec<(Contestant, Vec<f64>)> {
    let of = |one: Contestant| {
        let running = one.start(stage, PLAIN);
        // What only the first connections cost is none of the others' matter.
        drop((0..FIRST).map(|_| open(&running)).collect::<Vec<_>>());
        std::thread::sleep(SETTLED);
        let before = running.resident();
        let crowd: Vec<_> = (0..count).map(|_| open(&running)).collect();
        std::thread::sleep(SETTLED);
        let each = (running.resident() - before) / count as f64;
        drop(crowd);
        (one, vec![each])
    };
    Contestant::ALL.into_iter().map(of).collect()
}

fn connect(at: SocketAddr) -> TcpStream {
    let mut socket = TcpStream::connect(at).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    ask(&mut socket);
    socket
}

/// One request and its whole answer; the connection stays.
fn ask(stream: &mut (impl Read + Write)) {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").unwrap();
    let (mut got, mut buffer) = (Vec::new(), [0; 4096]);
    while !got.ends_with(&[b'x'; 32]) {
        let read = stream.read(&mut buffer).unwrap();
        assert!(read > 0, "ended: {}", String::from_utf8_lossy(&got));
        got.extend_from_slice(&buffer[..read]);
    }
    assert!(got.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&got));
}

/// As many of `wanted` as one process may have here, and some descriptors of other kinds.
fn within_descriptors(stage: &Stage, wanted: usize) -> usize {
    let possible = stage.descriptors.saturating_sub(OTHERS);
    if possible < wanted {
        stage.remark(format!(
            "Of idle connections there were {possible} rather than {wanted}: a process may have only {} descriptors here \
             (`ulimit -Hn`).",
            stage.descriptors
        ));
    }
    wanted.min(possible)
}

const CONNECTIONS: usize = 10_000;
const ENCRYPTED: usize = 1_000;
const FIRST: usize = 50;
const OTHERS: usize = 200;
const SETTLED: Duration = Duration::from_millis(500);
