//! What every place must do, whatever it is made of.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fluxheim::acme::store::{Change, Expect, Key, Kind, MOST_BYTES, Name, Store, StoreError, Version};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

/// A place that several replicas use.
pub(crate) trait Place {
    /// One more replica; the place is empty at the first.
    fn replica(&self) -> Arc<dyn Store>;
}

pub(crate) fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(work)
}

/// Everything, but for the model.
pub(crate) fn all(place: &impl Place) {
    run(async {
        keeps_what_it_is_given(place).await;
        refuses_what_is_too_large(place).await;
        counts_right_however_many_count(place).await;
        a_lock_has_one_holder(place).await;
        a_lease_that_is_given_back_writes_nothing(place).await;
        news_reach_other_replicas(place).await;
    });
}

async fn keeps_what_it_is_given(place: &impl Place) {
    let (one, two) = (place.replica(), place.replica());
    let key = Key::certificate("*.example.com");
    assert!(one.get(&key).await.unwrap().is_none());
    for value in [&b"first"[..], b"", &[0, 255, b'\n', b'\r'], &vec![7; MOST_BYTES]] {
        let version = one.put(&key, value, Expect::Anything, None).await.unwrap();
        let entry = two.get(&key).await.unwrap().unwrap();
        assert_eq!((entry.value.as_bytes(), entry.version), (value, version));
        assert!(!format!("{entry:?}").contains("first"));
    }
    assert_eq!(two.list(Kind::Certificate).await.unwrap(), std::slice::from_ref(&key));
    assert!(two.list(Kind::Account).await.unwrap().is_empty());
    assert!(two.delete(&key, Expect::Anything, None).await.unwrap());
    assert!(!one.delete(&key, Expect::Anything, None).await.unwrap());
}

async fn refuses_what_is_too_large(place: &impl Place) {
    let (one, key) = (place.replica(), Key::account("large"));
    let refused = one.put(&key, &vec![0; MOST_BYTES + 1], Expect::Anything, None).await;
    assert!(matches!(refused, Err(StoreError::TooLarge { .. })), "{refused:?}");
    assert!(one.get(&key).await.unwrap().is_none());
}

