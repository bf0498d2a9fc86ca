//! What Redis does in one step each. It runs a script whole before anyone else's command, so that replicas agree on the order
//! of changes.

use redis::Script;

/// The scripts, hashed once.
pub(super) struct Scripts {
    /// Makes changes and tells everyone. An entry that is there already keeps the stricter times of both; what is taken back
    /// is remembered for as long as what it takes back would have held. Returns the version that they make.
    pub(super) change: Script,
    /// Adds what is not there at all, neither as an entry nor as one taken back. Returns how much that was.
    pub(super) restore: Script,
    /// Removes what is still as it was seen.
    pub(super) sweep: Script,
}

/// `KEYS[1]`: the hash, and the channel. `ARGV`: who speaks, then field and value of each record.
const CHANGE: &str = r"
local function later(a, b)
  if #a ~= #b then return #a > #b and a or b end
  return a > b and a or b
end
local function before(a, b)
  if a == '-' or b == '-' then return '-' end
  return later(a, b)
end
local message = {}
for i = 2, #ARGV, 2 do
  local field, value = ARGV[i], ARGV[i + 1]
  local old = redis.call('HGET', KEYS[1], field)
  if old then
    local pattern = '^([+-]) (%S+) (%S+)$'
    local old_sign, old_before, old_until = string.match(old, pattern)
    local sign, new_before, new_until = string.match(value, pattern)
    if old_sign == '+' and sign == '+' then
      value = '+ ' .. before(old_before, new_before) .. ' ' .. later(old_until, new_until)
    elseif old_sign and sign == '-' then
      value = '- - ' .. later(old_until, new_until)
    end
  end
  redis.call('HSET', KEYS[1], field, value)
  message[#message + 1] = field
  message[#message + 1] = value
end
local version = redis.call('HINCRBY', KEYS[1], '@version', 1)
redis.call('PUBLISH', KEYS[1], ARGV[1] .. '\n' .. version .. '\n' .. table.concat(message, '\n'))
return version
";

/// As [`CHANGE`].
const RESTORE: &str = r"
local message = {}
for i = 2, #ARGV, 2 do
  if redis.call('HSETNX', KEYS[1], ARGV[i], ARGV[i + 1]) == 1 then
    message[#message + 1] = ARGV[i]
    message[#message + 1] = ARGV[i + 1]
  end
end
if #message > 0 then
  local version = redis.call('HINCRBY', KEYS[1], '@version', 1)
  redis.call('PUBLISH', KEYS[1], ARGV[1] .. '\n' .. version .. '\n' .. table.concat(message, '\n'))
end
return #message / 2
";

/// As [`CHANGE`].
const SWEEP: &str = r"
local removed = 0
for i = 2, #ARGV, 2 do
  if redis.call('HGET', KEYS[1], ARGV[i]) == ARGV[i + 1] then
    removed = removed + redis.call('HDEL', KEYS[1], ARGV[i])
  end
end
return removed
";

impl Scripts {
    pub(super) fn new() -> Self {
        let [change, restore, sweep] = [CHANGE, RESTORE, SWEEP].map(Script::new);
        Self { change, restore, sweep }
    }
}
