-- open, adopt, upgrade and reset_clock: create or change the header of a program's ledger.
--
-- KEYS[1], ARGV[1] to ARGV[3]  see frame.lua
-- ARGV[4]  keyset id · [5] an epoch (16 hexadecimal digits) that no ledger ever had; reset_clock has neither
-- ARGV[6…] of open and adopt: the check values of the keyset (docs/token.md): name, value, …
-- open     creates a ledger with this epoch when there is none; not when the epoch is empty. It stores check values with
--          new names, if the machine knows the ledger or none, and if all other values are the stored ones.
-- adopt    accepts the ledger that is there, or creates one. It gets the new epoch, so that every machine that
--          remembers another epoch must adopt it too. Its check values are the stored ones from then on. Nothing
--          changes when no value differs and the machine knows this ledger already, or another machine has adopted the
--          one that this machine knows.
-- upgrade  turns a ledger of format 2 that the machine knows into one of this format. It gets the new epoch, so that
--          servers of the older version decide nothing in it any more. Nothing changes when it has this format already.
-- reset_clock  sets the clock that the ledger remembers back to the present, if its host and the server agree on that.
-- Replies  the header as field, value, …; an empty list when there is no ledger. open adds `keyset_differs` and the names
--          of the check values that differ from the stored ones, if any.
-- Invariant: an epoch is random and never used again; `seq` only rises.

local open_ledger = {}

local FORMAT, OLD_FORMAT = '3', '2' -- of keys and records, see ledger/trust/durability.py
local DAY_MS = 86400000
local FIRST_CHECK = 6 -- the place in ARGV

local function write_header(tag, keyset, epoch, now)
  local header = keys.ledger(tag)
  redis.call('HSET', header, 'format', FORMAT, 'epoch', epoch, 'keyset', keyset)
  redis.call('HSETNX', header, 'seq', '0')
  redis.call('HSETNX', header, 'clock_ms', keys.number_text(now))
  redis.call('HSETNX', header, 'generations', '')
  redis.call('HSETNX', header, 'remembered', '0')
  redis.call('HSETNX', header, 'reaped', '0')
  redis.call('HINCRBY', header, 'seq', 1)
end

