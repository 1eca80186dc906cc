-- open and adopt: who may call a program's ledger their own.
--
-- KEYS[1], ARGV[1] to ARGV[3]  see frame.lua
-- ARGV[4]  keyset id · [5] an epoch (16 hexadecimal digits) that no ledger ever had
-- open     gives birth with that epoch when there is no ledger, unless it is empty. What the server knows is not looked at.
-- adopt    accepts what is there, or gives birth. From now on it has the new epoch, so that every machine that remembers another
--          one must be told too. Nothing changes when it is the ledger that the machine knows already, or when another
--          machine adopted that very one.
-- Both reply the header as field, value, …, or nothing when there is no ledger and none may be born.
-- Invariant: an epoch is random and never reused; `seq` only rises.

local open = {}

local FORMAT = '3' -- how keys and records are spelled, see ledger/promises.py

local function write_header(tag, keyset, epoch, now)
  local header = keys.ledger(tag)
  redis.call('XLEN', keys.events(tag)) -- raises if it is no stream
  redis.call('HSET', header, 'format', FORMAT, 'epoch', epoch, 'keyset', keyset)
  redis.call('HSETNX', header, 'seq', '0')
  redis.call('HSETNX', header, 'clock_ms', keys.number_text(now))
  redis.call('HSETNX', header, 'generations', '')
  redis.call('HSETNX', header, 'remembered', '0')
  redis.call('HSETNX', header, 'reaped', '0')
  redis.call('HINCRBY', header, 'seq', 1)
end

function open.open(key_names, args)
  local tag, server_clock, apart_max, keyset, epoch = key_names[1], tonumber(args[2]), tonumber(args[3]), args[4], args[5]
  local header = keys.ledger(tag)
  if redis.call('EXISTS', header) == 0 and epoch ~= '' then
    write_header(tag, keyset, epoch, frame.moment(0, server_clock, apart_max))
  end
  return redis.call('HGETALL', header)
end

function open.adopt(key_names, args)
  local tag, known, server_clock, apart_max = key_names[1], args[1], tonumber(args[2]), tonumber(args[3])
  local keyset, epoch = args[4], args[5]
  local header = keys.ledger(tag)
  local found = redis.call('HMGET', header, 'format', 'epoch', 'adopted_from', 'keyset', 'seq', 'clock_ms')
  if found[2] and (found[1] ~= FORMAT or not tonumber(found[5]) or not tonumber(found[6])) then
    error({ err = 'UNREADABLE the header is of another format, or damaged' })
  end
  local mine = found[2] and found[4] == keyset and known ~= ''
  local as_known = mine and found[2] == known:sub(1, 16) and tonumber(found[5]) >= tonumber(known:sub(17))
  local adopted_elsewhere = mine and found[3] == known:sub(1, 16)
  if not as_known and not adopted_elsewhere then
    write_header(tag, keyset, epoch, frame.moment(0, server_clock, apart_max))
    if found[2] then redis.call('HSET', header, 'adopted_from', found[2]) end
  end
  return redis.call('HGETALL', header)
end

return open
