-- Put in front of register.lua where one server has all keys.
local due = {}

-- A gateway finds the connections that lost their place in replaced:{node}, a list of incarnation and connection.
local function tell(old)
  local told = 'replaced:' .. string.sub(old, 34)
  redis.call('RPUSH', told, string.sub(old, 17, 32))
  redis.call('LTRIM', told, -10000, -1)
  redis.call('EXPIRE', told, 60)
end

-- Removes the routes of a bucket that have no lease.
local function sweep(key)
  local entries = redis.call('HGETALL', key)
  for j = 1, #entries, 2 do
    local living = chosen(entries[j + 1], true)
    if living == '' then
      redis.call('HDEL', key, entries[j])
    elseif living ~= entries[j + 1] then
      redis.call('HSET', key, entries[j], living)
    end
  end
end
