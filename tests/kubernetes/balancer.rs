//! What kube-proxy does for a Service: each new connection goes to one of the endpoints that it knows of.

use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::pod::Pod;

/// Listens on loopback until the test ends.
pub(crate) struct Balancer {
    pub(crate) port: u16,
    endpoints: Arc<Mutex<Vec<SocketAddr>>>,
}

impl Balancer {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let endpoints: Arc<Mutex<Vec<SocketAddr>>> = Arc::default();
        let known = Arc::clone(&endpoints);
        std::thread::spawn(move || {
            let turn = AtomicUsize::new(0);
            for client in listener.incoming() {
                let known = known.lock().unwrap();
                let to = known[turn.fetch_add(1, Ordering::Relaxed) % known.len()];
                std::thread::spawn(move || carry(client.unwrap(), to));
            }
        });
        Self { port, endpoints }
    }

    /// New connections go to these from now on; those that stand stay where they are.
    pub(crate) fn follow(&self, pods: &[Pod<'_>]) {
        let addresses = pods.iter().map(|pod| (pod.container.address(), pod.port("https")).into());
        *self.endpoints.lock().unwrap() = addresses.collect();
    }
}

/// Both directions, until each has ended; a pod that can't be reached is a reset to the client.
fn carry(client: TcpStream, to: SocketAddr) {
    let Ok(server) = TcpStream::connect(to) else { return };
    let (mut up_from, mut up_to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let up = std::thread::spawn(move || {
        let _ = std::io::copy(&mut up_from, &mut up_to);
        let _ = up_to.shutdown(Shutdown::Write);
    });
    let (mut down_from, mut down_to) = (server, client);
    let _ = std::io::copy(&mut down_from, &mut down_to);
    let _ = down_to.shutdown(Shutdown::Write);
    let _ = up.join();
}
