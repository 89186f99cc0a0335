-- Takes what register.lua left for a gateway. KEYS: replaced:{node}. ARGV: the most that are taken at once.
-- Answers with packed incarnation and connection, 8 bytes each, big-endian.
local found = redis.call('LRANGE', KEYS[1], 0, ARGV[1] - 1)
if #found > 0 then redis.call('LTRIM', KEYS[1], #found, -1) end
return found
