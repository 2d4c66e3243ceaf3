//! Fluxheim, the proxy: everything between an accepted connection and a logged response.
//!
//! Layers import only downward, and `tests/layers` holds the table: `app`, `dns_hook`, `cli` > `edge` >
//! `listen`, `tls`, `upstream`, `admin`, `acme`, `rotation`, `telemetry` > `route`, `policy`, `rewrite` > `wire` >
//! `types`.
#![forbid(unsafe_code)]

pub mod acme;
pub mod admin;
pub mod app;
pub mod cli;
pub mod ctl;
pub mod dns_hook;
pub mod edge;
pub mod listen;
pub mod policy;
pub mod rewrite;
pub mod rotation;
pub mod route;
pub mod telemetry;
pub mod tls;
pub mod types;
pub mod upstream;
pub mod wire;
