-- Which users are online. KEYS[i]: presence:{bucket}. ARGV: how old an entry may be, in milliseconds; a field for each key.
-- Answers, for each key, with 1 or 0 and when the user was last known to be there (ms; 0: never, or long ago).
-- Entries too old are left to the next note: a look writes nothing.
local oldest = now_ms() - ARGV[1]
local answer = {}
for i, key in ipairs(KEYS) do
  local value = redis.call('HGET', key, ARGV[i + 1]) or NEVER
  local online = 0
  for _, at in gateways_in(value) do
    if at > oldest then online = 1 end
  end
  answer[2 * i - 1] = online
  answer[2 * i] = seen_ms(value)
end
return answer
