-- Velocity and accounts rules: how often a subject tries, and how many customers share one.
--
-- A rate is counted by GCRA (ITU-T I.371, the virtual scheduling algorithm): the state of a subject is the time at which
-- its next request would come if all came evenly spaced. Accounts are counted by the list of the customers that a
-- subject had within the window.
--
-- The states of one rule are in one hash for each generation: subject digest → state. A generation lasts as long as a
-- state can matter, so a state is in the present generation or in the one before; the key expires when no state in it can
-- matter. The hash has one field more, with an empty name: its long value makes it a hash table from the beginning (a
-- list of 500 entries takes ten times as long to search).
--
-- State    of a rate: time 8 (microseconds since 1970) · of accounts: for each customer: digest 8 · last counted 4 (Unix
--          seconds), the longest ago first
-- Checks   of an item: how many 1 · of each: position of its rule 1 (the first is 1; see rules.lua) · subject digest 8
-- Exceeded how many 1 · of each: position of its rule 1 · when to try again 8 (Unix ms)
-- Invariant: a rate never lets more pass than its burst, and then one for each interval; accounts never count more
--            customers than they allow; what is replayed or judged again is counted once.
--
-- All states that a call needs are read before its first item is decided, in one command for each rule and generation,
-- and written when it is closed. Reading and writing them one by one takes twice as long.

local velocity = {}

local sub, byte = (('').sub), (('').byte)
local CHECK_BYTES, DIGEST = 9, 8
local CUSTOMER_BYTES = 12
local PADDING = (' '):rep(65)
local GENERATION_MS_MIN = 60000

-- What was decided last: whether it changes states when its item is refused; what its item exceeds, packed, or false;
-- whether it refuses all tokens; and the campaigns whose tokens it refuses, or false.
velocity.counts_attempts, velocity.exceeded, velocity.refuses_all, velocity.refused_campaigns = false, false, false, false

-- The new states of the item that is decided: state table, digest, value, whether only an approval counts, ….
local planned, planned_size = {}, 0

-- Returns the state table of the rule at a position, or nil if there is no such rule.
local function table_of(call, position)
  local states = call.velocity
  local found = states[position]
  if found then return found end
  local rule = call.checks[position]
  if not rule then return nil end
  local length = math.max(rule.life_ms, GENERATION_MS_MIN)
  local generation = math.floor(call.now / length)
  found = {
    rule = rule, key = keys.velocity(call.tag, rule.id, generation), wanted = { '' }, values = {}, dirty = {},
    changed = false, is_new = false, expires_ms = (generation + 2) * length,
    before = call.now < generation * length + rule.life_ms and keys.velocity(call.tag, rule.id, generation - 1),
  }
  states[position] = found
  return found
end

