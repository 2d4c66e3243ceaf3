//! /proc/PID/limits: the row of core files.
//!
//! Pure; see proc(5).

use std::fmt;

use serde::{Deserialize, Serialize};

/// A soft and a hard limit; `None` is unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Limit {
    pub(crate) soft: Option<u64>,
    pub(crate) hard: Option<u64>,
}

impl Limit {
    /// Both at `value`.
    pub(crate) fn is(self, value: u64) -> bool {
        self.soft == Some(value) && self.hard == Some(value)
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |value: Option<u64>| value.map_or_else(|| "unlimited".to_owned(), |v| v.to_string());
        write!(f, "soft {}, hard {}", word(self.soft), word(self.hard))
    }
}

/// `Max core file size`, in bytes.
pub(crate) fn core_limit(text: &str) -> Option<Limit> {
    let mut rows = text.lines().filter_map(|line| line.strip_prefix("Max core file size"));
    let row = rows.next()?;
    if rows.next().is_some() {
        return None;
    }
    let words: Vec<&str> = row.split_whitespace().collect();
    let [soft, hard, "bytes"] = words.as_slice() else { return None };
    Some(Limit { soft: value(soft)?, hard: value(hard)? })
}

fn value(word: &str) -> Option<Option<u64>> {
    if word == "unlimited" { Some(None) } else { word.parse().ok().map(Some) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOLDEN: &str = "\
Limit                     Soft Limit           Hard Limit           Units     
Max cpu time              unlimited            unlimited            seconds   
Max core file size        0                    unlimited            bytes     
Max locked memory         8388608              8388608              bytes     
Max realtime timeout      unlimited            unlimited            us        
";

    #[test]
    fn reads_the_row_of_core_files() {
        assert_eq!(core_limit(GOLDEN), Some(Limit { soft: Some(0), hard: None }));
    }

    #[test]
    fn a_table_without_or_with_two_such_rows_is_unknown() {
        let row = "Max core file size        0                    0                    bytes     \n";
        assert_eq!(core_limit(""), None);
        assert_eq!(core_limit("Max core file size        0  bytes\n"), None);
        assert_eq!(core_limit("Max core file size        0  none bytes\n"), None);
        assert!(core_limit(row).is_some_and(|limit| limit.is(0)));
        assert_eq!(core_limit(&format!("{row}{row}")), None);
    }
}
