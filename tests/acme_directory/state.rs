//! What the server remembers.

use std::collections::{HashMap, HashSet};
use std::time::SystemTime;

use serde::Serialize;
use serde_json::{Value, json};

use super::faults::{Chain, Endpoint, Fault};
use super::jws::Key;
use super::problem::Problem;

/// Everything; an id is the place in its list.
#[derive(Default)]
pub(super) struct State {
    pub(super) nonces: HashSet<String>,
    /// Good nonces seen, for those that are refused nevertheless.
    pub(super) counted: u32,
    pub(super) accounts: Vec<Account>,
    pub(super) orders: Vec<Order>,
    pub(super) authorizations: Vec<Authorization>,
    pub(super) certificates: Vec<Issued>,
    /// What is wrong with the next certificate that is handed out.
    pub(super) chains: HashMap<usize, Chain>,
    pub(super) faults: Vec<Fault>,
    pub(super) requests: Vec<Endpoint>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    Pending,
    Processing,
    Ready,
    Valid,
    Invalid,
    Deactivated,
}

pub(super) struct Account {
    pub(super) key: Key,
    /// Of all keys that it ever had, the newest last.
    pub(super) thumbprints: Vec<String>,
    pub(super) contact: Value,
    pub(super) status: Status,
    pub(super) binding: Option<Value>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identifier {
    /// `dns` or `ip`.
    pub(super) kind: String,
    /// With its `*.`, if it is a wildcard.
    pub(super) value: String,
}

impl Identifier {
    /// The name or address that is validated.
    pub(super) fn base(&self) -> &str {
        self.value.strip_prefix("*.").unwrap_or(&self.value)
    }

    pub(super) fn is_wildcard(&self) -> bool {
        self.value.starts_with("*.")
    }

    pub(super) fn json(&self, value: &str) -> Value {
        json!({ "type": self.kind, "value": value })
    }
}

pub(super) struct Order {
    pub(super) account: usize,
    pub(super) identifiers: Vec<Identifier>,
    pub(super) authorizations: Vec<usize>,
    pub(super) status: Status,
    pub(super) error: Option<Problem>,
    pub(super) profile: Option<String>,
    pub(super) replaces: Option<String>,
    pub(super) certificate: Option<usize>,
    /// When `processing` becomes `valid`.
    pub(super) done: SystemTime,
    pub(super) expires: SystemTime,
}

pub(super) struct Authorization {
    pub(super) account: usize,
    pub(super) identifier: Identifier,
    pub(super) status: Status,
    pub(super) expires: SystemTime,
    pub(super) challenges: Vec<Challenge>,
}

pub(super) struct Challenge {
    pub(super) kind: &'static str,
    pub(super) token: String,
    pub(super) status: Status,
    pub(super) error: Option<Problem>,
    pub(super) validated: Option<SystemTime>,
}

/// A certificate, as a test sees it.
#[derive(Clone, Debug)]
pub(crate) struct Issued {
    pub(crate) account: usize,
    pub(crate) names: Vec<String>,
    pub(crate) profile: Option<String>,
    /// The renewal identifier (RFC 9773, section 4.1).
    pub(crate) renewal_id: String,
    /// The one that it took the place of.
    pub(crate) replaces: Option<String>,
    pub(crate) not_before: SystemTime,
    pub(crate) not_after: SystemTime,
    /// The reason, if it was revoked.
    pub(crate) revoked: Option<u64>,
    /// Leaf and intermediate.
    pub(crate) pem: String,
    pub(crate) der: Vec<u8>,
    /// The request's SubjectPublicKeyInfo.
    pub(crate) public_key: Vec<u8>,
}

impl State {
    /// Moves an order on to where its authorizations and the clock have brought it.
    pub(super) fn settle(&mut self, id: usize, now: SystemTime) {
        let order = &mut self.orders[id];
        let statuses: Vec<Status> =
            order.authorizations.iter().map(|id| self.authorizations[*id].status).collect();
        match order.status {
            Status::Pending if statuses.iter().all(|status| *status == Status::Valid) => {
                order.status = Status::Ready;
            }
            Status::Pending
                if statuses.iter().any(|status| *status != Status::Valid && *status != Status::Pending) =>
            {
                order.status = Status::Invalid;
                order.error = Some(Problem::unauthorized("an authorization is not valid"));
            }
            Status::Processing if now >= order.done => order.status = Status::Valid,
            _ => {}
        }
    }
}
