//! One thing that is wrong with a file or a folder on the way to it.
//!
//! Owns the stable codes and the shape of messages; decides nothing. `docs/storage.md` explains
//! every code.

use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth mending; the file is used all the same.
    Warn,
    /// What can't be judged is not taken for fine: the file is not used.
    Unknown,
    /// The file is not used.
    Refuse,
}

impl Severity {
    /// Whether the file may be used all the same.
    #[must_use]
    pub const fn allows_use(self) -> bool {
        matches!(self, Self::Warn)
    }

    /// The stable name in reports.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Warn => "warn",
            Self::Unknown => "unknown",
            Self::Refuse => "refuse",
        }
    }
}

/// Stable identifier of a kind of finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Code {
    AclDefault,
    AclDormant,
    AclGrants,
    AclUnknown,
    AdvisoryModes,
    CertificateUnusable,
    ChainIncomplete,
    ChainOrder,
    Changing,
    CrlUnusable,
    Empty,
    Expired,
    ExpiresSoon,
    ForeignOwner,
    FsGroup,
    HardLinked,
    KeyEncrypted,
    KeyInCertificate,
    KeyMismatch,
    KeyUnproven,
    KeyUnsupported,
    KeyUnusable,
    KeyWeak,
    LinkLoop,
    Missing,
    ModeTooOpen,
    MountInside,
    NameNotCovered,
    NotACa,
    NotADirectory,
    NotAFile,
    NotAServerCertificate,
    NotYetValid,
    OsError,
    ParentForeignOwner,
    ParentWritable,
    PinnedFile,
    RuntimeSecretOpen,
    SignatureWeak,
    SpecialBits,
    Symlink,
    TicketKeysUnusable,
    TimedOut,
    TooDeep,
    TooLarge,
    TooMany,
    UnmappedOwner,
    Unreadable,
    Unwritable,
    UsersUnusable,
    WritableByOthers,
}

impl Code {
    /// Every code, in alphabetical order.
    pub const ALL: [Self; 51] = [
        Self::AclDefault,
        Self::AclDormant,
        Self::AclGrants,
        Self::AclUnknown,
        Self::AdvisoryModes,
        Self::CertificateUnusable,
        Self::ChainIncomplete,
        Self::ChainOrder,
        Self::Changing,
        Self::CrlUnusable,
        Self::Empty,
        Self::Expired,
        Self::ExpiresSoon,
        Self::ForeignOwner,
        Self::FsGroup,
        Self::HardLinked,
        Self::KeyEncrypted,
        Self::KeyInCertificate,
        Self::KeyMismatch,
        Self::KeyUnproven,
        Self::KeyUnsupported,
        Self::KeyUnusable,
        Self::KeyWeak,
        Self::LinkLoop,
        Self::Missing,
        Self::ModeTooOpen,
        Self::MountInside,
        Self::NameNotCovered,
        Self::NotACa,
        Self::NotADirectory,
        Self::NotAFile,
        Self::NotAServerCertificate,
        Self::NotYetValid,
        Self::OsError,
        Self::ParentForeignOwner,
        Self::ParentWritable,
        Self::PinnedFile,
        Self::RuntimeSecretOpen,
        Self::SignatureWeak,
        Self::SpecialBits,
        Self::Symlink,
        Self::TicketKeysUnusable,
        Self::TimedOut,
        Self::TooDeep,
        Self::TooLarge,
        Self::TooMany,
        Self::UnmappedOwner,
        Self::Unreadable,
        Self::Unwritable,
        Self::UsersUnusable,
        Self::WritableByOthers,
    ];

    /// The name in reports and in `docs/storage.md`.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::AclDefault => "acl-default",
            Self::AclDormant => "acl-dormant",
            Self::AclGrants => "acl-grants",
            Self::AclUnknown => "acl-unknown",
            Self::AdvisoryModes => "advisory-modes",
            Self::CertificateUnusable => "certificate-unusable",
            Self::ChainIncomplete => "chain-incomplete",
            Self::ChainOrder => "chain-order",
            Self::Changing => "changing",
            Self::CrlUnusable => "crl-unusable",
            Self::Empty => "empty",
            Self::Expired => "expired",
            Self::ExpiresSoon => "expires-soon",
            Self::ForeignOwner => "foreign-owner",
            Self::FsGroup => "fs-group",
            Self::HardLinked => "hard-linked",
            Self::KeyEncrypted => "key-encrypted",
            Self::KeyInCertificate => "key-in-certificate",
            Self::KeyMismatch => "key-mismatch",
            Self::KeyUnproven => "key-unproven",
            Self::KeyUnsupported => "key-unsupported",
            Self::KeyUnusable => "key-unusable",
            Self::KeyWeak => "key-weak",
            Self::LinkLoop => "link-loop",
            Self::Missing => "missing",
            Self::ModeTooOpen => "mode-too-open",
            Self::MountInside => "mount-inside",
            Self::NameNotCovered => "name-not-covered",
            Self::NotACa => "not-a-ca",
            Self::NotADirectory => "not-a-directory",
            Self::NotAFile => "not-a-file",
            Self::NotAServerCertificate => "not-a-server-certificate",
            Self::NotYetValid => "not-yet-valid",
            Self::OsError => "os-error",
            Self::ParentForeignOwner => "parent-foreign-owner",
            Self::ParentWritable => "parent-writable",
            Self::PinnedFile => "pinned-file",
            Self::RuntimeSecretOpen => "runtime-secret-open",
            Self::SignatureWeak => "signature-weak",
            Self::SpecialBits => "special-bits",
            Self::Symlink => "symlink",
            Self::TicketKeysUnusable => "ticket-keys-unusable",
            Self::TimedOut => "timed-out",
            Self::TooDeep => "too-deep",
            Self::TooLarge => "too-large",
            Self::TooMany => "too-many",
            Self::UnmappedOwner => "unmapped-owner",
            Self::Unreadable => "unreadable",
            Self::Unwritable => "unwritable",
            Self::UsersUnusable => "users-unusable",
            Self::WritableByOthers => "writable-by-others",
        }
    }
}

