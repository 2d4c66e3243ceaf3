//! A file of users: `name:hash` lines, the hash in the PHC format of argon2id (RFC 9106).
//!
//! Owns what can be told of its form without a hash being made; the proxy reads the hashes and holds them to the same
//! bounds. Never prints what stands in the file.

use std::collections::BTreeSet;
use std::path::Path;

use fluxheim_config::user_bounds::{
    LEAST_MEMORY, LEAST_OUTPUT, LEAST_SALT, LEAST_WORK, MOST_LANES, MOST_MEMORY, MOST_PASSES, MOST_USERS,
};

use crate::finding::{Code, Finding, refuse};

/// What is wrong with the first line that is wrong, and with how many more.
#[must_use]
pub(crate) fn judge(path: &Path, content: &[u8]) -> Option<Finding> {
    let bad = bad_users(content);
    let first = bad.first()?;
    let more = match bad.len() {
        1 => String::new(),
        lines => format!("; and {} more", lines - 1),
    };
    let why = "the proxy does not start with it, nor take it";
    Some(refuse(path, Code::UsersUnusable, format!("{first}{more}"), why, FIX))
}

/// A line that the proxy does not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadUser {
    #[error("it names no user")]
    Empty,
    #[error("line {0} has no colon, or no name of 1 to 255 characters before it")]
    Name(usize),
    #[error("line {0} names a user that stands there already")]
    Twice(usize),
    #[error("line {0} has {1}, which is not taken: argon2id alone is")]
    Foreign(usize, &'static str),
    #[error("line {0} has no whole argon2id hash")]
    Damaged(usize),
    #[error("line {0} has an argon2id hash that is too cheap to guess, or costs too much")]
    Cost(usize),
    #[error("line {0} is beyond {MOST_USERS} users")]
    Many(usize),
}

/// Everything that is wrong with a file of users with this content, as far as its form tells.
#[must_use]
pub fn bad_users(content: &[u8]) -> Vec<BadUser> {
    let (mut names, mut bad) = (BTreeSet::new(), Vec::new());
    for (at, line) in content.split(|byte| *byte == b'\n').enumerate() {
        let (number, line) = (at + 1, line.trim_ascii());
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        let known = names.len();
        match user(number, line) {
            _ if known >= MOST_USERS => bad.push(BadUser::Many(number)),
            Ok(name) if !names.insert(name) => bad.push(BadUser::Twice(number)),
            Ok(_) => {}
            Err(error) => bad.push(error),
        }
    }
    if names.is_empty() && bad.is_empty() {
        bad.push(BadUser::Empty);
    }
    bad
}

/// The name, where the hash behind it has the form.
fn user(number: usize, line: &[u8]) -> Result<&str, BadUser> {
    let split = str::from_utf8(line).ok().and_then(|line| line.split_once(':'));
    let (name, hash) = split.ok_or(BadUser::Name(number))?;
    if name.is_empty() || name.len() > 255 || name.chars().any(char::is_control) {
        return Err(BadUser::Name(number));
    }
    if let Some((_, kind)) = FOREIGN.iter().find(|(start, _)| hash.starts_with(start)) {
        return Err(BadUser::Foreign(number, kind));
    }
    let mut fields = hash.split('$');
    let parts: [Option<&str>; 7] = std::array::from_fn(|_| fields.next());
    let [Some(""), Some("argon2id"), Some("v=19"), Some(costs), Some(salt), Some(output), None] = parts
    else {
        return Err(if hash.contains('$') {
            BadUser::Damaged(number)
        } else {
            BadUser::Foreign(number, PLAIN)
        });
    };
    // Base64 without padding: three bytes in four digits.
    let whole = |text: &str, least: usize| {
        let digit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
        text.bytes().all(digit) && text.len() * 3 / 4 >= least
    };
    let [Some(memory), Some(passes), Some(lanes)] = ["m=", "t=", "p="].map(|key| cost(costs, key)) else {
        return Err(BadUser::Damaged(number));
    };
    if !whole(salt, LEAST_SALT) || !whole(output, LEAST_OUTPUT) {
        return Err(BadUser::Damaged(number));
    }
    let bearable = memory <= MOST_MEMORY && passes <= MOST_PASSES && (1..=MOST_LANES).contains(&lanes);
    let strong = memory >= LEAST_MEMORY && memory * passes >= LEAST_WORK;
    if bearable && strong { Ok(name) } else { Err(BadUser::Cost(number)) }
}

