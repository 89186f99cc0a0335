-- Puts routes in. An entry of the same device with a newer epoch stays.
-- KEYS[i]: route:{user}. ARGV[1]: how long the key is kept, in seconds; then for each key a device and its packed route.
-- Answers first with a letter for each key, in one text: n, there was none before; s, the very same; o, another one.
-- The packed routes of the letters o follow in order. So the answer to many routes is short, where nothing is unusual.
-- A packed route is epoch, incarnation and connection, 8 bytes each, big-endian, then the node. Numbers in Lua hold 53
-- bits, so of the epoch halves are compared. A gateway whose connection lost its place to one elsewhere finds it in
-- replaced:{node}, a list of incarnation and connection. A route that is there already costs no write, unless the half
-- of its key's time is over.
local function newer(a, b)
  local a_high, a_low = struct.unpack('>I4I4', a)
  local b_high, b_low = struct.unpack('>I4I4', b)
  return a_high > b_high or (a_high == b_high and a_low > b_low)
end

local letters = {}
local answer = {''}
for i, key in ipairs(KEYS) do
  local device, route = ARGV[2 * i], ARGV[2 * i + 1]
  local old = redis.call('HGET', key, device)
  if old == route then
    letters[i] = 's'
    if redis.call('TTL', key) < ARGV[1] / 2 then redis.call('EXPIRE', key, ARGV[1]) end
  else
    if not old or not newer(old, route) then
      redis.call('HSET', key, device, route)
      redis.call('EXPIRE', key, ARGV[1])
      if old and string.sub(old, 25) ~= string.sub(route, 25) then
        local told = 'replaced:' .. string.sub(old, 25)
        redis.call('RPUSH', told, string.sub(old, 9, 24))
        redis.call('LTRIM', told, -10000, -1)
        redis.call('EXPIRE', told, 60)
      end
    end
    if old then
      letters[i] = 'o'
      answer[#answer + 1] = old
    else
      letters[i] = 'n'
    end
  end
end
answer[1] = table.concat(letters)
return answer
