-- Nodes whose lease may live. KEYS: nodes, as in nodes_note.lua. Forgets those whose lease has ended.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for _, node in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '(' .. now)) do
  redis.call('ZREM', KEYS[1], node)
end
return redis.call('ZRANGE', KEYS[1], 0, -1)
