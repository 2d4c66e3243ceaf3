//! The file of users: `name:hash` lines, the hash in the PHC format of argon2id (RFC 9106).
//!
//! Holds hashes to the bounds that the storage check holds them to. Never prints what stands in the file.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use argon2::password_hash::phc::{Output, PasswordHash, Salt};
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Argon2, Params};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use fluxheim_config::user_bounds::{
    LEAST_MEMORY, LEAST_OUTPUT, LEAST_SALT, LEAST_WORK, MOST_LANES, MOST_MEMORY, MOST_PASSES, MOST_USERS,
};

use crate::policy::keyed::NoRandomness;

/// Who may come in.
pub struct Users {
    known: HashMap<String, Hash>,
    /// What a name that is not known is judged by: as costly as most of the others, met by nothing.
    nobody: Hash,
}

/// The users that hold now; a file that is replaced replaces them.
#[derive(Debug)]
pub struct Register(ArcSwap<Users>);

impl Register {
    /// With these users.
    #[must_use]
    pub fn new(users: Users) -> Self {
        Self(ArcSwap::from_pointee(users))
    }

    /// Puts `users` in place of those there are.
    pub fn replace(&self, users: Users) {
        self.0.store(Arc::new(users));
    }

    /// Those there are.
    #[must_use]
    pub fn users(&self) -> Arc<Users> {
        self.0.load_full()
    }
}

/// One stored hash.
#[derive(Clone)]
pub struct Hash {
    parsed: PasswordHash,
    text: String,
}

/// Why a file of users can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UsersError {
    /// No line names a user.
    #[error("it names no user: add lines of name:hash, with hashes by fluxheim --hash-password")]
    Empty,
    /// A line that is no user.
    #[error("line {line}: {reason}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What is wrong and how to mend it.
        reason: &'static str,
    },
    /// No user can be made up for names that are not known.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

impl Users {
    /// Reads the lines of a file; empty ones and those that start with `#` say nothing.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(text: &[u8]) -> Result<Self, Vec<UsersError>> {
        let (mut known, mut errors) = (HashMap::new(), Vec::new());
        for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            let read = if known.len() < MOST_USERS { user(line) } else { Err("there are over 10000 users") };
            let read = read.and_then(|(name, hash)| match known.contains_key(&name) {
                true => Err("the name stands there already: keep one of them"),
                false => Ok((name, hash)),
            });
            match read {
                Ok((name, hash)) => drop(known.insert(name, hash)),
                Err(reason) => errors.push(UsersError::Line { line: index + 1, reason }),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let usual = usual(&known).ok_or_else(|| vec![UsersError::Empty])?;
        let nobody = nobody(usual).map_err(|error| vec![error.into()])?;
        Ok(Self { known, nobody })
    }

    /// What to judge `name` by, and whether it is known at all.
    #[must_use]
    pub fn find(&self, name: &str) -> (&Hash, bool) {
        self.known.get(name).map_or((&self.nobody, false), |hash| (hash, true))
    }
}

impl Hash {
    /// Whether it is the password's. Takes memory and time, as it is meant to; the comparison takes the
    /// same time wherever the two differ.
    #[must_use]
    pub fn fits(&self, password: &[u8]) -> bool {
        Argon2::default().verify_password(password, &self.parsed).is_ok()
    }

    /// As the file has it.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Reads a hash and holds it to the bounds.
    fn parse(text: &str) -> Result<Self, &'static str> {
        let parsed = PasswordHash::new(text).map_err(|_| NOT_ARGON2ID)?;
        if parsed.algorithm.as_str() != "argon2id" || parsed.version != Some(0x13) {
            return Err(NOT_ARGON2ID);
        }
        let params = Params::try_from(&parsed).map_err(|_| NOT_ARGON2ID)?;
        let (memory, passes) = (u64::from(params.m_cost()), u64::from(params.t_cost()));
        if memory > MOST_MEMORY || passes > MOST_PASSES || u64::from(params.p_cost()) > MOST_LANES {
            return Err("the hash costs too much: at most m=262144, t=10, p=4");
        }
        if memory < LEAST_MEMORY || memory * passes < LEAST_WORK {
            return Err("the hash is too cheap to guess: at least m=19456, t=2 or as much work");
        }
        let salted = parsed.salt.as_ref().is_some_and(|salt| salt.len() >= LEAST_SALT);
        let hashed = parsed.hash.as_ref().is_some_and(|hash| hash.len() >= LEAST_OUTPUT);
        if !salted || !hashed {
            return Err("the hash has a salt of under 8 or an output of under 16 bytes");
        }
        Ok(Self { parsed, text: text.to_owned() })
    }
}

/// No name and no hash.
impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Users({})", self.known.len())
    }
}

