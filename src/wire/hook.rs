//! What the proxy and `fluxheim dns-hook` say to each other: the proxy greets, then a line asks and a line answers.
//!
//! Owns the form of each line, and what may be in it: nothing that a program could take for anything but a name
//! and a value. The verbs are those of lego's provider `exec`, so that its programs do here too.

/// What the proxy says first to whom it lets in.
pub const GREETING: &str = "fluxheim dns-hook 1\n";

/// What it says in its place when there are too many already; as long, so that either is read alike.
pub const FULL: &str = "dns-hook 1: is full\n";
const _: () = assert!(FULL.len() == GREETING.len(), "one length is read");

/// Bytes of the longest request, its end included.
pub const MOST_ASKED: usize = 512;
/// Bytes of the longest answer, its end included.
pub const MOST_ANSWERED: usize = 2048;

/// What is to be done with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Make it, beside those that are there.
    Present,
    /// Take it away, and no other; fine where there is none.
    Cleanup,
}

impl Verb {
    /// As programs are told.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Present => "present",
            Self::Cleanup => "cleanup",
        }
    }
}

/// What is asked of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    verb: Verb,
    name: String,
    value: String,
}

/// Why something is no request, or no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("it is no line of the form that is spoken here")]
    Line,
    #[error("it is no verb: present and cleanup are")]
    Verb,
    #[error(
        "it is no name of a record: labels of a-z, 0-9, _ and -, none of which begins with -, and a dot at the end"
    )]
    Name,
    #[error("it is no value of DNS-01: 43 characters of base64url (RFC 8555 section 8.4)")]
    Value,
}

impl Request {
    /// `name` in any case, with the dot at its end or without.
    ///
    /// # Errors
    /// [`Malformed`]
    pub fn new(verb: Verb, name: &str, value: &str) -> Result<Self, Malformed> {
        let mut name = name.to_ascii_lowercase();
        if !name.ends_with('.') {
            name.push('.');
        }
        if !is_name(&name) {
            return Err(Malformed::Name);
        }
        match is_value(value) {
            true => Ok(Self { verb, name, value: value.to_owned() }),
            false => Err(Malformed::Value),
        }
    }

    /// What a line asks; `line` has its end.
    ///
    /// # Errors
    /// [`Malformed`]
    pub fn read(line: &[u8]) -> Result<Self, Malformed> {
        if line.len() > MOST_ASKED {
            return Err(Malformed::Line);
        }
        let text = std::str::from_utf8(line).ok().and_then(|text| text.strip_suffix('\n'));
        let mut words = text.ok_or(Malformed::Line)?.split(' ');
        let (Some(verb), Some(name), Some(value), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(Malformed::Line);
        };
        let verb = match verb {
            "present" => Verb::Present,
            "cleanup" => Verb::Cleanup,
            _ => return Err(Malformed::Verb),
        };
        // As it is written, and in no other way.
        if !is_name(name) {
            return Err(Malformed::Name);
        }
        Self::new(verb, name, value)
    }

    /// The line that asks it.
    #[must_use]
    pub fn line(&self) -> String {
        format!("{} {} {}\n", self.verb.name(), self.name, self.value)
    }

    #[must_use]
    pub const fn verb(&self) -> Verb {
        self.verb
    }

    /// In lower case, with a dot at its end.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Whether the name is `zone`, which has no dot at its end, or below it.
    #[must_use]
    pub fn is_within(&self, zone: &str) -> bool {
        let name = self.name.trim_end_matches('.');
        name == zone || name.strip_suffix(zone).is_some_and(|before| before.ends_with('.'))
    }
}

/// RFC 1035 section 2.3.4, less what no name of a challenge has: nothing that a shell, a tool or a zone file would
/// take for something else.
fn is_name(name: &str) -> bool {
    let Some(labels) = name.strip_suffix('.') else { return false };
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
    let is_label =
        |label: &str| (1..=63).contains(&label.len()) && !label.starts_with('-') && label.bytes().all(fits);
    labels.len() <= LONGEST_NAME && labels.contains('.') && labels.split('.').all(is_label)
}

/// SHA-256 in base64url.
fn is_value(value: &str) -> bool {
    value.len() == 43 && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The program has ended, and says that it is done.
    Done,
    /// It has not done it.
    Failed(String),
    /// It was not asked.
    Refused(String),
}

impl Answer {
    /// What a line answers; `line` has its end.
    ///
    /// # Errors
    /// [`Malformed::Line`]
    pub fn read(line: &[u8]) -> Result<Self, Malformed> {
        if line.len() > MOST_ANSWERED {
            return Err(Malformed::Line);
        }
        let text = std::str::from_utf8(line).ok().and_then(|text| text.strip_suffix('\n'));
        let text = text.filter(|text| !text.contains(char::is_control)).ok_or(Malformed::Line)?;
        match text.split_once(' ') {
            None if text == "done" => Ok(Self::Done),
            Some(("failed", why)) if !why.is_empty() => Ok(Self::Failed(why.to_owned())),
            Some(("refused", why)) if !why.is_empty() => Ok(Self::Refused(why.to_owned())),
            _ => Err(Malformed::Line),
        }
    }

    /// The line that answers it; what is too long is cut.
    #[must_use]
    pub fn line(&self) -> String {
        match self {
            Self::Done => "done\n".to_owned(),
            Self::Failed(why) => format!("failed {}\n", shown(why)),
            Self::Refused(why) => format!("refused {}\n", shown(why)),
        }
    }
}

/// As a line of a log bears it.
fn shown(text: &str) -> String {
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    let mut shown: String = text.chars().take(LONGEST_REASON).map(clean).collect();
    if text.chars().nth(LONGEST_REASON).is_some() {
        shown.push('…');
    }
    if shown.is_empty() {
        shown.push('-');
    }
    shown
}

/// Without the dot at its end.
const LONGEST_NAME: usize = 253;
/// In characters; four bytes each fit into an answer.
const LONGEST_REASON: usize = 400;

#[cfg(test)]
mod tests;
