-- Values of fields, each of its own hash. KEYS[i]: a hash. ARGV[i]: a field of it. Answers with the values; '': none.
local answer = {}
for i, key in ipairs(KEYS) do
  answer[i] = redis.call('HGET', key, ARGV[i]) or ''
end
return answer
