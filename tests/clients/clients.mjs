// Other people's clients, as docs/clients.md sets them up: the very lines of that page, against a running `scrip dev`.
// Queries, a mutation that is refused, a thousand activities page by page, live updates, a token that is over.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { JSDOM, VirtualConsole } from "jsdom";
import WebSocket from "ws";

const [url, staff, root] = process.argv.slice(2);
const folder = new URL("./.docs/", import.meta.url);
const require = createRequire(import.meta.url);
// What browsers have and this version of Node does not.
globalThis.WebSocket = WebSocket;

// The page's blocks, each in a file of its own name.
rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
const page = readFileSync(`${root}/docs/clients.md`, "utf8");
const blocks = Object.fromEntries([...page.matchAll(/^```\w+ (\S+)\n([\s\S]*?)^```$/gm)].map(([, name, text]) => [name, text]));
for (const [name, text] of Object.entries(blocks)) {
  const lines = text.trimEnd().split("\n").length;
  assert.ok(lines <= 27, `${name} has ${lines} lines`);
  writeFileSync(new URL(name, folder), text);
}

async function ask(token, query, variables) {
  const headers = { "content-type": "application/json", authorization: `Bearer ${token}` };
  const response = await fetch(url, { method: "POST", headers, body: JSON.stringify({ query, variables }) });
  const { data, errors } = await response.json();
  assert.equal(errors, undefined, JSON.stringify(errors));
  return data;
}

// A customer with a thousand activities: 1,100 credits come, and one of them is used 999 times.
const unique = `clients-${Date.now()}`;
const made = await ask(staff, `mutation($email: String!, $type: String!) {
  customerCreate(input: { name: "Client", email: $email }) { customer { id } }
  creditTypeCreate(input: { name: $type }) { creditType { id } } }`, { email: `${unique}@example.com`, type: unique });
const id = made.customerCreate.customer.id;
const type = made.creditTypeCreate.creditType.id;
const CONSUME = `mutation Consume($input: CreditsConsumeInput!) { creditsConsume(input: $input) {
  activity { id } userErrors { __typename code message ... on InsufficientCredits { requested available } } } }`;
let keys = 0;
const input = (amount) => ({ customerId: id, creditTypeId: type, amount, idempotencyKey: `${unique}-${keys++}` });
await ask(staff, `mutation($input: CreditsIssueInput!) { creditsIssue(input: $input) { userErrors { code } } }`, { input: input(1100) });
for (let n = 0; n < 999; n += 111) {
  await Promise.all(Array.from({ length: 111 }, () => ask(staff, CONSUME, { input: input(1) })));
}
const session = `mutation($id: ID!) { customerSessionCreate(input: { customerId: $id }) { token session { id } } }`;
const token = (await ask(staff, session, { id })).customerSessionCreate.token;

// A token as the server makes them, whose time is over.
function over() {
  const secret = readFileSync(`${root}/scrip-dev.secrets`, "utf8").split("\n")[0];
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const claims = JSON.parse(Buffer.from(staff.split(".")[1], "base64url"));
  const body = `${part({ alg: "HS256", typ: "JWT" })}.${part({ ...claims, exp: Math.floor(Date.now() / 1000) - 3600 })}`;
  return `${body}.${createHmac("sha256", secret).update(body).digest("base64url")}`;
}

const HISTORY = `query History($id: ID!, $after: String) { customer(by: { id: $id }) { id activity(first: 100, after: $after) {
  edges { cursor node { id kind amount balanceAfter } } pageInfo { hasNextPage endCursor } } } }`;

// Pages through the whole history; answers the ids.
async function pages(next) {
  const ids = [];
  for (let after = null, page = 0; page < 20; page++) {
    const { edges, pageInfo } = (await next({ id, after })).customer.activity;
    ids.push(...edges.map(({ node }) => node.id));
    if (!pageInfo.hasNextPage) break;
    after = pageInfo.endCursor;
  }
  assert.equal(ids.length, 1000);
  assert.equal(new Set(ids).size, 1000);
}

// The first answer of a live update after something changed.
async function change(subscribe) {
  const available = async () => (await ask(token, `{ viewer { ... on Customer { balances { available } } } }`)).viewer.balances[0].available;
  const before = await available();
  const heard = new Promise((resolve, reject) => {
    subscribe((balance) => balance.available === before - 1 && resolve(balance));
    setTimeout(() => reject(new Error("nothing came within 10 seconds")), 10_000).unref();
  });
  await new Promise((resolve) => setTimeout(resolve, 500));
  await ask(staff, CONSUME, { input: input(1) });
  assert.equal((await heard).creditType.name, unique);
}

function expect(viewer, said) {
  assert.equal(viewer.id, id, said);
  assert.equal(viewer.balances[0].creditType.name, unique, said);
}

