//! Bytes as of an ACL attribute: whatever they are, they are refused, or a list that holds together.

use fluxheim_trust::Identity;
use fluxheim_trust::acl::{Acl, Entry, Rights, Who, parse};

/// Fails if the bytes are taken for a list that can't be.
pub(crate) fn holds(bytes: &[u8]) {
    let Ok(acl) = parse(bytes) else { return };
    let written = written(&acl);
    assert_eq!(written.len(), bytes.len(), "an entry is lost");
    assert_eq!(parse(&written).as_ref(), Ok(&acl));
    masks(&acl);
    answers(&acl);
    let line = acl.to_string();
    assert!(line.len() < 640 && !line.contains(char::is_control), "{line}");
}

fn masks(acl: &Acl) {
    let is_named = |entry: Entry| matches!(entry.who, Who::User(_) | Who::Group(_));
    assert!(acl.mask().is_some() || !acl.entries().any(is_named), "{acl}: nothing bounds those named");
    for entry in acl.entries() {
        let effective = acl.effective(entry);
        assert!(entry.rights.contains(effective));
        let unmasked = matches!(entry.who, Who::Owner | Who::Other);
        assert!(unmasked || acl.mask().is_none_or(|mask| mask.contains(effective)));
        assert!(!unmasked || effective == entry.rights);
    }
    for granted in acl.grants() {
        assert!(granted.who != Who::Owner && !granted.rights.is_empty());
    }
    for dormant in acl.dormant() {
        let mask = acl.mask().expect("where somebody is named there is a mask");
        assert!(!dormant.rights.is_empty() && (dormant.rights & mask).is_empty());
    }
}

/// Asks for those whom the list names (the first few: each answer goes through the whole list), and
/// for somebody whom it does not.
fn answers(acl: &Acl) {
    let most = acl.entries().map(|entry| entry.rights.bits()).fold(0, |all, bits| all | bits);
    for entry in acl.entries().filter(|entry| entry.who != Who::Other).take(16).chain(acl.entries().last()) {
        let (identity, uid, gid) = match entry.who {
            Who::Owner => (Identity::of(1), 1, 2),
            Who::User(id) => (Identity::of(id), 1, 2),
            Who::OwningGroup => (Identity::of(2), 1, 2),
            Who::Group(id) => (Identity { uid: 3, gid: 3, groups: vec![4, id] }, 1, 2),
            Who::Other => (Identity::of(u32::MAX - 1), 1, 2),
        };
        let allowed = |wanted| acl.allows(&identity, uid, gid, wanted);
        assert!(allowed(Rights::NONE));
        for bits in 1..8 {
            let wanted = Rights::from_bits(bits).expect("three bits are rights");
            assert!(!allowed(wanted) || most & bits == bits, "{acl} gives what it does not hold");
            let parts = [Rights::READ, Rights::WRITE, Rights::EXECUTE];
            let parts = parts.into_iter().filter(|part| wanted.contains(*part));
            assert!(!allowed(wanted) || parts.into_iter().all(allowed), "{acl} gives all but not each");
        }
    }
}

/// The list as the kernel writes it.
fn written(acl: &Acl) -> Vec<u8> {
    const NO_ID: u32 = u32::MAX;
    let record = |tag: u16, rights: Rights, id: u32| {
        let rights = u16::try_from(rights.bits()).expect("rights are three bits");
        [&tag.to_le_bytes()[..], &rights.to_le_bytes(), &id.to_le_bytes()].concat()
    };
    let mut bytes = 2_u32.to_le_bytes().to_vec();
    for Entry { who, rights } in acl.entries() {
        if let (Who::Other, Some(mask)) = (who, acl.mask()) {
            bytes.extend(record(0x10, mask, NO_ID));
        }
        bytes.extend(match who {
            Who::Owner => record(0x01, rights, NO_ID),
            Who::User(id) => record(0x02, rights, id),
            Who::OwningGroup => record(0x04, rights, NO_ID),
            Who::Group(id) => record(0x08, rights, id),
            Who::Other => record(0x20, rights, NO_ID),
        });
    }
    bytes
}