-- Compares the check values of a keyset with the stored ones. Returns the values to store (name, value, …), and the
-- names that differ.
local function compare_checks(tag, args)
  local flat, stored, new, differing = redis.call('HGETALL', keys.keyset(tag)), {}, {}, {}
  for index = 1, #flat, 2 do stored[flat[index]] = flat[index + 1] end
  for index = FIRST_CHECK, #args, 2 do
    local name, value = args[index], args[index + 1]
    if not stored[name] then
      new[#new + 1] = name
      new[#new + 1] = value
    elseif stored[name] ~= value then
      differing[#differing + 1] = name
    end
  end
  return new, differing
end

local function write_checks(tag, checks)
  for index = 1, #checks, 2 do redis.call('HSET', keys.keyset(tag), checks[index], checks[index + 1]) end
end

local function replace_checks(tag, args)
  local checks = { unpack(args, FIRST_CHECK) }
  redis.call('UNLINK', keys.keyset(tag))
  write_checks(tag, checks)
end

-- The reply of open.
local function opened(header, differing)
  local reply = redis.call('HGETALL', header)
  if #reply > 0 and #differing > 0 then
    reply[#reply + 1] = 'keyset_differs'
    reply[#reply + 1] = table.concat(differing, ' ')
  end
  return reply
end

-- Turns a ledger of format 2 into one of this format, except for its epoch. Most keys and records are the same. What
-- differs is what the header says of the clock and of remembered requests, and the discount of a day: format 2 counted
-- it with a day of its own (`budget_day`). Where that was not the day of the redemptions, it is counted from now on.
local function convert(tag, now)
  local header = keys.ledger(tag)
  local values = redis.call('HMGET', header, 'clock', 'reaped', 'campaigns')
  local clock = keys.whole(values[1])
  local generations, reaped = idempotency.of_format_2(math.floor(clock / DAY_MS), keys.whole(values[2]) or 0)
  local starts = {}
  for number = 1, keys.whole(values[3]) or 0 do
    local counted = redis.pcall('HMGET', keys.campaign(tag, number), 'day', 'budget_day', 'discount')
    if counted[2] then starts[number] = counted[1] ~= counted[2] and counted[3] or '' end
  end
  for number, start in pairs(starts) do
    local key = keys.campaign(tag, number)
    redis.call('HDEL', key, 'budget_day')
    if start ~= '' then redis.call('HSET', key, 'budget_start', start) end
  end
  redis.call('HDEL', header, 'clock') -- functions of format 2 need it: without it they raise before they write
  redis.call('HSET', header, 'clock_ms', keys.number_text(math.max(now, clock)), 'generations', generations,
    'remembered', '0', 'reaped', keys.number_text(reaped))
end

-- Returns the present (Unix ms). It raises, before anything is written, when the clocks differ or no event can be
-- written.
local function moment_to_write(tag, server_clock, apart_max)
  redis.call('XLEN', keys.events(tag)) -- raises if it is no stream
  return frame.moment(0, server_clock, apart_max)
end

function open_ledger.open(key_names, args)
  local tag, known, server_clock, apart_max = key_names[1], args[1], tonumber(args[2]), tonumber(args[3])
  local keyset, epoch = args[4], args[5]
  local header = keys.ledger(tag)
  local found = redis.call('HMGET', header, 'format', 'epoch', 'keyset', 'seq')
  if redis.call('EXISTS', header) == 0 then
    if epoch ~= '' then
      write_header(tag, keyset, epoch, moment_to_write(tag, server_clock, apart_max))
      replace_checks(tag, args)
    end
    return opened(header, {})
  end
  local new, differing = compare_checks(tag, args)
  local is_ours = found[1] == FORMAT and found[3] == keyset
    and (known == '' or frame.is_known(known, found[2], keys.whole(found[4]) or -1))
  if is_ours and #new > 0 and #differing == 0 then
    write_checks(tag, new)
    redis.call('HINCRBY', header, 'seq', 1)
  end
  return opened(header, differing)
end

function open_ledger.adopt(key_names, args)
  local tag, known, server_clock, apart_max = key_names[1], args[1], tonumber(args[2]), tonumber(args[3])
  local keyset, epoch = args[4], args[5]
  local header = keys.ledger(tag)
  local found = redis.call('HMGET', header, 'format', 'epoch', 'adopted_from', 'keyset', 'seq', 'clock_ms', 'clock')
  local is_old = found[1] == OLD_FORMAT
  local is_readable = is_old or found[1] == FORMAT
  if redis.call('EXISTS', header) == 1
    and not (is_readable and found[2] and keys.whole(found[5]) and keys.whole(is_old and found[7] or found[6])) then
    error({ err = 'UNREADABLE the header is of another format, or damaged' })
  end
  local _, differing = compare_checks(tag, args)
  local mine = found[2] and found[4] == keyset and frame.knows(known) and #differing == 0
  local adopted_elsewhere = mine and found[3] == frame.epoch_of(known)
  if is_old or not (mine and frame.is_known(known, found[2], keys.whole(found[5]) or -1) or adopted_elsewhere) then
    local now = moment_to_write(tag, server_clock, apart_max)
    if is_old then convert(tag, now) end
    write_header(tag, keyset, epoch, now)
    replace_checks(tag, args)
    if found[2] then redis.call('HSET', header, 'adopted_from', found[2]) end
  end
  return redis.call('HGETALL', header)
end

function open_ledger.upgrade(key_names, args)
  local tag, known, server_clock, apart_max = key_names[1], args[1], tonumber(args[2]), tonumber(args[3])
  local keyset, epoch = args[4], args[5]
  local header = keys.ledger(tag)
  local found = redis.call('HMGET', header, 'format', 'epoch', 'keyset', 'seq', 'clock')
  if found[1] == OLD_FORMAT then
    if found[3] ~= keyset or frame.knows(known) and not frame.is_known(known, found[2], keys.whole(found[4]) or -1) then
      error({ err = 'NOTTRUSTED this is not the ledger that the machine knows' })
    end
    if not keys.whole(found[4]) or not keys.whole(found[5]) then
      error({ err = 'UNREADABLE the header is damaged' })
    end
    local now = moment_to_write(tag, server_clock, apart_max)
    convert(tag, now)
    write_header(tag, keyset, epoch, now)
    redis.call('HSET', header, 'adopted_from', found[2])
  end
  return redis.call('HGETALL', header)
end

function open_ledger.reset_clock(key_names, args)
  local tag, known, server_clock, apart_max = key_names[1], args[1], tonumber(args[2]), tonumber(args[3])
  local header = keys.ledger(tag)
  local found = redis.call('HMGET', header, 'format', 'epoch', 'seq', 'clock_ms', 'generations')
  if found[1] ~= FORMAT or not frame.is_known(known, found[2], keys.whole(found[3]) or -1) then
    error({ err = 'NOTTRUSTED this is not the ledger that the machine knows' })
  end
  local now = frame.moment(0, server_clock, apart_max)
  if not keys.whole(found[4]) or keys.whole(found[4]) > now then
    redis.call('HSET', header, 'clock_ms', keys.number_text(now), 'generations', idempotency.begun_by(tag, found[5], now))
    redis.call('HINCRBY', header, 'seq', 1)
  end
  return redis.call('HGETALL', header)
end

return open_ledger
