-- Routes of users, only those whose lease lives, or only the others. KEYS[i]: route:{user}. ARGV[1]: 1 or 0.
-- Answers, for each key, with a list: device, packed route, device, packed route...
-- A packed route has the incarnation in bytes 9 to 16 and the node's name from byte 25; a lease begins with the
-- incarnation. Which leases are needed is known only here, so their keys are not declared: not for Redis Cluster.
local leases = {}

local wanted = ARGV[1] == '1'

local function lives(route)
  local node = string.sub(route, 25)
  local lease = leases[node]
  if lease == nil then
    lease = redis.call('GET', 'lease:' .. node) or ''
    leases[node] = lease
  end
  return string.sub(lease, 1, 8) == string.sub(route, 9, 16)
end

local answer = {}
for i, key in ipairs(KEYS) do
  local entries = redis.call('HGETALL', key)
  local live = {}
  for j = 1, #entries, 2 do
    if lives(entries[j + 1]) == wanted then
      live[#live + 1] = entries[j]
      live[#live + 1] = entries[j + 1]
    end
  end
  answer[i] = live
end
return answer
