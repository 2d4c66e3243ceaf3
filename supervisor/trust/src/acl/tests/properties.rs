//! What holds for every list, and for bytes that are nearly one.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

/// Few ids, so that files, entries and identities meet, and entries come twice.
pub(super) const IDS: std::ops::Range<u32> = 2001..2006;

/// The records of a list that the kernel takes.
pub(super) fn records() -> impl Strategy<Value = Vec<Record>> {
    let named = |tag| vec((Just(tag), 0_u16..8, IDS), 0..4);
    let single = |tag| (Just(tag), 0_u16..8, Just(NO_ID));
    // One mask in four is empty: that is a case of its own.
    let mask = (Just(MASK), prop_oneof![1 => Just(0_u16), 3 => 0_u16..8], Just(NO_ID));
    let parts =
        (single(USER_OBJ), named(USER), single(GROUP_OBJ), named(GROUP), any::<bool>(), mask, single(OTHER));
    parts.prop_map(|(owner, users, owning_group, groups, masked, mask, other)| {
        let masked = masked || !(users.is_empty() && groups.is_empty());
        let mask = if masked { vec![mask] } else { Vec::new() };
        [vec![owner], users, vec![owning_group], groups, mask, vec![other]].concat()
    })
}

/// Records as they may come: kinds in any order and number, now and then a bit too many.
pub(super) fn any_records() -> impl Strategy<Value = Vec<Record>> {
    let tag = prop_oneof![
        19 => select(vec![USER_OBJ, USER, GROUP_OBJ, GROUP, MASK, OTHER]),
        1 => any::<u16>(),
    ];
    let rights = prop_oneof![19 => 0_u16..8, 1 => any::<u16>()];
    vec((tag, rights, IDS), 0..8)
}

/// A good list with one thing changed; some changes leave it good.
pub(super) fn nearly() -> impl Strategy<Value = Vec<Record>> {
    (records(), any_records(), any::<prop::sample::Index>(), 0..4).prop_map(
        |(mut records, other, at, how)| {
            let at = at.index(records.len());
            let other = other.first().copied().unwrap_or((MASK, 7, NO_ID));
            match how {
                0 => records[at] = other,
                1 => records.insert(at, other),
                2 => drop(records.remove(at)),
                _ => records.swap(at, 0),
            }
            records
        },
    )
}

pub(super) fn identity() -> impl Strategy<Value = Identity> {
    (IDS, IDS, vec(IDS, 0..3)).prop_map(|(uid, gid, groups)| Identity { uid, gid, groups })
}

/// The records that a list was made of.
fn written(acl: &Acl) -> Vec<Record> {
    let record = |entry: Entry| match entry.who {
        Who::Owner => (USER_OBJ, entry.rights, NO_ID),
        Who::User(id) => (USER, entry.rights, id),
        Who::OwningGroup => (GROUP_OBJ, entry.rights, NO_ID),
        Who::Group(id) => (GROUP, entry.rights, id),
        Who::Other => (OTHER, entry.rights, NO_ID),
    };
    let mut records: Vec<_> = acl.entries().map(record).collect();
    records.splice(records.len() - 1..records.len() - 1, acl.mask().map(|mask| (MASK, mask, NO_ID)));
    records.into_iter().map(|(tag, rights, id)| (tag, rights.bits().try_into().unwrap(), id)).collect()
}

