-- Compares and deletes: an entry goes only if it is exactly the one given.
-- KEYS[i]: route:{user}. ARGV: for each key a device and its packed route. Answers with how many went.
local gone = 0
for i, key in ipairs(KEYS) do
  local device, route = ARGV[2 * i - 1], ARGV[2 * i]
  if redis.call('HGET', key, device) == route then
    gone = gone + redis.call('HDEL', key, device)
  end
end
return gone
