-- Put in front of register.lua in a Redis Cluster. Leases and the lists of what was replaced are in other slots, so the
-- caller tells and sweeps: it knows from the answer what was replaced, and `due` names the buckets to be swept.
local due = {}

local function tell() end

local function sweep(key)
  due[#due + 1] = key
end
