//! The compiled policies of every vhost and route.
//!
//! Owns which of them share one set: a route that inherits everything from its vhost, and a vhost that
//! does from the defaults, cost nothing of their own. Reads the files that policies name, through
//! `fluxheim-trust`: one that can't be used leaves no table at all.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fluxheim_config::{Config, IdentitySignature, Jwks, JwtKeys, Policy};
use fluxheim_trust::{Identity, Object, Role, Terms};
use http::HeaderName;

use crate::edge::jwks::Source;
use crate::edge::live::LiveError;
use crate::policy::basic::users::{Register, Users};
use crate::policy::jwt::keys::{KeyRing, Keys};
use crate::policy::told::{FIELDS, Signer};
use crate::policy::{Opened, Rules};

/// Looked up by vhost and route, as settings are.
#[derive(Debug)]
pub(super) struct RuleTable {
    defaults: Arc<Rules>,
    vhosts: Vec<OfVhost>,
    /// What any of them tells an upstream of who asks. A client may send none of it anywhere: a route
    /// without these rules may lead to an upstream that believes them.
    pub(super) claims: Vec<HeaderName>,
    /// The key sets that upstreams serve.
    pub(super) sources: Vec<Source>,
    /// By the files that they were read from, to be replaced when those are.
    users: HashMap<PathBuf, Arc<Register>>,
    keys: HashMap<PathBuf, Arc<KeyRing>>,
}

impl RuleTable {
    /// # Errors
    /// Every file that can't be used.
    pub(super) fn new(config: &Config) -> Result<Self, Vec<LiveError>> {
        let mut files = Files::new(config);
        let defaults = Arc::new(files.rules(&config.defaults, "defaults"));
        let mut vhosts = Vec::new();
        for (index, vhost) in config.vhosts.iter().enumerate() {
            let name = format!("vhosts {}", index + 1);
            let around = files.inherited(&name, &vhost.policy, (&config.defaults, &defaults));
            let mut routes = Vec::new();
            for route in &vhost.routes {
                routes.push(files.inherited(&name, &route.policy, (&vhost.policy, &around)));
            }
            vhosts.push((around, routes));
        }
        if files.errors.is_empty() {
            let claims = claims(&defaults, &vhosts);
            let users = read(files.users);
            let keys = read(files.keys);
            Ok(Self { defaults, vhosts, claims, sources: files.sources, users, keys })
        } else {
            Err(files.errors)
        }
    }

    /// The users of a file.
    pub(super) fn users(&self, path: &Path) -> Option<&Register> {
        self.users.get(path).map(Arc::as_ref)
    }

    /// The keys of a file.
    pub(super) fn keys(&self, path: &Path) -> Option<&KeyRing> {
        self.keys.get(path).map(Arc::as_ref)
    }

    /// Those of the route, else of the vhost, else the defaults.
    pub(super) fn of(&self, vhost: Option<usize>, route: Option<usize>) -> &Rules {
        let Some((around, routes)) = vhost.and_then(|vhost| self.vhosts.get(vhost)) else {
            return &self.defaults;
        };
        route.and_then(|route| routes.get(route)).unwrap_or(around)
    }
}

/// The rules of a vhost, and those of its routes.
type OfVhost = (Arc<Rules>, Vec<Arc<Rules>>);

fn claims(defaults: &Rules, vhosts: &[OfVhost]) -> Vec<HeaderName> {
    let routes = vhosts.iter().flat_map(|(around, routes)| std::iter::once(around).chain(routes));
    let mut claims: Vec<_> =
        routes.flat_map(|rules| rules.claims()).chain(defaults.claims()).chain(&FIELDS).cloned().collect();
    claims.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
    claims.dedup();
    claims
}

fn read<T>(files: HashMap<PathBuf, Option<Arc<T>>>) -> HashMap<PathBuf, Arc<T>> {
    files.into_iter().filter_map(|(path, read)| Some((path, read?))).collect()
}

/// The files read so far, each once.
struct Files {
    terms: Terms,
    users: HashMap<PathBuf, Option<Arc<Register>>>,
    keys: HashMap<PathBuf, Option<Arc<KeyRing>>>,
    sources: Vec<Source>,
    /// Of the rules made last.
    id: u64,
    errors: Vec<LiveError>,
}

