// Buys at an order form as a visitor does: the page, its script and its buttons, without a browser.
//   node order-form.mjs http://127.0.0.1:8080/o/lakeside/coaching

import assert from "node:assert/strict";
import { JSDOM, VirtualConsole } from "jsdom";

const url = process.argv[2];
const console_ = new VirtualConsole();
console_.on("jsdomError", (error) => assert.fail(error));

async function open(address) {
  const page = await JSDOM.fromURL(address, {
    runScripts: "dangerously",
    resources: "usable",
    virtualConsole: console_,
    beforeParse: (window) => {
      window.fetch = (path, init) => fetch(new URL(path, address), init);
    },
  });
  return page.window;
}

async function until(what, found) {
  for (let tries = 0; tries < 200; tries += 1) {
    const value = found();
    if (value) return value;
    await new Promise((done) => setTimeout(done, 25));
  }
  assert.fail(`${what} did not happen`);
}

const window = await open(url);
const main = window.document.getElementById("form");
await until("the form", () => main.dataset.state === "open");
assert.match(window.document.title, /Coaching sessions/);
assert.match(main.textContent, /1–4/);

const quantity = main.querySelector("input[name=quantity]");
const choose = (value) => {
  quantity.value = value;
  quantity.dispatchEvent(new window.Event("input", { bubbles: true }));
};
choose(4);
await until("a quote for four", () => /600\.00 CHF/.test(main.querySelector("output").textContent));
assert.match(main.querySelector("output").textContent, /5 cost only 50\.00 CHF more than 4\./);
choose(5);
await until("a quote for five", () => /650\.00 CHF/.test(main.querySelector("output").textContent));

quantity.value = "";
quantity.dispatchEvent(new window.Event("input", { bubbles: true }));
await until("a word about no quantity", () => !/CHF/.test(main.querySelector("output").textContent));
choose(5);
await until("a quote for five again", () => /650\.00 CHF/.test(main.querySelector("output").textContent));

const submit = () => main.querySelector("form").dispatchEvent(new window.Event("submit", { bubbles: true, cancelable: true }));
main.querySelector("input[name=name]").value = "Visitor";
main.querySelector("input[name=email]").value = "not an address";
submit();
await until("a refusal", () => /^E-mail: .*e-mail address/.test(main.querySelector("[role=alert]").textContent));
assert.equal(main.querySelector("input[name=email]").getAttribute("aria-invalid"), "true");

// The network fails after the order was placed: pressed again, it is the same order.
const online = window.fetch;
const keys = [];
window.fetch = async (path, init) => {
  const { operationName, variables } = JSON.parse(init.body);
  if (operationName !== "Place") return online(path, init);
  keys.push(variables.input.idempotencyKey);
  const response = await online(path, init);
  if (keys.length === 1) throw new TypeError("network error");
  return response;
};
main.querySelector("input[name=email]").value = `visitor-${Date.now()}@example.com`;
submit();
await until("a failure", () => /Press the button again/.test(main.querySelector("[role=alert]").textContent));
submit();
await until("the order", () => main.dataset.state === "ordered");
assert.equal(keys.length, 2);
assert.equal(keys[0], keys[1]);
assert.match(main.textContent, /Lakeside Coaching/);
assert.match(main.textContent, /5 × Coaching sessions/);
assert.match(main.textContent, /Total 650\.00 CHF: awaiting payment/);
assert.match(main.textContent, /Thank you!/);

// What costs a credit is for customers who have signed in.
const session = await open(url.replace(/[^/]+$/, "session"));
const form = session.document.getElementById("form");
await until("the other form", () => form.dataset.state === "open");
assert.equal(form.querySelector("button").disabled, true);
assert.match(form.textContent, /sign in/);
session.close();
const monthly = await open(url.replace(/[^/]+$/, "coaching-monthly"));
await until("the subscription's form", () => /240\.00 CHF/.test(monthly.document.querySelector("output")?.textContent ?? ""));
assert.match(monthly.document.body.textContent, /Every month, 2 credits; up to 2 that are left stay/);
monthly.close();

// The address keeps the secret: whoever opens it again sees the order, and nobody else does.
const again = await open(window.location.href);
await until("the order again", () => again.document.getElementById("form").dataset.state === "ordered");
const nothing = await fetch(url.replace(/[^/]+$/, "nothing"));
assert.equal(nothing.status, 404);
assert.match(nothing.headers.get("content-security-policy"), /script-src 'self'/);
console.log("the order form sells");
window.close();
again.close();