impl Code {
    /// Whether time alone may mend it: a volume that is not filled yet, a rotation under way.
    #[must_use]
    pub const fn may_heal(self) -> bool {
        matches!(self, Self::Changing | Self::Empty | Self::KeyMismatch | Self::Missing | Self::TimedOut)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

/// What is wrong, where, and how to mend it. Never holds content of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The component at fault: the file or a folder on the way to it.
    pub path: PathBuf,
    /// What kind of fault.
    pub code: Code,
    /// Whether the file is refused for it.
    pub severity: Severity,
    /// What was found there: `mode 0644 (rw-r--r--), owner 65532:65532`.
    pub seen: String,
    /// What that means.
    pub why: String,
    /// The command, or the deed, that mends it.
    pub fix: String,
}

impl Finding {
    /// Its path as it can stand in a line of a report and in a shell command.
    #[must_use]
    pub fn shown_path(&self) -> String {
        Shown(&self.path).to_string()
    }
}

/// One line, everything in it.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, code, seen, why, fix, .. } = self;
        write!(f, "{}: {seen}: {why} [{code}]; fix: {fix}", Shown(path))
    }
}

/// A finding for which the file is not used.
pub(crate) fn refuse(
    path: &Path,
    code: Code,
    seen: impl fmt::Display,
    why: impl Into<String>,
    fix: impl Into<String>,
) -> Finding {
    let (path, seen, why, fix) = (path.to_owned(), seen.to_string(), why.into(), fix.into());
    Finding { path, code, severity: Severity::Refuse, seen, why, fix }
}

/// One that is worth mending.
pub(crate) fn warn(
    path: &Path,
    code: Code,
    seen: impl fmt::Display,
    why: impl Into<String>,
    fix: impl Into<String>,
) -> Finding {
    Finding { severity: Severity::Warn, ..refuse(path, code, seen, why, fix) }
}

/// One that says that something can't be judged.
pub(crate) fn unknown(
    path: &Path,
    code: Code,
    seen: impl fmt::Display,
    why: impl Into<String>,
    fix: impl Into<String>,
) -> Finding {
    Finding { severity: Severity::Unknown, ..refuse(path, code, seen, why, fix) }
}

/// A path as it can stand in a message and in a shell command.
pub(crate) struct Shown<'a>(pub &'a Path);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0.as_os_str().as_bytes();
        let plain = |c: char| c.is_alphanumeric() || "/._-+=:@,%".contains(c);
        match self.0.to_str() {
            // A dash in front would be an option.
            Some(text) if !text.is_empty() && !text.starts_with('-') && text.chars().all(plain) => {
                f.write_str(text)
            }
            Some(text) if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) => {
                write!(f, "'{}'", text.replace('\'', r"'\''"))
            }
            // Whatever it is made of, it moves no cursor, fakes no line of the report, and runs nothing
            // when it is pasted into a shell: between $' and ' only the backslash means anything.
            _ => write!(f, "$'{}'", Escaped(bytes)),
        }
    }
}

struct Escaped<'a>(&'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| match byte {
            b'\\' | b'\'' => write!(f, "\\{}", char::from(*byte)),
            b' '..=b'~' => write!(f, "{}", char::from(*byte)),
            other => write!(f, "\\x{other:02x}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_paths_for_the_shell_only_where_needed() {
        let shown = |path: &str| Shown(Path::new(path)).to_string();
        assert_eq!(shown("/etc/fluxheim/tls/a.key"), "/etc/fluxheim/tls/a.key");
        assert_eq!(shown("/a b/it's"), r"'/a b/it'\''s'");
        assert_eq!(shown("/a;rm"), "'/a;rm'");
        assert_eq!(shown("/a\n\u{1b}[2J"), r"$'/a\x0a\x1b[2J'");
        assert_eq!(shown("/a\u{1}$(touch x)'`y`"), r"$'/a\x01$(touch x)\'`y`'");
        assert_eq!(shown("/\u{202e}gpj.exe"), r"$'/\xe2\x80\xaegpj.exe'");
        assert_eq!(shown("-rf"), "'-rf'");
        let bytes = std::ffi::OsStr::from_bytes(b"b\xff`touch y`");
        assert_eq!(Shown(Path::new(bytes)).to_string(), r"$'b\xff`touch y`'");
    }

    #[test]
    fn every_code_has_its_own_sorted_name() {
        let ids: Vec<_> = Code::ALL.iter().map(|code| code.id()).collect();
        assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
    }

    #[test]
    fn every_code_is_explained_to_operators() {
        let docs = include_str!("../../../docs/storage.md");
        for code in Code::ALL {
            assert!(docs.contains(&format!("| `{code}` |")), "docs/storage.md has no row for {code}");
        }
    }
}
