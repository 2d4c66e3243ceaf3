//! From a path to a configuration, and from that to the storage report.
//!
//! Owns the messages of what goes wrong there; the rules are `fluxheim-trust`'s and
//! `fluxheim-config`'s.

use std::path::Path;

use fluxheim_config::{Config, Control, Level, Profile};
use fluxheim_posture::apply::becomes;
use fluxheim_posture::judge::StorageSeen;
use fluxheim_trust::{How, Identity, Severity, StorageReport, Terms};

/// Reads and validates the configuration; `Err` is for people.
///
/// # Errors
/// Every mistake at once, or why the file isn't trusted.
pub(crate) fn config(path: &Path, profile: Option<Profile>) -> Result<Config, String> {
    let sources =
        fluxheim_trust::read_config(path, &Identity::current()).map_err(|error| error.to_string())?;
    fluxheim_config::parse_under(&sources, profile).map_err(|mistakes| mistakes.to_string())
}

/// Judges every file that the configuration names, for whom the proxy will run as. No key is read:
/// that is for a process that has been judged.
fn storage(config: &Config) -> StorageReport {
    let identity = becomes(&config.hardening).map_or_else(Identity::current, Identity::of);
    fluxheim_trust::check(&fluxheim_trust::inventory(config), &Terms::of(config, identity), How::ACCESS)
}

/// The same as far as the level asks for it, in the posture report's terms; findings are printed.
pub(crate) fn storage_seen(config: &Config, say: impl Fn(&StorageReport)) -> StorageSeen {
    if config.hardening.level(Control::Storage) == Level::Off {
        return StorageSeen::NotChecked;
    }
    let report = storage(config);
    if report.findings().next().is_some() {
        say(&report);
    }
    let (objects, findings) = (report.objects.len(), report.findings().count());
    if report.is_clean() {
        StorageSeen::Clean(format!("objects judged: {objects}, none refused"))
    } else {
        let refused = report.findings().filter(|finding| !finding.severity.allows_use());
        let named: Vec<_> =
            refused.map(|finding| format!("{} {}", finding.code.id(), finding.shown_path())).collect();
        let more = named.len().saturating_sub(NAMED);
        let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
        let named = named.into_iter().take(NAMED).collect::<Vec<_>>().join(", ");
        let text = format!("objects judged: {objects}, findings: {findings}: {named}{rest}");
        let refused = report.findings().any(|finding| finding.severity == Severity::Refuse);
        if refused { StorageSeen::Findings(text) } else { StorageSeen::Unknown(text) }
    }
}

/// The others stand in the storage report itself.
const NAMED: usize = 3;
