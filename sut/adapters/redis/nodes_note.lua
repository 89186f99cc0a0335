-- Notes that a node has a lease. KEYS: nodes, a sorted set: node by the time at which its lease ends, in ms, by this
-- server's clock. ARGV: how long the lease lasts, in ms; the node.
local time = redis.call('TIME')
redis.call('ZADD', KEYS[1], time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[1], ARGV[2])
return 1
