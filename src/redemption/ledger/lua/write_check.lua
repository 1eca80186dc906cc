-- write_check: whether the ledger would take a call that writes. It writes nothing. It is not registered as one that only
-- reads, so Valkey treats it as it would treat `batch`: without memory and as a replica it refuses it, and while writes
-- are paused it lets it wait.
--
-- KEYS[1], ARGV[1] to ARGV[4]  see frame.lua
-- Replies  the commands that the ledger's user may not run, see permissions.lua

local function write_check(key_names, args)
  frame.begin_writing(key_names, args)
  return permissions.missing(key_names)
end

return write_check
