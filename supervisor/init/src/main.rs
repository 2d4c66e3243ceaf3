//! `fluxheim-init`: verifies, hardens, starts the proxy and watches over it; PID 1 of the image.
//!
//! Owns the process's start and its exit code. One thread (another only while files are read, so that a
//! dead mount holds that one), no runtime, never aborts: the kernel
//! shows an abort in PID 1 as SIGSEGV (139). See docs/hardening.md, docs/exit-codes.md.

mod args;
mod child;
mod health;
mod inherited;
mod load;
mod machine;
mod main_child;
mod meaning;
mod notify;
mod others;
mod probe;
mod run;
mod say;
mod signals;
mod sleep;
mod storage;
mod supervise;
mod sys;

use std::process::ExitCode;

use args::Command;
use fluxheim_config::exit;

fn main() -> ExitCode {
    sys::keep_to_one_heap();
    std::panic::set_hook(Box::new(|fault| {
        say::line(format_args!("internal error: {fault}; please report it"));
        sys::exit_now(exit::INTERNAL);
    }));
    ExitCode::from(match args::parse(std::env::args_os().skip(1)) {
        Ok(command) => obey(command),
        Err(wrong) => {
            say::line(format_args!("{wrong}; see fluxheim-init --help"));
            exit::USAGE
        }
    })
}

fn obey(command: Command) -> u8 {
    match command {
        Command::Run(start) => run::run(start),
        Command::Exec(start) => run::become_proxy(start),
        Command::Posture { start, format } => run::posture(start, format),
        Command::Running { config, format } => health::posture_of_running(&config, format),
        Command::CheckStorage(request) => storage::check(request),
        Command::Health { config, ready } => health::ask(&config, ready),
        Command::Sleep(duration) => sleep::run(duration),
        Command::Probe { config, profile } => probe::run(&config, profile),
        Command::Help => say::out(args::HELP),
        Command::Version => say::out(&args::version()),
    }
}
