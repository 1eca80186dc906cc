-- Gives the functions their names. The suffix is a digest of this library's own text, so that old and new servers can
-- work side by side during a deploy, each with its own.

local function register(name, callback, flags)
  redis.register_function({ function_name = name .. '_' .. SUFFIX, callback = callback, flags = flags or {} })
end

register('redeem', redeem)
register('issue', issue)
register('define', define)
register('open', open)
register('adopt', adopt)
register('campaigns', campaigns, { 'no-writes' })
register('counters', counters, { 'no-writes' })
register('coupon', coupon, { 'no-writes' })
register('request', request, { 'no-writes' })
register('status', status, { 'no-writes' })
