// A client in JavaScript, whose numbers are doubles: what it read, it uses in its next request. Prints what it has seen.
// node ids_in_javascript.mjs API_URL API_KEY USER DEVICE
const [url, apiKey, user, device] = process.argv.slice(2);

async function call(method, path, bearer, body) {
  const headers = { Authorization: `Bearer ${bearer}`, "Content-Type": "application/json" };
  const answer = await fetch(url + path, { method, headers, body: JSON.stringify(body) });
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
  return answer.json();
}

const issued = (await call("POST", "/v1/tokens", apiKey, { devices: [{ user, device }] })).tokens[0];
const other = (BigInt(user) + 2n).toString();
const wanted = { kind: "group", members: [other], key: "from JavaScript" };
const created = await call("POST", "/v1/conversations", issued.token, wanted);
await call("POST", `/v1/conversations/${created.conversation_id}/members`, issued.token, { user: other });
await call("DELETE", `/v1/conversations/${created.conversation_id}/members/${other}`, issued.token);
const seen = (await call("GET", `/v1/presence?user=${other}`, issued.token)).users[0];
await call("PUT", `/v1/devices/${issued.device_id}/push`, issued.token, { push: null });
console.log(JSON.stringify({
  device: issued.device_id,
  deviceAsNumber: String(BigInt(issued.device)),
  conversation: created.conversation_id,
  other: seen.user_id,
}));
