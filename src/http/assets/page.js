// Starts GraphiQL on this server. What it starts with (a token, example operations) stands in the page.
"use strict";

const start = JSON.parse(document.getElementById("start").textContent);
const headers = start.token
  ? JSON.stringify({ Authorization: `Bearer ${start.token}` }, null, 2)
  : JSON.stringify({ Authorization: "Bearer <a token: scrip token --staff>" }, null, 2);

// What is typed is kept per visit only: a token of yesterday's must not come back from storage.
const storage = {
  length: 0,
  getItem: () => null,
  setItem: () => {},
  removeItem: () => {},
  clear: () => {},
};

const tabs = start.examples.map(({ query, variables }) => ({ query, variables, headers }));

// A subscription is many answers: they come as Server-Sent Events (graphql-sse's distinct connections).
function isSubscription({ operationName }, documentAST) {
  const operations = (documentAST?.definitions ?? []).filter(({ kind }) => kind === "OperationDefinition");
  const chosen = operations.find(({ name }) => name?.value === operationName) ?? operations[0];
  return chosen?.operation === "subscription";
}

async function* read(params, headers, signal) {
  const response = await fetch("/graphql", {
    method: "POST",
    headers: { ...headers, "content-type": "application/json", accept: "text/event-stream" },
    body: JSON.stringify(params),
    signal,
  });
  if (!response.headers.get("content-type")?.startsWith("text/event-stream")) {
    yield await response.json();
    return;
  }
  const text = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await text.read();
    if (done) return;
    const events = (rest + value).split("\n\n");
    rest = events.pop();
    for (const event of events) {
      const [kind, data] = event.split("\n");
      if (kind === "event: complete") return;
      if (kind === "event: next") yield JSON.parse(data.slice("data: ".length));
    }
  }
}

// Stopping hangs up at once, also while nothing comes.
function watch(params, headers) {
  const hangUp = new AbortController();
  const answers = read(params, headers, hangUp.signal);
  const over = { value: undefined, done: true };
  const next = () => answers.next().catch((error) => {
    if (hangUp.signal.aborted) return over;
    throw error;
  });
  const stop = async () => {
    hangUp.abort();
    return over;
  };
  return { [Symbol.asyncIterator]: () => ({ next, return: stop }) };
}

const ask = GraphiQL.createFetcher({ url: "/graphql" });
const fetcher = (params, options) =>
  isSubscription(params, options?.documentAST) ? watch(params, options?.headers) : ask(params, options);

ReactDOM.createRoot(document.getElementById("graphiql")).render(
  React.createElement(GraphiQL, {
    fetcher,
    defaultHeaders: headers,
    defaultTabs: tabs.length > 0 ? tabs : undefined,
    shouldPersistHeaders: false,
    storage,
  }),
);
