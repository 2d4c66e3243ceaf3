//! Controls and levels in JSON: by the names they have in the configuration.
//!
//! Owns that mapping for serde; the names are `fluxheim-config`'s, and no other is taken.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serializer};

pub(crate) mod control {
    use fluxheim_config::Control;

    use super::{Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(control: &Control, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(control.name())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Control, D::Error> {
        super::known(from, "control", Control::from_name)
    }
}

pub(crate) mod level {
    use fluxheim_config::Level;

    use super::{Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(level: &Level, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(level.name())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Level, D::Error> {
        super::known(from, "level", Level::from_name)
    }
}

fn known<'de, D: Deserializer<'de>, T>(
    from: D,
    what: &str,
    find: impl FnOnce(&str) -> Option<T>,
) -> Result<T, D::Error> {
    let name = String::deserialize(from)?;
    find(&name).ok_or_else(|| D::Error::custom(format_args!("there is no {what} {name:?}")))
}
