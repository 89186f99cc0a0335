-- Notes that users are no longer connected to a gateway. KEYS and ARGV as in presence_here.lua. Entries of other
-- gateways and incarnations stay. The member '' is not a gateway: its score is when the user last left one.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for _, key in ipairs(KEYS) do
  if redis.call('ZREM', key, ARGV[1]) == 1 then
    redis.call('ZADD', key, now, '')
    redis.call('EXPIRE', key, ARGV[2])
  end
end
return #KEYS
