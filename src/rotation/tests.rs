//! What the kernel tells, and what is made of it.
#![expect(clippy::disallowed_methods, reason = "writes its own fixtures")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use fluxheim_trust::{Object, Role};
use tempfile::TempDir;
use tokio::time::timeout;

use super::*;

/// Longer than any test takes: what is found is found by events.
const NEVER: Duration = Duration::from_secs(3600);
const SOON: Duration = Duration::from_secs(10);
const QUIET: Duration = Duration::from_millis(400);

fn item(path: PathBuf) -> Item {
    Item::One(Object { role: Role::CaBundle, name: "upstreams \"app\"".to_owned(), path })
}

async fn watching(poll: Duration, files: &[PathBuf]) -> Rotation {
    let sights = Sight::all(files.iter().cloned().map(item).collect());
    let mut rotation = Rotation::new(Settings { enabled: true, poll }, sights);
    // The look that closes the gap between the reading and the watching.
    assert!(found(&mut rotation).await.is_empty());
    rotation
}

/// The files that the next look finds changed, all of them read well.
async fn found(rotation: &mut Rotation) -> Vec<usize> {
    timeout(SOON, rotation.due()).await.expect("it is never time for a look");
    let changed = rotation.look().make().changed;
    let indices: Vec<_> = changed.iter().map(|changed| changed.index).collect();
    rotation.saw(changed);
    for index in &indices {
        assert_eq!(rotation.outcome(*index, Ok(())), Tell::Nothing);
    }
    indices
}

async fn is_quiet(rotation: &mut Rotation) -> bool {
    timeout(QUIET, rotation.due()).await.is_err()
}

fn two() -> (TempDir, Vec<PathBuf>) {
    let dir = TempDir::new().unwrap();
    let files: Vec<_> = ["a", "b"].map(|name| dir.path().join(name)).to_vec();
    files.iter().for_each(|file| fs::write(file, "one").unwrap());
    (dir, files)
}

#[tokio::test]
async fn finds_what_is_renamed_over_written_in_place_and_removed() {
    let (dir, files) = two();
    let mut rotation = watching(NEVER, &files).await;
    assert!(is_quiet(&mut rotation).await);
    fs::write(dir.path().join("new"), "two").unwrap();
    fs::rename(dir.path().join("new"), &files[1]).unwrap();
    assert_eq!(found(&mut rotation).await, [1]);
    // As long, and within the same tick of the clock: only the kernel's word tells.
    fs::write(&files[0], "uno").unwrap();
    assert_eq!(found(&mut rotation).await, [0]);
    fs::remove_file(&files[0]).unwrap();
    assert_eq!(found(&mut rotation).await, [0]);
    fs::write(&files[0], "one").unwrap();
    assert_eq!(found(&mut rotation).await, [0]);
    assert!(is_quiet(&mut rotation).await);
}

#[tokio::test]
async fn is_not_woken_by_other_files_of_the_folder() {
    let (dir, files) = two();
    let mut rotation = watching(NEVER, &files).await;
    for number in 0..200 {
        fs::write(dir.path().join(format!("log.{number}")), "x").unwrap();
    }
    assert!(is_quiet(&mut rotation).await);
}

#[tokio::test]
async fn follows_the_link_of_a_volume_again_and_again() {
    let dir = TempDir::new().unwrap();
    let date = |number: usize| format!("..2026_11_26_04_00_00.{number:09}");
    let publish = |number: usize| {
        fs::create_dir(dir.path().join(date(number))).unwrap();
        fs::write(dir.path().join(date(number)).join("a"), number.to_string()).unwrap();
        symlink(date(number), dir.path().join("..data_tmp")).unwrap();
        fs::rename(dir.path().join("..data_tmp"), dir.path().join("..data")).unwrap();
        if number > 0 {
            fs::remove_dir_all(dir.path().join(date(number - 1))).unwrap();
        }
    };
    publish(0);
    symlink("..data/a", dir.path().join("a")).unwrap();
    let mut rotation = watching(NEVER, &[dir.path().join("a")]).await;
    for number in 1..4 {
        publish(number);
        assert_eq!(found(&mut rotation).await, [0]);
        // The new folder is watched too, and was looked at once more.
        assert!(found(&mut rotation).await.is_empty());
        assert!(is_quiet(&mut rotation).await);
    }
}

#[tokio::test]
async fn finds_a_folder_that_is_made_anew() {
    let dir = TempDir::new().unwrap();
    let (folder, file) = (dir.path().join("tls"), dir.path().join("tls/a"));
    fs::create_dir(&folder).unwrap();
    fs::write(&file, "one").unwrap();
    let mut rotation = watching(NEVER, std::slice::from_ref(&file)).await;
    fs::remove_dir_all(&folder).unwrap();
    assert_eq!(found(&mut rotation).await, [0]);
    assert!(found(&mut rotation).await.is_empty(), "what it is in now is watched");
    fs::create_dir(&folder).unwrap();
    fs::write(&file, "two").unwrap();
    while found(&mut rotation).await != [0] {}
    while !is_quiet(&mut rotation).await {
        found(&mut rotation).await;
    }
    fs::write(&file, "six").unwrap();
    assert_eq!(found(&mut rotation).await, [0]);
}

/// A folder that is renamed tells nobody who watches what is in it.
#[tokio::test]
async fn finds_by_looking_what_the_kernel_does_not_tell() {
    let dir = TempDir::new().unwrap();
    let deep = dir.path().join("deep/er/tls");
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("a"), "one").unwrap();
    let mut rotation = watching(Duration::from_secs(1), &[deep.join("a")]).await;
    fs::rename(dir.path().join("deep"), dir.path().join("old")).unwrap();
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("a"), "one").unwrap();
    while found(&mut rotation).await != [0] {}
}

#[tokio::test]
async fn reads_again_what_could_not_be_used_though_it_looks_the_same() {
    let (_dir, files) = two();
    let mut rotation = watching(NEVER, &files).await;
    fs::write(&files[0], "bad").unwrap();
    timeout(SOON, rotation.due()).await.unwrap();
    let seen = rotation.look().make();
    rotation.saw(seen.changed);
    assert_eq!(rotation.outcome(0, Err("bad")), Tell::Nothing);
    assert_eq!(found(&mut rotation).await, [0]);
    assert!(is_quiet(&mut rotation).await, "it was good the second time");
}

#[tokio::test]
async fn rests_when_nothing_answers_and_watches_nothing_when_it_is_told_so() {
    let (_dir, files) = two();
    let mut rotation = watching(Duration::from_secs(1), &files).await;
    fs::write(&files[0], "two").unwrap();
    rotation.unanswered();
    assert!(timeout(Duration::from_secs(2), rotation.due()).await.is_err());
    let sights = Sight::all(files.iter().cloned().map(item).collect());
    rotation.follow(Settings { enabled: false, poll: Duration::from_secs(1) }, sights);
    fs::write(&files[0], "three").unwrap();
    assert!(timeout(Duration::from_secs(2), rotation.due()).await.is_err());
}
