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

ReactDOM.createRoot(document.getElementById("graphiql")).render(
  React.createElement(GraphiQL, {
    fetcher: GraphiQL.createFetcher({ url: "/graphql" }),
    defaultHeaders: headers,
    defaultTabs: tabs.length > 0 ? tabs : undefined,
    shouldPersistHeaders: false,
    storage,
  }),
);
