-- Velocity and accounts rules: how often a subject tries, and how many customers share one.
--
-- A rate is counted by GCRA (ITU-T I.371, the virtual scheduling algorithm): the state of a subject is the time at which
-- its next request would come if all came evenly spaced. Accounts are counted by the list of the customers that a
-- subject had within the window, at most 50 (see domain/risk/rule_checks.py).
--
-- The states of one rule are in one hash for each generation: subject digest → state. A generation lasts as long as a
-- state can matter, but five minutes at least: so a state that matters is in the present generation, or, at its
-- beginning, in the one before. The key expires when no state in it can matter. The hash has one field more, with an
-- empty name: its long value makes it a hash table from the beginning (a list of 500 entries takes ten times as long to
-- search).
--
-- A generation takes so many subjects at most (SUBJECTS_MAX): names of devices can be invented, and the ledger must not
-- be filled by them. When there is no room, a subject that is not there yet is not counted, and passes; one that is
-- there is counted as ever. Subjects of the generation before are still refused by what was counted of them.
--
-- State    of a rate: time 8 (microseconds since 1970) · of accounts: for each customer: digest 8 · last counted 4 (Unix
--          seconds), the longest ago first
-- Checks   of an item: how many 1 · of each: position of its rule 1 (the first is 1; see rules.lua) · subject digest 8
-- Exceeded how many 1 · of each: position of its rule 1 · when to try again 8 (Unix ms; 0: the rule refuses nothing, it
--          could not count the subject, because there is no room)
-- Invariant: a rate never lets more pass than its burst, and then one for each interval; accounts never count more
--            customers than they allow; what is replayed or judged again is counted once. All of that as long as there
--            is room for its subject.
--
-- All states that a call needs are read before its first item is decided, in one command for each rule and generation,
-- and written when it is closed. Reading and writing them one by one takes twice as long. Of a subject of an accounts
-- rule only the last state is written, because it is long.

local velocity = {}

local sub, byte, find = (('').sub), (('').byte), (('').find)
local CHECK_BYTES, EXCEEDED_BYTES, DIGEST = 9, 9, 8
local CUSTOMER_BYTES = 12
local PADDING = (' '):rep(65)
local GENERATION_MS_MIN = 300000
local SUBJECTS_MAX = 2000000

local pack, unpack_number -- struct.pack and struct.unpack, from the first call on: there is none while the library loads

-- The checks of all items of a call, one after the other: the states of the rule, the position of the rule, the subject's
-- digest; and by the index of an item where its checks begin. These tables, and those below, are kept from one call or
-- item to the next, because a new table has to grow, which takes longer than filling it.
local check_states, check_positions, check_digests, first_check = {}, {}, {}, {}
local checks_size = 0
-- By the position of a rule: the subjects whose states are read, after an empty name; and what is written: digest, state, ….
local wanted_lists, flats = {}, {}

-- What was decided last: how many states it would change, whose, of which subjects, to what; whether any of them changes
-- when the item is refused; what the item exceeds, packed, or false; whether all its tokens are refused; and the
-- campaigns whose tokens are refused, or false.
local planned_size, planned_states, planned_digests, planned_values = 0, {}, {}, {}
local counts_attempts, exceeded, refuses_all, refused_campaigns = false, false, false, false

-- Returns the keys of a rule's present generation, and of the one before if its states can still matter, or false; and
-- when the present one expires (Unix ms).
local function keys_of(call, rule)
  local length = math.max(rule.life_ms, GENERATION_MS_MIN)
  local generation = math.floor(call.now / length)
  local before = call.now < generation * length + rule.life_ms and keys.velocity(call.tag, rule.id, generation - 1)
  return keys.velocity(call.tag, rule.id, generation), before, (generation + 1) * length + rule.life_ms
end

-- Returns the states of the rule at a position.
local function states_of(call, position)
  local rule = call.checks[position] or error('a check of a rule that is not there')
  local key, before, expires_ms = keys_of(call, rule)
  if not flats[position] then wanted_lists[position], flats[position] = { '' }, {} end
  local states = {
    rule = rule, is_rate = rule.is_rate, interval = rule.interval, tolerance = rule.tolerance,
    -- Further ahead is only what was counted before an operator set back the clock.
    ahead_max = rule.tolerance + rule.interval,
    approvals = rule.approvals, key = key, before = before, expires_ms = expires_ms, wanted = wanted_lists[position],
    wanted_size = 1, values = {}, flat = flats[position], flat_size = 0, is_new = false, unreadable = false,
    dirty = not rule.is_rate and {}, present = false,
  }
  call.velocity[position] = states
  return states
