-- Put in front of the scripts about presence.
-- A hash `presence:{bucket}` has a field per user of the bucket. Its value: when the user last left a gateway, then for
-- each gateway incarnation that has the user its length in one byte, itself, and when it last said so. Times are Unix ms
-- in 6 bytes, big-endian; 0: never.
local NEVER = struct.pack('>I6', 0)

local function gateways_in(value)
  local at = 7
  return function()
    if at > #value then return nil end
    local from = at
    at = at + 7 + string.byte(value, at)
    return string.sub(value, from + 1, at - 7), (struct.unpack('>I6', value, at - 6)), string.sub(value, from, at - 1)
  end
end

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- When the user was last known to be at a gateway.
local function seen_ms(value)
  local seen = struct.unpack('>I6', value)
  for _, at in gateways_in(value) do
    if at > seen then seen = at end
  end
  return seen
end

-- Keeps each bucket for so many seconds. Once a day this removes those of its users who were not seen for so long.
local function keep(keys, kept_s, now)
  local looked_at = {}
  for _, key in ipairs(keys) do
    if not looked_at[key] then
      looked_at[key] = true
      local left = redis.call('TTL', key)
      if left > -2 and left < kept_s - 86400 then
        local entries = left == -1 and {} or redis.call('HGETALL', key)
        for j = 1, #entries, 2 do
          if seen_ms(entries[j + 1]) < now - kept_s * 1000 then redis.call('HDEL', key, entries[j]) end
        end
        redis.call('EXPIRE', key, kept_s)
      end
    end
  end
end