/// Lost updates show as a count that is too low.
async fn counts_right_however_many_count(place: &impl Place) {
    let key = Key::schedule("count");
    let tasks: Vec<_> = (0..4)
        .map(|_| {
            let (store, key) = (place.replica(), key.clone());
            tokio::spawn(async move {
                for _ in 0..10 {
                    while !count(&*store, &key).await {}
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let one = place.replica();
    assert_eq!(one.get(&key).await.unwrap().unwrap().value.as_bytes(), b"40");
    one.delete(&key, Expect::Anything, None).await.unwrap();
}

async fn count(store: &dyn Store, key: &Key) -> bool {
    let found = store.get(key).await.unwrap();
    let (seen, expect) = match &found {
        Some(entry) => (
            std::str::from_utf8(entry.value.as_bytes()).unwrap().parse().unwrap(),
            Expect::Version(entry.version),
        ),
        None => (0_u32, Expect::Absent),
    };
    match store.put(key, (seen + 1).to_string().as_bytes(), expect, None).await {
        Ok(_) => true,
        Err(StoreError::Conflict(_)) => false,
        Err(error) => panic!("{error}"),
    }
}

async fn a_lock_has_one_holder(place: &impl Place) {
    let (inside, entered) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let name = Name::of("orders");
    let tasks: Vec<_> = (0..6)
        .map(|_| {
            let (store, name) = (place.replica(), name.clone());
            let (inside, entered) = (Arc::clone(&inside), Arc::clone(&entered));
            tokio::spawn(async move {
                let mut mine = 0;
                while mine < 3 {
                    let Some(lease) = store.try_lock(&name, TTL).await.unwrap() else {
                        tokio::time::sleep(Duration::from_millis(3)).await;
                        continue;
                    };
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two hold one lock");
                    tokio::time::sleep(Duration::from_millis(4)).await;
                    assert!(lease.is_held());
                    inside.fetch_sub(1, Ordering::SeqCst);
                    entered.fetch_add(1, Ordering::SeqCst);
                    drop(lease);
                    mine += 1;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(entered.load(Ordering::SeqCst), 18);
}

async fn a_lease_that_is_given_back_writes_nothing(place: &impl Place) {
    let (one, two) = (place.replica(), place.replica());
    let (name, key) = (Name::of("fence"), Key::order("fenced"));
    let lease = one.try_lock(&name, TTL).await.unwrap().unwrap();
    one.put(&key, b"mine", Expect::Absent, Some(&lease)).await.unwrap();
    assert!(two.try_lock(&name, TTL).await.unwrap().is_none());
    drop(lease);
    let lease = taken(&*two, &name).await;
    two.put(&key, b"theirs", Expect::Anything, Some(&lease)).await.unwrap();
    assert!(two.delete(&key, Expect::Anything, Some(&lease)).await.unwrap());
}

/// The lock is free within a moment.
pub(crate) async fn taken(store: &dyn Store, name: &Name) -> fluxheim::acme::store::Lease {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(lease) = store.try_lock(name, TTL).await.unwrap() {
            return lease;
        }
        assert!(Instant::now() < end, "the lock is not free");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn news_reach_other_replicas(place: &impl Place) {
    let (one, two) = (place.replica(), place.replica());
    let mut news = two.changes();
    // News begin with one that says that anything may be different, when watching has begun.
    awaited(&mut news, &Change::Anything).await;
    let key = Key::certificate("news.example");
    one.put(&key, b"1", Expect::Anything, None).await.unwrap();
    awaited(&mut news, &Change::Key(key.clone())).await;
    one.put(&key, b"2", Expect::Anything, None).await.unwrap();
    awaited(&mut news, &Change::Key(key.clone())).await;
    one.delete(&key, Expect::Anything, None).await.unwrap();
    awaited(&mut news, &Change::Key(key)).await;
}

pub(crate) async fn awaited(news: &mut fluxheim::acme::store::Changes, wanted: &Change) {
    let wait = async { while news.next().await != *wanted {} };
    tokio::time::timeout(Duration::from_secs(10), wait)
        .await
        .unwrap_or_else(|_| panic!("no news of {wanted:?}"));
}

/// What is done to a place.
#[derive(Debug, Clone)]
enum Deed {
    Put(usize, Vec<u8>, Terms),
    Delete(usize, Terms),
    Get(usize),
    List,
}

#[derive(Debug, Clone, Copy)]
enum Terms {
    Anything,
    Absent,
    /// What is there, or was at last.
    Current,
    /// What was there before.
    Outdated,
}

fn deeds() -> impl Strategy<Value = Vec<(bool, Deed)>> {
    let terms =
        prop_oneof![Just(Terms::Anything), Just(Terms::Absent), Just(Terms::Current), Just(Terms::Outdated)];
    let value = prop::collection::vec(any::<u8>(), 0..40);
    let deed = prop_oneof![
        4 => (0..KEYS, value, terms.clone()).prop_map(|(key, value, terms)| Deed::Put(key, value, terms)),
        2 => (0..KEYS, terms).prop_map(|(key, terms)| Deed::Delete(key, terms)),
        2 => (0..KEYS).prop_map(Deed::Get),
        1 => Just(Deed::List),
    ];
    prop::collection::vec((any::<bool>(), deed), 1..40)
}

/// Two replicas of a place in step with a map.
pub(crate) fn behaves_as_the_model(place: &impl Place, cases: u32) {
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let replicas = [place.replica(), place.replica()];
    let outcome = runner.run(&deeds(), |deeds| run(follow(&replicas, deeds)));
    outcome.unwrap_or_else(|error| panic!("{error}"));
}

#[derive(Default)]
struct Model {
    kept: BTreeMap<Key, (Vec<u8>, Version)>,
    last: BTreeMap<Key, Version>,
    outdated: BTreeMap<Key, Version>,
}

impl Model {
    fn expect(&self, key: &Key, terms: Terms) -> (Expect, bool) {
        let there = self.kept.get(key).map(|(_, version)| *version);
        let expect = match terms {
            Terms::Anything => Expect::Anything,
            Terms::Absent => Expect::Absent,
            Terms::Current => {
                self.last.get(key).map_or(Expect::Anything, |version| Expect::Version(*version))
            }
            Terms::Outdated => {
                self.outdated.get(key).map_or(Expect::Absent, |version| Expect::Version(*version))
            }
        };
        let met = match expect {
            Expect::Anything => true,
            Expect::Absent => there.is_none(),
            Expect::Version(version) => there == Some(version),
        };
        (expect, met)
    }

    fn wrote(&mut self, key: &Key, value: Vec<u8>, version: Version) {
        if let Some(last) = self.last.insert(key.clone(), version) {
            self.outdated.insert(key.clone(), last);
        }
        self.kept.insert(key.clone(), (value, version));
    }
}

async fn follow(replicas: &[Arc<dyn Store>; 2], deeds: Vec<(bool, Deed)>) -> Result<(), TestCaseError> {
    let keys: [Key; KEYS] =
        [Key::account("a"), Key::certificate("a"), Key::certificate("*.b"), Key::challenge("t_-")];
    for key in &keys {
        replicas[0].delete(key, Expect::Anything, None).await.unwrap();
    }
    let mut model = Model::default();
    for (which, deed) in deeds {
        let store = &*replicas[usize::from(which)];
        match deed {
            Deed::Put(at, value, terms) => {
                let (expect, met) = model.expect(&keys[at], terms);
                match store.put(&keys[at], &value, expect, None).await {
                    Ok(version) if met => {
                        prop_assert!(model.last.get(&keys[at]).is_none_or(|last| *last < version));
                        model.wrote(&keys[at], value, version);
                    }
                    Err(StoreError::Conflict(_)) if !met => {}
                    other => prop_assert!(false, "{:?}", other),
                }
            }
            Deed::Delete(at, terms) => {
                let (expect, met) = model.expect(&keys[at], terms);
                match store.delete(&keys[at], expect, None).await {
                    Ok(was) if met => prop_assert_eq!(was, model.kept.remove(&keys[at]).is_some()),
                    Err(StoreError::Conflict(_)) if !met => {}
                    other => prop_assert!(false, "{:?}", other),
                }
            }
            Deed::Get(at) => {
                let entry = store.get(&keys[at]).await.unwrap();
                let seen = entry.map(|entry| (entry.value.as_bytes().to_vec(), entry.version));
                prop_assert_eq!(seen.as_ref(), model.kept.get(&keys[at]));
            }
            Deed::List => {
                for kind in [Kind::Account, Kind::Certificate, Kind::Challenge] {
                    let mut there: Vec<_> =
                        model.kept.keys().filter(|key| key.kind == kind).cloned().collect();
                    there.sort();
                    prop_assert_eq!(store.list(kind).await.unwrap(), there);
                }
            }
        }
    }
    Ok(())
}

const KEYS: usize = 4;
pub(crate) const TTL: Duration = Duration::from_secs(5);
