-- open and adopt: who may call a program's ledger their own.
--
-- KEYS[1]  the program's tag
-- open     ARGV keyset id · epoch (16 hexadecimal digits) to give birth with, or empty: replies the header as
--          field, value, …, or nothing when there is no ledger and none may be born
-- adopt    ARGV what the machine knows (see call.lua) · keyset id · new epoch: accepts what is there, or gives birth.
--          From now on it has the new epoch, so that every machine that remembers another one must be told too. Nothing
--          changes when it is the ledger that the machine knows already, or when another machine adopted that very one.
--          Replies like open.
-- Invariant: an epoch is random and never reused; `seq` only rises.

local FORMAT = '2' -- how keys and records are spelled, see ledger/promises.py

local function write_header(tag, keyset, epoch)
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  local generation = math.floor(now / GENERATION_MS)
  local header = keys.ledger(tag)
  redis.call('XLEN', keys.events(tag))
  redis.call('HSET', header, 'format', FORMAT, 'epoch', epoch, 'keyset', keyset)
  redis.call('HSETNX', header, 'seq', '0')
  redis.call('HSETNX', header, 'clock', number_text(now))
  redis.call('HSETNX', header, 'reaped', number_text((generation - 1) * REQUEST_BUCKETS))
  redis.call('HINCRBY', header, 'seq', 1)
end

local function open(key_names, args)
  local header = keys.ledger(key_names[1])
  if redis.call('EXISTS', header) == 0 and args[2] ~= '' then write_header(key_names[1], args[1], args[2]) end
  return redis.call('HGETALL', header)
end

local function adopt(key_names, args)
  local header, known = keys.ledger(key_names[1]), args[1]
  local found = redis.call('HMGET', header, 'format', 'epoch', 'adopted_from', 'keyset', 'seq')
  if found[2] and (found[1] ~= FORMAT or not tonumber(found[5])) then
    error({ err = 'UNREADABLE the header is of another format, or damaged' })
  end
  local mine = found[2] and found[4] == args[2] and known ~= ''
  local as_known = mine and found[2] == known:sub(1, 16) and tonumber(found[5]) >= tonumber(known:sub(17))
  local adopted_elsewhere = mine and found[3] == known:sub(1, 16)
  if not as_known and not adopted_elsewhere then
    write_header(key_names[1], args[2], args[3])
    if found[2] then redis.call('HSET', header, 'adopted_from', found[2]) end
  end
  return redis.call('HGETALL', header)
end
