//! What Redis does in one step each. It runs a script whole before anyone else's command, so that replicas agree on the order
//! of changes.

use redis::Script;

/// The scripts, hashed once.
pub(super) struct Scripts {
    /// Merges changes with what is known and tells everyone what that changed. Returns how much that was.
    pub(super) merge: Script,
    /// Removes what is still as it was seen and has expired by Redis' own clock. Returns how much that was.
    pub(super) sweep: Script,
}

/// `KEYS[1]`: the hash, and the channel. `ARGV`: who speaks, then field and value of each record. The rule is that of
/// [`merge`](crate::revocation::change::Change::merge). Numbers are compared as text, since those of Lua are not precise.
const MERGE: &str = r"
local function is_later(a, b)
  if #a ~= #b then return #a > #b end
  return a > b
end
local function later(a, b)
  return is_later(a, b) and a or b
end
local function read(value)
  local sign, made_at, before, ends = string.match(value, '^([+-]) 0*(%d+) (%S+) 0*(%d+)$')
  if not sign then return nil end
  before = string.match(before, '^0*(%d+)$') or '-'
  return { sign = sign, made_at = made_at, before = before, ends = ends }
end
local function merge(a, b)
  if a.sign == b.sign then
    local before = (a.before == '-' or b.before == '-') and '-' or later(a.before, b.before)
    return { sign = a.sign, made_at = later(a.made_at, b.made_at), before = before, ends = later(a.ends, b.ends) }
  end
  local added, removed = a, b
  if a.sign == '-' then added, removed = b, a end
  if not is_later(removed.made_at, added.made_at) then return added end
  return { sign = '-', made_at = removed.made_at, before = '-', ends = later(removed.ends, added.ends) }
end
local message = {}
for i = 2, #ARGV, 2 do
  local field, value = ARGV[i], ARGV[i + 1]
  local known = redis.call('HGET', KEYS[1], field)
  local old, new = known and read(known), read(value)
  if old and new then
    local merged = merge(old, new)
    value = merged.sign .. ' ' .. merged.made_at .. ' ' .. merged.before .. ' ' .. merged.ends
  end
  if value ~= known then
    redis.call('HSET', KEYS[1], field, value)
    message[#message + 1] = field
    message[#message + 1] = value
  end
end
if #message > 0 then
  local version = redis.call('HINCRBY', KEYS[1], '@version', 1)
  redis.call('PUBLISH', KEYS[1], ARGV[1] .. '\n' .. version .. '\n' .. table.concat(message, '\n'))
end
return #message / 2
";

/// As [`MERGE`]. An hour is left to clocks that are behind that of Redis.
const SWEEP: &str = r"
local now = string.format('%.0f', tonumber(redis.call('TIME')[1]) - 3600)
local removed = 0
for i = 2, #ARGV, 2 do
  local ends = string.match(ARGV[i + 1], ' 0*(%d+)$')
  local has_ended = ends and (#ends < #now or #ends == #now and ends <= now)
  if has_ended and redis.call('HGET', KEYS[1], ARGV[i]) == ARGV[i + 1] then
    removed = removed + redis.call('HDEL', KEYS[1], ARGV[i])
  end
end
return removed
";

impl Scripts {
    pub(super) fn new() -> Self {
        let [merge, sweep] = [MERGE, SWEEP].map(Script::new);
        Self { merge, sweep }
    }
}
