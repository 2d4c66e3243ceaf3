//! Answers as people read them.
//!
//! Owns columns and durations; the data is what the admin API gave.

use crate::admin::seen::PLACEHOLDER;
use crate::admin::seen::{
    Certificate, CertificateState, Draining, Health, Posture, Reloaded, ServerState, SetBy, Status, Upstream,
};

pub(super) fn status(status: &Status, now: u64) -> String {
    let state = match (status.draining, status.ready) {
        (true, _) => "draining",
        (false, true) => "ready",
        (false, false) => "starting",
    };
    let reload = match &status.last_reload {
        None => "none yet".to_owned(),
        Some(tried) if tried.taken => format!("taken {} ago", duration(now.saturating_sub(tried.at))),
        Some(tried) => format!("REFUSED {} ago", duration(now.saturating_sub(tried.at))),
    };
    let mut rows = vec![
        ["state", state].map(str::to_owned),
        [
            "version".to_owned(),
            format!("{} (commit {}, {} build)", status.version, status.commit, status.build),
        ],
        ["running".to_owned(), format!("{}, as process {}", duration(status.uptime), status.pid)],
        ["configuration".to_owned(), status.config.path.clone()],
        [String::new(), format!("taken {} ago", duration(now.saturating_sub(status.config.since)))],
        [String::new(), format!("sha256 {}", status.config.sha256)],
        ["last reload".to_owned(), reload],
    ];
    let mistakes = status.last_reload.iter().flat_map(|tried| &tried.mistakes);
    rows.extend(mistakes.map(|mistake| [String::new(), mistake.clone()]));
    rows.push(["connections".to_owned(), status.connections.to_string()]);
    rows.push(["in flight".to_owned(), status.in_flight.to_string()]);
    for (at, listener) in status.listeners.iter().enumerate() {
        let title = if at == 0 { "listening" } else { "" };
        rows.push([title.to_owned(), format!("{} ({})", listener.address, listener.kind)]);
    }
    let text = table(&rows);
    if status.upstreams.is_empty() { text } else { format!("{text}\n{}", upstreams(&status.upstreams)) }
}

pub(super) fn upstreams(upstreams: &[Upstream]) -> String {
    if upstreams.is_empty() {
        return "there are no upstreams\n".to_owned();
    }
    let mut rows = vec![["UPSTREAM", "SERVER", "STATE", "ADDRESS", "HEALTH", "IN FLIGHT"].map(str::to_owned)];
    for upstream in upstreams {
        for server in &upstream.servers {
            let state = match (server.state, server.set_by) {
                (ServerState::Ready, SetBy::Config) => "ready",
                (ServerState::Ready, SetBy::Admin) => "ready (set by admin)",
                (ServerState::Drain, SetBy::Config) => "drain",
                (ServerState::Drain, SetBy::Admin) => "drain (set by admin)",
            };
            let row = |address: &str, health: &str, in_flight: String| {
                let [name, server, state] = [&*upstream.name, &*server.server, state].map(str::to_owned);
                [name, server, state, address.to_owned(), health.to_owned(), in_flight]
            };
            if server.addresses.is_empty() {
                rows.push(row("-", "does not resolve", "0".to_owned()));
            }
            rows.extend(server.addresses.iter().map(|seen| {
                let health = match seen.health {
                    Health::Up => "up",
                    Health::Unhealthy => "unhealthy",
                    Health::Ejected => "ejected",
                };
                row(&seen.address, health, seen.in_flight.to_string())
            }));
        }
    }
    table(&rows)
}

/// The first to expire first.
pub(super) fn certificates(certificates: &[Certificate], now: u64) -> String {
    if certificates.is_empty() {
        return "there are no certificates\n".to_owned();
    }
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    let mut sorted: Vec<_> = certificates.iter().collect();
    sorted.sort_by_key(|certificate| certificate.not_after);
    let mut rows = vec![["NAME", "SOURCE", "STATE", "EXPIRES", "ISSUER", "NAMES"].map(str::to_owned)];
    rows.extend(sorted.into_iter().map(|certificate| {
        let left = certificate.not_after.saturating_sub(now);
        let expires = match u64::try_from(left) {
            _ if certificate.source == PLACEHOLDER => "none issued yet".to_owned(),
            Ok(left) => format!("in {}", duration(left)),
            Err(_) => format!("EXPIRED {} ago", duration(left.unsigned_abs())),
        };
        let names = certificate.names.join(" ");
        let (name, issuer) = (certificate.name.clone(), certificate.issuer.clone());
        [name, certificate.source.clone(), state(certificate), expires, issuer, names]
    }));
    table(&rows)
}

/// In a word, and the beginning of why.
fn state(certificate: &Certificate) -> String {
    let word = match certificate.state {
        CertificateState::Good => "good",
        CertificateState::Expired => "EXPIRED",
        CertificateState::Refused => "file REFUSED",
        CertificateState::Failing => "renewal FAILS",
        CertificateState::Revoked => "REVOKED",
        CertificateState::Placeholder => "placeholder",
    };
    let why = certificate.detail.as_deref().and_then(|detail| detail.lines().next()).unwrap_or_default();
    let mut shown: String = why.chars().take(SHOWN).collect();
    if shown.len() < why.len() {
        shown.push('…');
    }
    if shown.is_empty() { word.to_owned() } else { format!("{word}: {shown}") }
}

/// Characters of a reason; `--format json` has all of it.
const SHOWN: usize = 60;

