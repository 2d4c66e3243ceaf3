//! A certificate and its key: taken from one moment, and looked at together.
//!
//! Owns that both files are of one rotation: where a volume is exchanged by one link both are read
//! behind the same link, and where files are replaced one by one both must have stayed in place.
//! What certificates and keys must be is `sense`'s.

use std::path::Path;

use crate::check::{How, now, over};
use crate::finding::{Code, Finding, Severity};
use crate::inspect::{self, Inspection, Judged};
use crate::object::{NamedHost, Object, Pair, Role, ShownTo};
use crate::repair;
use crate::report::ObjectReport;
use crate::secret::{self, Refused, Secret};
use crate::sense::{self, CertificateFacts, Sense};
use crate::terms::{Judge, Terms};
use crate::users;
use crate::walk::Ground;

/// A pair that the rules allow to use, and what is to be said of it all the same.
#[derive(Debug)]
pub struct PairRead {
    /// The content of the certificate file: a PEM chain.
    pub chain: Secret,
    /// The content of the key file.
    pub key: Secret,
    /// What is known of the certificate.
    pub facts: Option<CertificateFacts>,
    /// One line each: what is worth mending.
    pub warnings: Vec<String>,
}

/// Reads both files of a pair as they were at one moment, if the rules allow it.
///
/// # Errors
/// For each file that may not be used, everything that is wrong with it.
pub fn read_pair(pair: &Pair, terms: &Terms) -> Result<PairRead, Vec<Refused>> {
    let judge = Judge::new(terms);
    let Moment { mut files, contents } = Moment::of(pair, &judge, Ground::new());
    let sense = look(pair, &contents, &mut files);
    let refused: Vec<_> = pair
        .objects()
        .into_iter()
        .zip(&files)
        .filter(|(_, inspection)| !inspection.may_be_used())
        .map(|(object, inspection)| Refused { object, findings: inspection.findings.clone() })
        .collect();
    match contents {
        [Some(chain), Some(key)] if refused.is_empty() => {
            let warnings = files.iter().flat_map(|inspection| &inspection.findings).map(ToString::to_string);
            Ok(PairRead { chain, key, facts: sense, warnings: warnings.collect() })
        }
        _ => Err(refused),
    }
}

/// What the check says of a pair, certificate first.
pub(crate) fn reports(pair: &Pair, judge: &Judge<'_>, how: How, ground: &mut Ground) -> Vec<ObjectReport> {
    let objects = pair.objects();
    let mut repaired = [Vec::new(), Vec::new()];
    if how.repair {
        for (object, repaired) in objects.iter().zip(&mut repaired) {
            *repaired = repair::tighten(object, judge, &over(object, judge, ground));
        }
    }
    let (files, facts) = if how.contents {
        let Moment { mut files, contents } = Moment::over(pair, judge, ground);
        let facts = look(pair, &contents, &mut files);
        (files, facts)
    } else {
        (objects.each_ref().map(|object| over(object, judge, ground)), None)
    };
    let mut facts = [facts, None];
    let parts = objects.into_iter().zip(files).zip(repaired).zip(&mut facts);
    parts
        .map(|(((object, inspection), repaired), facts)| ObjectReport {
            repaired,
            certificate: facts.take(),
            ..ObjectReport::new(object, inspection)
        })
        .collect()
}

/// Both files and what is in them, as they were at one moment.
struct Moment {
    files: [Inspection; 2],
    contents: [Option<Secret>; 2],
}

impl Moment {
    /// Over ground that others were reached by, or, when that moved, over fresh ground.
    fn over(pair: &Pair, judge: &Judge<'_>, ground: &mut Ground) -> Self {
        if let Some(moment) = Self::attempt(pair, judge, ground) {
            return moment;
        }
        *ground = Ground::new();
        Self::of(pair, judge, Ground::new())
    }

    fn of(pair: &Pair, judge: &Judge<'_>, ground: Ground) -> Self {
        let mut ground = ground;
        for _ in 0..inspect::ATTEMPTS {
            if let Some(moment) = Self::attempt(pair, judge, &ground) {
                return moment;
            }
            ground = Ground::new();
        }
        // What never held still is said of each file.
        let files = pair.objects().map(|object| inspect::inspect(&object, judge));
        let mut moment = Self { files, contents: [None, None] };
        // Where one of them is refused for itself, the other is not to blame.
        let both = moment.files.iter().all(Inspection::may_be_used);
        for inspection in &mut moment.files {
            if let (true, Some(judged)) = (both, &inspection.file) {
                inspection.findings.push(crate::rules::changing(&judged.path));
            }
        }
        moment
    }

