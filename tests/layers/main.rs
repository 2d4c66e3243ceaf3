//! The walls of the house: which module may import which, and how long a file may be.
//!
//! The table below is the design; any import that is not in it fails.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "reads the project's own sources; a failure here fails the test, which is the point"
)]

mod docs;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Each module of `src` with the modules it may import; layers only ever look down.
const ALLOWED: &[(&str, &[&str])] = &[
    ("main", &["app"]),
    (
        "app",
        &[
            "acme",
            "admin",
            "cli",
            "ctl",
            "dns_hook",
            "edge",
            "listen",
            "policy",
            "rotation",
            "telemetry",
            "tls",
            "types",
            "upstream",
            "wire",
        ],
    ),
    ("cli", &["admin"]),
    ("ctl", &["admin", "cli"]),
    ("dns_hook", &["cli", "telemetry", "types", "wire"]),
    ("admin", &["telemetry", "wire"]),
    ("edge", &["acme", "policy", "rewrite", "route", "telemetry", "tls", "types", "upstream", "wire"]),
    ("listen", &["policy", "telemetry", "tls", "types", "wire"]),
    ("tls", &["route", "types"]),
    ("rotation", &[]),
    ("acme", &["telemetry", "tls", "types", "wire"]),
    ("upstream", &["telemetry", "tls", "wire"]),
    ("telemetry", &["types"]),
    ("route", &["types"]),
    ("policy", &["route", "types"]),
    ("rewrite", &["types"]),
    ("wire", &["types"]),
    ("types", &[]),
];

/// Crates that the pure modules must not touch: no framework, no runtime.
const IMPURE: &[&str] = &[
    "pingora",
    "tokio",
    "hickory_resolver",
    "fluxheim_trust",
    "fluxheim_posture",
    "std::fs",
    "std::net::TcpStream",
];
const PURE: &[&str] = &["route", "policy", "rewrite", "types", "wire"];

/// Our crates with those of ours that each may depend on.
const CRATES: &[(&str, &[&str])] = &[
    ("config", &[]),
    ("trust", &["config"]),
    ("posture", &["config"]),
    ("init", &["config", "trust", "posture"]),
];

/// What must not come near PID 1.
const NOT_IN_SUPERVISOR: &[&str] = &["tokio", "pingora", "rustls", "hickory-resolver", "fluxheim"];

/// Lines of a source file, tests apart.
const LONGEST: usize = 700;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The top-level module of `src` that a file belongs to.
fn module(file: &Path) -> String {
    let relative = file.strip_prefix(root().join("src")).unwrap();
    let first = relative.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_owned()
}

/// Every `crate::x` in code (comments apart), grouped imports included.
fn imports(text: &str) -> Vec<String> {
    let code: String =
        text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            found.extend(group_heads(group));
        } else {
            found.push(head(rest));
        }
    }
    found
}