async function urql() {
  const { connect, CREDITS, CHANGES } = await import(new URL("urql.mjs", folder));
  const client = connect({ url, token });
  const business = connect({ url, token: staff });
  const asked = await client.query(CREDITS, {}).toPromise();
  expect(asked.data.viewer, asked.error?.message);
  const refused = await business.mutation(CONSUME, { input: input(5_000_000) }).toPromise();
  assert.equal(refused.data.creditsConsume.userErrors[0].code, "INSUFFICIENT_CREDITS", refused.error?.message);
  await pages(async (variables) => (await client.query(HISTORY, variables).toPromise()).data);
  await change((heard) => client.subscription(CHANGES, { id }).subscribe(({ data }) => data && heard(data.balanceChanged)));
  const late = await connect({ url, token: over() }).query(CREDITS, {}).toPromise();
  assert.equal(late.error.graphQLErrors[0].extensions.code, "UNAUTHENTICATED");
  assert.equal(late.error.response.status, 401);
}

async function apollo() {
  const { connect, CREDITS, CHANGES } = await import(new URL("apollo.mjs", folder));
  const { CombinedGraphQLErrors, gql } = await import("@apollo/client");
  const client = connect({ url, token });
  expect((await client.query({ query: CREDITS })).data.viewer);
  const business = connect({ url, token: staff });
  const refused = await business.mutate({ mutation: gql(CONSUME), variables: { input: input(5_000_000) } });
  const [error] = refused.data.creditsConsume.userErrors;
  assert.equal(error.__typename, "InsufficientCredits");
  assert.equal(error.requested, 5_000_000);
  // As a page does: each further one is merged into the cache.
  const watched = client.watchQuery({ query: gql(HISTORY), variables: { id } });
  const seen = new Promise((resolve) => watched.subscribe(({ data, loading }) => !loading && data?.customer && resolve(data)));
  let { activity } = (await seen).customer;
  for (let page = 0; page < 20 && activity.pageInfo.hasNextPage; page++) {
    ({ activity } = (await watched.fetchMore({ variables: { id, after: activity.pageInfo.endCursor } })).data.customer);
  }
  while (watched.getCurrentResult().loading) await new Promise((resolve) => setTimeout(resolve, 10));
  const ids = watched.getCurrentResult().data.customer.activity.edges.map(({ node }) => node.id);
  assert.equal(new Set(ids).size, ids.length);
  assert.ok(ids.length >= 1000, `${ids.length} activities`);
  await change((heard) => client.subscribe({ query: CHANGES, variables: { id } }).subscribe(({ data }) => data && heard(data.balanceChanged)));
  const late = await connect({ url, token: over() }).query({ query: CREDITS }).catch((error) => error);
  const code = CombinedGraphQLErrors.is(late) ? late.errors[0].extensions.code : JSON.parse(late.bodyText).errors[0].extensions.code;
  assert.equal(code, "UNAUTHENTICATED");
}

async function relay() {
  // relay-compiler on the schema as it is, and the page's lines through Relay's own transform.
  mkdirSync(new URL("relay/", folder), { recursive: true });
  const lines = blocks["relay.js"];
  writeFileSync(new URL("relay/relay.js", folder), lines);
  const consume = `import { graphql } from "relay-runtime";\nexport const CONSUME = graphql\`${CONSUME.replace("mutation Consume", "mutation consumeMutation")}\`;\n`;
  const list = `import { graphql } from "relay-runtime";\nexport const LIST = graphql\`fragment list_customer on Customer @refetchable(queryName: "listQuery")
    @argumentDefinitions(count: { type: "Int", defaultValue: 10 }, cursor: { type: "String" }) {
    activity(first: $count, after: $cursor) @connection(key: "list_activity") { edges { node { id kind } } } }\`;\n`;
  writeFileSync(new URL("relay/consume.js", folder), consume);
  writeFileSync(new URL("relay/list.js", folder), list);
  const config = { src: "./", language: "javascript", schema: "./schema.graphql", eagerEsModules: true, customScalarTypes: JSON.parse(blocks["scalars.json"]) };
  writeFileSync(new URL("relay/relay.config.json", folder), JSON.stringify(config));
  writeFileSync(new URL("relay/schema.graphql", folder), readFileSync(`${root}/schema.graphql`));
  const compiler = require("relay-compiler");
  execFileSync(compiler, ["relay.config.json"], { cwd: new URL("relay/", folder), stdio: ["ignore", "ignore", "inherit"] });
  const babel = require("@babel/core");
  const load = async (name) => {
    const source = readFileSync(new URL(`relay/${name}.js`, folder), "utf8");
    const plugins = [[require.resolve("babel-plugin-relay"), { eagerEsModules: true }]];
    const { code } = babel.transformSync(source, { plugins, babelrc: false, configFile: false, filename: `${folder.pathname}relay/${name}.js` });
    const whole = code.replace(/from "(\.\/__generated__\/[^"]+)"/g, (_, file) => `from "${file.endsWith(".js") ? file : `${file}.js`}"`);
    // What Relay ships is CommonJS: its names come by its default.
    const esm = whole.replace(/import \{([^}]*)\} from "relay-runtime"/, `import runtime from "relay-runtime"; const {$1} = runtime`);
    writeFileSync(new URL(`relay/${name}.mjs`, folder), esm);
    return import(new URL(`relay/${name}.mjs`, folder));
  };
  writeFileSync(new URL("relay/package.json", folder), JSON.stringify({ type: "module" }));
  const { connect, CREDITS, HISTORY: history, CHANGES } = await load("relay");
  const { CONSUME: consumed } = await load("consume");
  // A list that can be fetched anew by its node's id: the compiler has found ids, nodes and connections as it wants them.
  assert.match(readFileSync(new URL("relay/__generated__/listQuery.graphql.js", folder), "utf8"), /node\(/);
  const { commitMutation, fetchQuery, requestSubscription } = require("relay-runtime");
  const environment = connect({ url, token });
  expect((await fetchQuery(environment, CREDITS, {}).toPromise()).viewer);
  const refused = await new Promise((resolve, reject) => commitMutation(connect({ url, token: staff }), {
    mutation: consumed, variables: { input: input(5_000_000) }, onCompleted: resolve, onError: reject,
  }));
  assert.equal(refused.creditsConsume.userErrors[0].code, "INSUFFICIENT_CREDITS");
  const ids = [];
  for (let after = null, page = 0; page < 20; page++) {
    const { activity } = (await fetchQuery(environment, history, { id, after }).toPromise()).customer;
    ids.push(...activity.edges.map(({ node }) => node.id));
    if (!activity.pageInfo.hasNextPage) break;
    after = activity.pageInfo.endCursor;
  }
  assert.equal(new Set(ids).size, ids.length);
  assert.ok(ids.length >= 1000);
  await change((heard) => requestSubscription(environment, {
    subscription: CHANGES, variables: { id }, onNext: (data) => heard(data.balanceChanged),
  }));
  const late = await fetchQuery(connect({ url, token: over() }), CREDITS, {}).toPromise().catch((error) => error);
  assert.match(String(late.message ?? late), /invalid or expired/);
}

