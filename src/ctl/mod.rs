//! `fluxheim ctl`: asks the admin API of a running proxy and shows the answer.
//!
//! Owns which request an order is, and which exit code an answer. Runs by itself, without runtime or configuration,
//! so that it works beside a proxy that is in trouble. `ask` has the wire, `table` the text.

mod ask;
mod table;

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use fluxheim_config::exit;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::admin::seen::{Certificates, Draining, Posture, Problem, Reloaded, Status, Upstream, Upstreams};
use crate::admin::{Done, Reason};
use crate::cli::Order;
use ask::{Asked, Reply};

/// An order that was not carried out.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    /// The answer itself, for programs.
    pub text: Option<String>,
    /// For people.
    pub said: String,
    pub code: u8,
}

/// Carries `order` out by the proxy that listens at `socket`; returns what to print.
///
/// # Errors
/// What went wrong, with the exit code.
pub fn run(socket: &Path, order: &Order, json: bool) -> Result<String, Failure> {
    let request = request(order);
    let reply = ask::ask(socket, &request).map_err(|error| Failure {
        text: None,
        code: error.exit_code(),
        said: error.to_string(),
    })?;
    if !(200..300).contains(&reply.status) {
        return Err(refused(&reply, json));
    }
    if json {
        return Ok(String::from_utf8_lossy(&reply.body).into_owned());
    }
    shown(order, &reply)
}

fn request(order: &Order) -> Asked {
    let get = |path: &str| Asked { method: "GET", path: path.to_owned(), body: None };
    let post = |path: String, body: Option<Value>| Asked { method: "POST", path, body };
    let issuer = |issuer: &Option<String>| issuer.as_ref().map(|issuer| json!({ "issuer": issuer }));
    match order {
        Order::Status => get("/v1/status"),
        Order::Posture => get("/v1/posture"),
        Order::Upstreams => get("/v1/upstreams"),
        Order::Certificates => get("/v1/certs"),
        Order::Reload => post("/v1/reload".to_owned(), None),
        Order::Drain => post("/v1/drain".to_owned(), None),
        Order::SetServer { upstream, server, drain } => post(
            format!("/v1/upstreams/{}/servers/{}", segment(upstream), segment(server)),
            Some(json!({ "state": if *drain { "drain" } else { "ready" } })),
        ),
        Order::Renew(name) => post(format!("/v1/certs/{}/renew", segment(name)), None),
        Order::Revoke(name, reason) => {
            let reason: &Reason = reason;
            post(format!("/v1/certs/{}/revoke", segment(name)), Some(json!({ "reason": reason })))
        }
        Order::Rollover(name) => post("/v1/acme/rollover".to_owned(), issuer(name)),
        Order::Deactivate(name) => post("/v1/acme/deactivate".to_owned(), issuer(name)),
    }
}

/// A name as a segment of a path.
fn segment(name: &str) -> String {
    percent_encoding::utf8_percent_encode(name, NOT_IN_SEGMENT).to_string()
}

/// RFC 3986 section 3.3: all but the unreserved characters and `:`.
const NOT_IN_SEGMENT: &percent_encoding::AsciiSet =
    &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':');

fn refused(reply: &Reply, json: bool) -> Failure {
    let said = match serde_json::from_slice::<Problem>(&reply.body) {
        Ok(Problem { detail, mistakes, .. }) => {
            let mistakes = mistakes.iter().map(|mistake| format!("\n  {mistake}"));
            mistakes.fold(detail, |text, mistake| text + &mistake)
        }
        Err(_) => format!("the proxy answered {}", reply.status),
    };
    let code = match reply.status {
        // A name that is none, or an order that this proxy does not know.
        400 | 404 | 405 => exit::USAGE,
        408 | 409 | 503 | 504 => exit::TRY_AGAIN,
        403 | 421 | 422 => exit::REFUSED,
        _ => exit::INTERNAL,
    };
    Failure { text: json.then(|| String::from_utf8_lossy(&reply.body).into_owned()), said, code }
}

fn shown(order: &Order, reply: &Reply) -> Result<String, Failure> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    Ok(match order {
        Order::Status => table::status(&read::<Status>(reply)?, now),
        Order::Posture => table::posture(&read::<Posture>(reply)?),
        Order::Upstreams => table::upstreams(&read::<Upstreams>(reply)?.upstreams),
        Order::SetServer { .. } => table::upstreams(&[read::<Upstream>(reply)?]),
        Order::Certificates => table::certificates(&read::<Certificates>(reply)?.certificates, now),
        Order::Reload => table::reloaded(&read::<Reloaded>(reply)?),
        Order::Drain => table::draining(&read::<Draining>(reply)?),
        Order::Renew(_) | Order::Revoke(..) | Order::Rollover(_) | Order::Deactivate(_) => {
            format!("{}\n", read::<Done>(reply)?.detail)
        }
    })
}

fn read<T: DeserializeOwned>(reply: &Reply) -> Result<T, Failure> {
    serde_json::from_slice(&reply.body).map_err(|error| Failure {
        text: None,
        said: format!(
            "the answer can't be read ({error}): proxy and ctl must be of one version, or say --format json"
        ),
        code: exit::INTERNAL,
    })
}

/// What is sent as a body.
fn body(value: &impl Serialize) -> Vec<u8> {
    // Strings in an object: nothing that could fail.
    serde_json::to_vec(value).unwrap_or_default()
}
