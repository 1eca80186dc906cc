-- permissions: which commands the user of the connection may not run: those of the library, and those that are sent only
-- to a ledger without memory (trust/proof.py, trust/durability.py).
--
-- KEYS[1]  the program's hash tag
-- Replies  the names of these commands in small letters; an empty list when all are allowed
-- Invariant: it writes nothing. It runs none of the commands, it asks the server about them.

local permissions = {}

-- Each with arguments that it could have; %s is a key.
local COMMANDS = {
  'EXISTS %s', 'GETRANGE %s 0 1', 'STRLEN %s', 'APPEND %s v', 'HEXISTS %s f', 'HGET %s f', 'HGETALL %s', 'HLEN %s', 'HMGET %s f',
  'HSCAN %s 0', 'TIME', 'XLEN %s', 'XINFO STREAM %s', 'ZCARD %s', 'ZCOUNT %s 0 1', 'ZRANGEBYSCORE %s 0 1', 'ZREVRANGEBYSCORE %s 1 0', 'HSET %s f v', 'HSETNX %s f v',
  'HINCRBY %s f 1', 'HDEL %s f', 'UNLINK %s', 'PEXPIREAT %s 1', 'XADD %s * f v', 'ZADD %s 1 m', 'ZREMRANGEBYSCORE %s 0 1',
  'FUNCTION LIST', 'PUBLISH redemption_proof m',
}
local WITH_SUBCOMMAND = { XINFO = true, FUNCTION = true }

function permissions.missing(key_names)
  local tag = key_names[1]
  local key, missing = keys.ledger(tag), {}
  for _, example in ipairs(COMMANDS) do
    local words = {}
    for word in string.gmatch(example, '%S+') do words[#words + 1] = word == '%s' and key or word end
    if not redis.acl_check_cmd(unpack(words)) then
      missing[#missing + 1] = string.lower(WITH_SUBCOMMAND[words[1]] and words[1] .. '|' .. words[2] or words[1])
    end
  end
  return missing
end

return permissions
