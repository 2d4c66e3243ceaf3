//! A writer that is killed at any instant, and two that fight over one folder.
//!
//! Owns the child: this very binary, told by a variable of its environment what to do.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use fluxheim::acme::store::{Expect, Key, Kind, Name, Store, StoreError};

use crate::folder::{Shared, open};
use crate::suite::{TTL, run};

/// After each kill: every value is whole, none is older than what was acknowledged, the lock is free, nothing is left
/// over.
#[test]
fn two_hundred_kills_lose_nothing() {
    if let Some(path) = task() {
        return run(write_for_ever(&path));
    }
    let shared = Shared::new();
    let (mut acknowledged, mut random) = (BTreeMap::new(), 0x2545_f491_u32);
    let mut leftovers = 0;
    for round in 0..KILLS {
        let (mut child, lines) = writer("killed::two_hundred_kills_lose_nothing", shared.path());
        let reader = std::thread::spawn(move || lines.map_while(Result::ok).collect::<Vec<_>>());
        random ^= random << 13;
        random ^= random >> 17;
        random ^= random << 5;
        // From before its first look at the folder to deep in its work.
        std::thread::sleep(Duration::from_micros(u64::from(random % 60_000)));
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(9), "round {round}: it ended by itself");
        for line in reader.join().unwrap() {
            // The last line may be cut.
            let Some((key, number)) = line.strip_prefix("wrote ").and_then(|line| line.split_once(' '))
            else {
                continue;
            };
            let Some(number) = number.strip_suffix('.') else { continue };
            acknowledged.insert(key.to_owned(), number.parse::<u64>().unwrap());
        }
        leftovers += left_over(shared.path());
        run(usable(shared.path(), &acknowledged, round));
        assert_eq!(left_over(shared.path()), 0, "round {round}");
    }
    assert_eq!(acknowledged.len(), 3, "{acknowledged:?}");
    assert!(leftovers > 0, "no kill hit a write: this test proves nothing");
}

async fn usable(path: &Path, acknowledged: &BTreeMap<String, u64>, round: u32) {
    let store = open(path).unwrap_or_else(|error| panic!("round {round}: {error}"));
    let lease = store.try_lock(&Name::of("orders"), TTL).await.unwrap();
    assert!(lease.is_some(), "round {round}: the lock outlived its holder");
    for key in keys() {
        let least = acknowledged.get(&key.to_string());
        let Some(entry) = store.get(&key).await.unwrap_or_else(|error| panic!("round {round}: {error}"))
        else {
            assert!(least.is_none(), "round {round}: {key} is lost");
            continue;
        };
        let number = whole(entry.value.as_bytes());
        assert!(
            least.is_none_or(|least| number >= *least),
            "round {round}: {key} fell from {least:?} to {number}"
        );
    }
    for kind in Kind::ALL {
        store.list(kind).await.unwrap();
    }
}

/// The number of which a value is made from end to end.
fn whole(value: &[u8]) -> u64 {
    let text = std::str::from_utf8(value).unwrap();
    let mut numbers = text.split_terminator(' ').map(|number| number.parse::<u64>().unwrap());
    let first = numbers.next().unwrap();
    assert!(numbers.all(|number| number == first), "torn: {} bytes", value.len());
    first
}

fn left_over(path: &Path) -> usize {
    let names = |folder: PathBuf| std::fs::read_dir(folder).into_iter().flatten();
    let folders = Kind::ALL.map(|kind| path.join(kind.plural()));
    let is_new = |name: &str| name.starts_with(".new-");
    folders
        .into_iter()
        .flat_map(names)
        .filter(|entry| is_new(entry.as_ref().unwrap().file_name().to_str().unwrap()))
        .count()
}

fn keys() -> [Key; 3] {
    [Key::account("ca"), Key::certificate("a.example"), Key::order("a.example")]
}

async fn write_for_ever(path: &Path) {
    let store = open(path).unwrap();
    let lease = store.try_lock(&Name::of("orders"), TTL).await.unwrap().expect("nobody has it");
    loop {
        for key in keys() {
            let found = store.get(&key).await.unwrap();
            let number = found.as_ref().map_or(1, |entry| whole(entry.value.as_bytes()) + 1);
            let expect = found.map_or(Expect::Absent, |entry| Expect::Version(entry.version));
            let value = format!("{number} ").repeat(6_000);
            store.put(&key, value.as_bytes(), expect, Some(&lease)).await.unwrap();
            println!("\nwrote {key} {number}.");
            // What is written and removed all the time.
            let token = Key::challenge(&format!("token-{number}"));
            store.put(&token, b"answer", Expect::Anything, None).await.unwrap();
            store.delete(&token, Expect::Anything, None).await.unwrap();
        }
    }
}

/// Both count as one: no update of either is lost, and the lock never has two holders.
#[test]
fn two_processes_fight_over_one_folder() {
    if let Some(path) = task() {
        return run(fight(&path));
    }
    let shared = Shared::new();
    drop(open(shared.path()).unwrap());
    let fighters: Vec<_> =
        (0..3).map(|_| writer("killed::two_processes_fight_over_one_folder", shared.path())).collect();
    for (mut child, lines) in fighters {
        let lines: Vec<_> = lines.map(Result::unwrap).collect();
        assert!(child.wait().unwrap().success(), "{lines:?}");
    }
    run(async {
        let store = open(shared.path()).unwrap();
        let entry = store.get(&Key::schedule("count")).await.unwrap().unwrap();
        assert_eq!(entry.value.as_bytes(), b"60");
    });
}

async fn fight(path: &Path) {
    let store = open(path).unwrap();
    let (name, key) = (Name::of("orders"), Key::schedule("count"));
    let mut counted = 0;
    while counted < 20 {
        let Some(lease) = store.try_lock(&name, TTL).await.unwrap() else {
            tokio::time::sleep(Duration::from_millis(1)).await;
            continue;
        };
        // Made and removed by the holder alone: a second holder would find it.
        let mine = Key::challenge("holder");
        store.put(&mine, b"", Expect::Absent, Some(&lease)).await.expect("two hold one lock");
        let found = store.get(&key).await.unwrap();
        let seen: u32 =
            found.map_or(0, |entry| std::str::from_utf8(entry.value.as_bytes()).unwrap().parse().unwrap());
        store.put(&key, (seen + 1).to_string().as_bytes(), Expect::Anything, Some(&lease)).await.unwrap();
        match store.delete(&mine, Expect::Anything, Some(&lease)).await {
            Ok(true) => {}
            other => panic!("{other:?}"),
        }
        drop(lease);
        counted += 1;
    }
    assert!(matches!(store.put(&key, b"0", Expect::Absent, None).await, Err(StoreError::Conflict(_))));
}

fn writer(test: &str, path: &Path) -> (Child, std::io::Lines<BufReader<ChildStdout>>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(TASK, path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (child, lines)
}

fn task() -> Option<PathBuf> {
    std::env::var_os(TASK).map(PathBuf::from)
}

const TASK: &str = "FLUXHEIM_STORES_TEST_TASK";
const KILLS: u32 = 200;
