//! What changes between the request as received and as sent on, and the same for responses.
//!
//! Owns the rules as values (which fields to set, which to drop); the edge applies them. Pure: no
//! framework, no clock. Follows RFC 9110 section 7.6 and RFC 7239.

pub mod accept;
pub mod compress;
pub mod conditions;
pub mod cookies;
pub mod crumbs;
pub mod encoder;
pub mod fields;
pub mod forwarded;
pub mod hop;
pub mod html;
pub mod location;
pub mod path;
pub mod ranges;
pub mod redirect;
pub mod request_id;
pub mod template;
pub mod trace_context;
