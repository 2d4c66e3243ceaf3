//! Texts that are nearly, or not at all, what the kernel writes: none of them panics, and none of
//! them turns into something that a control would pass on.

use proptest::prelude::*;

use super::*;

/// What Linux writes for a well hardened proxy.
const STATUS: &str = "\
Name:\tfluxheim
Umask:\t0077
TracerPid:\t0
Uid:\t65532\t65532\t65532\t65532
Gid:\t65532\t65532\t65532\t65532
Groups:\t
VmSize:\t   34000 kB
VmLck:\t   33816 kB
CapInh:\t0000000000000000
CapPrm:\t0000000000000000
CapEff:\t0000000000000000
CapBnd:\t0000000000000000
CapAmb:\t0000000000000000
NoNewPrivs:\t1
Seccomp:\t2
Seccomp_filters:\t3
";

/// `text` with one byte another, one missing, or one more.
fn nearly(text: &'static str) -> impl Strategy<Value = String> {
    (0..text.len(), any::<char>(), 0..3).prop_map(move |(at, character, how)| {
        let mut changed: Vec<char> = text.chars().collect();
        match how {
            0 => changed[at] = character,
            1 => {
                changed.remove(at);
            }
            _ => changed.insert(at, character),
        }
        changed.into_iter().collect()
    })
}

proptest! {
    #[test]
    fn no_text_is_too_odd_to_be_read(text in any::<String>()) {
        let _ = Status::parse(&text);
        let _ = core_limit(&text);
        let _ = core_pattern(&text);
        let _ = swap_devices(&text);
        let _ = CgroupPaths::parse(&text);
        let _ = (SwapMax::parse(&text), V1Limit::parse(&text));
        let _ = (uid_map_is_initial(&text), coredump_filter(&text), sysctl(&text));
    }

    #[test]
    fn what_is_not_a_status_is_none(text in "[ -~\n\t]{0,400}") {
        prop_assume!(!text.contains("NoNewPrivs:"));
        prop_assert_eq!(Status::parse(&text), None);
    }

    /// Every field that a control passes on is read from one well-formed line or not at all.
    #[test]
    fn a_status_with_one_flaw_gains_nothing(text in nearly(STATUS)) {
        let Some(seen) = Status::parse(&text) else { return Ok(()) };
        let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
        prop_assert_eq!(seen.no_new_privs, line("NoNewPrivs:").map(str::trim) == Some("1"));
        if seen.caps.gives_nothing() {
            for name in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
                let bits = line(name).map(str::trim).unwrap_or_default();
                prop_assert!(!bits.is_empty() && bits.bytes().all(|byte| byte == b'0'), "{}", bits);
            }
        }
        if seen.seccomp.mode == 2 {
            prop_assert_eq!(line("Seccomp:").map(str::trim), Some("2"));
        }
        if seen.tracer == 0 {
            prop_assert!(line("TracerPid:").is_some_and(|pid| pid.trim().trim_start_matches('+').bytes().all(|b| b == b'0')));
        }
    }

    #[test]
    fn only_the_header_alone_is_no_swap(text in nearly("Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n")) {
        if let Some(devices) = swap_devices(&text)
            && devices.is_empty()
        {
            prop_assert!(text.split_whitespace().next() == Some("Filename"), "{:?}", text);
        }
    }

    #[test]
    fn only_the_whole_map_is_the_initial_namespace(a in any::<u32>(), b in any::<u32>(), c in any::<u32>()) {
        let initial = uid_map_is_initial(&format!("{a} {b} {c}\n"));
        prop_assert_eq!(initial, Some((a, b, c) == (0, 0, u32::MAX)));
    }
}
