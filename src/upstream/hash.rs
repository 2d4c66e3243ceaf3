//! Consistent hashing: which server a key belongs to, with little movement when servers change.
//!
//! Owns the hash function and the two tables, the ring of points (ketama, as nginx and HAProxy have it)
//! and Maglev's lookup table (Eisenbud et al., NSDI 2016, section 3.4). Pure. The function is fixed: every
//! instance and every version must send a key to the same server.

use std::net::{IpAddr, SocketAddr};

/// FNV-1a with a finaliser, since FNV alone spreads similar keys badly.
pub(super) fn of(parts: &[&[u8]]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let bytes = parts.iter().flat_map(|part| part.iter());
    mix(bytes.fold(0xcbf2_9ce4_8422_2325, step))
}

/// The finaliser of SplitMix64.
pub(super) const fn mix(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

/// What an address is called in the tables.
pub(super) fn address(address: &SocketAddr, seed: u64) -> u64 {
    let port = address.port().to_be_bytes();
    let seed = seed.to_be_bytes();
    match address.ip() {
        IpAddr::V4(ip) => of(&[&ip.octets(), &port, &seed]),
        IpAddr::V6(ip) => of(&[&ip.octets(), &port, &seed]),
    }
}

/// An address with its weight and the number that the tables give for it.
pub(super) type Entry = (SocketAddr, u16, u16);

/// Points on a ring; a key belongs to the next one.
#[derive(Debug)]
pub(super) struct Ring(Vec<(u64, u16)>);

impl Ring {
    pub(super) fn new(entries: &[Entry]) -> Self {
        let wanted: u64 = entries.iter().map(|(_, weight, _)| POINTS * u64::from(*weight)).sum();
        // Only weights that add up to thousands meet the limit; shares stay, movement is still small.
        let divisor = wanted.div_ceil(MOST_POINTS).max(1);
        let mut points = Vec::new();
        for (at, weight, number) in entries {
            let count = (POINTS * u64::from(*weight) / divisor).max(1);
            points.extend((0..count).map(|point| (address(at, point), *number)));
        }
        points.sort_unstable();
        Self(points)
    }

    /// Where the walk for `key` starts.
    pub(super) fn start(&self, key: u64) -> usize {
        self.0.partition_point(|(point, _)| *point < key)
    }

    /// Whose turn it is so many steps on.
    pub(super) fn at(&self, step: usize) -> Option<u16> {
        self.0.get(step.checked_rem(self.0.len())?).map(|(_, number)| *number)
    }
}

/// A table whose slots are given out by turns.
#[derive(Debug)]
pub(super) struct Maglev(Vec<u16>);

impl Maglev {
    pub(super) fn new(entries: &[Entry]) -> Self {
        let heaviest = entries.iter().map(|(_, weight, _)| u64::from(*weight)).max().unwrap_or(0);
        if heaviest == 0 {
            return Self(Vec::new());
        }
        let mut table: Vec<Option<u16>> = vec![None; SLOTS];
        let mut wishes: Vec<Wishes> = entries.iter().map(|(at, ..)| Wishes::of(at)).collect();
        let mut credit = vec![0_u64; entries.len()];
        let mut free = SLOTS;
        while free > 0 {
            for ((wishes, credit), (_, weight, number)) in wishes.iter_mut().zip(&mut credit).zip(entries) {
                // A server of half the weight is asked every second time.
                *credit += u64::from(*weight);
                if *credit < heaviest || free == 0 {
                    continue;
                }
                *credit -= heaviest;
                if let Some(slot) = wishes.next_free(&table).and_then(|at| table.get_mut(at)) {
                    *slot = Some(*number);
                    free -= 1;
                }
            }
        }
        Self(table.into_iter().flatten().collect())
    }

    pub(super) fn start(&self, key: u64) -> usize {
        usize::try_from(key % SLOTS as u64).unwrap_or(0)
    }

    pub(super) fn at(&self, step: usize) -> Option<u16> {
        self.0.get(step.checked_rem(self.0.len())?).copied()
    }
}

/// The slots in the order in which one server wants them.
struct Wishes {
    next: usize,
    skip: usize,
}

impl Wishes {
    fn of(at: &SocketAddr) -> Self {
        let within = |hash: u64, most: usize| usize::try_from(hash % most as u64).unwrap_or(0);
        Self {
            next: within(address(at, u64::MAX), SLOTS),
            skip: within(address(at, u64::MAX - 1), SLOTS - 1) + 1,
        }
    }

    /// The first wish that nobody has; SLOTS is prime, so every slot is a wish once.
    fn next_free(&mut self, table: &[Option<u16>]) -> Option<usize> {
        for _ in 0..SLOTS {
            let slot = self.next;
            self.next = (self.next + self.skip) % SLOTS;
            if table.get(slot).is_some_and(Option::is_none) {
                return Some(slot);
            }
        }
        None
    }
}

/// Points of a server of weight 1; nginx's and ketama's number.
const POINTS: u64 = 160;
/// Of a ring, which then takes 16 MiB.
const MOST_POINTS: u64 = 1 << 20;
/// A prime, and a hundred times as many as servers there usually are (the paper's section 5.3).
const SLOTS: usize = 65_537;

#[cfg(test)]
mod tests {
    use proptest::collection::btree_map;
    use proptest::prelude::*;

    use super::*;

    type Owner = Box<dyn Fn(u64) -> u16>;

    fn entries(weights: &[(u16, u16)]) -> Vec<Entry> {
        weights.iter().map(|(port, weight)| (([10, 0, 0, 1], *port).into(), *weight, *port)).collect()
    }

    fn tables(entries: &[Entry]) -> [(&'static str, Owner); 2] {
        let (ring, maglev) = (Ring::new(entries), Maglev::new(entries));
        [
            ("ketama", Box::new(move |key| ring.at(ring.start(key)).unwrap())),
            ("maglev", Box::new(move |key| maglev.at(maglev.start(key)).unwrap())),
        ]
    }

    fn keys() -> impl Iterator<Item = u64> {
        (0..20_000_u64).map(|key| of(&[&key.to_be_bytes()]))
    }

    #[test]
    fn a_key_has_the_same_hash_in_every_version() {
        assert_eq!(of(&[b"a", b"b"]), of(&[b"ab"]));
        assert_eq!(of(&[b"fluxheim"]), 0xf6ae_54d2_2f6e_b4ea);
    }

    #[test]
    fn nobody_gets_a_key_of_nobody() {
        assert_eq!(Ring::new(&[]).at(0), None);
        assert_eq!(Maglev::new(&[]).at(0), None);
    }

    #[test]
    fn keys_are_spread_by_weight() {
        let entries = entries(&[(1, 1), (2, 1), (3, 2), (4, 4)]);
        for (name, owner) in tables(&entries) {
            for (_, weight, number) in &entries {
                let share = keys().filter(|key| owner(*key) == *number).count();
                let due = 20_000 * usize::from(*weight) / 8;
                assert!(
                    share.abs_diff(due) < due * 2 / 5,
                    "{name}: {number} of weight {weight} has {share}, not {due}"
                );
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]

        /// Only the keys of a server that goes may move on the ring; Maglev moves a few more.
        #[test]
        fn few_keys_move_when_a_server_goes(weights in btree_map(1..1000_u16, 1..5_u16, 2..12), which in any::<prop::sample::Index>()) {
            let all: Vec<_> = weights.into_iter().collect();
            let mut fewer = all.clone();
            let (gone, weight) = fewer.remove(which.index(all.len()));
            let total: u16 = all.iter().map(|(_, weight)| weight).sum();
            let due = 20_000 * usize::from(weight) / usize::from(total);
            let pairs = tables(&entries(&all)).into_iter().zip(tables(&entries(&fewer)));
            for ((name, before), (_, after)) in pairs {
                let moved = keys().filter(|key| before(*key) != gone && before(*key) != after(*key)).count();
                let allowed = if name == "ketama" { 0 } else { due / 2 + 1000 };
                prop_assert!(moved <= allowed, "{name}: {moved} keys of others moved, {due} were due");
            }
        }
    }
}
