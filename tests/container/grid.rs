//! The ways in which the image is started, each with the report it must give and what the host sees.
//!
//! The reports are in `golden/`, by control: level and result, or `host` for a result that the machine
//! decides; for those the expected one is worked out here from the machine's own files.
//! `FLUXHEIM_GOLDEN=write` writes them anew, to be read before they are kept.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Map, Value, json};

use crate::cell::{control, evidence, facts, posture, processes, report, result, status};
use crate::docker::{Container, children};

struct Cell {
    name: &'static str,
    options: &'static [&'static str],
    arguments: &'static [&'static str],
    /// What both processes end up with.
    ids: (u32, u32),
}

const HARDENED: [&str; 5] = ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"];
const fn cell(name: &'static str, options: &'static [&'static str], ids: (u32, u32)) -> Cell {
    Cell { name, options, arguments: &[], ids }
}

const SERVICE: (u32, u32) = (65532, 65532);

#[test]
fn default_options() {
    check(&cell("default", &[], SERVICE));
}

#[test]
fn another_user() {
    check(&cell("user-1234", &["--user", "1234:1234"], (1234, 1234)));
}

#[test]
fn an_arbitrary_user_of_group_0_as_openshift_gives() {
    check(&cell("openshift", &["--user", "1000650000:0"], (1_000_650_000, 0)));
}

#[test]
fn no_capability() {
    check(&cell("cap-drop", &["--cap-drop", "ALL"], SERVICE));
}

#[test]
fn a_read_only_root() {
    check(&cell("read-only", &["--read-only"], SERVICE));
}

#[test]
fn no_new_privileges() {
    check(&cell("no-new-privileges", &["--security-opt", "no-new-privileges"], SERVICE));
}

#[test]
fn every_option_that_hardens() {
    check(&cell("hardened", &HARDENED, SERVICE));
}

#[test]
fn root_is_given_up() {
    check(&cell("root", &["--user", "0"], SERVICE));
}

#[test]
fn root_is_given_up_under_its_own_profile() {
    let root = cell("docker-root", &["--user", "0"], SERVICE);
    check(&Cell { arguments: &["--profile", "docker-root"], ..root });
}

#[test]
fn a_pod_under_the_restricted_standard() {
    const POD: [&str; 7] =
        ["--user", "65532:65532", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"];
    check(&Cell { arguments: &["--profile", "k8s-restricted"], ..cell("k8s-restricted", &POD, SERVICE) });
}

#[test]
fn not_pid_1() {
    check(&cell("not-pid-1", &["--init"], SERVICE));
}

#[test]
fn root_that_can_not_be_given_up_is_refused() {
    let options = ["--user", "0", "--cap-drop", "ALL"];
    let (code, report) = posture(&options, &[]);
    assert_eq!(code, Some(78), "{report}");
    assert_eq!(report["refused"], json!(["identity"]));
    compare("root-without-capabilities", &report, &facts(&options));
    let flux = Container::run(&options);
    assert_eq!(flux.exit_code(), 78);
    assert!(!flux.logs().contains("listening"), "{}", flux.logs());
}

fn check(cell: &Cell) {
    let flux = Container::run_with(cell.options, cell.arguments);
    flux.wait_for("\"ready\"");
    let report = report(&flux);
    compare(cell.name, &report, &facts(cell.options));
    let (init, proxy) = processes(&flux);
    // Under `--init` there is one more process, and no more than that.
    assert_eq!(children(proxy), Vec::<u32>::new());
    both_are(cell, &report, &status(init), &status(proxy));
    capabilities_are_as_reported(cell, &report, &status(init), &status(proxy));
    filters_are_as_reported(&report, &status(init), &status(proxy));
    limits_are_as_reported(&report, init, proxy);
}

fn both_are(cell: &Cell, report: &Value, init: &Status, proxy: &Status) {
    let (uid, gid) = cell.ids;
    for (who, seen) in [("init", init), ("proxy", proxy)] {
        assert_eq!(words(&seen["Uid"]), vec![uid.to_string(); 4], "{who}");
        assert_eq!(words(&seen["Gid"]), vec![gid.to_string(); 4], "{who}");
        assert_eq!(seen["NoNewPrivs"], "1", "{who}");
        assert_eq!(seen["Umask"], "0077", "{who}");
    }
    assert_eq!((&report["identity"]["uid"], &report["identity"]["gid"]), (&json!(uid), &json!(gid)));
    let groups: Vec<u32> = words(&proxy["Groups"]).iter().map(|group| group.parse().unwrap()).collect();
    assert_eq!(report["identity"]["groups"], json!(groups));
    assert_eq!(init["Groups"], proxy["Groups"]);
    if cell.options.contains(&"0") {
        assert!(groups.is_empty(), "a start as root leaves groups: {groups:?}");
    }
}

fn capabilities_are_as_reported(cell: &Cell, report: &Value, init: &Status, proxy: &Status) {
    for (who, seen) in [("init", init), ("proxy", proxy)] {
        for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
            assert_eq!(seen[set], NONE, "{set} of {who}");
        }
    }
    assert_eq!(init["CapBnd"], proxy["CapBnd"]);
    let told = evidence(report, "capabilities");
    // Root could empty the bounding set, and a runtime that drops all has done it.
    if cell.options.contains(&"0") || cell.options.contains(&"--cap-drop") {
        assert_eq!(proxy["CapBnd"], NONE);
        assert!(told.contains("all five sets are empty"), "{told}");
    } else {
        let bounding = proxy["CapBnd"].trim_start_matches('0');
        assert!(told.contains(&format!("bounding {bounding} is inert")), "{told} but {bounding}");
    }
}

/// The runtime's own filter, one from init, one of the proxy's.
fn filters_are_as_reported(report: &Value, init: &Status, proxy: &Status) {
    assert_eq!((init["Seccomp"].as_str(), proxy["Seccomp"].as_str()), ("2", "2"));
    let count = |status: &Status| status["Seccomp_filters"].parse::<u32>().unwrap();
    assert_eq!(count(proxy), count(init) + 2);
    let told = evidence(report, "seccomp");
    let expected = format!("Seccomp 2, filters {} (before us {})", count(proxy), count(init));
    assert!(told.contains(&expected), "{told}, not {expected}");
}

fn limits_are_as_reported(report: &Value, init: u32, proxy: u32) {
    let core = |pid: u32| {
        let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
        let line = limits.lines().find_map(|line| line.strip_prefix("Max core file size")).unwrap();
        words(line).into_iter().take(2).collect::<Vec<_>>()
    };
    let target = if core_pattern().starts_with('|') { "1" } else { "0" };
    for pid in [init, proxy] {
        assert!(
            [vec![target; 2], vec!["0"; 2]].iter().any(|allowed| *allowed == core(pid)),
            "{:?}",
            core(pid)
        );
        // The files of a process that can't be dumped belong to root, whoever runs it (proc(5)).
        use std::os::unix::fs::MetadataExt;
        assert_eq!(std::fs::metadata(format!("/proc/{pid}/status")).unwrap().uid(), 0);
    }
    // The proxy's alone: fluxheim-init holds no secret.
    let filter = std::fs::read_to_string(format!("/proc/{proxy}/coredump_filter")).unwrap();
    assert_eq!(filter.trim().trim_start_matches('0'), "");
    let locked = status(proxy)["VmLck"] != "0 kB";
    assert_eq!(result(report, "memory_lock") == "enforced", locked);
}

/// The report's levels and results, against the golden ones.
fn compare(name: &str, report: &Value, facts: &BTreeMap<String, Vec<String>>) {
    let host = decided_by_the_host(facts);
    let told = report["controls"].as_array().unwrap().iter().map(|entry| {
        let name = entry["control"].as_str().unwrap();
        let result = if host.contains_key(name) { json!("host") } else { entry["result"].clone() };
        (name.to_owned(), json!([entry["level"], result]))
    });
    let told = json!({
        "profile": report["profile"],
        "verdict": report["verdict"],
        "refused": report["refused"],
        "secrets_off_swap": report["outcomes"]["secrets_off_swap"]["result"],
        "controls": told.collect::<Map<_, _>>(),
    });
    let path = PathBuf::from(format!("{}/tests/container/golden/{name}.json", env!("CARGO_MANIFEST_DIR")));
    if std::env::var("FLUXHEIM_GOLDEN").is_ok_and(|value| value == "write") {
        std::fs::write(&path, pretty(&told)).unwrap();
    }
    let golden = std::fs::read(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; write it with FLUXHEIM_GOLDEN=write", path.display()));
    let golden: Value = serde_json::from_slice(&golden).unwrap();
    assert_eq!(pretty(&told), pretty(&golden), "{name}: {report}");
    for (name, expected) in host {
        assert_eq!(
            result(report, name),
            expected,
            "by this machine's own account: {}",
            control(report, name)
        );
    }
}

/// One line a control, so that a difference is one line.
fn pretty(told: &Value) -> String {
    let head = ["profile", "verdict", "refused", "secrets_off_swap"];
    let head = head.map(|key| format!("  {:?}: {},\n", key, told[key])).concat();
    let controls = told["controls"].as_object().unwrap().iter();
    let controls: Vec<_> = controls.map(|(name, value)| format!("    {name:?}: {value}")).collect();
    format!("{{\n{head}  \"controls\": {{\n{}\n  }}\n}}\n", controls.join(",\n"))
}

/// Results that differ between machines, from the machine's own files and what the kernel answers a
/// program in a container that none of our code has touched.
fn decided_by_the_host(facts: &BTreeMap<String, Vec<String>>) -> BTreeMap<&'static str, &'static str> {
    let number = |name: &str| facts[name][0].parse::<i64>().unwrap();
    let swaps = std::fs::read_to_string("/proc/swaps").unwrap();
    let sysctl = |name: &str| std::fs::read_to_string(format!("/proc/sys/kernel/{name}")).ok();
    let unlimited = facts["memlock_limit"].iter().any(|limit| limit == "unlimited");
    BTreeMap::from([
        ("core_dumps", core_dumps(&facts["core_limit"])),
        ("no_swap", if swaps.lines().count() > 1 { "violated" } else { "inherited" }),
        ("memory_lock", if unlimited { "enforced" } else { "not_permitted" }),
        ("mdwe", if number("mdwe") < 0 { "unavailable" } else { "enforced" }),
        (
            "landlock",
            match number("landlock_abi") {
                ..=0 => "unavailable",
                1..=5 => "partial",
                6.. => "enforced",
            },
        ),
        (
            "aslr",
            match sysctl("randomize_va_space").unwrap().trim() {
                "2" => "inherited",
                "1" => "partial",
                _ => "violated",
            },
        ),
        // Without Yama the proxy's not being dumpable does it.
        (
            "ptrace_scope",
            match sysctl("yama/ptrace_scope").as_deref().map(str::trim) {
                None | Some("0") => "enforced",
                Some(_) => "inherited",
            },
        ),
    ])
}

/// As core(5) says: 0 stops a file, 1 a pipe too, nothing a socket; a hard limit of 0 stays.
fn core_dumps(given: &[String]) -> &'static str {
    let pattern = core_pattern();
    match pattern.as_bytes().first() {
        Some(b'@') => "inherited",
        Some(b'|') if given[1] == "0" || given == ["1", "1"] => "inherited",
        Some(b'|') => "enforced",
        _ if given == ["0", "0"] => "inherited",
        _ => "enforced",
    }
}

fn core_pattern() -> String {
    std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap()
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

type Status = BTreeMap<String, String>;

const NONE: &str = "0000000000000000";