proptest! {
    #[test]
    fn no_bytes_are_too_odd_to_be_read(bytes in vec(any::<u8>(), 0..400)) {
        let _ = parse(&bytes);
        let _ = parse(&[&2_u32.to_le_bytes()[..], &bytes].concat());
    }

    #[test]
    fn no_records_are_too_odd_to_be_read(records in any_records()) {
        if let Ok(acl) = parse(&bytes(&records)) {
            prop_assert_eq!(written(&acl).len(), records.len());
        }
    }

    #[test]
    fn a_list_is_what_was_written(records in records()) {
        prop_assert_eq!(written(&list(&records)), records);
    }

    #[test]
    fn nobody_gets_more_than_entry_and_mask(records in records()) {
        let acl = list(&records);
        for entry in acl.entries() {
            let effective = acl.effective(entry);
            prop_assert!(entry.rights.contains(effective));
            let unmasked = matches!(entry.who, Who::Owner | Who::Other);
            prop_assert!(unmasked || acl.mask().is_none_or(|mask| mask.contains(effective)));
        }
    }

    #[test]
    fn a_grant_is_what_a_stranger_to_all_else_gets(records in records()) {
        let acl = list(&records);
        prop_assume!(acl.mask() != Some(Rights::NONE));
        let (owner, group, nobody) = (1, 2, 3);
        let mut users = Vec::new();
        for entry in acl.grants() {
            let somebody = match entry.who {
                Who::Owner => unreachable!("grants are beside the owner's"),
                // Of two entries only the first decides.
                Who::User(id) if users.contains(&id) => continue,
                Who::User(id) => Identity { uid: id, gid: nobody, groups: Vec::new() },
                Who::OwningGroup => Identity { uid: nobody, gid: group, groups: Vec::new() },
                Who::Group(id) => Identity { uid: nobody, gid: nobody, groups: vec![id] },
                Who::Other => Identity::of(nobody),
            };
            users.extend(acl.entries().filter_map(|entry| match entry.who {
                Who::User(id) if id == somebody.uid => Some(id),
                _ => None,
            }));
            let first = acl.entries().find(|other| other.who == entry.who).unwrap();
            prop_assume!(acl.effective(first) == entry.rights);
            prop_assert!(acl.allows(&somebody, owner, group, entry.rights), "{acl}: {entry}");
        }
    }

    #[test]
    fn who_gets_all_gets_each(records in records(), identity in identity(), uid in IDS, gid in IDS) {
        let acl = list(&records);
        for wanted in 0..8 {
            for part in (0..8).filter(|part| part & wanted == *part) {
                let allows = |bits| acl.allows(&identity, uid, gid, rights(bits));
                prop_assert!(!allows(wanted) || allows(part), "{acl}: {wanted} but not {part}");
            }
        }
    }

    #[test]
    fn what_is_cut_and_what_is_given_make_up_the_entry(records in records()) {
        let acl = list(&records);
        let sum = |who, entries: &[Entry]| {
            entries.iter().filter(|entry| entry.who == who).fold(0, |sum, entry| sum | entry.rights.bits())
        };
        let (grants, dormant) = (acl.grants().collect::<Vec<_>>(), acl.dormant().collect::<Vec<_>>());
        let all: Vec<_> = acl.entries().collect();
        for Entry { who, .. } in acl.entries().filter(|entry| entry.who.is_named()) {
            prop_assert_eq!(sum(who, &grants) | sum(who, &dormant), sum(who, &all));
        }
    }

    #[test]
    fn every_list_is_a_short_line(records in records(), many in 0_u32..3000) {
        let mut records = records;
        records.splice(1..1, (0..many).map(|nth| (USER, 7, u32::MAX - nth)));
        if !records.iter().any(|(tag, ..)| *tag == MASK) {
            records.insert(records.len() - 1, (MASK, 0, NO_ID));
        }
        let text = list(&records).to_string();
        prop_assert!(text.len() < 640 && !text.contains(char::is_control), "{text}");
    }

    #[test]
    fn one_fault_is_enough(records in records(), at in any::<prop::sample::Index>(), fault in 0..6, bit in 3_u32..16) {
        let good = bytes(&records);
        let at = at.index(records.len());
        let mut bad = records.clone();
        let bad = match fault {
            0 => {
                bad[at].1 |= 1 << bit;
                bytes(&bad)
            }
            1 => {
                bad[at].0 |= 1 << (bit + 3).min(15);
                bytes(&bad)
            }
            // Two kinds at once are none.
            2 => {
                bad[at].0 |= if bad[at].0 == USER { GROUP } else { USER };
                bytes(&bad)
            }
            3 => good[..good.len() - 1 - at % 7].to_vec(),
            4 => [&[good[0] ^ 1 << (bit % 8)], &good[1..]].concat(),
            _ => {
                let at = records.iter().position(|(tag, ..)| *tag == GROUP_OBJ).unwrap();
                bad.insert(at, bad[at]);
                bytes(&bad)
            }
        };
        prop_assert!(parse(&bad).is_err());
    }
}