pub(super) fn posture(posture: &Posture) -> String {
    if !posture.verified {
        return "nothing was verified: the proxy was not started by fluxheim-init\n".to_owned();
    }
    let mut rows = vec![["CONTROL", "LEVEL", "RESULT"].map(str::to_owned)];
    rows.extend(
        posture.controls.iter().map(|seen| [seen.control.clone(), seen.level.clone(), seen.result.clone()]),
    );
    let off_swap = posture.secrets_off_swap.as_deref().unwrap_or("unknown");
    format!("{}\nsecrets kept off swap: {off_swap}\n", table(&rows))
}

pub(super) fn reloaded(reloaded: &Reloaded) -> String {
    let what = if reloaded.changed { "a new configuration was taken" } else { "nothing has changed" };
    let mut text = format!("{what}, sha256 {}\n", reloaded.sha256);
    if !reloaded.until_restart.is_empty() {
        text.push_str(&format!("as before until a restart: {}\n", reloaded.until_restart.join(", ")));
    }
    text
}

pub(super) fn draining(draining: &Draining) -> String {
    format!(
        "stopping: {} connections, {} requests in flight, {}s at most\n",
        draining.connections,
        draining.in_flight,
        draining.drain_delay + draining.drain_timeout
    )
}

/// The two largest units.
fn duration(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0, _, _) => format!("{hours}h {minutes}m"),
        (1, _, _) => format!("1 day {hours}h"),
        _ => format!("{days} days"),
    }
}

/// Columns as wide as their widest cell, two spaces apart; control characters are shown as `?`.
fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let clean = |cell: &String| cell.replace(char::is_control, "?");
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(clean).collect()).collect();
    let mut widths = [0; N];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in &rows {
        let line: String = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}  ")).collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::seen::{Address, Server};

    #[test]
    fn aligns_columns_and_says_how_long_certificates_last() {
        let certificate = |name: &str, not_after| Certificate {
            name: name.to_owned(),
            source: "file".to_owned(),
            names: vec!["a.test".to_owned(), "*.a.test".to_owned()],
            not_before: 0,
            not_after,
            issuer: "CN=CA".to_owned(),
            state: if not_after < 0 { CertificateState::Expired } else { CertificateState::Good },
            detail: None,
        };
        let all =
            [certificate("long-lived", 90 * 86400), certificate("a\u{1b}[2J", 3600), certificate("b", -7200)];
        assert_eq!(
            certificates(&all, 0),
            "NAME        SOURCE  STATE    EXPIRES            ISSUER  NAMES\n\
             b           file    EXPIRED  EXPIRED 2h 0m ago  CN=CA   a.test *.a.test\n\
             a?[2J       file    good     in 1h 0m           CN=CA   a.test *.a.test\n\
             long-lived  file    good     in 90 days         CN=CA   a.test *.a.test\n"
        );
    }

    #[test]
    fn a_reason_is_one_short_line() {
        let shown = |state, detail: &str| {
            let detail = Some(detail.to_owned());
            let (name, source, issuer) = ("a".to_owned(), "acme".to_owned(), "CN=CA".to_owned());
            let (not_before, not_after) = (0, 7200);
            let one =
                Certificate { name, source, names: Vec::new(), not_before, not_after, issuer, state, detail };
            certificates(&[one], 0)
        };
        let told = shown(CertificateState::Failing, &format!("2 failed: {}", "x".repeat(100)));
        assert!(told.contains(&format!("  renewal FAILS: 2 failed: {}…  in 2h", "x".repeat(50))), "{told}");
        let told = shown(CertificateState::Refused, "no key\nsecond");
        assert!(told.contains("  file REFUSED: no key  in") && !told.contains("second"), "{told}");
    }

    #[test]
    fn a_placeholder_is_no_certificate_for_centuries() {
        let stands_in = Certificate {
            name: "a.test".to_owned(),
            source: PLACEHOLDER.to_owned(),
            names: vec!["a.test".to_owned()],
            not_before: 0,
            not_after: i64::MAX,
            issuer: "CN=no certificate yet".to_owned(),
            state: CertificateState::Placeholder,
            detail: Some("1 failed: refused".to_owned()),
        };
        let told = certificates(&[stands_in], 0);
        assert!(told.contains("placeholder  placeholder: 1 failed: refused  none issued yet"), "{told}");
    }

    #[test]
    fn shows_servers_that_resolve_and_those_that_do_not() {
        let address = Address { address: "192.0.2.1:80".to_owned(), health: Health::Up, in_flight: 3 };
        let server = |server: &str, state, set_by, addresses| Server {
            server: server.to_owned(),
            state,
            set_by,
            addresses,
        };
        let upstream = Upstream {
            name: "app".to_owned(),
            waiting: 0,
            servers: vec![
                server("192.0.2.1:80", ServerState::Drain, SetBy::Admin, vec![address]),
                server("b.test:80", ServerState::Ready, SetBy::Config, vec![]),
            ],
        };
        assert_eq!(
            upstreams(&[upstream]),
            "UPSTREAM  SERVER        STATE                 ADDRESS       HEALTH            IN FLIGHT\n\
             app       192.0.2.1:80  drain (set by admin)  192.0.2.1:80  up                3\n\
             app       b.test:80     ready                 -             does not resolve  0\n"
        );
    }

    #[test]
    fn durations_are_as_long_as_they_need_to_be() {
        for (seconds, shown) in [
            (0, "0s"),
            (59, "59s"),
            (61, "1m 1s"),
            (3661, "1h 1m"),
            (90_000, "1 day 1h"),
            (5_184_000, "60 days"),
        ] {
            assert_eq!(duration(seconds), shown);
        }
    }
}