/// A hash for `password` in the form that [`Users::parse`] takes.
///
/// # Errors
/// The system has no randomness to give.
pub fn hash(password: &[u8]) -> Result<String, NoRandomness> {
    let salt: [u8; 16] = random()?;
    let hash = Argon2::default().hash_password_with_salt(password, &salt).map_err(|_| NoRandomness)?;
    Ok(hash.to_string())
}

fn user(line: &[u8]) -> Result<(String, Hash), &'static str> {
    let line = str::from_utf8(line).map_err(|_| "it is not UTF-8")?;
    let (name, hash) = line.split_once(':').ok_or("it has no colon: write name:hash")?;
    if name.is_empty() || name.len() > 255 || name.chars().any(char::is_control) {
        return Err("the name must have 1 to 255 characters, none of them a control character");
    }
    Ok((name.to_owned(), Hash::parse(hash)?))
}

/// The hash with the parameters that most have.
fn usual(known: &HashMap<String, Hash>) -> Option<&Hash> {
    let mut alike: HashMap<String, (usize, &Hash)> = HashMap::new();
    for hash in known.values() {
        alike.entry(hash.parsed.params.to_string()).or_insert((0, hash)).0 += 1;
    }
    alike.into_values().max_by_key(|(count, _)| *count).map(|(_, hash)| hash)
}

/// One that costs as much as `like` and that no password is known to fit.
fn nobody(like: &Hash) -> Result<Hash, NoRandomness> {
    let (salt, output): ([u8; 16], [u8; 32]) = (random()?, random()?);
    let mut parsed = like.parsed.clone();
    let length = parsed.hash.as_ref().map_or(output.len(), Output::len);
    parsed.salt = Salt::new(&salt).ok();
    parsed.hash = output.get(..length).and_then(|output| Output::new(output).ok()).or(parsed.hash);
    Ok(Hash { text: parsed.to_string(), parsed })
}

fn random<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(bytes)
}

const NOT_ARGON2ID: &str = "it has no argon2id hash, and those of htpasswd (apr1, bcrypt) are not \
                            taken: make one with fluxheim --hash-password";

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        Users::parse(text.as_bytes()).err().unwrap_or_default().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn knows_its_users_by_their_passwords_and_nobody_else() {
        let text = format!("# staff\n\nann:{}\r\nbob:{}\n", hash(b"a").unwrap(), hash(b"b").unwrap());
        let users = Users::parse(text.as_bytes()).unwrap();
        let (ann, known) = users.find("ann");
        assert!(known && ann.fits(b"a") && !ann.fits(b"b") && !ann.fits(b""));
        let (nobody, known) = users.find("eve");
        assert!(!known && !nobody.fits(b"a"));
        let params = |hash: &Hash| hash.parsed.params.to_string();
        assert_eq!(params(nobody), params(ann));
        assert_eq!(format!("{users:?}"), "Users(2)");
    }

    #[test]
    fn a_file_without_users_or_with_a_broken_line_is_no_file_of_users() {
        assert!(problems("# none\n\n")[0].starts_with("it names no user"));
        let good = hash(b"a").unwrap();
        assert_eq!(
            problems(&format!("ann:{good}\nann:{good}\n")),
            ["line 2: the name stands there already: keep one of them"]
        );
        let bcrypt = "bob:$2y$05$abcdefghijklmnopqrstuv";
        let told = problems(&format!("ann:{good}\n{bcrypt}\nplain\n:{good}\n"));
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(told[0].starts_with("line 2: it has no argon2id hash"), "{told:?}");
    }

    #[test]
    fn holds_hashes_to_what_is_strong_enough_and_what_a_machine_bears() {
        let rest = "$c29tZXNhbHRzb21lc2FsdA$RdescudvJCsgt3ub+b2dWRWJTmaaJObG";
        let with = |params: &str| problems(&format!("a:$argon2id$v=19${params}{rest}"));
        assert!(with("m=19456,t=2,p=1").is_empty() && with("m=7168,t=5,p=1").is_empty());
        for (params, said) in [
            ("m=1024,t=2,p=1", "too cheap"),
            ("m=7168,t=1,p=1", "too cheap"),
            ("m=4194304,t=1,p=1", "too much"),
            ("m=19456,t=1000,p=1", "too much"),
            ("m=19456,t=2,p=64", "too much"),
        ] {
            assert!(with(params)[0].contains(said), "{params}");
        }
        assert!(problems(&format!("a:$argon2i$v=19$m=19456,t=2,p=1{rest}"))[0].contains("no argon2id hash"));
        assert!(problems(&format!("a:$argon2id$m=19456,t=2,p=1{rest}"))[0].contains("no argon2id hash"));
        assert!(problems("a:$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA")[0].contains("under 16"));
    }
}
