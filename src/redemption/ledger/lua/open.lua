-- open and adopt: who may call a program's ledger their own.
--
-- KEYS[1]  the program's tag
-- open     ARGV keyset id · epoch (16 hexadecimal digits) to give birth with, or empty: replies the header as
--          field, value, …, or nothing when there is no ledger and none may be born
-- adopt    ARGV keyset id · new epoch · epoch that the machine remembers, or empty: accepts what is there, or gives birth.
--          From now on it has the new epoch, so that every machine that remembers another one must be told too; unless
--          another machine adopted the very ledger that this one remembers: then it keeps its epoch. Replies like open.
-- Invariant: an epoch is random and never reused; `seq` only rises.

local function write_header(tag, keyset, epoch)
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  local generation = math.floor(now / GENERATION_MS)
  local header = keys.ledger(tag)
  redis.call('XLEN', keys.events(tag))
  redis.call('HSET', header, 'format', '1', 'epoch', epoch, 'keyset', keyset)
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
  local header = keys.ledger(key_names[1])
  local known = redis.call('HMGET', header, 'epoch', 'adopted_from', 'keyset')
  local adopted_elsewhere = known[1] and known[2] == args[3] and known[3] == args[1]
  if not adopted_elsewhere then
    write_header(key_names[1], args[1], args[2])
    if known[1] then redis.call('HSET', header, 'adopted_from', known[1]) end
  end
  return redis.call('HGETALL', header)
end