impl Files {
    fn new(config: &Config) -> Self {
        let terms = Terms::of(config, Identity::current());
        Self {
            terms,
            users: HashMap::new(),
            keys: HashMap::new(),
            sources: Vec::new(),
            id: 0,
            errors: Vec::new(),
        }
    }

    /// The rules of `policy`, which are those around it if nothing is set anew.
    fn inherited(&mut self, name: &str, policy: &Policy, around: (&Policy, &Arc<Rules>)) -> Arc<Rules> {
        let (outer, rules) = around;
        if is_same_policy(policy, outer) { Arc::clone(rules) } else { Arc::new(self.rules(policy, name)) }
    }

    fn rules(&mut self, policy: &Policy, name: &str) -> Rules {
        let users = policy.basic_auth.as_deref().and_then(|basic| self.users(&basic.users_file, name));
        let keys = policy.jwt.as_deref().and_then(|jwt| self.keys(&jwt.keys, name));
        let signature = policy.client_identity.as_deref().and_then(|told| told.signature.as_ref());
        let signer = signature.and_then(|signature| self.signer(signature, name));
        self.id += 1;
        Rules::new(policy, Opened { users, keys, signer, id: self.id })
    }

    fn users(&mut self, path: &Path, name: &str) -> Option<Arc<Register>> {
        if let Some(known) = self.users.get(path) {
            return known.clone();
        }
        let users = self.read(Role::UsersFile, path, name, parse_users);
        let users = users.map(|users| Arc::new(Register::new(users)));
        self.users.insert(path.to_owned(), users.clone());
        users
    }

    fn keys(&mut self, keys: &JwtKeys, name: &str) -> Option<Arc<KeyRing>> {
        match keys {
            JwtKeys::File(path) => self.key_file(path, name),
            JwtKeys::Fetched(jwks) => Some(self.source(jwks)),
        }
    }

    fn key_file(&mut self, path: &Path, name: &str) -> Option<Arc<KeyRing>> {
        if let Some(known) = self.keys.get(path) {
            return known.clone();
        }
        let keys = self.read(Role::KeySet, path, name, parse_keys).map(|keys| Arc::new(KeyRing::with(keys)));
        self.keys.insert(path.to_owned(), keys.clone());
        keys
    }

    /// One ring, empty yet, for each key set that an upstream serves.
    fn source(&mut self, jwks: &Jwks) -> Arc<KeyRing> {
        if let Some(known) = self.sources.iter().find(|source| source.jwks == *jwks) {
            return Arc::clone(&known.ring);
        }
        let ring = Arc::<KeyRing>::default();
        self.sources.push(Source { jwks: jwks.clone(), ring: Arc::clone(&ring) });
        ring
    }

    /// Where there is none, an error is noted and no table is made: nothing goes out unsigned instead.
    fn signer(&mut self, signature: &IdentitySignature, name: &str) -> Option<Arc<Signer>> {
        let parse =
            |secret: &[u8]| Signer::new(secret, &signature.key_id).map_err(|error| vec![error.to_string()]);
        self.read(Role::IdentityKey, &signature.key_file, name, parse).map(Arc::new)
    }

    /// What `parse` makes of a file; what is wrong with it is noted.
    fn read<T>(
        &mut self,
        role: Role,
        path: &Path,
        name: &str,
        parse: impl FnOnce(&[u8]) -> Result<T, Vec<String>>,
    ) -> Option<T> {
        let object = Object { role, name: name.to_owned(), path: path.to_owned() };
        read_as(&object, &self.terms, parse)
            .map_err(|reasons| self.errors.extend(reasons.into_iter().map(LiveError::Policy)))
            .ok()
    }
}

/// What `parse` makes of a file.
///
/// # Errors
/// Everything that is wrong with it.
fn read_as<T>(
    object: &Object,
    terms: &Terms,
    parse: impl FnOnce(&[u8]) -> Result<T, Vec<String>>,
) -> Result<T, Vec<String>> {
    let bytes = fluxheim_trust::read(object, terms).map_err(|refused| vec![refused.to_string()])?;
    let named = |reason| format!("{}: {reason}", object.path.display());
    parse(bytes.as_bytes()).map_err(|reasons| reasons.into_iter().map(named).collect())
}

