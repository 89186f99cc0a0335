-- Routes of users, only those whose lease lives, or only the others.
-- KEYS[i]: routes:{bucket}. ARGV[1]: 1 or 0; then a field for each key.
-- Answers, for each key, with the packed routes, one after the other.
local answer = {}
for i, key in ipairs(KEYS) do
  answer[i] = chosen(redis.call('HGET', key, ARGV[i + 1]) or '', ARGV[1] == '1')
end
return answer
