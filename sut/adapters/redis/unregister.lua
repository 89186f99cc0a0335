-- Compares and deletes: an entry goes only if it is exactly the one given.
-- KEYS[i]: routes:{bucket}. ARGV: for each key a field and a packed route. Answers with how many went.
local gone = 0
for i, key in ipairs(KEYS) do
  local field, unwanted = ARGV[2 * i - 1], ARGV[2 * i]
  local value = redis.call('HGET', key, field) or ''
  local others = {}
  for route in routes_in(value) do
    if route ~= unwanted then others[#others + 1] = route end
  end
  local left = table.concat(others)
  if left ~= value then
    gone = gone + 1
    if left == '' then redis.call('HDEL', key, field) else redis.call('HSET', key, field, left) end
  end
end
return gone