end

-- Notes that the checks of an item need their states. places: see velocity.begin
local function want(call, packed, places, index)
  local at = places[byte(packed, 1)](packed)
  local by_position, size = call.velocity, checks_size
  first_check[index] = size + 1
  for _ = 1, byte(packed, at) do
    local position, digest = byte(packed, at + 1), sub(packed, at + 2, at + CHECK_BYTES)
    local states = by_position[position] or states_of(call, position)
    local wanted_size = states.wanted_size + 1
    states.wanted[wanted_size], states.wanted_size = digest, wanted_size
    size = size + 1
    check_states[size], check_positions[size], check_digests[size] = states, position, digest
    at = at + CHECK_BYTES
  end
  checks_size = size
end

local function want_all(call, args, first, places)
  for index = first, #args do
    local packed = args[index]
    want(call, packed, places, index)
  end
end

-- Of a rule that has no room for all subjects of the call, notes which of them are in the present generation.
local function note_present(states, now)
  if command('HLEN', states.key) + states.wanted_size <= SUBJECTS_MAX + 2 then return end -- both have the empty name
  states.present = {}
  for index = 2, states.wanted_size do
    if now[index] then states.present[states.wanted[index]] = true end
  end
end

local function read_states(states)
  local wanted, values = states.wanted, states.values
  local now = command('HMGET', states.key, unpack(wanted, 1, states.wanted_size))
  local before = states.before and command('HMGET', states.before, unpack(wanted, 1, states.wanted_size))
  states.is_new = not now[1]
  if now[1] then note_present(states, now) end
  for index = 2, states.wanted_size do
    local value = now[index] or before and before[index]
    if value then values[wanted[index]] = value end
  end
end

-- Reads the states that the items of a call need. places: by operation, a function that returns where an item's checks
-- begin. What cannot be read (an item, a state, or what the rules check) fails the items that need it, when they are
-- decided.
function velocity.begin(call, args, first, places)
  local ok, checks = pcall(rules.checks, call)
  if not ok then
    call.unreadable_checks = checks
    return
  end
  call.checks = checks
  if #checks == 0 then return end
  pack, unpack_number = struct.pack, struct.unpack
  call.velocity, checks_size = {}, 0
  if not pcall(want_all, call, args, first, places) then
    call.velocity, checks_size = {}, 0
    for index = first, #args do
      local packed = args[index]
      if not pcall(want, call, packed, places, index) then first_check[index] = false end
    end
  end
  for _, states in pairs(call.velocity) do
    local ok, why = pcall(read_states, states)
    if not ok then states.unreadable, states.is_rate = why, false end
  end
end

-- Plans that a subject's state becomes `value`. If it is not there and there is no room, notes that it is not counted.
local function plan(states, position, digest, value)
  if states.present and not states.present[digest] then
    exceeded = (exceeded or '') .. pack('>BI8', position, 0)
    return
  end
  planned_size = planned_size + 1
  planned_states[planned_size], planned_digests[planned_size], planned_values[planned_size] = states, digest, value
  if not states.approvals then counts_attempts = true end
end

-- Where a customer is in a list of customers, or nil. A digest can also be found across two of them: that is none.
local function place_of(packed, customer, from)
  local at = find(packed, customer, from, true)
  while at and at % CUSTOMER_BYTES ~= 1 do at = find(packed, customer, at + 1, true) end
  return at
end

-- Where the customers begin that were counted within the window; in the future is only what was counted before an
-- operator set back the clock.
local function first_within(packed, window, seconds)
  for at = 1, #packed, CUSTOMER_BYTES do
    local ago = seconds - unpack_number('>I4', packed, at + DIGEST)
    if ago >= 0 and ago < window then return at end
  end
  return #packed + 1
end

