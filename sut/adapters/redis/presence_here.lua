-- Notes that users are connected to a gateway. KEYS[i]: presence:{user}. ARGV: the gateway with its incarnation, and
-- how long the keys are kept, in seconds. The time of every note is this server's.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for _, key in ipairs(KEYS) do
  redis.call('ZADD', key, now, ARGV[1])
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now - 86400000)
  redis.call('EXPIRE', key, ARGV[2])
end
return #KEYS