fn head(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// First segments of the items of `{a::b, c::{d, e}}`, given what follows the brace.
fn group_heads(group: &str) -> Vec<String> {
    let (mut depth, mut item, mut heads) = (1, String::new(), Vec::new());
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => heads.push(head(std::mem::take(&mut item).trim())),
            _ if depth == 1 => item.push(c),
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    heads.push(head(item.trim()));
    heads.retain(|head| !head.is_empty());
    heads
}

#[test]
fn modules_import_only_what_the_table_allows() {
    let table: BTreeMap<_, _> = ALLOWED.iter().copied().collect();
    let mut wrong = Vec::new();
    for file in sources(&root().join("src")) {
        let from = module(&file);
        if from == "lib" {
            continue;
        }
        let allowed = table.get(from.as_str()).unwrap_or_else(|| panic!("{from} has no row in the table"));
        let text = std::fs::read_to_string(&file).unwrap();
        for to in imports(&text) {
            if to != from && !allowed.contains(&to.as_str()) {
                wrong.push(format!("{}: imports {to}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "not in the table of allowed imports:\n{}", wrong.join("\n"));
}

#[test]
fn the_table_has_no_row_for_a_module_that_is_gone_and_no_cycle() {
    let existing: Vec<_> = sources(&root().join("src")).iter().map(|file| module(file)).collect();
    let place: BTreeMap<_, _> = ALLOWED.iter().enumerate().map(|(at, (name, _))| (*name, at)).collect();
    for (name, allowed) in ALLOWED {
        assert!(existing.iter().any(|module| module == name), "{name} is gone");
        for to in *allowed {
            assert!(place.contains_key(to), "{to} has no row");
            assert!(!ALLOWED[place[to]].1.contains(name), "{name} and {to} import each other");
        }
    }
}

#[test]
fn pure_modules_touch_no_framework_runtime_or_file() {
    for file in sources(&root().join("src")) {
        if !PURE.contains(&module(&file).as_str()) {
            continue;
        }
        let text = std::fs::read_to_string(&file).unwrap();
        for name in IMPURE {
            assert!(!text.contains(&format!("{name}::")), "{} uses {name}", file.display());
        }
        for clock in ["Instant::now", "SystemTime::now"] {
            assert!(!text.contains(clock), "{} reads the clock", file.display());
        }
    }
}

#[test]
fn only_the_edge_implements_the_proxy_hooks() {
    let with: Vec<_> = sources(&root().join("src"))
        .into_iter()
        .filter(|file| std::fs::read_to_string(file).unwrap().contains("impl ProxyHttp for"))
        .collect();
    assert_eq!(with, [root().join("src/edge/mod.rs")]);
}

#[test]
fn supervisor_crates_depend_only_downward() {
    for (name, allowed) in CRATES {
        let manifest = root().join("supervisor").join(name).join("Cargo.toml");
        let text = std::fs::read_to_string(&manifest).unwrap();
        let dependencies = text.split("[dependencies]").nth(1).unwrap().split("\n[").next().unwrap();
        for line in dependencies.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
            let dependency = line.split(['.', '=', ' ']).next().unwrap();
            assert!(!NOT_IN_SUPERVISOR.contains(&dependency), "{name} depends on {dependency}");
            if let Some(ours) = dependency.strip_prefix("fluxheim-") {
                assert!(allowed.contains(&ours), "{name} depends on {ours}");
            }
        }
    }
}

#[test]
fn fuzz_targets_link_no_framework() {
    let lock = std::fs::read_to_string(root().join("tests/fuzz/Cargo.lock")).unwrap();
    assert!(lock.contains("name = \"fluxheim-trust\""));
    for name in NOT_IN_SUPERVISOR {
        assert!(!lock.contains(&format!("name = \"{name}\"")), "tests/fuzz needs {name}");
    }
}

#[test]
fn unsafe_code_stays_in_modules_named_sys() {
    for folder in ["src", "supervisor"] {
        for file in sources(&root().join(folder)) {
            let is_sys =
                file.components().any(|part| part.as_os_str() == "sys" || part.as_os_str() == "sys.rs");
            let is_test = file.components().any(|part| part.as_os_str() == "tests");
            let text = std::fs::read_to_string(&file).unwrap();
            let has = text.lines().any(|line| {
                !line.trim_start().starts_with("//")
                    && (line.contains("unsafe {") || line.contains("unsafe fn"))
            });
            assert!(is_sys || is_test || !has, "{} has unsafe code", file.display());
        }
    }
}

#[test]
fn files_stay_short() {
    for folder in ["src", "supervisor"] {
        for file in sources(&root().join(folder)) {
            let text = std::fs::read_to_string(&file).unwrap();
            let lines = text.split("#[cfg(test)]").next().unwrap().lines().count();
            let is_test =
                file.ends_with("tests.rs") || file.components().any(|part| part.as_os_str() == "tests");
            assert!(is_test || lines <= LONGEST, "{} has {lines} lines", file.display());
        }
    }
}

#[test]
fn reads_grouped_and_nested_imports() {
    let text = "use crate::{a, b::{c, d}, e::f};\n// use crate::no;\nfn x() { crate::g::h(); }";
    assert_eq!(imports(text), ["a", "b", "e", "g"]);
}
