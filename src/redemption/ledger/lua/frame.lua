-- The frame of every call: what it reads first, how it plans and makes its writes, and how it is closed.
--
-- KEYS[1]  the program's tag, see keys.lua
-- ARGV[1]  what the server knows of the ledger: epoch (16 characters), then a sequence number that the ledger must have
--          reached; empty when the server knows nothing and takes what there is, ? when it takes only what it knows
-- ARGV[2]  the server's clock (Unix ms)
-- ARGV[3]  how far the ledger's clock may be from it (ms)
-- ARGV[4]  of functions that write: about how many entries the event stream keeps
-- Invariant: a call that changed something raises `seq` by one; the clock never runs backwards; any other call writes
--            nothing.
--
-- Valkey does not undo what a function wrote before it failed. So every item of a call is decided first, as a whole.
-- Functions named decide do all that can raise an error (reading, spelling, packing), and write nothing. Then functions
-- named apply write: finished strings, to keys whose type was read before, which cannot fail. The next item reads what
-- this one wrote. The counters of a campaign are changed in a working copy (campaigns.lua), by apply functions alone,
-- and are written when the call is closed.

local frame = {}

local LAST_EVENT_ID = '18446744073709551615-18446744073709551615'
local KNOWN_EPOCH = 16 -- characters
local UNKNOWN = '?'

-- The ledger's time (Unix ms). It raises when the clock of the ledger's host differs too much from the server's, or is
-- too far behind the time that the ledger remembers: a host whose clock is wrong must not decide what has expired.
function frame.moment(stored, server_clock, apart_max)
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  if math.abs(now - server_clock) > apart_max then
    error({ err = 'CLOCKAPART ' .. keys.number_text(now) .. ' ' .. keys.number_text(server_clock) })
  end
  if stored - now > apart_max then
    error({ err = 'CLOCKAHEAD ' .. keys.number_text(stored) .. ' ' .. keys.number_text(now) })
  end
  return math.max(now, stored)
end

-- The epoch in what a server knows (ARGV[1]).
function frame.epoch_of(known) return known:sub(1, KNOWN_EPOCH) end

-- Whether a server or an operator's machine knows a ledger of the program.
function frame.knows(known) return known ~= '' and known ~= UNKNOWN end

-- Whether a header is of the ledger that a server or an operator's machine knows, and has all that was known of it.
function frame.is_known(known, epoch, seq)
  return frame.knows(known) and epoch == frame.epoch_of(known) and seq >= tonumber(known:sub(KNOWN_EPOCH + 1))
end

-- Reads the program's header and compares it with what the server knows. It raises, before anything is decided, when
-- there is no ledger, when it is another one, when it lost writes, or when its clock is wrong.
function frame.begin(key_names, args)
  local tag, known, server_clock, apart_max = key_names[1], args[1], tonumber(args[2]), tonumber(args[3])
  command = redis.call -- a local name, which is faster; while the library is loaded, there is no redis.call
  local header = redis.call('HMGET', keys.ledger(tag), 'epoch', 'seq', 'clock_ms', 'generations', 'remembered',
    'reaped', 'rules', 'holds', 'hold_next', 'hold_place')
  if known == UNKNOWN or not header[1] and known == '' then
    error({ err = 'NOLEDGER the program has no ledger that the server knows' })
  end
  local seq, clock = keys.whole(header[2]), keys.whole(header[3])
  local remembered, reaped, rules_version = keys.whole(header[5]), keys.whole(header[6]), keys.whole(header[7] or 0)
  local held, hold_next, hold_place =
    keys.whole(header[8] or 0), keys.whole(header[9] or 0), keys.whole(header[10] or 0)
  local is_readable = seq and clock and remembered and reaped and rules_version and header[4]
  if not (is_readable and held and hold_next and hold_place) then
    error({ err = 'UNREADABLE the header is of another format, or damaged' })
  end
  if known ~= '' and not frame.is_known(known, header[1], seq) then
    error({ err = 'NOTTRUSTED this is not the ledger that the server knows' })
  end
  local now = frame.moment(clock, server_clock, apart_max)
  local seconds = math.floor(now / 1000)
  local call = {
    tag = tag, epoch = header[1], seq = seq, now = now, seconds = seconds,
    approved = struct.pack('>c1I4', 'A', seconds), campaigns = {}, redeemed = {}, events = {}, changed = false,
    generations = false, live = 0, remembered = 0, reaped = 0, rolls = false, outbox_max = 0, next = 0, applied = 0,
    rules = rules_version, rules_since = false, checks = false, velocity = false,
    holds = held, hold_next = hold_next, hold_place = hold_place, had_holds = held > 0,
  }
  idempotency.begin(call, header[4], remembered, reaped)
  return call
