//! Replicas that share a Redis server: one orders, all answer the CA, all serve what it gives.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::acme_directory::{Directory, Setup};
use crate::support::issued::{self, until};
use crate::support::{Flux, Running, request};

/// What the server's module asks of its surroundings.
mod fixtures {
    pub(crate) use crate::support::{certificate, run, set_mode};
}
#[path = "../stores/server.rs"]
mod server;

use server::Server;

const HOSTS: [&str; 4] = ["a.test", "b.test", "c.test", "d.test"];

/// Brings each connection of the CA to another replica than the one before.
struct InTurn {
    port: u16,
    replicas: Arc<Mutex<Vec<SocketAddr>>>,
    brought: Arc<[AtomicUsize; 2]>,
}

impl InTurn {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (replicas, brought) =
            (Arc::new(Mutex::new(Vec::new())), Arc::new([const { AtomicUsize::new(0) }; 2]));
        let (known, count) = (Arc::clone(&replicas), Arc::clone(&brought));
        // Ends with the process of the test.
        std::thread::spawn(move || {
            for (number, client) in listener.incoming().enumerate() {
                let to: Vec<SocketAddr> = known.lock().unwrap().clone();
                if to.is_empty() {
                    continue;
                }
                count[number % 2].fetch_add(1, Ordering::Relaxed);
                let server = TcpStream::connect(to[number % 2]).unwrap();
                let client = client.unwrap();
                let (from, onto) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                std::thread::spawn(move || copy(from, onto));
                std::thread::spawn(move || copy(server, client));
            }
        });
        Self { port, replicas, brought }
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = [0; 8192];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Write);
}

fn replica(server: &Server, directory: &Directory) -> Running {
    let path = |name: &str| server.path().join(name).display().to_string();
    let vhosts = HOSTS.map(|host| {
        format!("[[vhosts]]\nhosts = [\"{host}\"]\ncertificate = \"acme\"\nroutes = [{{ path = \"/\", respond = {{ status = 200, body = \"ok\" }} }}]\n")
    });
    let rest = format!(
        "[acme]\ndirectory = \"{}\"\nca_file = \"$DIR/ca.pem\"\nterms_of_service_agreed = true\nchallenge = \"http-01\"\n\
         [acme.storage.redis]\naddress = \"127.0.0.1:{}\"\nca_file = \"{}\"\nusername = \"flux\"\npassword_file = \"{}\"\n\
         seal_key_file = \"{}\"\ntimeout = \"2s\"\n{}",
        directory.url(),
        server.setup().port,
        path("server.pem"),
        server.password().display(),
        path("seal.key"),
        vhosts.concat(),
    );
    Flux::server("http = [\"127.0.0.1:0\"]\nhttps = [\"127.0.0.1:0\"]", &rest)
        .file("ca.pem", directory.web_root_pem().as_bytes())
        .start()
}

fn all_served(flux: &Running) -> Option<Vec<String>> {
    issued::serials(&flux.https().to_string(), &HOSTS)
}

fn storage_is_up(flux: &Running) -> bool {
    issued::storage_is_up(&String::from_utf8(request(flux.metrics(), "x", "/metrics").body).unwrap())
}

#[test]
fn one_replica_orders_both_answer_and_both_serve() {
    let (mut server, in_turn) = (Server::start(), InTurn::start());
    let setup = Setup { challenges: vec!["http-01"], http_port: in_turn.port, ..Setup::default() };
    let directory = Directory::start(setup);
    // Nobody orders before both are there.
    server.cli(&["SET", "fluxheim:lock:orders", "test", "PX", "120000"]);
    let (one, two) = (replica(&server, &directory), replica(&server, &directory));
    *in_turn.replicas.lock().unwrap() = vec![one.http(), two.http()];
    server.cli(&["DEL", "fluxheim:lock:orders"]);
    let first = until(Duration::from_secs(60), "certificates of the first", || all_served(&one));
    // What one has, the other has within seconds.
    let second = until(Duration::from_secs(10), "the same of the second", || {
        all_served(&two).filter(|seen| *seen == first)
    });
    assert_eq!(first.iter().collect::<BTreeSet<_>>().len(), HOSTS.len(), "one for each host");
    assert_eq!((second.len(), directory.issued().len(), directory.accounts()), (HOSTS.len(), HOSTS.len(), 1));
    for brought in &*in_turn.brought {
        assert!(brought.load(Ordering::Relaxed) > 0, "a replica was not asked: this test proves nothing");
    }
    // The server goes: both serve on, and say so.
    server.kill();
    for flux in [&one, &two] {
        until(Duration::from_secs(90), "an alarm", || (!storage_is_up(flux)).then_some(()));
        assert_eq!(all_served(flux).as_ref(), Some(&first));
    }
    server.again();
    for flux in [&one, &two] {
        until(Duration::from_secs(90), "the end of the alarm", || storage_is_up(flux).then_some(()));
    }
    // One that starts now has everything from the server, and orders nothing.
    let third = replica(&server, &directory);
    until(Duration::from_secs(10), "certificates of the third", || {
        all_served(&third).filter(|seen| *seen == first)
    });
    assert_eq!(directory.issued().len(), HOSTS.len());
}
