//! The `fluxheim` program: see the library.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(fluxheim::app::main(std::env::args_os().skip(1)))
}
