-- The signals of an item: who is behind it, beside its customer. Every item has them in the same form.
--
-- Signals  flags 1 (the sum of 1 person, 2 device, 4 network, 8 payment: which follow) · of each that follows: digest 8

local risk_signals = {}

local DIGEST = 8
local FORMS = 2 ^ 4

-- Bytes of the signals by their flags. It is a table because looking up is faster than counting; `math` has no name while
-- the library is loaded.
local BYTES = {}
for flags = 0, FORMS - 1 do
  local rest, count = flags, 0
  while rest > 0 do
    local bit = rest % 2
    rest, count = (rest - bit) / 2, count + bit
  end
  BYTES[flags] = 1 + count * DIGEST
end

-- Returns how many bytes the signals have that begin at a position of an item.
function risk_signals.bytes(packed, at) return BYTES[packed:byte(at)] or error('signals of another version') end

-- Returns the digest of the person, or false.
function risk_signals.person(packed, at) return packed:byte(at) % 2 == 1 and packed:sub(at + 1, at + DIGEST) end

return risk_signals
