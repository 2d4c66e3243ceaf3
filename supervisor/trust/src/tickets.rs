//! A file of keys of session tickets: one a line in base64.
//!
//! Owns its form, for the check and for the proxy alike; makes no key of what stands there.

use zeroize::Zeroizing;

use crate::pem::base64;

/// Why a file holds no keys; tells nothing of its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadTicketKeys {
    #[error("line {0} is no key")]
    Line(usize),
    #[error("line {0} is a key that stands there before")]
    Twice(usize),
    #[error("it holds no key")]
    Empty,
    #[error("it holds more than {MOST_KEYS} keys")]
    Many,
}

impl BadTicketKeys {
    /// What mends it.
    #[must_use]
    pub fn fix(self) -> String {
        match self {
            Self::Line(_) => format!(
                "give {LEAST} to {MOST} random bytes in base64, such as `openssl rand -base64 32` writes, to a line"
            ),
            Self::Twice(_) => "take it out".to_owned(),
            Self::Empty => "write one with `openssl rand -base64 32`".to_owned(),
            Self::Many => "take out those whose tickets are no longer good".to_owned(),
        }
    }
}

/// The secrets in the content of a file, in its order; empty lines and those that begin with `#` don't count.
///
/// # Errors
/// [`BadTicketKeys`], with the line that is none.
pub fn ticket_secrets(content: &[u8]) -> Result<Vec<Zeroizing<Vec<u8>>>, BadTicketKeys> {
    let mut secrets: Vec<Zeroizing<Vec<u8>>> = Vec::new();
    for (at, line) in content.split(|byte| *byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        let secret = secret(line).ok_or(BadTicketKeys::Line(at + 1))?;
        if secrets.contains(&secret) {
            return Err(BadTicketKeys::Twice(at + 1));
        }
        secrets.push(secret);
    }
    match secrets.len() {
        0 => Err(BadTicketKeys::Empty),
        1..=MOST_KEYS => Ok(secrets),
        _ => Err(BadTicketKeys::Many),
    }
}

/// Padded, and without white space: what tools write in one line.
fn secret(line: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    if !line.len().is_multiple_of(4) || line.iter().any(u8::is_ascii_whitespace) {
        return None;
    }
    let mut secret = Zeroizing::new(vec![0; ROOM]);
    let length = base64::decode(line, &mut secret)?;
    secret.truncate(length);
    (LEAST..=MOST).contains(&length).then_some(secret)
}

/// As many bytes as the strongest cipher has.
const LEAST: usize = 32;
const MOST: usize = 64;
/// What any line that is not far too long decodes into.
const ROOM: usize = 72;
const MOST_KEYS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    /// 32 bytes, all alike.
    fn line(digit: char) -> String {
        format!("{}8=\n", digit.to_string().repeat(42))
    }

    #[test]
    fn reads_one_key_a_line_and_skips_what_is_none() {
        let text = format!("# the new one\n\n{}\r\n{}", line('A').trim(), line('B').trim());
        let secrets = ticket_secrets(text.as_bytes()).unwrap();
        assert_eq!(secrets.iter().map(|secret| secret.len()).collect::<Vec<_>>(), [32, 32]);
        assert!(secrets[0][..31].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn says_which_line_is_no_key() {
        let read = |text: &str| ticket_secrets(text.as_bytes()).unwrap_err();
        assert_eq!(read("# none\n\n"), BadTicketKeys::Empty);
        assert_eq!(read(&format!("{0}{0}", line('A'))), BadTicketKeys::Twice(2));
        // Too short, too long, far too long, unpadded, with a gap, not base64.
        let good = line('B');
        let cut = &good.trim()[..40];
        let (long, longer) = (format!("{cut}{cut}{}", &good[..8]), cut.repeat(9));
        let (bare, gap) = (good.trim().trim_end_matches('='), format!("{} {}", &good[..20], &good[20..43]));
        for bad in ["x", "AAAA", cut, &long, &longer, bare, &gap, &good.trim().replace('B', "!")] {
            let told = read(&format!("{}\n{bad}\n", line('A')));
            assert_eq!(told, BadTicketKeys::Line(3), "{bad}");
            assert!(!format!("{told}; {}", told.fix()).contains(bad), "{told}");
        }
        let many: String = ('A'..='Q').map(line).collect();
        assert_eq!(read(&many), BadTicketKeys::Many);
    }
}
