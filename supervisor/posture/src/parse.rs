//! Texts of the kernel into values: pure functions, `None` for anything that isn't as documented.
//!
//! Opens nothing and judges nothing. See proc(5), core(5), cgroups(7), user_namespaces(7).

mod limits;
mod status;
mod swap;

pub(crate) use limits::{Limit, core_limit};
pub(crate) use status::{Caps, Seccomp, Status};
pub(crate) use swap::{CgroupPaths, SwapMax, V1Limit, swap_devices};

/// Whether /proc/PID/uid_map is that of the initial user namespace: it maps every id to itself.
pub(crate) fn uid_map_is_initial(text: &str) -> Option<bool> {
    let mut rows = Vec::new();
    for line in text.lines() {
        let numbers: Vec<u64> =
            line.split_whitespace().map(|word| word.parse().ok()).collect::<Option<_>>()?;
        rows.push(<[u64; 3]>::try_from(numbers).ok()?);
    }
    if rows.is_empty() { None } else { Some(rows == [[0, 0, EVERY_ID]]) }
}

/// The mask in /proc/PID/coredump_filter, which is hexadecimal without a prefix.
pub(crate) fn coredump_filter(text: &str) -> Option<u64> {
    hex(text.trim_end_matches('\n'))
}

/// A sysctl that is one number, such as kernel.randomize_va_space.
pub(crate) fn sysctl(text: &str) -> Option<u32> {
    text.trim_end_matches('\n').parse().ok()
}

/// Where a core goes, from /proc/sys/kernel/core_pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CorePattern {
    /// A file below some folder; an empty pattern names it after the pid.
    File(String),
    /// A program (`|`), which RLIMIT_CORE 0 does not stop, and 1 does.
    Pipe(String),
    /// A socket (`@`), which no RLIMIT_CORE stops.
    Socket(String),
}

pub(crate) fn core_pattern(text: &str) -> Option<CorePattern> {
    let pattern = text.strip_suffix('\n').unwrap_or(text);
    if pattern.contains(['\n', '\0']) {
        return None;
    }
    let kind = match pattern.as_bytes().first() {
        Some(b'|') => CorePattern::Pipe,
        Some(b'@') => CorePattern::Socket,
        _ => CorePattern::File,
    };
    Some(kind(pattern.to_owned()))
}

/// The kernel's release in /proc/sys/kernel/osrelease: at most 64 visible characters, see uname(2).
pub(crate) fn release(text: &str) -> Option<String> {
    let release = text.strip_suffix('\n').unwrap_or(text);
    let plain = (1..=64).contains(&release.len()) && release.bytes().all(|byte| byte.is_ascii_graphic());
    plain.then(|| release.to_owned())
}

/// Hexadecimal digits only: `from_str_radix` alone would take a sign.
fn hex(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    digits.then(|| u64::from_str_radix(text, 16).ok()).flatten()
}

/// 2^32 - 1 ids: all but the one that means "no id".
const EVERY_ID: u64 = 4_294_967_295;

#[cfg(test)]
mod properties;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_map_of_every_id_is_the_initial_namespace() {
        assert_eq!(uid_map_is_initial("         0          0 4294967295\n"), Some(true));
        assert_eq!(uid_map_is_initial("         0       1000          1\n"), Some(false));
        assert_eq!(uid_map_is_initial("0 1000 1\n1 100000 65536\n"), Some(false));
        assert_eq!(uid_map_is_initial("0 100000 4294967295\n"), Some(false));
    }

    #[test]
    fn a_map_that_makes_no_sense_is_unknown() {
        for text in ["", "\n", "0 0\n", "0 0 x\n", "0 0 4294967295 9\n", "-1 0 1\n"] {
            assert_eq!(uid_map_is_initial(text), None, "{text:?}");
        }
    }

    #[test]
    fn reads_a_sysctl_that_is_one_number() {
        assert_eq!(sysctl("2\n"), Some(2));
        for text in ["", "\n", "-1\n", "2 2\n", "two\n"] {
            assert_eq!(sysctl(text), None, "{text:?}");
        }
    }

    #[test]
    fn reads_the_coredump_filter_as_hexadecimal() {
        assert_eq!(coredump_filter("00000033\n"), Some(0x33));
        assert_eq!(coredump_filter("00000000\n"), Some(0));
        for text in ["", "\n", "+0\n", "0x33\n", "zz\n", "0 0\n"] {
            assert_eq!(coredump_filter(text), None, "{text:?}");
        }
    }

    #[test]
    fn tells_pipes_and_sockets_from_files() {
        assert_eq!(core_pattern("core\n"), Some(CorePattern::File("core".into())));
        assert_eq!(core_pattern("\n"), Some(CorePattern::File(String::new())));
        let apport = "|/usr/share/apport/apport %p";
        assert_eq!(core_pattern(&format!("{apport}\n")), Some(CorePattern::Pipe(apport.into())));
        assert_eq!(core_pattern("@/run/core.sock\n"), Some(CorePattern::Socket("@/run/core.sock".into())));
        assert_eq!(core_pattern("core\n|second\n"), None);
    }
    #[test]
    fn a_release_is_one_visible_word() {
        assert_eq!(release("6.1.0-28-amd64\n").as_deref(), Some("6.1.0-28-amd64"));
        for text in ["", "\n", "6.1 \n", "6.1\x1b[31m\n", "6.1\n\n", &"6".repeat(65)] {
            assert_eq!(release(text), None, "{text:?}");
        }
    }
}
