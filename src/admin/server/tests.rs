//! Operations of others, as the API calls them and tells what came of them.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use tokio::sync::Notify;

use super::super::operations::{Done, Reason};
use super::super::seen::{Certificate, Draining, Posture, Problem, Reloaded, ServerState, Status, Upstream};
use super::*;
use crate::telemetry::access::AccessLog;

/// Answers what a test wants of it, and keeps what it was asked.
#[derive(Default)]
struct Fake {
    asked: Mutex<Vec<String>>,
    refusal: Option<Refusal>,
    /// Waited for before an order ends.
    go: Option<Arc<Notify>>,
    ended: AtomicBool,
    without_acme: bool,
}

impl Fake {
    async fn order(&self, asked: String) -> Result<Done, Refusal> {
        self.asked.lock().unwrap().push(asked);
        if let Some(go) = &self.go {
            go.notified().await;
        }
        self.ended.store(true, Ordering::SeqCst);
        match &self.refusal {
            Some(refusal) => Err(refusal.clone()),
            None => Ok(Done { detail: "done".to_owned() }),
        }
    }
}

#[async_trait]
impl Acme for Fake {
    async fn renew(&self, name: &str) -> Result<Done, Refusal> {
        self.order(format!("renew {name}")).await
    }

    async fn revoke(&self, name: &str, reason: Reason) -> Result<Done, Refusal> {
        self.order(format!("revoke {name} {}", reason.code())).await
    }

    async fn rollover(&self, issuer: Option<&str>) -> Result<Done, Refusal> {
        self.order(format!("rollover {issuer:?}")).await
    }

    async fn deactivate(&self, issuer: Option<&str>) -> Result<Done, Refusal> {
        self.order(format!("deactivate {issuer:?}")).await
    }
}

#[async_trait]
impl Operations for Fake {
    fn status(&self) -> Status {
        panic!("not asked for here")
    }

    fn upstreams(&self) -> Vec<Upstream> {
        Vec::new()
    }

    fn certificates(&self) -> Vec<Certificate> {
        Vec::new()
    }

    fn posture(&self) -> Posture {
        panic!("not asked for here")
    }

    async fn reload(&self) -> Result<Reloaded, Refusal> {
        panic!("not asked for here")
    }

    fn drain(&self) -> Draining {
        panic!("not asked for here")
    }

    fn set_server(&self, _: &str, _: &str, _: ServerState) -> Result<Upstream, Refusal> {
        panic!("not asked for here")
    }

    fn acme(&self) -> Option<&dyn Acme> {
        (!self.without_acme).then_some(self)
    }
}

fn shared(fake: &Arc<Fake>) -> Arc<Shared> {
    let telemetry = Arc::new(Telemetry::new(AccessLog::off(), None));
    Arc::new(Shared { operations: Arc::clone(fake) as Arc<dyn Operations>, telemetry })
}

/// The status and the text of what a POST is answered.
async fn post(shared: &Arc<Shared>, path: &str, body: &str) -> (u16, String) {
    let request = Request { method: "POST".into(), path: path.into(), length: body.len(), json: true };
    let peer = Peer { uid: 0, pid: 1 };
    let answer = perform(peer, request, body.as_bytes().to_vec(), Arc::clone(shared)).await;
    (answer.status.as_u16(), String::from_utf8(answer.bytes(false)).unwrap())
}

#[tokio::test]
async fn each_order_reaches_the_acme_client_as_it_was_given() {
    let fake = Arc::new(Fake::default());
    let shared = shared(&fake);
    for (path, body) in [
        ("/v1/certs/a.test/renew", ""),
        ("/v1/certs/a.test/revoke", "{\"reason\":\"superseded\"}"),
        ("/v1/acme/rollover", ""),
        ("/v1/acme/deactivate", "{\"issuer\":\"le\"}"),
    ] {
        let (status, text) = post(&shared, path, body).await;
        assert!(status == 200 && text.ends_with("{\"detail\":\"done\"}\n"), "{text}");
    }
    let asked = fake.asked.lock().unwrap().clone();
    assert_eq!(asked, ["renew a.test", "revoke a.test 4", "rollover None", "deactivate Some(\"le\")"]);
    let metrics = shared.telemetry.metrics.expose(&shared.telemetry.lifecycle);
    assert!(metrics.contains("fluxheim_admin_requests_total{operation=\"certs_renew\",code=\"200\"} 1\n"));
}

#[tokio::test]
async fn each_refusal_has_its_status_and_tells_everything() {
    let told = |text: &str| text.to_owned();
    let mistakes = vec![told("one"), told("two")];
    for (refusal, status) in [
        (Refusal::NotFound(told("x")), 404),
        (Refusal::Conflict(told("x")), 409),
        (Refusal::Refused { detail: told("x"), mistakes: mistakes.clone() }, 422),
        (Refusal::Unavailable(told("x")), 503),
        (Refusal::Internal(told("x")), 500),
    ] {
        let lists = matches!(refusal, Refusal::Refused { .. });
        let fake = Arc::new(Fake { refusal: Some(refusal), ..Fake::default() });
        let (got, text) = post(&shared(&fake), "/v1/certs/a/renew", "").await;
        let problem: Problem = serde_json::from_str(text.split("\r\n\r\n").nth(1).unwrap()).unwrap();
        assert_eq!((got, problem.status, problem.detail.as_str()), (status, status, "x"));
        assert_eq!(problem.mistakes == mistakes, lists, "{text}");
        assert!(text.contains("\r\nContent-Type: application/problem+json\r\n"), "{text}");
    }
    let fake = Arc::new(Fake { without_acme: true, ..Fake::default() });
    assert_eq!(post(&shared(&fake), "/v1/certs/a/renew", "").await.0, 404);
}

/// An order for a certificate may take minutes, and must not die with whoever gave it.
#[tokio::test(start_paused = true)]
async fn what_takes_too_long_goes_on_and_so_does_what_nobody_waits_for() {
    for patient in [true, false] {
        let go = Arc::new(Notify::new());
        let fake = Arc::new(Fake { go: Some(Arc::clone(&go)), ..Fake::default() });
        let shared = shared(&fake);
        if patient {
            assert_eq!(post(&shared, "/v1/certs/a/renew", "").await.0, 504);
        } else {
            let left = timeout(Duration::from_secs(1), post(&shared, "/v1/certs/a/renew", "")).await;
            assert!(left.is_err());
        }
        assert!(!fake.ended.load(Ordering::SeqCst));
        go.notify_one();
        let counted = async {
            let line = "fluxheim_admin_requests_total{operation=\"certs_renew\",code=\"200\"} 1\n";
            while !shared.telemetry.metrics.expose(&shared.telemetry.lifecycle).contains(line) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(Duration::from_secs(10), counted).await.expect("it ended with its client");
        assert!(fake.ended.load(Ordering::SeqCst));
    }
}