-- Plans to count one more customer of a subject; or returns when there is room again (Unix ms).
local function decide_accounts(call, states, position, digest, customer)
  if states.unreadable then error(states.unreadable) end
  if not customer then error('accounts without a customer') end
  local rule, packed, seconds = states.rule, states.values[digest] or '', call.seconds
  local first = first_within(packed, rule.window, seconds)
  local at = place_of(packed, customer, first)
  if at then
    if unpack_number('>I4', packed, at + DIGEST) == seconds then return nil end -- nothing changes
    plan(states, position, digest, sub(packed, first, at - 1) .. sub(packed, at + CUSTOMER_BYTES)
      .. customer .. pack('>I4', seconds))
    return nil
  end
  if (#packed + 1 - first) / CUSTOMER_BYTES >= rule.customers then
    return (unpack_number('>I4', packed, first + DIGEST) + rule.window) * 1000
  end
  plan(states, position, digest, sub(packed, first) .. customer .. pack('>I4', seconds))
  return nil
end

-- Adds a rule to what the item exceeds. again: when there is room again (Unix ms)
local function exceed(rule, position, again)
  exceeded = (exceeded or '') .. pack('>BI8', position, again)
  if rule.shadow then return end
  if rule.campaign == 0 then
    refuses_all = true
  else
    refused_campaigns = refused_campaigns or {}
    refused_campaigns[rule.campaign] = true
  end
end

-- Returns what a rule has counted of a subject: its state, or an empty text.
function velocity.state_of(call, rule, digest)
  local now, before = keys_of(call, rule)
  return redis.call('HGET', now, digest) or before and redis.call('HGET', before, digest) or ''
end

-- Decides the checks of the item that the call decides. count: how many they are · customer: the digest, or false
function velocity.decide(call, count, customer)
  planned_size, counts_attempts, exceeded, refuses_all, refused_campaigns = 0, false, false, false, false
  local now = call.now * 1000
  local first = call.velocity and first_check[call.next - 1] -- the item, see batch.lua
  if not first then error(call.unreadable_checks or 'checks of rules that are not there') end
  for check = first, first + count - 1 do
    local states, position, digest, again = check_states[check], check_positions[check], check_digests[check], nil
    if states.is_rate then
      local due = states.values[digest]
      due = due and unpack_number('>I8', due) or now
      if due < now or due - now > states.ahead_max then due = now end
      if due - now > states.tolerance then
        again = math.ceil((due - states.tolerance) / 1000)
      else
        plan(states, position, digest, pack('>I8', due + states.interval))
      end
    else
      again = decide_accounts(call, states, position, digest, customer)
    end
    if again then exceed(states.rule, position, again) end
  end
end

-- Whether the item that was decided last is to be applied although it is refused.
function velocity.counts_attempts() return counts_attempts end

-- Whether the item that was decided last is refused for a campaign.
function velocity.refuses(campaign) return refuses_all or refused_campaigns and refused_campaigns[campaign] end

-- Whether the item that was decided last exceeds any rule.
function velocity.is_exceeded() return exceeded ~= false end

-- Returns a reply with what the item exceeds in front of it, if anything.
function velocity.reply(reply)
  if not exceeded then return reply end
  return 'V' .. pack('>B', #exceeded / EXCEEDED_BYTES) .. exceeded .. reply
end

-- Counts the item that was decided last.
function velocity.apply(call, approved)
  for index = 1, planned_size do
    local states, digest, value = planned_states[index], planned_digests[index], planned_values[index]
    if approved or not states.approvals then
      if states.dirty then
        states.dirty[digest] = true
      else
        local flat, size = states.flat, states.flat_size
        flat[size + 1], flat[size + 2], states.flat_size = digest, value, size + 2
      end
      states.values[digest] = value
      call.changed = true
    end
  end
end

-- Adds the last states of an accounts rule's subjects to what is written.
local function flatten(states)
  local flat, size = states.flat, states.flat_size
  for digest in pairs(states.dirty) do
    flat[size + 1], flat[size + 2], size = digest, states.values[digest], size + 2
  end
  states.flat_size = size
end

-- Writes the states that the call changed. If a subject of a rate is there twice, the later value stays.
function velocity.close(call)
  if not call.velocity then return end
  for _, states in pairs(call.velocity) do
    if states.dirty then flatten(states) end
    if states.flat_size > 0 then
      if states.is_new then
        command('HSET', states.key, '', PADDING)
        command('PEXPIREAT', states.key, states.expires_ms)
      end
      command('HSET', states.key, unpack(states.flat, 1, states.flat_size))
    end
  end
end

return velocity
