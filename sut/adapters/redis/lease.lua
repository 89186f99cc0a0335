-- Takes or renews the lease of a node, unless a later incarnation has it.
-- KEYS: lease:{node}, and nodes unless the caller keeps those elsewhere. ARGV: the packed lease (incarnation in 8 bytes big-endian, then the address), its time in
-- milliseconds, the node. Answers 1, or 0 when a later incarnation has it.
local function later(a, b)
  local a_high, a_low = struct.unpack('>I4I4', a)
  local b_high, b_low = struct.unpack('>I4I4', b)
  return a_high > b_high or (a_high == b_high and a_low > b_low)
end

local held = redis.call('GET', KEYS[1])
if held and later(held, ARGV[1]) then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
if KEYS[2] then redis.call('SADD', KEYS[2], ARGV[3]) end
return 1
