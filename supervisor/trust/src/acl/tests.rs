//! What is a list, what it gives, and how it reads.

mod kernel;
mod properties;

use super::*;

/// Tags as in include/uapi/linux/posix_acl.h.
const USER_OBJ: u16 = 0x01;
const USER: u16 = 0x02;
const GROUP_OBJ: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;
/// The id of entries that have none.
const NO_ID: u32 = u32::MAX;

type Record = (u16, u16, u32);

/// The owner may read and write, user 1234 too were it not for the mask, and nobody else anything.
const CUT: &[Record] = &[
    (USER_OBJ, 6, NO_ID),
    (USER, 6, 1234),
    (GROUP_OBJ, 4, NO_ID),
    (GROUP, 1, 77),
    (MASK, 4, NO_ID),
    (OTHER, 0, NO_ID),
];

fn bytes(records: &[Record]) -> Vec<u8> {
    let header = 2_u32.to_le_bytes();
    let record = |&(tag, rights, id): &Record| {
        [&tag.to_le_bytes()[..], &rights.to_le_bytes(), &id.to_le_bytes()].concat()
    };
    header.into_iter().chain(records.iter().flat_map(record)).collect()
}

fn list(records: &[Record]) -> Acl {
    parse(&bytes(records)).unwrap()
}

/// Why these entries are no list.
fn reason(records: &[Record]) -> String {
    parse(&bytes(records)).unwrap_err().to_string()
}

fn rights(bits: u32) -> Rights {
    Rights::from_bits(bits).unwrap()
}

fn member(uid: u32, groups: &[u32]) -> Identity {
    Identity { uid, gid: uid, groups: groups.to_vec() }
}

/// Entries as they read.
fn texts(entries: impl Iterator<Item = Entry>) -> Vec<String> {
    entries.map(|entry| entry.to_string()).collect()
}

#[test]
fn reads_every_kind_of_entry() {
    let acl = list(CUT);
    let entries: Vec<_> = acl.entries().map(|entry| (entry.who, entry.rights.bits())).collect();
    assert_eq!(
        entries,
        [(Who::Owner, 6), (Who::User(1234), 6), (Who::OwningGroup, 4), (Who::Group(77), 1), (Who::Other, 0)]
    );
    assert_eq!(acl.mask(), Some(Rights::READ));
}

#[test]
fn shows_a_list_as_getfacl_does() {
    assert_eq!(
        list(CUT).to_string(),
        "user::rw-, user:1234:rw- #effective:r--, group::r--, group:77:--x #effective:---, mask::r--, other::---"
    );
}

#[test]
fn shows_a_long_list_in_a_short_line() {
    let mut records = CUT.to_vec();
    records.splice(2..2, (0..8185).map(|nth| (USER, 7, u32::MAX - nth)));
    let text = list(&records).to_string();
    assert!(text.ends_with(":rwx #effective:r-- and 8175 more"), "{text}");
    assert_eq!(text.matches(", ").count(), 15);
    assert!(text.len() < 640, "{} bytes", text.len());
    records.drain(12..8187);
    assert_eq!(records.len(), 16);
    let text = list(&records).to_string();
    assert!(text.ends_with("mask::r--, other::---"), "{text}");
}

#[test]
fn refuses_what_is_not_a_header_and_whole_entries() {
    let good = bytes(CUT);
    for length in (0..4).chain([5, 11, good.len() - 1]) {
        assert_eq!(parse(&good[..length]), Err(Malformed::Length(length)));
    }
    let long = [&good[..], &[0]].concat();
    assert_eq!(parse(&long), Err(Malformed::Length(53)));
}

#[test]
fn takes_as_many_entries_as_an_attribute_can_hold() {
    let with = |named: u32| {
        let mut records = CUT.to_vec();
        records.splice(1..2, (0..named).map(|id| (USER, 4, id)));
        bytes(&records)
    };
    assert_eq!(parse(&with(8186)).unwrap().entries().count(), 8190);
    assert_eq!(parse(&with(8187)), Err(Malformed::Length(65540)));
}

#[test]
fn refuses_another_version() {
    let mut other = bytes(CUT);
    other[0] = 1;
    assert_eq!(parse(&other).unwrap_err().to_string(), "an ACL has version 2, not 1");
    other[..4].copy_from_slice(&2_u32.to_be_bytes());
    assert_eq!(parse(&other), Err(Malformed::Version(0x0200_0000)));
}

#[test]
fn refuses_a_list_without_entries() {
    assert_eq!(reason(&[]), "the ACL has no user:: entry");
}

#[test]
fn says_which_entry_is_missing() {
    for (at, name) in [(0, "user::"), (2, "group::"), (4, "mask::"), (5, "other::")] {
        let mut records = CUT.to_vec();
        records.remove(at);
        assert_eq!(reason(&records), format!("the ACL has no {name} entry"));
    }
    // One named entry is enough for a mask to be needed.
    for indices in [[0, 1, 2, 5], [0, 2, 3, 5]] {
        assert_eq!(reason(&indices.map(|at| CUT[at])), "the ACL has no mask:: entry");
    }
}

