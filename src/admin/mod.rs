//! The admin API: questions and orders of the operator, over a Unix socket.
//!
//! Owns who may speak, how a request must look, which paths there are, and the audit line of each; docs/admin-api.md
//! has all of it. What is asked for is done by whoever implements [`Operations`] and [`Acme`]. Never on the way of a
//! client's request. HTTP/1.1 (RFC 9112), one request a connection; errors are problem details (RFC 9457).

mod answer;
mod body;
mod exchange;
mod operations;
mod request;
mod routes;
pub mod seen;
mod server;

pub use operations::{Acme, Done, Operations, Reason, Refusal};
pub use routes::{ENDPOINTS, Endpoint};
pub use server::{Handle, Server};

#[cfg(test)]
mod tests;
