-- Revocations with a change number above a position. KEYS: as in revoke.lua. ARGV: position, limit.
-- Answers with the position reached, 1 if there may be more, then member, packed, member, packed...
-- A position beyond the last change is from a list that was lost: it counts as 0.
local last = tonumber(redis.call('GET', KEYS[3]) or '0')
local position = tonumber(ARGV[1])
if position == last then return {last, 0} end
if position > last then position = 0 end
local found = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. position, '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[2])
local more = #found / 2 >= tonumber(ARGV[2])
local answer = {more and tonumber(found[#found]) or last, more and 1 or 0}
for i = 1, #found, 2 do
  answer[#answer + 1] = found[i]
  answer[#answer + 1] = redis.call('HGET', KEYS[2], found[i]) or ''
end
return answer