fn parse_users(bytes: &[u8]) -> Result<Users, Vec<String>> {
    Users::parse(bytes).map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

fn parse_keys(bytes: &[u8]) -> Result<Keys, Vec<String>> {
    Keys::parse(bytes).map_err(|error| vec![error.to_string()])
}

/// Reads a file of users anew.
///
/// # Errors
/// Everything that is wrong with it.
pub(super) fn read_users(object: &Object, terms: &Terms) -> Result<Users, Vec<String>> {
    read_as(object, terms, parse_users)
}

/// The same for a key set.
///
/// # Errors
/// Everything that is wrong with it.
pub(super) fn read_keys(object: &Object, terms: &Terms) -> Result<Keys, Vec<String>> {
    read_as(object, terms, parse_keys)
}

fn is_same_policy(first: &Policy, second: &Policy) -> bool {
    is_same(first.access.as_ref(), second.access.as_ref())
        && is_same(first.security_headers.as_ref(), second.security_headers.as_ref())
        && is_same(first.cors.as_ref(), second.cors.as_ref())
        && is_same(first.basic_auth.as_ref(), second.basic_auth.as_ref())
        && is_same(first.jwt.as_ref(), second.jwt.as_ref())
        && is_same(first.forward_auth.as_ref(), second.forward_auth.as_ref())
        && is_same(first.client_identity.as_ref(), second.client_identity.as_ref())
}

fn is_same<T>(first: Option<&Arc<T>>, second: Option<&Arc<T>>) -> bool {
    match (first, second) {
        (None, None) => true,
        (Some(first), Some(second)) => Arc::ptr_eq(first, second),
        (None, Some(_)) | (Some(_), None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What passes the check before the start is taken at the start.
    #[test]
    fn the_check_and_the_start_take_the_same_users() {
        let rest = "$c29tZXNhbHRzb21lc2FsdA$RdescudvJCsgt3ub+b2dWRWJTmaaJObG";
        let costs = [
            "m=19456,t=2,p=1",
            "m=7168,t=5,p=1",
            "m=7168,t=4,p=1",
            "m=7167,t=10,p=1",
            "m=262144,t=10,p=4",
            "m=262145,t=1,p=1",
            "m=19456,t=11,p=1",
            "m=19456,t=2,p=5",
            "m=19456,t=2,p=0",
        ];
        let mut files: Vec<String> =
            costs.iter().map(|costs| format!("a:$argon2id$v=19${costs}{rest}\n")).collect();
        let good = format!("$argon2id$v=19$m=19456,t=2,p=1{rest}");
        files.extend([
            String::new(),
            "# none\n".to_owned(),
            format!("a:{good}\n\r\n#\nb:{good}\n"),
            format!("a:{good}\na:{good}\n"),
            format!("{}:{good}\n", "x".repeat(255)),
            format!("{}:{good}\n", "x".repeat(256)),
            format!("a:{}\n", good.replace("argon2id", "argon2i")),
            format!("a:{}\n", good.replace("$v=19", "")),
            format!("a:{}\n", good.replace("$c29tZXNhbHRzb21lc2FsdA", "$c29tZXNhbHQ")),
            format!("a:{}\n", good.replace("$c29tZXNhbHRzb21lc2FsdA", "$c29tZXM")),
            format!("a:{}\n", good.replace("$RdescudvJCsgt3ub+b2dWRWJTmaaJObG", "$RdescudvJCsgt3ub+b2d")),
            "a:$apr1$abcdefgh$ABCDEFGHIJKLMNOPQRSTU.\n".to_owned(),
            "a:$2y$05$abcdefghijklmnopqrstuv\n".to_owned(),
            "a:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n".to_owned(),
            "plain\n".to_owned(),
        ]);
        for file in files {
            let bad = fluxheim_trust::bad_users(file.as_bytes());
            assert_eq!(bad.is_empty(), parse_users(file.as_bytes()).is_ok(), "{file}: {bad:?}");
        }
    }
}
