// Live updates with other people's clients, as they are: graphql-ws and graphql-sse, against a running `scrip dev`.
import assert from "node:assert/strict";
import { createClient as createSocket } from "graphql-ws";
import { createClient as createEvents } from "graphql-sse";
import WebSocket from "ws";

const [url, token] = process.argv.slice(2);
const authorization = `Bearer ${token}`;

async function ask(query, variables) {
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json", authorization },
    body: JSON.stringify({ query, variables }),
  });
  const { data, errors } = await response.json();
  assert.equal(errors, undefined, JSON.stringify(errors));
  return data;
}

// The answers of a subscription, one after another.
function answers(client, query, variables) {
  const waiting = [], come = [];
  const push = (answer) => (waiting.length > 0 ? waiting.shift()(answer) : come.push(answer));
  const stop = client.subscribe({ query, variables }, {
    next: push,
    error: (error) => push({ failed: error }),
    complete: () => push({ complete: true }),
  });
  const next = () => new Promise((resolve, reject) => {
    if (come.length > 0) return resolve(come.shift());
    waiting.push(resolve);
    setTimeout(() => reject(new Error("nothing came within 10 seconds")), 10_000).unref();
  });
  return { next, stop };
}

const unique = `live-${Date.now()}`;
const made = await ask(
  `mutation($email: String!, $type: String!) {
    customerCreate(input: { name: "Live", email: $email }) { customer { id } userErrors { message } }
    creditTypeCreate(input: { name: $type }) { creditType { id } userErrors { message } }
  }`,
  { email: `${unique}@example.com`, type: unique },
);
const id = made.customerCreate.customer.id;
const type = made.creditTypeCreate.creditType.id;
let keys = 0;
const issue = (amount) => ask(
  `mutation($input: CreditsIssueInput!) { creditsIssue(input: $input) { userErrors { message } } }`,
  { input: { customerId: id, creditTypeId: type, amount, idempotencyKey: `${unique}-${keys++}` } },
);

const balance = `subscription($id: ID!) { balanceChanged(customerId: $id) { available creditType { name } } }`;
const activity = `subscription($id: ID!) { activityAdded(customerId: $id) { kind amount } }`;
const clients = {
  "graphql-ws": createSocket({
    url: url.replace("http", "ws"),
    webSocketImpl: WebSocket,
    connectionParams: () => ({ authorization }),
  }),
  "graphql-sse": createEvents({ url, headers: { authorization } }),
};
for (const [name, client] of Object.entries(clients)) {
  const added = answers(client, activity, { id });
  const query = answers(client, `{ viewer { __typename } }`);
  assert.deepEqual(await query.next(), { data: { viewer: { __typename: "Staff" } } });
  assert.deepEqual(await query.next(), { complete: true });
  // Whoever has asked after it is heard after it.
  await new Promise((resolve) => setTimeout(resolve, 500));
  await issue(3);
  assert.deepEqual(await added.next(), { data: { activityAdded: { kind: "ISSUE", amount: 3 } } });
  added.stop();
  const changed = answers(client, balance, { id });
  const first = (await changed.next()).data.balanceChanged;
  assert.equal(first.creditType.name, unique);
  await issue(1);
  assert.equal((await changed.next()).data.balanceChanged.available, first.available + 1);
  changed.stop();
  const refused = await answers(client, balance, { id: "cus_x" }).next();
  const said = JSON.stringify(refused.failed ?? refused);
  assert.match(said, /no such customer/, said);
  await client.dispose();
  console.log(`${name}: live updates come as they are`);
}
process.exit(0);
