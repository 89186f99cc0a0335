-- Which users are online. KEYS[i]: presence:{bucket}. ARGV: how old an entry may be, in milliseconds; a field for each key.
-- Answers with 8 bytes for each key, big-endian, in one text: when the user was last known to be there (ms; 0: never, or
-- long ago), with bit 48 set if the user is online.
-- Entries too old are left to the next note: a look writes nothing.
local oldest = now_ms() - ARGV[1]
local answer = {}
for i, key in ipairs(KEYS) do
  local value = redis.call('HGET', key, ARGV[i + 1]) or NEVER
  local seen, online = struct.unpack('>I6', value), 0
  for _, at in gateways_in(value) do
    if at > seen then seen = at end
    if at > oldest then online = 281474976710656 end
  end
  answer[i] = struct.pack('>I8', seen + online)
end
return table.concat(answer)
