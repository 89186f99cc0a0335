-- Notes that users are no longer connected to a gateway. KEYS and ARGV as in presence_here.lua. Entries of other
-- gateways and incarnations stay.
local now = now_ms()
for i, key in ipairs(KEYS) do
  local value = redis.call('HGET', key, ARGV[i + 2]) or NEVER
  local kept, left = {struct.pack('>I6', now)}, false
  for gateway, _, entry in gateways_in(value) do
    if gateway == ARGV[1] then left = true else kept[#kept + 1] = entry end
  end
  if left then redis.call('HSET', key, ARGV[i + 2], table.concat(kept)) end
end
keep(KEYS, tonumber(ARGV[2]), now)
return #KEYS
