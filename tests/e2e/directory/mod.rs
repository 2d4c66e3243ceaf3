//! The tests' own ACME server keeps its word: what it lets pass, and what it does not.

mod answers;
mod client;
mod faults;
mod signing;
mod validating;
