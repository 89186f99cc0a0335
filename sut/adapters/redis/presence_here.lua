-- Notes that users are connected to a gateway. KEYS[i]: presence:{bucket}. ARGV: the gateway with its incarnation, how
-- long the keys are kept, in seconds, and a field for each key. The time of every note is this server's.
local now = now_ms()
local mine = string.char(#ARGV[1]) .. ARGV[1] .. struct.pack('>I6', now)
for i, key in ipairs(KEYS) do
  local value = redis.call('HGET', key, ARGV[i + 2]) or NEVER
  local kept = {string.sub(value, 1, 6), mine}
  for gateway, at, entry in gateways_in(value) do
    if gateway ~= ARGV[1] and at > now - 86400000 then kept[#kept + 1] = entry end
  end
  redis.call('HSET', key, ARGV[i + 2], table.concat(kept))
end
keep(KEYS, tonumber(ARGV[2]), now)
return #KEYS
