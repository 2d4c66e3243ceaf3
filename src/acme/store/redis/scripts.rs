//! What the server does in one step: Lua, run as a whole or not at all (redis.io/docs/latest/commands/eval).
//!
//! Owns the layout of values: a string each, its version, a space and what is sealed; of one that was removed
//! the version of the removal alone is left for a day, so that the next one is later by whatever clock. A
//! change that is sent once more, because its answer was lost, is known by the version that it makes.
//!
//! No script writes more than one key: Redis keeps two writes as a transaction, and drops transactions when it
//! reads its append-only file again while its default user has no rights (seen with 7.0).

/// KEYS: value, lock. ARGV: expected version or `-` for none, version, the same with what is sealed, channel, news,
/// lease or `-` for none.
pub(super) const PUT: &str = "
if ARGV[6] ~= '-' and redis.call('GET', KEYS[2]) ~= ARGV[6] then return 'lease' end
local found = string.match(redis.call('GETRANGE', KEYS[1], 0, 63), '^(%S+) ') or '-'
if found == ARGV[2] then return 'ok' end
if found ~= ARGV[1] then return 'conflict' end
redis.call('SET', KEYS[1], ARGV[3])
redis.call('PUBLISH', ARGV[4], ARGV[5])
return 'ok'";

/// The same; the version is that of the removal, and what follows is for how many milliseconds it is kept.
pub(super) const DELETE: &str = "
if ARGV[6] ~= '-' and redis.call('GET', KEYS[2]) ~= ARGV[6] then return 'lease' end
local head = redis.call('GETRANGE', KEYS[1], 0, 63)
if head == ARGV[2] then return 'ok' end
local found = string.match(head, '^(%S+) ') or '-'
if found ~= ARGV[1] then return 'conflict' end
if found == '-' then return 'ok' end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
redis.call('PUBLISH', ARGV[4], ARGV[5])
return 'ok'";

/// KEYS: values. How each of them begins.
pub(super) const HEADS: &str = "
local heads = {}
for at, key in ipairs(KEYS) do heads[at] = redis.call('GETRANGE', key, 0, 63) end
return heads";

/// KEYS: lock. ARGV: lease, milliseconds.
pub(super) const RENEW: &str = "
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 'lease' end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 'ok'";

/// KEYS: lock. ARGV: lease.
pub(super) const RELEASE: &str = "
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 'lease' end
redis.call('DEL', KEYS[1])
return 'ok'";