    /// `None` when something was replaced meanwhile.
    fn attempt(pair: &Pair, judge: &Judge<'_>, ground: &Ground) -> Option<Self> {
        let [certificate, key] = pair.objects();
        let mut files = [
            inspect::attempt(&certificate, judge, ground).ok()?,
            inspect::attempt(&key, judge, ground).ok()?,
        ];
        let mut contents = [None, None];
        for ((object, inspection), content) in [certificate, key].iter().zip(&mut files).zip(&mut contents) {
            // One file with both is as secret as the key in it.
            let role = if pair.cert == pair.key { Role::PrivateKey } else { object.role };
            *content = secret::content(role, &object.path, inspection);
            if inspection.findings.iter().any(|finding| finding.code == Code::Changing) {
                return None;
            }
        }
        let stayed = files
            .iter()
            .all(|inspection| inspection.is_of_volume || inspection.file.as_ref().is_none_or(still_there));
        stayed.then_some(Self { files, contents })
    }
}

/// Whether the name still leads to the very file, unwritten, that was read.
fn still_there(judged: &Judged) -> bool {
    judged
        .parent
        .peek(&judged.name)
        .is_ok_and(|(_, facts)| facts.same_inode(&judged.facts) && !facts.content_moved_since(&judged.facts))
}

/// Looks at what the files are, and adds what is wrong with it to what was found of each.
fn look(
    pair: &Pair,
    contents: &[Option<Secret>; 2],
    files: &mut [Inspection; 2],
) -> Option<CertificateFacts> {
    let [chain, key] = contents;
    let [chain, key] = [chain, key].map(|content| content.as_ref().map(Secret::as_bytes));
    let Sense { certificate, key, facts } = sense::judge(&sense::Pair {
        cert_path: &pair.cert,
        cert_pem: chain,
        key_path: &pair.key,
        key_pem: key,
        hosts: &pair.hosts,
        now: now(),
    });
    let (certificate, facts) = match pair.shown_to {
        ShownTo::Clients => (certificate, facts),
        ShownTo::Upstreams => {
            let of_servers = |finding: &Finding| {
                matches!(finding.code, Code::NotAServerCertificate | Code::NameNotCovered)
            };
            (certificate.into_iter().filter(|finding| !of_servers(finding)).collect(), None)
        }
    };
    let [of_certificate, of_key] = files;
    of_certificate
        .findings
        .extend(certificate.into_iter().map(|finding| exposed(finding, &of_certificate.file)));
    of_key.findings.extend(key);
    facts
}

/// A private key in a certificate's file is only a matter of taste as long as nobody else can read it.
fn exposed(finding: Finding, file: &Option<Judged>) -> Finding {
    let open = file.as_ref().is_some_and(|judged| judged.facts.mode & 0o044 != 0);
    if finding.code != Code::KeyInCertificate || !open {
        return finding;
    }
    let why = format!("{}, and others can read it", finding.why);
    Finding { severity: Severity::Refuse, why, ..finding }
}

/// Looks at what a file holds that is of use by itself.
pub(crate) fn look_at(object: &Object, inspection: &mut Inspection, now: i64) {
    let judge: fn(&Path, &[u8], i64) -> Vec<Finding> = match object.role {
        Role::CaBundle => sense::judge_ca_bundle,
        Role::RevocationList => sense::judge_revocation_lists,
        Role::TicketKeys => |path, bytes, _| sense::judge_ticket_keys(path, bytes),
        Role::UsersFile => |path, bytes, _| users::judge(path, bytes).into_iter().collect(),
        _ => return,
    };
    if let Some(content) = secret::content(object.role, &object.path, inspection) {
        inspection.findings.extend(judge(&object.path, content.as_bytes(), now));
    }
}

/// Says of hosts whose vhosts name no certificate which of them no certificate covers.
pub(crate) fn cover_by_name(hosts: &[NamedHost], reports: &mut [ObjectReport]) {
    let all: Vec<_> = reports.iter().filter_map(|report| report.certificate.clone()).collect();
    let Some(first) = reports.iter_mut().find(|report| report.certificate.is_some()) else { return };
    let bare = hosts.iter().filter(|named| !all.iter().any(|facts| facts.covers(&named.host)));
    let bare: Vec<_> = bare.cloned().collect();
    if !bare.is_empty() {
        first.findings.push(sense::covered_by_none(&first.object.path, &bare));
    }
}

#[cfg(test)]
mod tests;
