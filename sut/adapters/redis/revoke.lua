-- Puts revocations in; one that is known with the same or a later second stays as it is. Forgets some that have expired,
-- and what is no revocation.
-- KEYS: order (zset: member by change number), data (hash: member -> packed), last (the last change number).
-- ARGV: now, the most that are kept, then for each a member and its packed at and until (8 bytes each, big-endian).
-- Answers with how many did not fit.
local function later(a, b)
  local a_high, a_low = struct.unpack('>I4I4', a)
  local b_high, b_low = struct.unpack('>I4I4', b)
  return a_high > b_high or (a_high == b_high and a_low > b_low)
end

for _, member in ipairs(redis.call('ZRANGE', KEYS[1], 0, 99)) do
  local data = redis.call('HGET', KEYS[2], member)
  if not data or #data ~= 16 or select(2, struct.unpack('>I4I4', string.sub(data, 9))) < tonumber(ARGV[1]) then
    redis.call('ZREM', KEYS[1], member)
    redis.call('HDEL', KEYS[2], member)
  end
end

local refused = 0
local count = redis.call('ZCARD', KEYS[1])
for i = 3, #ARGV, 2 do
  local member, data = ARGV[i], ARGV[i + 1]
  local old = redis.call('HGET', KEYS[2], member)
  if not old and count >= tonumber(ARGV[2]) then
    refused = refused + 1
  elseif not old or #old ~= 16 or later(data, old) then
    redis.call('ZADD', KEYS[1], redis.call('INCR', KEYS[3]), member)
    redis.call('HSET', KEYS[2], member, data)
    if not old then count = count + 1 end
  end
end
return refused
