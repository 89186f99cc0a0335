-- Which users are online. KEYS[i]: presence:{user}. ARGV: how old an entry may be, in milliseconds.
-- Answers, for each key, with 1 or 0 and when the user was last known to be there (ms; 0: never, or long ago).
-- Entries too old are left to the expiry of the key: a look writes nothing.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local oldest = now - ARGV[1]
local answer = {}
for i, key in ipairs(KEYS) do
  local entries = redis.call('ZREVRANGE', key, 0, -1, 'WITHSCORES')
  local online, seen = 0, 0
  for j = 1, #entries, 2 do
    local score = tonumber(entries[j + 1])
    if score > seen then seen = score end
    if entries[j] ~= '' and score > oldest then online = 1 end
  end
  answer[2 * i - 1] = online
  answer[2 * i] = seen
end
return answer
