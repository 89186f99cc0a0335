-- Put in front of the scripts about routes.
-- A hash `routes:{bucket}` has a field per user of the bucket. Its value: the packed routes of the user's devices, one
-- after the other. A packed route is device, epoch, incarnation and connection, 8 bytes each, big-endian, then the
-- length of the node's name in one byte, then the name.
local function routes_in(value)
  local at = 1
  return function()
    if at > #value then return nil end
    local from = at
    at = at + 33 + string.byte(value, at + 32)
    return string.sub(value, from, at - 1)
  end
end

local leases = {}

-- Whether the lease of a route's node is held by the route's incarnation. Which leases are needed is known only here, so
-- their keys are not declared. In a Redis Cluster leases are in other slots, and the caller looks at them.
local function lives(route)
  local node = string.sub(route, 34)
  local lease = leases[node]
  if lease == nil then
    lease = redis.call('GET', 'lease:' .. node) or ''
    leases[node] = lease
  end
  return string.sub(lease, 1, 8) == string.sub(route, 17, 24)
end

-- The routes of a value that live, or those that do not.
local function chosen(value, wanted)
  local found = {}
  for route in routes_in(value) do
    if lives(route) == wanted then found[#found + 1] = route end
  end
  return table.concat(found)
end
