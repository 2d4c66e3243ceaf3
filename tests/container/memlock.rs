//! Every memory lock limit with every kind of user and number of threads: what is locked is all that
//! is touched, and nothing that was promised fails later.
//!
//! Runs fluxheim-init on the host, with the program of [`crate::denials`] as its proxy: a limit above
//! the engine's own can't be had in a container. See mlock(2), getrlimit(2), user_namespaces(7).

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::cell::confined;
use crate::docker::{run, set_mode};

/// Who runs it: the wrapper, and what `[hardening]` says.
struct Who {
    name: &'static str,
    wrapper: &'static [&'static str],
    hardening: &'static str,
    /// Whether CAP_IPC_LOCK is there and counts, so that the limit doesn't.
    lifts_the_limit: bool,
}

const ALL: [Who; 4] = [
    Who { name: "root", wrapper: &[], hardening: "identity = \"off\"", lifts_the_limit: false },
    Who {
        name: "uid 65532",
        wrapper: &["setpriv", "--reuid=65532", "--regid=65532", "--clear-groups"],
        hardening: "profile = \"container\"",
        lifts_the_limit: false,
    },
    Who {
        name: "root of a user namespace",
        wrapper: &["unshare", "--user", "--map-root-user"],
        hardening: "identity = \"off\"\ncapabilities = \"off\"\nsecurebits = \"off\"",
        lifts_the_limit: false,
    },
    // Where the limit can't be raised this is the only way to a lock that lasts. Securebits would take
    // uid 0's capabilities at the exec.
    Who {
        name: "root with CAP_IPC_LOCK",
        wrapper: &[],
        hardening: "identity = \"off\"\ncapabilities = \"off\"\nsecurebits = \"off\"",
        lifts_the_limit: true,
    },
];

#[test]
fn nothing_fails_later_whatever_the_limit() {
    let folder = programs();
    let mut told = Vec::new();
    for limit in ["0", "65536", "8388608", "unlimited"] {
        if !available(limit) {
            println!("this machine can't raise RLIMIT_MEMLOCK to {limit}: CAP_IPC_LOCK stands in for it");
            continue;
        }
        for who in &ALL {
            for threads in [1, 16, 64] {
                told.push(one(folder.path(), limit, who, threads));
            }
        }
    }
    assert!(told.len() >= 3 * 3 * ALL.len() - 9, "{told:#?}");
    // Both kinds of outcome were seen, or the grid has shown nothing.
    assert!(told.contains(&true) && told.contains(&false), "{told:?}");
}

/// One run; whether its memory was locked.
fn one(folder: &Path, limit: &str, who: &Who, threads: u32) -> bool {
    let config = format!("[server]\nhttp = [\"127.0.0.1:8080\"]\n[hardening]\n{}\n", who.hardening);
    std::fs::write(folder.join("fluxheim.toml"), config).unwrap();
    let limits = format!("--memlock={limit}:{limit}");
    let mut command = Command::new("prlimit");
    command.args([limits.as_str(), "--"]).args(who.wrapper).arg(folder.join("fluxheim-init"));
    command.arg("--config").arg(folder.join("fluxheim.toml")).arg("--proxy").arg(folder.join("confined"));
    let output = command.env("CONFINED_ACT", format!("threads={threads}")).output();
    let output = output.expect("prlimit is missing: apt-get install -y util-linux");
    let what = format!("{} with a limit of {limit} and {threads} threads", who.name);
    let (said, report) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr).into_owned());
    assert_eq!(output.status.code(), Some(0), "{what}: {said}{report}");
    let words: Vec<&str> = said.split_whitespace().collect();
    let ["threads", _, "touched", touched, "VmLck", locked] = words[..] else {
        panic!("{what}: {said}{report}");
    };
    let [touched, locked]: [u64; 2] = [touched, locked].map(|number| number.parse().unwrap());
    let line = report.lines().find(|line| line.contains(" memory_lock ")).unwrap();
    let enforced = line.split_whitespace().any(|word| word == "enforced");
    assert_eq!(enforced, locked > 0, "{what}: {said}{line}");
    // A lock that is said to hold covers what was mapped after it, too.
    assert!(!enforced || locked >= touched, "{what}: {said}{line}");
    assert_eq!(enforced, limit == "unlimited" || who.lifts_the_limit, "{what}: {line}");
    enforced
}

fn available(limit: &str) -> bool {
    let limits = format!("--memlock={limit}:{limit}");
    run("prlimit", "util-linux", &[&limits, "--", "true"]).status.success()
}

/// Both programs where a plain user gets at them, with the modes of the image.
fn programs() -> TempDir {
    let folder = TempDir::new().unwrap();
    set_mode(folder.path(), 0o755);
    let confined = confined();
    let release = Path::new(&confined).ancestors().nth(2).unwrap();
    for (name, from) in
        [("confined", Path::new(&confined)), ("fluxheim-init", &release.join("fluxheim-init"))]
    {
        let copied = std::fs::copy(from, folder.path().join(name));
        copied.unwrap_or_else(|error| panic!("{}: {error}; run scripts/build-image", from.display()));
        set_mode(&folder.path().join(name), 0o111);
    }
    folder
}