#[test]
fn refuses_a_second_entry_of_a_kind_that_there_is_one_of() {
    for (at, name) in [(0, "user::"), (2, "group::"), (4, "mask::"), (5, "other::")] {
        let mut records = CUT.to_vec();
        records.insert(at, records[at]);
        assert_eq!(reason(&records), format!("the ACL has two {name} entries"));
    }
}

#[test]
fn refuses_entries_out_of_order() {
    for (at, name) in [(0, "user::"), (1, "user:N:"), (2, "group::"), (3, "group:N:"), (4, "mask::")] {
        let mut records = CUT.to_vec();
        records.swap(at, at + 1);
        assert_eq!(reason(&records), format!("the ACL has a {name} entry in the wrong place"));
    }
}

#[test]
fn refuses_unknown_kinds_and_rights() {
    for at in 0..CUT.len() {
        for tag in [0, 3, 0x21, 0x40, 0x100, u16::MAX] {
            let mut records = CUT.to_vec();
            records[at].0 = tag;
            assert_eq!(parse(&bytes(&records)), Err(Malformed::Tag(tag)));
        }
        for rights in [8, 0o10, 0x104, u16::MAX] {
            let mut records = CUT.to_vec();
            records[at].1 = rights;
            assert_eq!(parse(&bytes(&records)), Err(Malformed::Rights(rights)));
        }
    }
}

#[test]
fn ids_of_unnamed_entries_mean_nothing() {
    let with_ids: Vec<_> = CUT.iter().map(|&(tag, rights, id)| (tag, rights, id.min(5000))).collect();
    assert_eq!(list(&with_ids), list(CUT));
}

#[test]
fn the_mask_bounds_everybody_but_owner_and_others() {
    let all = [(USER_OBJ, 7, NO_ID), (USER, 7, 1), (GROUP_OBJ, 7, NO_ID), (GROUP, 7, 2), (MASK, 5, NO_ID)];
    let acl = list(&[&all[..], &[(OTHER, 7, NO_ID)]].concat());
    let effective: Vec<_> = acl.entries().map(|entry| acl.effective(entry).bits()).collect();
    assert_eq!(effective, [7, 5, 5, 5, 7]);
    let minimal = list(&[CUT[0], CUT[2], CUT[5]]);
    assert_eq!(minimal.mask(), None);
    assert_eq!(minimal.entries().map(|entry| minimal.effective(entry).bits()).collect::<Vec<_>>(), [6, 4, 0]);
}

#[test]
fn tells_what_is_given_now_from_what_the_next_chmod_gives() {
    let acl = list(CUT);
    assert_eq!(texts(acl.grants()), ["user:1234:r--", "group::r--"]);
    assert_eq!(texts(acl.dormant()), ["user:1234:-w-", "group:77:--x"]);
}

#[test]
fn under_an_empty_mask_all_names_are_dormant() {
    let mut records = CUT.to_vec();
    records[4].1 = 0;
    let acl = list(&records);
    assert_eq!(texts(acl.grants()), [""; 0]);
    assert_eq!(texts(acl.dormant()), ["user:1234:rw-", "group:77:--x"]);
}

#[test]
fn the_owner_is_not_looked_for_among_the_named() {
    let acl = list(&[&[(USER_OBJ, 0, NO_ID)], &CUT[1..]].concat());
    assert!(!acl.allows(&member(1234, &[]), 1234, 9, Rights::READ));
    assert!(acl.allows(&member(1234, &[]), 5, 9, Rights::READ));
}

#[test]
fn a_named_user_gets_no_more_from_a_group() {
    let mut records = CUT.to_vec();
    records[1].1 = 0;
    assert!(!list(&records).allows(&member(1234, &[9]), 5, 9, Rights::READ));
    assert!(list(&records).allows(&member(1235, &[9]), 5, 9, Rights::READ));
}

#[test]
fn rights_of_several_groups_do_not_add_up() {
    let mut records = CUT.to_vec();
    records[4].1 = 7;
    let acl = list(&records);
    let both = member(5000, &[9, 77]);
    for (wanted, allowed) in [(4, true), (1, true), (5, false)] {
        assert_eq!(acl.allows(&both, 5, 9, rights(wanted)), allowed, "{wanted}");
    }
}

#[test]
fn a_group_that_is_named_keeps_its_members_from_what_others_get() {
    let mut records = CUT.to_vec();
    records[5].1 = 4;
    records[4].1 = 1;
    let acl = list(&records);
    assert!(!acl.allows(&member(5000, &[77]), 5, 9, Rights::READ));
    assert!(acl.allows(&member(5000, &[]), 5, 9, Rights::READ));
}

#[test]
fn under_an_empty_mask_named_users_are_others() {
    let mut records = CUT.to_vec();
    (records[4].1, records[5].1) = (0, 4);
    let acl = list(&records);
    assert!(acl.allows(&member(1234, &[]), 5, 9, Rights::READ));
    assert!(acl.allows(&member(5000, &[77]), 5, 9, Rights::READ));
    assert!(!acl.allows(&member(5000, &[9]), 5, 9, Rights::READ));
}

#[test]
fn of_two_entries_for_a_user_the_first_decides() {
    let mut records = CUT.to_vec();
    records.insert(1, (USER, 0, 1234));
    assert!(!list(&records).allows(&member(1234, &[]), 5, 9, Rights::READ));
}