fn cost(costs: &str, key: &str) -> Option<u64> {
    costs.split(',').find_map(|part| part.strip_prefix(key))?.parse::<u32>().ok().map(u64::from)
}

const FIX: &str = "make the hash anew, `fluxheim --hash-password` reads the password from its standard input, and write \
                   name:hash; nothing turns a hash of another kind into one";
/// How htpasswd and crypt(5) begin theirs.
const FOREIGN: [(&str, &str); 13] = [
    ("$apr1$", "an apr1 hash of htpasswd"),
    ("$2a$", BCRYPT),
    ("$2b$", BCRYPT),
    ("$2x$", BCRYPT),
    ("$2y$", BCRYPT),
    ("{SHA}", "a SHA-1 hash"),
    ("{SSHA}", "a SHA-1 hash"),
    ("{PLAIN}", PLAIN),
    ("$1$", "an MD5 hash"),
    ("$5$", "a SHA-256 hash of crypt"),
    ("$6$", "a SHA-512 hash of crypt"),
    ("$y$", "a yescrypt hash"),
    ("$argon2i$", "an argon2i hash"),
];
const BCRYPT: &str = "a bcrypt hash";
const PLAIN: &str = "a password or a DES hash";

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str =
        "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$RdescudvJCsgt3ub+b2dWRWJTmaaJObG";

    #[test]
    fn takes_argon2id_and_names_what_is_something_else() {
        assert_eq!(bad_users(format!("# staff\n\nann:{GOOD}\r\nbob:{GOOD}\n").as_bytes()), []);
        let text =
            "a:$apr1$abcdefgh$ABCDEFGHIJKLMNOPQRSTU.\nb:$2y$05$abcdefghijklmnopqrstuv\nc:{SHA}x\nd:secret\n";
        let told: Vec<_> = bad_users(text.as_bytes()).iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "line 1 has an apr1 hash of htpasswd, which is not taken: argon2id alone is",
                "line 2 has a bcrypt hash, which is not taken: argon2id alone is",
                "line 3 has a SHA-1 hash, which is not taken: argon2id alone is",
                "line 4 has a password or a DES hash, which is not taken: argon2id alone is",
            ]
        );
        let finding = judge(Path::new("/u"), text.as_bytes()).unwrap();
        assert!(finding.seen.ends_with("; and 3 more") && finding.fix.contains("fluxheim --hash-password"));
        assert!(!finding.to_string().contains("secret"), "{finding}");
    }

    #[test]
    fn judges_the_form_of_every_line() {
        assert_eq!(bad_users(b"# none\n"), [BadUser::Empty]);
        assert_eq!(bad_users(format!("a:{GOOD}\na:{GOOD}\n").as_bytes()), [BadUser::Twice(2)]);
        for name in ["", ":", "ann", "\u{1}:"] {
            let text = format!("b:{GOOD}\n{name}{}", if name.is_empty() { ":x" } else { "" });
            assert_eq!(bad_users(text.as_bytes()), [BadUser::Name(2)], "{name}");
        }
        assert_eq!(bad_users(b"a\xff:x"), [BadUser::Name(1)]);
        for (old, new) in [
            ("v=19", "v=16"),
            ("$v=19", ""),
            ("m=19456,", ""),
            ("m=19456", "m=x"),
            ("$c29tZXNhbHRzb21lc2FsdA", "$c2"),
            ("c29tZXNhbHR", "c29t!XNhbHR"),
            ("$RdescudvJCsgt3ub+b2dWRWJTmaaJObG", ""),
            ("JObG", "JObG$"),
        ] {
            assert_eq!(
                bad_users(format!("a:{}", GOOD.replace(old, new)).as_bytes()),
                [BadUser::Damaged(1)],
                "{old}"
            );
        }
        for cost in [
            "m=1024,t=2,p=1",
            "m=7168,t=1,p=1",
            "m=4194304,t=1,p=1",
            "m=19456,t=1000,p=1",
            "m=19456,t=2,p=64",
        ] {
            let text = format!("a:{}", GOOD.replace("m=19456,t=2,p=1", cost));
            assert_eq!(bad_users(text.as_bytes()), [BadUser::Cost(1)], "{cost}");
        }
        let many: String = (0..=MOST_USERS).map(|number| format!("u{number}:{GOOD}\n")).collect();
        assert_eq!(bad_users(many.as_bytes()), [BadUser::Many(MOST_USERS + 1)]);
    }
}
