//! From nothing to a supervised proxy: the steps in order, the reason beside each.
//!
//! Owns that order and what is printed on the way. See docs/hardening.md.

use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::path::Path;

use fluxheim_config::{Config, Control, Level, exit};
use fluxheim_posture::Report;
use fluxheim_posture::apply::{self, Baseline, Failure};
use fluxheim_posture::evidence::Evidence;
use fluxheim_posture::handoff::Legacy;
use fluxheim_posture::judge::{Asked, StorageSeen, judge};
use fluxheim_posture::proxy::SCHEMA;
use nix::sys::prctl::set_child_subreaper;

use crate::args::{Format, Start};
use crate::child::{self, Started};
use crate::health::Door;
use crate::inherited::Inherited;
use crate::notify::Notifier;
use crate::signals::Signals;
use crate::supervise::{Supervisor, Turn};
use crate::{load, others, say};

/// Starts and supervises; the code is the proxy's, or ours when it may not run.
pub(crate) fn run(start: Start) -> u8 {
    let prepared = match prepare(&start) {
        Ok(prepared) => prepared,
        Err(code) => return code,
    };
    // Nothing is executed that could open a key somebody else can read.
    if prepared.storage_refuses() {
        return prepared.refuse(&start);
    }
    // A name somebody else took costs the probes' answers, not the service.
    let door = Door::open(&start.config)
        .inspect_err(|errno| say::line(format_args!("--health won't get answers: its socket: {errno}")))
        .ok();
    let notifier = Notifier::from_environment();
    prepared.lead(&start.proxy, &start.arguments(), door, notifier, say::report)
}

/// Hardens this process and becomes the proxy, which judges itself; returns only when it can't.
pub(crate) fn become_proxy(start: Start) -> u8 {
    let prepared = match prepare(&start) {
        Ok(prepared) => prepared,
        Err(code) => return code,
    };
    if prepared.storage_refuses() {
        return prepared.refuse(&start);
    }
    let Prepared { baseline, config, failures, storage, .. } = prepared;
    let legacy = Legacy { schema: SCHEMA, baseline, failures, storage };
    let Err(error) = child::replace(&start.proxy, &start.arguments(), &config.hardening, legacy);
    say::line(&error);
    error.code()
}

/// Judges what a proxy would get here: the probe takes its place and ends at the verdict.
pub(crate) fn posture(start: Start, format: Format) -> u8 {
    let prepared = match prepare(&start) {
        Ok(prepared) => prepared,
        Err(code) => return code,
    };
    let mut judged = None;
    let code = prepared.probe(&start, |report| judged = Some(report.clone()));
    let Some(report) = judged else { return code };
    let printed = match format {
        Format::Text => say::out(&report.to_text(say::colour(&std::io::stdout()))),
        Format::Json => say::out(&report.to_json().to_string()),
    };
    if report.is_ok() { printed } else { exit::REFUSED }
}

/// Everything that is done before there is a child.
struct Prepared {
    signals: Signals,
    baseline: Baseline,
    config: Config,
    failures: Vec<Failure>,
    storage: StorageSeen,
}

fn prepare(start: &Start) -> Result<Prepared, u8> {
    // First, so that a TERM during the rest waits for the child instead of being lost.
    let signals = Signals::block().map_err(|errno| internal("blocking signals", errno))?;
    // Before more of ours is open, so that the two can be told apart.
    let inherited = Inherited::list(signals.as_fd());
    // Before anything is changed: what holds now was given to us.
    let baseline = Baseline::read();
    // Others of our uid could read init's memory, and so what it checks.
    apply::hide_self().map_err(|errno| internal("PR_SET_DUMPABLE", errno))?;
    // Orphans come to us, not to an init that knows nothing of our stop.
    if !others::is_pid_1() {
        set_child_subreaper(true).map_err(|errno| internal("PR_SET_CHILD_SUBREAPER", errno))?;
    }
    // Who could change the configuration could name any file; so it is judged before it is read.
    let config = load::config(&start.config, start.profile).map_err(|refused| {
        say::line(refused);
        exit::REFUSED
    })?;
    // Where it is only observed, the proxy shall still see them.
    if config.hardening.applies(Control::Fds)
        && let Some(closed) = inherited.close()
    {
        say::line(format_args!("descriptors left open to fluxheim-init were closed: {closed}"));
    }
    // What the child inherits; only now are the levels known. A start as uid 0 is none any more
    // afterwards, so that files are judged for whom they are used.
    let failures = apply::inheritable(&config.hardening);
    // Before there is a proxy that could open a key.
    let storage = load::storage_seen(&config, |report| say::line(report));
    Ok(Prepared { signals, baseline, config, failures, storage })
}

