//! Pebble at an address of its own, which the test's proxy listens on too.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::knot;

/// What the server's module asks of its surroundings.
mod fixtures {
    pub(crate) use super::super::{certificate, curl, wait};
}
#[path = "../../pebble.rs"]
mod server;

pub(crate) use server::{HTTP, HTTPS, Pebble};

impl Pebble {
    /// One that keeps nobody waiting.
    pub(crate) fn start() -> Self {
        Self::with(&json!({}), &[("PEBBLE_VA_NOSLEEP", "1")])
    }

    /// With more in its configuration and its environment.
    pub(crate) fn with(more: &Value, environment: &[(&str, &str)]) -> Self {
        Self::at(knot::own_address().ip(), more, environment)
    }

    /// One that asks that name server for what it validates.
    pub(crate) fn resolving(names: SocketAddr, environment: &[(&str, &str)]) -> Self {
        Self::asking(names, knot::own_address().ip(), &json!({}), environment)
    }
}
