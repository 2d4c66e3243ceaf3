//! /proc/swaps, /proc/PID/cgroup and the swap limits of cgroup v1 and v2.
//!
//! Pure; see proc(5), cgroups(7) and the kernel's cgroup-v2 document.

/// The devices and files in /proc/swaps.
pub(crate) fn swap_devices(text: &str) -> Option<Vec<String>> {
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next()?.split_whitespace().collect();
    if header != ["Filename", "Type", "Size", "Used", "Priority"] {
        return None;
    }
    // A file name's own blanks are escaped by the kernel, so five words it is.
    lines.map(|line| (line.split_whitespace().count() == 5).then(|| first_word(line))?).collect()
}

fn first_word(line: &str) -> Option<String> {
    line.split_whitespace().next().map(str::to_owned)
}

/// This process's cgroups that can limit swap, as /proc/self/cgroup names them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct CgroupPaths {
    /// The unified hierarchy.
    pub(crate) v2: Option<String>,
    /// The memory controller of v1.
    pub(crate) v1_memory: Option<String>,
}

impl CgroupPaths {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut paths = Self::default();
        for line in text.lines() {
            let mut parts = line.splitn(3, ':');
            let (number, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
            number.parse::<u32>().ok()?;
            if !path.starts_with('/') {
                return None;
            }
            if number == "0" && controllers.is_empty() {
                paths.v2 = Some(path.to_owned());
            } else if controllers.split(',').any(|name| name == "memory") {
                paths.v1_memory = Some(path.to_owned());
            }
        }
        Some(paths)
    }
}

/// `memory.swap.max` of cgroup v2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SwapMax {
    Unlimited,
    Bytes(u64),
}

impl SwapMax {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text.trim_end_matches('\n') {
            "max" => Some(Self::Unlimited),
            number => number.parse().ok().map(Self::Bytes),
        }
    }
}

/// `memory.limit_in_bytes` and `memory.memsw.limit_in_bytes` of cgroup v1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct V1Limit(pub(crate) u64);

impl V1Limit {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        text.trim_end_matches('\n').parse().ok().map(Self)
    }

    /// Whether memory and swap together may use no more than memory alone.
    ///
    /// That stops only swapping on the cgroup's own account: when the host runs short, the kernel
    /// swaps its pages out all the same, since they cost memory and swap together nothing more.
    ///
    /// Without a limit both files hold the same huge number, which must not count as equal.
    pub(crate) fn leaves_no_allowance(self, with_swap: Self) -> bool {
        self.0 < V1_UNLIMITED && with_swap.0 <= self.0
    }
}

/// The kernel's "none" is `i64::MAX` rounded down to a page, and pages differ in size.
const V1_UNLIMITED: u64 = 1 << 62;

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";

    #[test]
    fn lists_swap_devices() {
        assert_eq!(swap_devices(HEADER), Some(vec![]));
        let text = format!("{HEADER}/dev/dm-1                               partition\t8388604\t0\t-2\n");
        assert_eq!(swap_devices(&text), Some(vec!["/dev/dm-1".to_owned()]));
    }

    #[test]
    fn an_odd_swap_table_is_unknown() {
        for text in
            [String::new(), "\n".into(), "/dev/sda1 partition 1 0 -2\n".into(), format!("{HEADER}oops\n")]
        {
            assert_eq!(swap_devices(&text), None, "{text:?}");
        }
    }

    #[test]
    fn finds_the_cgroups_that_limit_memory() {
        let hybrid = "4:memory:/docker/abc\n1:name=systemd:/x\n0::/\n";
        let paths = CgroupPaths::parse(hybrid).unwrap();
        assert_eq!(paths, CgroupPaths { v2: Some("/".into()), v1_memory: Some("/docker/abc".into()) });
        assert_eq!(CgroupPaths::parse("0::/a:b\n").unwrap().v2.as_deref(), Some("/a:b"));
        assert_eq!(CgroupPaths::parse("").unwrap(), CgroupPaths::default());
    }

    #[test]
    fn an_odd_cgroup_line_is_unknown() {
        for text in ["0:\n", "x::/\n", "0::relative\n", "\n"] {
            assert_eq!(CgroupPaths::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn reads_limits_of_both_versions() {
        assert_eq!(SwapMax::parse("max\n"), Some(SwapMax::Unlimited));
        assert_eq!(SwapMax::parse("0\n"), Some(SwapMax::Bytes(0)));
        assert_eq!(SwapMax::parse("-1\n"), None);
        assert_eq!(V1Limit::parse("536870912\n"), Some(V1Limit(536_870_912)));
        assert_eq!(V1Limit::parse(""), None);
    }

    #[test]
    fn equal_limits_leave_no_allowance_and_no_limits_leave_all_of_it() {
        let (half, one) = (V1Limit(512 << 20), V1Limit(1 << 30));
        assert!(half.leaves_no_allowance(half));
        assert!(!half.leaves_no_allowance(one));
        let none = V1Limit(9_223_372_036_854_771_712);
        assert!(!none.leaves_no_allowance(none));
    }
}