impl Prepared {
    fn storage_refuses(&self) -> bool {
        let required = self.config.hardening.level(Control::Storage) == Level::Required;
        required && matches!(self.storage, StorageSeen::Findings(_) | StorageSeen::Unknown(_))
    }

    /// Refused for its storage alone already; what else would be refused is told in the same report,
    /// by the probe in the proxy's place.
    fn refuse(self, start: &Start) -> u8 {
        let mut told = false;
        let code = self.probe(start, |report| {
            told = true;
            say::report(report);
        });
        say::line("refused: storage (see the findings above); the proxy was not started");
        if told { exit::REFUSED } else { code }
    }

    /// Judges the probe, which opens nothing but the configuration.
    fn probe(self, start: &Start, tell: impl FnMut(&Report)) -> u8 {
        let arguments = start.arguments();
        let arguments: Vec<_> = std::iter::once(OsStr::new("--probe")).chain(arguments).collect();
        self.lead(Path::new("/proc/self/exe"), &arguments, None, None, tell)
    }

    /// Starts `program`, judges it after its exec, and supervises it to its end.
    ///
    /// `tell` gets the report.
    fn lead(
        self,
        program: &Path,
        arguments: &[&OsStr],
        door: Option<Door>,
        notifier: Option<Notifier>,
        mut tell: impl FnMut(&Report),
    ) -> u8 {
        let Self { signals, baseline, config, mut failures, storage } = self;
        let started = match child::start(program, arguments, &config.hardening) {
            Ok(started) => started,
            Err(error) => {
                say::line(error);
                return exit::INTERNAL;
            }
        };
        let Started { pid, handoff, failures: in_child, not_executed } = started;
        failures.extend(in_child);
        if let Some(errno) = not_executed {
            say::line(format_args!("can't execute {}: {errno}", program.display()));
        }
        let mut supervisor =
            Supervisor::new(signals, pid, handoff, config.server.stop_timeout, door, notifier);
        loop {
            match supervisor.turn() {
                Ok(Turn::Nothing) => {}
                // Read back from outside, from the very process that will hold the keys.
                Ok(Turn::Report(told)) => {
                    // The file may have changed between our reading and the proxy's.
                    let has_secrets = config.has_secrets() || told.secrets;
                    let evidence = Evidence::read(pid, *told, baseline.clone(), failures.clone());
                    let (hardening, storage, server) = (&config.hardening, &storage, &config.server);
                    let report = judge(&evidence, Asked { hardening, has_secrets, storage, server });
                    // A stop in the first moment: what was read is of a process going away.
                    if supervisor.main_has_ended() {
                        continue;
                    }
                    if report.is_ok() {
                        // The proxy first: it waits, and whoever reads stderr may be slow.
                        supervisor.go(&report);
                        tell(&report);
                        // From here on this process waits; what its start needed is needed no more.
                        crate::sys::give_back_code();
                    } else {
                        supervisor.refuse(exit::REFUSED);
                        tell(&report);
                    }
                }
                Ok(Turn::Over(code)) => return code,
                Err(errno) => return internal("waiting", errno),
            }
        }
    }
}

fn internal(what: &str, why: impl std::fmt::Display) -> u8 {
    say::line(format_args!("{what} failed: {why}"));
    exit::INTERNAL
}
