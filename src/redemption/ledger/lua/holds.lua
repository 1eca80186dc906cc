-- The hold of an order: it keeps coupons for the order until a second, without using them.
--
-- An order has one hold at most. Its record says which coupons it has and until when (records.lua); the record of each
-- of these coupons says the order and the same second. From that second on the hold is over: its coupons are free, and
-- its counters were taken back (wheel.lua), although the records are still there. What is left of it is removed later:
-- by the next order that takes one of the coupons, or by `reap`, which each batch does first.
--
-- The digests of the orders whose holds are over at a second are in one string, `due`. Header: `holds` is how many
-- digests are in all these strings, `hold_next` is no later than the first second that has one, and `hold_place` is how
-- many digests of that second are done. A hold that ended early or was made longer has digests left, which mean nothing.
--
-- Events   reserved: principal · order digest · until when (Unix seconds) · terms · [campaign, serial, generation,
--          discount (minor units), …]
--          released: principal · order digest · [campaign, serial, …]
--          expired: empty · order digest · when it was over (Unix seconds) · [campaign, serial, …]
-- Invariant: the hold of an order ends once: it is used, released, or it expires.

local holds = {}

local REAPED_MAX = 256 -- digests that a call looks at; it may add 128
local SECONDS_MAX = 1024 -- seconds that a call looks at
local DIGEST = 6

-- Returns the hold of an order with its coupons, or false; and its key. is_open: it is not over.
function holds.find(call, order)
  local key = keys.hold(call.tag, order)
  local stored = command('HGET', key, order)
  if not stored then return false, key end
  local hold = records.unpack_hold(stored)
  hold.key, hold.order, hold.is_open, hold.people, hold.event = key, order, hold.expires > call.seconds, false, false
  for _, token in ipairs(hold.tokens) do
    local campaign = campaigns.of(call, token.number)
    local coupon = false
    token.campaign = campaign
    if campaign then
      token.key, token.field = keys.used(campaign.used_prefix, campaign.width, token.serial)
      coupon = command('HGET', token.key, token.field)
      coupon = coupon and records.unpack_coupon(coupon)
    end
    local is_held = coupon and coupon.state == records.HELD and coupon.order == order and coupon.expires == hold.expires
    if hold.is_open then
      if not is_held then error('a hold whose coupon is not held') end
      wheel.load(call, campaign, hold.expires)
    end
    token.is_held, token.generation = is_held, is_held and coupon.generation or 0
  end
  return hold, key
end

-- Whether an earlier coupon of a hold is of the same campaign.
local function is_repeated(hold, index)
  for earlier = 1, index - 1 do
    if hold.tokens[earlier].number == hold.tokens[index].number then return true end
  end
  return false
end

-- Plans the customer's records. record_of: of limits.lua, returns a record (false: remove it) and its key.
function holds.plan_people(call, hold, record_of)
  hold.people = {}
  if not hold.customer then return end
  for index, token in ipairs(hold.tokens) do
    if token.campaign and not is_repeated(hold, index) then
      local record, key = record_of(call, token.campaign, hold.customer, hold)
      hold.people[#hold.people + 1] = { key = key, record = record }
    end
  end
end

local function write(key, field, record)
  if record then command('HSET', key, field, record) else command('HDEL', key, field) end
end

function holds.apply_people(hold)
  for _, person in ipairs(hold.people) do write(person.key, hold.customer, person.record) end
end

-- Decides that a hold ends and its coupons are free.
function holds.decide_end(call, hold, principal)
  holds.plan_people(call, hold, limits.customer_without)
  local ended = {}
  for _, token in ipairs(hold.tokens) do
    token.free_record = token.generation > 0 and records.pack_free_coupon(token.generation)
    ended[#ended + 1] = token.number
    ended[#ended + 1] = token.serial
  end
  if hold.is_open then
    hold.event = cmsgpack.pack({ 'released', principal, hold.order, ended })
  else
    hold.event = cmsgpack.pack({ 'expired', '', hold.order, hold.expires, ended })
  end
end

function holds.apply_end(call, hold)
  for _, token in ipairs(hold.tokens) do
    if token.is_held then write(token.key, token.field, token.free_record) end
    if hold.is_open then
      wheel.remove(token.campaign, hold.expires, token.day, token.slot, token.discount)
      wheel.take_out(token.campaign, token.day, token.slot, 1, token.discount)
    end
  end
  holds.apply_people(hold)
  command('HDEL', hold.key, hold.order)
  call.events[#call.events + 1] = hold.event
  call.changed = true
end

-- A hold that is made: what is written.
local made = { key = '', order = '', record = '', due = '', event = '', expires = 0 }

-- Decides the hold of an order. key: of the hold, as `find` returned it · tokens: of the order, see orders.lua
function holds.decide_hold(call, key, order, expires, terms, customer, principal, tokens, count)
  made.key, made.order, made.expires = key, order, expires
  made.record = records.pack_hold(expires, terms, customer, tokens, count)
  made.due = keys.due(call.tag, expires)
  command('STRLEN', made.due) -- raises if it is no string
  local held = {}
  for index = 1, count do
    local token = tokens[index]
    wheel.load(call, token.campaign, expires)
    held[#held + 1] = token.number
    held[#held + 1] = token.serial
    held[#held + 1] = token.generation
    held[#held + 1] = token.discount
  end
  made.event = cmsgpack.pack({ 'reserved', principal, order, expires, terms, held })
end

function holds.apply_hold(call)
  command('HSET', made.key, made.order, made.record)
  command('APPEND', made.due, made.order)
  if call.holds == 0 or made.expires < call.hold_next then call.hold_next, call.hold_place = made.expires, 0 end
  call.holds = call.holds + 1
  call.events[#call.events + 1] = made.event
end

-- Ends the hold of an order if it is over at a second.
local function decide_expiry(call, order, second)
  local hold = holds.find(call, order)
  if not hold or hold.is_open or hold.expires ~= second then return false end
  holds.decide_end(call, hold, '')
  return hold
end

-- Removes what is left of some holds that are over. An error in one of them leaves its records as they are: they are over
-- all the same.
function holds.reap(call)
  local room, looked_at = REAPED_MAX, 0
  while call.holds > 0 and call.hold_next <= call.seconds and room > 0 and looked_at < SECONDS_MAX do
    local key, from = keys.due(call.tag, call.hold_next), call.hold_place * DIGEST
    local digests = redis.call('GETRANGE', key, from, from + room * DIGEST - 1)
    for at = 1, #digests, DIGEST do
      local ok, hold = pcall(decide_expiry, call, digests:sub(at, at + DIGEST - 1), call.hold_next)
      if ok and hold then holds.apply_end(call, hold) end
    end
    local done = #digests / DIGEST
    call.holds, call.hold_place, room = call.holds - done, call.hold_place + done, room - done
    if room > 0 or call.holds == 0 then
      redis.call('UNLINK', key)
      call.hold_next, call.hold_place = call.hold_next + 1, 0
    end
    looked_at, call.changed = looked_at + 1, true
  end
end

return holds
