//! Where it was measured, and with what.

use crate::contestant::Contestant;
use crate::fixtures::run;
use crate::stage::Stage;

/// A list for the head of the tables.
pub(crate) fn facts(stage: &Stage) -> String {
    let of = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap();
    let model = field(&cpus, "model name", ':').unwrap_or("unknown CPU");
    let count = cpus.lines().filter(|line| line.starts_with("processor")).count();
    let memory = of("/proc/meminfo");
    let memory = field(&memory, "MemTotal", ':').and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
    let system = of("/etc/os-release");
    let system = field(&system, "PRETTY_NAME", '=').unwrap_or("unknown system").trim_matches('"').to_owned();
    let contestants: Vec<_> =
        Contestant::ALL.iter().map(|one| format!("{} {}", one.name(), one.version(stage))).collect();
    format!(
        "- {}: {model}, {count} CPUs, {} GiB, Linux {}, {system}\n- {}\n- {}, {}, {}\n",
        first_line("date", &["-u", "+%F"]),
        memory.map_or(0, |kib| kib.div_ceil(1024 * 1024)),
        of("/proc/sys/kernel/osrelease").trim(),
        contestants.join(", "),
        first_line("wrk", &["-v"]).split(" [").next().unwrap_or_default(),
        first_line("h2load", &["--version"]),
        first_line("openssl", &["version"]).split(" (").next().unwrap_or_default(),
    )
}

/// The first value of that name.
fn field<'a>(text: &'a str, name: &str, separator: char) -> Option<&'a str> {
    let lines = text.lines().filter_map(|line| line.split_once(separator));
    lines.filter(|(key, _)| key.trim() == name).map(|(_, value)| value.trim()).next()
}

fn first_line(tool: &str, args: &[&str]) -> String {
    let output = run(tool, tool, args);
    let said = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&said).lines().next().unwrap_or_default().trim().to_owned()
}
