-- Ends the lease of a node if this incarnation has it.
-- KEYS: lease:{node}, and nodes as in lease.lua. ARGV: the incarnation, 8 bytes big-endian; the node. Answers 1 if it did, else 0.
local held = redis.call('GET', KEYS[1])
if not held or string.sub(held, 1, 8) ~= ARGV[1] then
  return 0
end
redis.call('DEL', KEYS[1])
if KEYS[2] then redis.call('SREM', KEYS[2], ARGV[2]) end
return 1