end

-- Raises when the event stream has no ids left. It asks once a second at most: asking takes as long as reading five
-- records, and only a stranger who writes to the stream can use up its ids.
local asked_tag, asked_second = nil, nil
local function require_ids(call)
  if asked_tag == call.tag and asked_second == call.seconds then return end
  local stream = redis.pcall('XINFO', 'STREAM', keys.events(call.tag))
  if stream.err and not string.find(stream.err, 'no such key', 1, true) then error(stream) end
  for index = 1, #stream, 2 do
    if stream[index] == 'last-generated-id' and stream[index + 1] == LAST_EVENT_ID then
      error({ err = 'OUTBOXFULL the event stream has used its last id' })
    end
  end
  asked_tag, asked_second = call.tag, call.seconds
end

-- Begins a call that may write: it also checks that the event stream will take an entry.
function frame.begin_writing(key_names, args)
  local outbox_max = tonumber(args[4])
  local call = frame.begin(key_names, args)
  if not outbox_max or outbox_max < 1 then error('the bound of the event stream is no number') end
  call.outbox_max = outbox_max
  redis.call('XLEN', keys.events(call.tag)) -- raises if it is no stream
  require_ids(call)
  return call
end

-- The planned writes of the item that is decided: key, field, value, key, …. The table is kept from one item to the
-- next, because a new table has to grow, which takes longer than filling it.
local planned, planned_size = {}, 0

function frame.plan_nothing() planned_size = 0 end

-- Plans one write. The caller has read the key before, so its type is right.
function frame.plan(key, field, value)
  planned[planned_size + 1], planned[planned_size + 2], planned[planned_size + 3] = key, field, value
  planned_size = planned_size + 3
end

-- Makes the planned writes.
function frame.apply(call)
  for index = 1, planned_size, 3 do
    redis.call('HSET', planned[index], planned[index + 1], planned[index + 2])
  end
  call.changed = true
end

-- Ends the events of all redemptions so far: what comes now may be about the same coupons, and events are in order.
function frame.close_redeemed(call)
  local events = call.events
  for principal, redeemed in pairs(call.redeemed) do
    events[#events + 1] = cmsgpack.pack({ 'redeemed', principal, redeemed })
    call.redeemed[principal] = nil
  end
end

-- Makes the entry of the event stream, one for all that a call changed: [seq, Unix seconds, [event, …]], in
-- MessagePack. An event is a list that begins with its kind and the principal. All redemptions of one principal are one
-- event: [redeemed, principal, [campaign, serial, generation, …]]. The coupons' records say the rest.
local function event_entry(call)
  local events = call.events
  frame.close_redeemed(call)
  if #events == 0 then return nil end
  -- The events are packed already, so the heads of both lists are written here: \147 is a list of three; \220 is a
  -- list, and its length follows.
  return '\147' .. cmsgpack.pack(call.seq) .. cmsgpack.pack(call.seconds) .. '\220' .. struct.pack('>I2', #events)
    .. table.concat(events)
end

-- Writes once for all items: counters, header, events. It writes nothing if no item changed anything.
function frame.close(call)
  if not call.changed then return end
  call.seq = call.seq + 1
  local entry, header = event_entry(call), idempotency.close(call)
  campaigns.close(call)
  velocity.close(call)
  if call.holds > 0 or call.had_holds then
    for _, name in ipairs({ 'holds', 'hold_next', 'hold_place' }) do
      header[#header + 1] = name
      header[#header + 1] = keys.number_text(call[name])
    end
  end
  redis.call('HSET', keys.ledger(call.tag), 'seq', keys.number_text(call.seq), 'clock_ms', keys.number_text(call.now),
    unpack(header))
  if entry then redis.call('XADD', keys.events(call.tag), 'MAXLEN', '~', call.outbox_max, '*', 'e', entry) end
end

-- Applies and closes a call that has one item.
function frame.commit(call, event)
  if event then call.events[1] = event end
  frame.apply(call)
  frame.close(call)
end

-- The head of every reply: sequence number 8 (after this call) · clock 8 (Unix ms) · epoch (16 hexadecimal digits).
function frame.head(call)
  return struct.pack('>I8I8', call.seq, call.now) .. call.epoch
end

return frame
