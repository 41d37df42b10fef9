// An order form: what is on sale behind this address, what a quantity costs, and an order.
"use strict";

const [, , account, slug] = location.pathname.split("/");
const main = document.getElementById("form");

// The form's operations stand in order.graphql, which the server knows: it is asked for by its id.
async function ask(operationName, variables) {
  const response = await fetch("/graphql", {
    method: "POST",
    headers: { "content-type": "application/json", accept: "application/graphql-response+json" },
    body: JSON.stringify({ documentId: "scrip:order-form", operationName, variables }),
  });
  const answer = await response.json();
  if (answer.errors) throw new Error(answer.errors[0].message);
  return answer.data;
}

/** An element with attributes and children; text is text, never markup. */
function el(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(key, "");
    else if (value != null && value !== false) element.setAttribute(key, String(value));
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

/** 122 random bits: all that keeps others from asking for this order. */
function uuid() {
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 15) | 64;
  bytes[8] = (bytes[8] & 63) | 128;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

const money = (amount) => `${amount.decimal} ${amount.currency}`;
const period = ({ count, unit }) => (count === 1 ? unit.toLowerCase() : `${count} ${unit.toLowerCase()}s`);

function describe(price) {
  if (price.kind === "CREDITS") return `${price.creditAmount} × ${price.costs.name}`;
  const tiers = price.tiers.map((tier) => {
    const range = tier.upTo ? (tier.upTo === tier.from ? `${tier.from}` : `${tier.from}–${tier.upTo}`) : `${tier.from} or more`;
    const flat = tier.flatAmount.minor ? ` + ${tier.flatAmount.decimal}` : "";
    return el("tr", {}, el("td", {}, range), el("td", {}, `${money(tier.unitAmount)} each${flat}`));
  });
  const renews = price.interval && `Every ${period(price.interval)}, ${price.creditsPerRenewal} credits`;
  const often = price.grantEvery ? ` every ${period(price.grantEvery)}` : "";
  const left = { NONE: "; what is left ends with it", UP_TO: `; up to ${price.rolloverLimit} that are left stay` }[price.rollover] ?? "";
  return el("div", {}, renews ? `${renews}${often}${left}` : null, el("table", {}, ...tiers));
}

/** Who sells here; shown with the form, and with what was ordered. */
let business = null;

/** Whom to ask. */
function help() {
  const address = business?.supportAddress;
  return address ? el("p", {}, el("small", {}, "Questions? ", el("a", { href: `mailto:${address}` }, address))) : null;
}

/** Whether only a customer who has signed in can order at a price. */
function needsSignIn(price) {
  const costs = price.tiers.some((tier) => Number(tier.unitAmount.decimal) > 0 || tier.flatAmount.minor > 0);
  return price.kind === "CREDITS" || (price.maxPerCustomer != null && costs);
}

/** What an order came to. */
function receipt(order) {
  const lines = order.lines.map((line) => el("p", {}, `${line.quantity} × ${line.name}`));
  const paid = order.status === "PAID";
  const next = order.actionUrl || order.lines.map((line) => line.redirectUrl).find(Boolean);
  const title = el("h1", { tabindex: -1 }, `Order ${order.number}`);
  const parts = [
    business && el("small", {}, business.name),
    title,
    ...lines,
    el("p", {}, order.total ? `Total ${money(order.total)}: ${paid ? "paid" : order.status.toLowerCase().replaceAll("_", " ")}` : ""),
    ...order.lines.filter((line) => line.thankYou).map((line) => el("p", {}, line.thankYou)),
    next && el("p", {}, el("a", { href: next, rel: "noreferrer" }, "Continue")),
    help(),
  ];
  main.replaceChildren(...parts.filter(Boolean));
  main.dataset.state = "ordered";
  title.focus();
}

function show(form) {
  const alert = el("p", { role: "alert" });
  const quote = el("output", { "aria-live": "polite" });
  const quantity = el("input", { type: "number", name: "quantity", required: true, step: 1 });
  const choices = form.prices.map((price, index) =>
    el("label", {}, el("input", { type: "radio", name: "price", value: price.id, checked: index === 0 }), " ", price.name || "", describe(price)));
  const button = el("button", {}, "Order");
  const page = el("form", {},
    el("fieldset", {}, el("legend", {}, "Price"), ...choices),
    el("label", {}, "Quantity", quantity),
    quote,
    el("label", {}, "Name", el("input", { name: "name", autocomplete: "name", required: true, maxlength: 255 })),
    el("label", {}, "E-mail", el("input", { name: "email", type: "email", autocomplete: "email", required: true, maxlength: 254 })),
    alert, button);
  const chosen = () => form.prices.find((price) => price.id === new FormData(page).get("price"));
  // The same order is placed once, however often it is sent; another one has another key.
  // Kept until it is placed, so that also a page that is loaded again sends it under the same key.
  const stored = `order ${location.pathname}`;
  let { sent, key } = JSON.parse(sessionStorage.getItem(stored) ?? "null") ?? { sent: "", key: uuid() };
  let busy = false;

  function bounds() {
    const price = chosen();
    quantity.min = price.minimumQuantity;
    quantity.max = price.maximumQuantity ?? "";
    quantity.value = Math.min(Math.max(Number(quantity.value) || 1, price.minimumQuantity), price.maximumQuantity ?? Infinity);
    alert.textContent = needsSignIn(price) ? "This is for customers: sign in to your account to order it." : "";
    ready();
  }

  function ready() {
    button.disabled = busy || needsSignIn(chosen());
  }

  async function update() {
    const variables = { account, price: chosen().id, quantity: Number(quantity.value) };
    const stale = () => variables.quantity !== Number(quantity.value) || variables.price !== chosen().id;
    if (!quantity.checkValidity()) {
      quote.textContent = quantity.validationMessage;
      return;
    }
    try {
      const { priceQuote: found } = await ask("Quote", variables);
      if (stale()) return;
      if (!found) throw new Error("This price is no longer on sale. Reload the page.");
      const until = found.expiresAt && !chosen().grantEvery && new Intl.DateTimeFormat(undefined, { dateStyle: "long", timeZone: business.timeZone })
        .format(new Date(new Date(found.expiresAt) - 1));
      quote.replaceChildren(
        el("strong", {}, found.total ? money(found.total) : `${found.creditCost} credits`),
        el("br"),
        el("small", {}, [found.credits && `${found.credits} credits`, found.pricePerCredit && `${found.pricePerCredit.decimal} each`,
          until && `good through ${until}`, found.nextTier?.message].filter(Boolean).join(" · ")));
    } catch (error) {
      if (!stale()) quote.textContent = error.message;
    }
  }

  page.addEventListener("input", (event) => {
    if (event.target.name === "price") bounds();
    if (["price", "quantity"].includes(event.target.name)) update();
  });
  page.addEventListener("submit", async (event) => {
    event.preventDefault();
    const data = new FormData(page);
    const input = {
      account,
      buyer: { name: data.get("name"), email: data.get("email") },
      lines: [{ priceId: chosen().id, quantity: Number(quantity.value) }],
    };
    if (busy) return;
    if (sent && sent !== JSON.stringify(input)) key = uuid();
    sent = JSON.stringify(input);
    sessionStorage.setItem(stored, JSON.stringify({ sent, key }));
    busy = true;
    ready();
    alert.textContent = "";
    for (const field of page.elements) field.removeAttribute("aria-invalid");
    try {
      const { orderPlace: placed } = await ask("Place", { input: { ...input, idempotencyKey: key } });
      if (placed.receipt) {
        sessionStorage.removeItem(stored);
        history.replaceState(null, "", `#${placed.orderToken}`);
        receipt(placed.receipt);
        return;
      }
      refused(placed.userErrors[0]);
      key = uuid();
      sent = "";
    } catch (error) {
      alert.textContent = `${error.message} Press the button again: the order is placed once.`;
    }
    busy = false;
    ready();
  });

  /** Says why, in words for a visitor, and where. */
  function refused({ code, message, field }) {
    const closed = { CREDITS_DISABLED: "Nothing can be ordered here at the moment.", PAYMENT_METHOD_MISSING: "This cannot be ordered here." };
    const name = { "buyer.name": "name", "buyer.email": "email", "lines.0.quantity": "quantity" }[field?.join(".")];
    const blamed = name && page.elements[name];
    alert.textContent = closed[code] ?? (blamed ? `${blamed.parentElement.firstChild.textContent}: ${message}` : message);
    if (blamed) {
      blamed.setAttribute("aria-invalid", "true");
      blamed.focus();
    }
  }

  main.replaceChildren(
    ...[business.logoUrl && el("img", { src: business.logoUrl, alt: "", class: "logo" }), el("small", {}, business.name),
      form.imageUrl && el("img", { src: form.imageUrl, alt: "" }), el("h1", {}, form.name),
      form.description && el("p", {}, form.description),
      form.creditType && el("p", {}, el("small", {}, [form.creditType.name, form.creditType.description].filter(Boolean).join(": "))),
      page, help()].filter(Boolean));
  main.dataset.state = "open";
  bounds();
  update();
}

async function begin() {
  try {
    const { orderForm: form } = await ask("Form", { account, slug });
    business = form?.business ?? null;
    const token = location.hash.slice(1);
    const known = token && (await ask("Receipt", { token })).orderReceipt;
    if (known) receipt(known);
    else if (form) show(form);
    else main.replaceChildren(el("h1", {}, "Nothing is on sale here"));
  } catch (error) {
    main.replaceChildren(el("p", { role: "alert" }, `${error.message} Reload the page to try again.`));
  }
}

begin();
