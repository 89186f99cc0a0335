-- Live leases. KEYS: nodes. Answers with node, packed lease, node, packed lease... and forgets nodes without a lease.
local live = {}
for _, node in ipairs(redis.call('SMEMBERS', KEYS[1])) do
  local lease = redis.call('GET', 'lease:' .. node)
  if lease then
    live[#live + 1] = node
    live[#live + 1] = lease
  else
    redis.call('SREM', KEYS[1], node)
  end
end
return live
