-- The wheel of a campaign: how many coupons are held, and how much money, by the second at which the holds end.
--
-- A hold counts against every limit from the moment it is made, in the same counters as a redemption. Nobody has to end
-- it: whoever next reads the campaign takes the sums of all seconds that are over out of the counters, before anything
-- is decided. So no limit looks full because of holds that are over, however many they are.
--
-- The wheel is a sorted set: the score is the second, the member is second 4 · day 2 · slot 4 · count 4 · discount 8.
-- Day and slot are those in which the holds were counted. `hold_due` of the campaign is no later than the first second
-- that has holds; 0: there are none.
-- campaign  a working copy, see campaigns.lua
-- Invariant: a coupon of the campaign that is held, and whose hold is not over, is in the sum of its second once.

local wheel = {}

local SUM = '>I4I2I4I4I8'

local function unpack_sum(member)
  local _, day, slot, count, discount = struct.unpack(SUM, member)
  return { day = day, slot = slot, count = count, discount = discount }
end

-- Takes what was counted, but is not used or was given back, out of a campaign's counters of redemptions. day, slot: in
-- which it was counted. What was counted in an earlier day or slot lowers the point where the present one began as well;
-- not below 0, because the records of redemptions that were made before coupons could be given back have neither.
function wheel.take_out(campaign, day, slot, count, discount)
  campaign.redeemed, campaign.discount = campaign.redeemed - count, campaign.discount - discount
  if campaign.day == day then
    campaign.redeemed_day = campaign.redeemed_day - count
  else
    campaign.budget_start = math.max(campaign.budget_start - discount, 0)
  end
  if campaign.slot > 0 and campaign.slot ~= slot then
    campaign.slot_start = math.max(campaign.slot_start - count, 0)
  end
end

local function count_held(campaign, count, discount)
  campaign.held, campaign.held_discount = campaign.held + count, campaign.held_discount + discount
end

-- Takes holds that are over out of the counters of a working copy. What it changes is written when the call is closed.
function wheel.sweep(call, campaign)
  local key, seconds = keys.wheel(call.tag, campaign.number), keys.number_text(call.seconds)
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', key, '-inf', seconds)) do
    local sum = unpack_sum(member)
    wheel.take_out(campaign, sum.day, sum.slot, sum.count, sum.discount)
    count_held(campaign, -sum.count, -sum.discount)
  end
  local next_due = redis.call('ZRANGEBYSCORE', key, '(' .. seconds, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
  campaign.hold_due = next_due[2] and tonumber(next_due[2]) or 0
  campaign.swept = true
end

-- Reads the sums of a second, before `add` or `remove` changes them.
function wheel.load(call, campaign, second)
  local seconds = campaign.seconds
  if not seconds then
    seconds = {}
    campaign.seconds = seconds
  end
  if seconds[second] then return end
  local sums = { is_changed = false }
  local text = keys.number_text(second)
  for index, member in ipairs(redis.call('ZRANGEBYSCORE', keys.wheel(call.tag, campaign.number), text, text)) do
    sums[index] = unpack_sum(member)
  end
  seconds[second] = sums
end

-- Returns how many coupons are held that were counted on a day. It reads the whole wheel.
function wheel.held_on(call, campaign, day)
  if campaign.hold_due == 0 then return 0 end
  local held = 0
  local after = '(' .. keys.number_text(call.seconds)
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', keys.wheel(call.tag, campaign.number), after, '+inf')) do
    local sum = unpack_sum(member)
    if sum.day == day then held = held + sum.count end
  end
  return held
end

local function sum_of(campaign, second, day, slot)
  local sums = campaign.seconds[second]
  sums.is_changed = true
  for index = 1, #sums do
    local sum = sums[index]
    if sum.day == day and sum.slot == slot then return sum end
  end
  local sum = { day = day, slot = slot, count = 0, discount = 0 }
  sums[#sums + 1] = sum
  return sum
end

-- Adds a coupon that is held until a second; its counters are counted elsewhere (limits.lua).
function wheel.add(campaign, second, day, slot, discount)
  local sum = sum_of(campaign, second, day, slot)
  sum.count, sum.discount = sum.count + 1, sum.discount + discount
  count_held(campaign, 1, discount)
  if campaign.hold_due == 0 or second < campaign.hold_due then campaign.hold_due = second end
end

-- Removes a coupon that is held until a second: its hold ends early, or it is used.
function wheel.remove(campaign, second, day, slot, discount)
  local sum = sum_of(campaign, second, day, slot)
  sum.count, sum.discount = sum.count - 1, sum.discount - discount
  count_held(campaign, -1, -discount)
end

-- Writes what was changed.
function wheel.close(call, campaign)
  if not campaign.swept and not campaign.seconds then return end
  local key = keys.wheel(call.tag, campaign.number)
  if campaign.swept then redis.call('ZREMRANGEBYSCORE', key, '-inf', keys.number_text(call.seconds)) end
  for second, sums in pairs(campaign.seconds or {}) do
    if sums.is_changed then
      local text = keys.number_text(second)
      redis.call('ZREMRANGEBYSCORE', key, text, text)
      for _, sum in ipairs(sums) do
        if sum.count > 0 then
          redis.call('ZADD', key, text, struct.pack(SUM, second, sum.day, sum.slot, sum.count, sum.discount))
        end
      end
    end
  end
end

return wheel
