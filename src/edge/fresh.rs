//! A file that the tables were built from, replaced while they are in use.
//!
//! Owns reading the one file, and putting what it holds in its place; everything else stays, requests
//! under way included. Watching is `rotation`'s.

use std::path::PathBuf;

use fluxheim_config::{Config, Upstream};
use fluxheim_trust::{Item, Object, Role, ShownTo, Terms, ca_bundle, client_pair};

use crate::edge::live::Live;
use crate::edge::rules;
use crate::policy::basic::users::Users;
use crate::policy::jwt::keys::Keys;
use crate::tls::{self, Outward};
use crate::upstream::StickyKey;

/// What a file holds by now.
#[derive(Debug)]
pub enum Fresh {
    /// What connections to an upstream believe and show; its place among them.
    Outward(usize, Box<Outward>),
    /// The key of an upstream's cookies.
    Sticky(usize, Box<StickyKey>),
    /// Who may come in.
    Users(PathBuf, Box<Users>),
    /// Whose tokens are believed.
    Keys(PathBuf, Keys),
}

/// What an item is to the tables.
enum Place {
    Outward(usize),
    Sticky(usize),
    Users,
    Keys,
}

impl Place {
    /// `None` for what these tables don't hold.
    fn of(config: &Config, item: &Item) -> Option<Self> {
        let upstream = |named: &dyn Fn(&Upstream) -> bool| config.upstreams.iter().position(named);
        match item {
            Item::Pair(pair) if pair.shown_to == ShownTo::Upstreams => {
                upstream(&|one| client_pair(one).as_ref() == Some(pair)).map(Self::Outward)
            }
            Item::One(object) => match object.role {
                Role::CaBundle => upstream(&|one| ca_bundle(one).as_ref() == Some(object)).map(Self::Outward),
                Role::StickyKey => upstream(&|one| fluxheim_trust::sticky_key(one).as_ref() == Some(object))
                    .map(Self::Sticky),
                Role::UsersFile => Some(Self::Users),
                Role::KeySet => Some(Self::Keys),
                _ => None,
            },
            Item::Pair(_) => None,
        }
    }
}

impl Fresh {
    /// Whether the tables hold something of `item`, which can be replaced.
    #[must_use]
    pub fn is_of(config: &Config, item: &Item) -> bool {
        Place::of(config, item).is_some()
    }

    /// Reads the file or pair that `item` names in `config`; `None` for what these tables don't hold.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn read(config: &Config, item: &Item, terms: &Terms) -> Option<Result<Self, String>> {
        let place = Place::of(config, item)?;
        let object = item.objects().into_iter().next()?;
        Some(match place {
            Place::Outward(at) => outward(config.upstreams.get(at)?, at, terms).transpose()?,
            Place::Sticky(at) => sticky_key(&config.upstreams.get(at)?.name, &object, terms)
                .map(|key| Self::Sticky(at, Box::new(key))),
            Place::Users => rules::read_users(&object, terms)
                .map(|users| Self::Users(object.path, Box::new(users)))
                .map_err(|wrong| wrong.join("\n")),
            Place::Keys => rules::read_keys(&object, terms)
                .map(|keys| Self::Keys(object.path, keys))
                .map_err(|wrong| wrong.join("\n")),
        })
    }
}

fn outward(upstream: &Upstream, at: usize, terms: &Terms) -> Result<Option<Fresh>, String> {
    let read = tls::read_outward(upstream, terms)
        .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))?;
    Ok(read.map(|outward| Fresh::Outward(at, Box::new(outward))))
}

/// The key of an upstream's cookies, from its file.
///
/// # Errors
/// What is wrong with it and how to mend it.
pub(super) fn sticky_key(upstream: &str, object: &Object, terms: &Terms) -> Result<StickyKey, String> {
    let secret = fluxheim_trust::read(object, terms).map_err(|error| error.to_string())?;
    StickyKey::new(upstream, secret.as_bytes()).map_err(|error| format!("{}: {error}", object.path.display()))
}

impl Live {
    /// Puts what was read anew in place of what was there.
    pub fn take(&self, fresh: Fresh) {
        match fresh {
            Fresh::Outward(at, outward) => {
                if let Some(pool) = self.pools.get(at) {
                    pool.link.replace(&outward);
                }
            }
            Fresh::Sticky(at, key) => {
                if let Some(pool) = self.pools.get(at) {
                    pool.replace_sticky(*key);
                }
            }
            Fresh::Users(path, users) => {
                if let Some(register) = self.rule_table().users(&path) {
                    register.replace(*users);
                }
            }
            Fresh::Keys(path, keys) => {
                if let Some(ring) = self.rule_table().keys(&path) {
                    ring.replace(keys);
                }
            }
        }
    }
}
