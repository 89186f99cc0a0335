-- Puts routes in. An entry of the same device with a newer epoch stays.
-- KEYS[i]: routes:{bucket}. ARGV[1]: how long the key is kept, in seconds; then for each key a field and a packed route.
-- Answers first with a letter for each key, in one text: n, there was none before; s, the very same; o, another one.
-- The packed routes of the letters o follow in order. So the answer to many routes is short, where nothing is unusual.
-- Numbers in Lua hold 53 bits, so of the epoch halves are compared. `tell` is called for a connection that lost its place
-- to one at another gateway. A route that is there already costs no write, unless the half of its key's time is over:
-- then `sweep` is called for the bucket too. The keys in `due` end the answer. register_alone.lua or
-- register_cluster.lua, put in front, says what these three are.
local function newer(a, b)
  local a_high, a_low = struct.unpack('>I4I4', a, 9)
  local b_high, b_low = struct.unpack('>I4I4', b, 9)
  return a_high > b_high or (a_high == b_high and a_low > b_low)
end

local function put(key, field, route)
  local value = redis.call('HGET', key, field) or ''
  if value == route then return route end
  local device, old, others = string.sub(route, 1, 8), nil, {}
  for one in routes_in(value) do
    if string.sub(one, 1, 8) == device then old = one else others[#others + 1] = one end
  end
  if old ~= route and (not old or not newer(old, route)) then
    others[#others + 1] = route
    redis.call('HSET', key, field, table.concat(others))
    if old and string.sub(old, 34) ~= string.sub(route, 34) then tell(old) end
  end
  return old
end

local letters = {}
local answer = {''}
local looked_at = {}
for i, key in ipairs(KEYS) do
  if not looked_at[key] then
    looked_at[key] = true
    local left = redis.call('TTL', key)
    if left >= 0 and left < ARGV[1] / 2 then
      sweep(key)
      redis.call('EXPIRE', key, ARGV[1])
    end
  end
  local route = ARGV[2 * i + 1]
  local old = put(key, ARGV[2 * i], route)
  if not old then
    letters[i] = 'n'
  elseif old == route then
    letters[i] = 's'
  else
    letters[i] = 'o'
    answer[#answer + 1] = old
  end
end
for key in pairs(looked_at) do
  if redis.call('TTL', key) == -1 then redis.call('EXPIRE', key, ARGV[1]) end
end
answer[1] = table.concat(letters)
for _, key in ipairs(due) do answer[#answer + 1] = key end
return answer
