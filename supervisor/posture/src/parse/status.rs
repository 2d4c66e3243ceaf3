//! /proc/PID/status: the lines that posture needs.
//!
//! Pure; a missing, doubled or odd line makes the whole text unknown. See proc(5).

use serde::{Deserialize, Serialize};

use super::hex;

/// What a process is, as the kernel tells others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Status {
    /// Real, effective, saved and file system.
    pub(crate) uid: [u32; 4],
    pub(crate) gid: [u32; 4],
    pub(crate) groups: Vec<u32>,
    pub(crate) umask: u32,
    /// KiB locked in memory.
    pub(crate) mapped_kib: u64,
    pub(crate) locked_kib: u64,
    pub(crate) caps: Caps,
    pub(crate) no_new_privs: bool,
    pub(crate) seccomp: Seccomp,
    /// Who traces it; 0 for nobody that can be seen from here.
    pub(crate) tracer: u32,
}

/// What filters the process's system calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Seccomp {
    /// 0 nothing, 1 strict, 2 filters.
    pub(crate) mode: u8,
    /// How many filters; kernels before 5.9 don't say.
    pub(crate) filters: Option<u32>,
}

/// The five capability sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Caps {
    pub(crate) inheritable: u64,
    pub(crate) permitted: u64,
    pub(crate) effective: u64,
    pub(crate) bounding: u64,
    pub(crate) ambient: u64,
}

impl Caps {
    /// Whether the four sets that give power now are empty; the bounding set only limits.
    pub(crate) fn gives_nothing(self) -> bool {
        self.inheritable | self.permitted | self.effective | self.ambient == 0
    }
}

impl Status {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let field = |name| field(text, name);
        Some(Self {
            uid: ids(field("Uid")?)?,
            gid: ids(field("Gid")?)?,
            groups: numbers(field("Groups")?)?,
            umask: octal(field("Umask")?)?,
            mapped_kib: kib(field("VmSize")?)?,
            locked_kib: kib(field("VmLck")?)?,
            caps: Caps {
                inheritable: hex(field("CapInh")?)?,
                permitted: hex(field("CapPrm")?)?,
                effective: hex(field("CapEff")?)?,
                bounding: hex(field("CapBnd")?)?,
                ambient: hex(field("CapAmb")?)?,
            },
            no_new_privs: flag(field("NoNewPrivs")?)?,
            tracer: field("TracerPid")
                .filter(|text| text.bytes().all(|b| b.is_ascii_digit()))?
                .parse()
                .ok()?,
            seccomp: Seccomp {
                mode: ["0", "1", "2"].iter().zip(0..).find(|(text, _)| field("Seccomp") == Some(**text))?.1,
                filters: match field("Seccomp_filters") {
                    Some(count) => Some(count.parse().ok()?),
                    None if text.contains("\nSeccomp_filters:") => return None,
                    None => None,
                },
            },
        })
    }
}

/// The value of the one line that starts with `name:`.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut values = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let value = values.next()?;
    values.next().is_none().then(|| value.trim())
}

fn numbers(text: &str) -> Option<Vec<u32>> {
    text.split_whitespace().map(|word| word.parse().ok()).collect()
}

fn ids(text: &str) -> Option<[u32; 4]> {
    numbers(text)?.try_into().ok()
}

fn octal(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| (b'0'..b'8').contains(&byte));
    digits.then(|| u32::from_str_radix(text, 8).ok()).flatten()
}

fn kib(text: &str) -> Option<u64> {
    text.strip_suffix(" kB")?.trim_end().parse().ok()
}

fn flag(text: &str) -> Option<bool> {
    match text {
        "0" => Some(false),
        "1" => Some(true),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOLDEN: &str = "\
Name:\tfluxheim
Umask:\t0077
State:\tS (sleeping)
Tgid:\t7
Pid:\t7
PPid:\t1
TracerPid:\t0
Uid:\t65532\t65532\t65532\t65532
Gid:\t65532\t65532\t65532\t65532
Groups:\t4 27 
VmSize:\t   34000 kB
VmLck:\t   33816 kB
Threads:\t1
CapInh:\t0000000000000000
CapPrm:\t0000000000000000
CapEff:\t0000000000000000
CapBnd:\t00000000a80425fb
CapAmb:\t0000000000000000
NoNewPrivs:\t1
Seccomp:\t2
Seccomp_filters:\t3
";

    #[test]
    fn reads_what_docker_gives_a_plain_user() {
        let status = Status::parse(GOLDEN).unwrap();
        assert_eq!(status.uid, [65532; 4]);
        assert_eq!(status.groups, [4, 27]);
        assert_eq!(status.umask, 0o77);
        assert_eq!(status.locked_kib, 33816);
        assert_eq!(status.caps.bounding, 0xa804_25fb);
        assert!(status.caps.gives_nothing() && status.no_new_privs);
        assert_eq!(status.seccomp, Seccomp { mode: 2, filters: Some(3) });
    }

    #[test]
    fn a_kernel_that_does_not_count_filters_is_no_odd_one() {
        let text = GOLDEN.replace("Seccomp_filters:\t3\n", "");
        assert_eq!(Status::parse(&text).unwrap().seccomp.filters, None);
    }

    #[test]
    fn no_groups_are_no_groups() {
        let text = GOLDEN.replace("4 27 ", " ");
        assert_eq!(Status::parse(&text).unwrap().groups, Vec::<u32>::new());
    }

    #[test]
    fn every_line_is_needed_once_and_well_formed() {
        for (good, bad) in [
            ("NoNewPrivs:\t1\n", ""),
            ("NoNewPrivs:\t1\n", "NoNewPrivs:\t1\nNoNewPrivs:\t1\n"),
            ("NoNewPrivs:\t1\n", "NoNewPrivs:\t2\n"),
            ("CapAmb:\t0000000000000000\n", ""),
            ("CapEff:\t0000000000000000\n", "CapEff:\t\n"),
            ("CapEff:\t0000000000000000\n", "CapEff:\t+0\n"),
            ("Umask:\t0077\n", "Umask:\t0088\n"),
            ("VmLck:\t   33816 kB\n", "VmLck:\t   33816\n"),
            ("Uid:\t65532\t65532\t65532\t65532\n", "Uid:\t65532\t65532\t65532\n"),
            ("Groups:\t4 27 \n", "Groups:\t4 -27 \n"),
            ("Seccomp:\t2\n", "Seccomp:\t3\n"),
            ("TracerPid:\t0\n", ""),
            ("TracerPid:\t0\n", "TracerPid:\tnobody\n"),
            ("Seccomp:\t2\n", ""),
            ("Seccomp_filters:\t3\n", "Seccomp_filters:\tmany\n"),
            ("Seccomp_filters:\t3\n", "Seccomp_filters:\t3\nSeccomp_filters:\t3\n"),
        ] {
            let text = GOLDEN.replace(good, bad);
            assert_ne!(text, GOLDEN);
            assert_eq!(Status::parse(&text), None, "{bad:?}");
        }
    }

    #[test]
    fn one_set_with_a_bit_gives_something() {
        let text = GOLDEN.replace("CapAmb:\t0000000000000000", "CapAmb:\t0000000000000400");
        assert!(!Status::parse(&text).unwrap().caps.gives_nothing());
    }
}