-- Notes that the checks of an item need their states. places: see velocity.begin
local function want(call, packed, places)
  local at = places[byte(packed, 1)](packed)
  for index = 1, byte(packed, at) do
    local first = at + 1 + (index - 1) * CHECK_BYTES
    local found = table_of(call, byte(packed, first))
    if found then found.wanted[#found.wanted + 1] = sub(packed, first + 1, first + DIGEST) end
  end
end

local function read_states(found)
  local wanted = found.wanted
  local now = command('HMGET', found.key, unpack(wanted))
  local before = found.before and command('HMGET', found.before, unpack(wanted))
  found.is_new = not now[1]
  for index = 2, #wanted do
    found.values[wanted[index]] = now[index] or before and before[index] or false
  end
end

-- Reads the states that the items of a call need. places: by operation, a function that returns where an item's checks
-- begin. An item that is not understood, or a state that cannot be read, fails when its item is decided.
function velocity.begin(call, args, first, places)
  call.checks = rules.checks(call)
  if #call.checks == 0 then return end
  call.velocity = {}
  for index = first, #args do
    local packed = args[index]
    pcall(want, call, packed, places)
  end
  for _, found in pairs(call.velocity) do
    local ok, why = pcall(read_states, found)
    if not ok then found.unreadable = why end
  end
end

local function plan(found, digest, value)
  planned[planned_size + 1], planned[planned_size + 2], planned[planned_size + 3] = found, digest, value
  planned_size = planned_size + 3
  if not found.rule.approvals then velocity.counts_attempts = true end
end

-- Plans one more request of a subject; or returns when there is room again (Unix ms).
local function decide_rate(call, found, digest)
  local rule, now, due = found.rule, call.now * 1000, found.values[digest]
  due = due and struct.unpack('>I8', due) or 0
  if due < now then due = now end
  if due - now > rule.tolerance then return math.ceil((due - rule.tolerance) / 1000) end
  plan(found, digest, struct.pack('>I8', due + rule.interval))
  return nil
end

-- The same for a customer of a subject.
local function decide_accounts(call, found, digest, customer)
  local rule, packed, rest, count, oldest = found.rule, found.values[digest] or '', '', 0, nil
  local is_there = false
  for at = 1, #packed, CUSTOMER_BYTES do
    local last = struct.unpack('>I4', packed, at + DIGEST)
    if call.seconds - last < rule.window then
      if sub(packed, at, at + DIGEST - 1) == customer then
        is_there = true
      else
        count, oldest = count + 1, oldest or last
        rest = rest .. sub(packed, at, at + CUSTOMER_BYTES - 1)
      end
    end
  end
  if not is_there and count >= rule.customers then return (oldest + rule.window) * 1000 end
  local value = rest .. customer .. struct.pack('>I4', call.seconds)
  if value ~= packed then plan(found, digest, value) end
  return nil
end

-- Decides the checks of an item, which begin at a position of it. customer: the digest, or false
function velocity.decide(call, packed, at, customer)
  planned_size, velocity.counts_attempts, velocity.exceeded = 0, false, false
  velocity.refuses_all, velocity.refused_campaigns = false, false
  local count, exceeded, exceeded_count = byte(packed, at), '', 0
  for index = 1, count do
    local first = at + 1 + (index - 1) * CHECK_BYTES
    local position = byte(packed, first)
    local digest, found = sub(packed, first + 1, first + DIGEST), call.velocity[position]
    if found.unreadable then error(found.unreadable) end
    local rule, again = found.rule, nil
    if rule.is_rate then
      again = decide_rate(call, found, digest)
    else
      again = decide_accounts(call, found, digest, customer or error('accounts without a customer'))
    end
    if again then
      exceeded, exceeded_count = exceeded .. struct.pack('>BI8', position, again), exceeded_count + 1
      if not rule.shadow then
        if rule.campaign == 0 then
          velocity.refuses_all = true
        else
          velocity.refused_campaigns = velocity.refused_campaigns or {}
          velocity.refused_campaigns[rule.campaign] = true
        end
      end
    end
  end
  if exceeded_count > 0 then velocity.exceeded = struct.pack('>B', exceeded_count) .. exceeded end
end

-- Whether the item that was decided last is refused for a campaign.
function velocity.refuses(campaign)
  return velocity.refuses_all or velocity.refused_campaigns and velocity.refused_campaigns[campaign]
end

-- Returns a reply with what the item exceeds in front of it, if anything.
function velocity.reply(reply)
  if velocity.exceeded then return 'V' .. velocity.exceeded .. reply end
  return reply
end

-- Counts the item that was decided last.
function velocity.apply(call, approved)
  for index = 1, planned_size, 3 do
    local found, digest, value = planned[index], planned[index + 1], planned[index + 2]
    if approved or not found.rule.approvals then
      found.values[digest], found.dirty[digest], found.changed = value, true, true
      call.changed = true
    end
  end
end

-- Writes the states that the call changed.
function velocity.close(call)
  if not call.velocity then return end
  for _, found in pairs(call.velocity) do
    if found.changed then
      local flat, size = {}, 0
      for digest in pairs(found.dirty) do
        flat[size + 1], flat[size + 2] = digest, found.values[digest]
        size = size + 2
      end
      if found.is_new then
        command('HSET', found.key, '', PADDING, unpack(flat))
        command('PEXPIREAT', found.key, found.expires_ms)
      else
        command('HSET', found.key, unpack(flat))
      end
    end
  end
end

return velocity
