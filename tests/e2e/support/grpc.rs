//! A gRPC server that offers `grpc.health.v1` and nothing else, over HTTP/2 with prior knowledge.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use http::{HeaderMap, Response, StatusCode};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

/// Runs until dropped.
pub(crate) struct Grpc {
    pub(crate) address: SocketAddr,
    serving: Arc<AtomicBool>,
    checks: Arc<AtomicUsize>,
    _runtime: Runtime,
}

impl Grpc {
    /// A server that knows this service, which is well.
    pub(crate) fn serving(service: &'static str) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let (serving, checks) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
        let (state, counted) = (Arc::clone(&serving), Arc::clone(&checks));
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, service, Arc::clone(&state), Arc::clone(&counted)));
            }
        });
        Self { address, serving, checks, _runtime: runtime }
    }

    /// What the service says from now on.
    pub(crate) fn serves(&self, serves: bool) {
        self.serving.store(serves, Ordering::SeqCst);
    }

    pub(crate) fn checks(&self) -> usize {
        self.checks.load(Ordering::SeqCst)
    }
}

async fn serve(stream: TcpStream, service: &str, serving: Arc<AtomicBool>, checks: Arc<AtomicUsize>) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let head = request.uri().path() == "/grpc.health.v1.Health/Check"
            && request.headers().get("content-type").is_some_and(|kind| kind == "application/grpc")
            && request.headers().get("te").is_some_and(|te| te == "trailers");
        let mut body = request.into_body();
        let mut question = Vec::new();
        // The connection must go on for the body to come.
        let read = async {
            while let Some(Ok(bytes)) = body.data().await {
                question.extend_from_slice(&bytes);
            }
        };
        tokio::select! {
            () = read => {}
            _ = std::future::poll_fn(|context| connection.poll_closed(context)) => return,
        }
        checks.fetch_add(1, Ordering::SeqCst);
        let length = u8::try_from(service.len()).unwrap();
        let expected = [&[0, 0, 0, 0, length + 2, 0x0a, length], service.as_bytes()].concat();
        let mut response = Response::new(());
        response.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
        let mut trailers = HeaderMap::new();
        if !head || question != expected {
            *response.status_mut() = StatusCode::OK;
            response.headers_mut().insert("grpc-status", "5".parse().unwrap());
            let _ = respond.send_response(response, true);
            continue;
        }
        trailers.insert("grpc-status", "0".parse().unwrap());
        let status = if serving.load(Ordering::SeqCst) { 1 } else { 2 };
        let Ok(mut stream) = respond.send_response(response, false) else { continue };
        let _ = stream.send_data(vec![0, 0, 0, 0, 2, 8, status].into(), false);
        let _ = stream.send_trailers(trailers);
    }
}