async function shown() {
  const html = blocks["credits.html"].replace("…\"", `${token}"`).replace("http://127.0.0.1:8080/graphql", url);
  const console = new VirtualConsole();
  const open = async (text) => {
    const dom = new JSDOM(text, { runScripts: "dangerously", url: new URL(url).origin, virtualConsole: console,
      beforeParse: (window) => { window.fetch = fetch; } });
    for (let n = 0; n < 100; n++) {
      const list = dom.window.document.getElementById("credits");
      if (list.textContent !== "…") return list.textContent;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    throw new Error("the page shows nothing");
  };
  assert.match(await open(html), new RegExp(`^${unique}: \\d+$`));
  assert.equal(await open(html.replace(token, over())), "Please sign in again.");
}

// Types for everything that the page asks for, and a program that uses them.
function codegen() {
  const operations = [CONSUME, HISTORY, ...blocks["urql.mjs"].match(/gql`[\s\S]*?`/g).map((text) => text.slice(4, -1))].join("\n");
  writeFileSync(new URL("operations.graphql", folder), operations);
  const config = { schema: `${root}/schema.graphql`, documents: "operations.graphql",
    generates: { "types.ts": { plugins: ["typescript", "typescript-operations", "typed-document-node"],
      config: { scalars: JSON.parse(blocks["scalars.json"]), strictScalars: true, useTypeImports: true } } } };
  writeFileSync(new URL("codegen.json", folder), JSON.stringify(config));
  execFileSync("npx", ["--no-install", "graphql-codegen", "--config", "codegen.json"], { cwd: folder, stdio: ["ignore", "ignore", "inherit"] });
  writeFileSync(new URL("uses.ts", folder), `import { Client } from "@urql/core";
import { ConsumeDocument, CreditsDocument } from "./types";
export async function left(client: Client): Promise<number> {
  const { data } = await client.query(CreditsDocument, {}).toPromise();
  return data?.viewer?.__typename === undefined ? 0 : "balances" in data.viewer ? data.viewer.balances[0]!.available : 0;
}
export async function use(client: Client, customerId: string, creditTypeId: string): Promise<string[]> {
  const { data } = await client.mutation(ConsumeDocument, { input: { customerId, creditTypeId, amount: 1, idempotencyKey: "k" } }).toPromise();
  return (data?.creditsConsume?.userErrors ?? []).map((error) => error.message);
}
`);
  const options = ["--noEmit", "--strict", "--skipLibCheck", "--target", "es2022", "--module", "esnext", "--moduleResolution", "bundler", "uses.ts"];
  execFileSync("npx", ["--no-install", "tsc", ...options], { cwd: folder, stdio: ["ignore", "inherit", "inherit"] });
}

for (const [name, run] of Object.entries({ urql, "Apollo Client": apollo, Relay: relay, "a page without a library": shown, "graphql-codegen": codegen })) {
  const started = Date.now();
  await run();
  console.log(`${name}: works as docs/clients.md has it (${Date.now() - started} ms)`);
}
rmSync(folder, { recursive: true, force: true });
process.exit(0);
