// An order form: what is on sale behind this address, what a quantity costs, and an order.
"use strict";

const [, , account, slug] = location.pathname.split("/");
const main = document.getElementById("form");

const FORM = `query Form($account: String!, $slug: String!) { orderForm(account: $account, slug: $slug) {
  name description imageUrl kind creditType { name description }
  business { name logoUrl supportAddress timeZone }
  prices { id kind name currency tierMode minimumQuantity maximumQuantity creditsPerRenewal creditAmount
    interval { count unit } grantEvery { count unit } costs { name }
    tiers { from upTo unitAmount { decimal currency } flatAmount { minor decimal } } } } }`;
const QUOTE = `query Quote($account: String!, $price: ID!, $quantity: Int!) {
  priceQuote(account: $account, priceId: $price, quantity: $quantity) {
    total { decimal currency } credits creditCost expiresAt pricePerCredit { decimal } nextTier { message } } }`;
const PLACE = `mutation Place($input: OrderPlaceInput!) { orderPlace(input: $input) {
  orderToken receipt { ...Receipt } userErrors { message field } } }`;
const RECEIPT = `query Receipt($token: String!) { orderReceipt(token: $token) { ...Receipt } }`;
const PARTS = `fragment Receipt on OrderReceipt { number status total { decimal currency } actionUrl
  lines { name quantity credits thankYou redirectUrl } }`;

async function ask(query, variables) {
  const response = await fetch("/graphql", {
    method: "POST",
    headers: { "content-type": "application/json", accept: "application/graphql-response+json" },
    body: JSON.stringify({ query, variables }),
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
  return el("div", {}, renews ? `${renews}${often}` : null, el("table", {}, ...tiers));
}

/** What an order came to. */
function receipt(order) {
  const lines = order.lines.map((line) => el("p", {}, `${line.quantity} × ${line.name}`));
  const paid = order.status === "PAID";
  const next = order.actionUrl || order.lines.map((line) => line.redirectUrl).find(Boolean);
  main.replaceChildren(
    el("h1", {}, `Order ${order.number}`),
    ...lines,
    el("p", {}, order.total ? `Total ${money(order.total)}: ${paid ? "paid" : order.status.toLowerCase().replaceAll("_", " ")}` : ""),
    ...order.lines.filter((line) => line.thankYou).map((line) => el("p", {}, line.thankYou)),
    next ? el("p", {}, el("a", { href: next, rel: "noreferrer" }, "Continue")) : null,
  );
  main.dataset.state = "ordered";
}

function show(form) {
  const { business } = form;
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
  let sent = "";
  let key = uuid();

  function bounds() {
    const price = chosen();
    quantity.min = price.minimumQuantity;
    quantity.max = price.maximumQuantity ?? "";
    quantity.value = Math.min(Math.max(Number(quantity.value) || 1, price.minimumQuantity), price.maximumQuantity ?? Infinity);
    button.disabled = price.kind === "CREDITS";
    alert.textContent = price.kind === "CREDITS" ? "Sign in to your account to pay with credits." : "";
  }

  async function update() {
    const variables = { account, price: chosen().id, quantity: Number(quantity.value) };
    try {
      const { priceQuote: found } = await ask(QUOTE, variables);
      if (variables.quantity !== Number(quantity.value) || variables.price !== chosen().id) return;
      const until = found.expiresAt && new Intl.DateTimeFormat(undefined, { dateStyle: "long", timeZone: business.timeZone })
        .format(new Date(new Date(found.expiresAt) - 1));
      quote.replaceChildren(
        el("strong", {}, found.total ? money(found.total) : `${found.creditCost} credits`),
        el("br"),
        el("small", {}, [found.credits && `${found.credits} credits`, found.pricePerCredit && `${found.pricePerCredit.decimal} each`,
          until && `good through ${until}`, found.nextTier?.message].filter(Boolean).join(" · ")));
    } catch (error) {
      quote.textContent = error.message;
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
    if (sent && sent !== JSON.stringify(input)) key = uuid();
    sent = JSON.stringify(input);
    button.disabled = true;
    alert.textContent = "";
    try {
      const { orderPlace: placed } = await ask(PLACE + PARTS, { input: { ...input, idempotencyKey: key } });
      if (placed.receipt) {
        history.replaceState(null, "", `#${placed.orderToken}`);
        receipt(placed.receipt);
        return;
      }
      alert.textContent = placed.userErrors.map((error) => error.message).join(" ");
      key = uuid();
    } catch (error) {
      alert.textContent = `${error.message} Press the button again: the order is placed once.`;
    }
    button.disabled = false;
  });
  main.replaceChildren(
    ...[business.logoUrl && el("img", { src: business.logoUrl, alt: "", class: "logo" }), el("small", {}, business.name),
      form.imageUrl && el("img", { src: form.imageUrl, alt: "" }), el("h1", {}, form.name),
      form.description && el("p", {}, form.description),
      form.creditType && el("p", {}, el("small", {}, [form.creditType.name, form.creditType.description].filter(Boolean).join(": "))),
      page, business.supportAddress && el("p", {}, el("small", {}, "Questions? ", el("a", { href: `mailto:${business.supportAddress}` }, business.supportAddress)))]
      .filter(Boolean));
  main.dataset.state = "open";
  bounds();
  update();
}

async function begin() {
  try {
    const token = location.hash.slice(1);
    const known = token && (await ask(RECEIPT + PARTS, { token })).orderReceipt;
    if (known) return receipt(known);
    const { orderForm: form } = await ask(FORM, { account, slug });
    if (form) show(form);
    else main.replaceChildren(el("h1", {}, "Nothing is on sale here"));
  } catch (error) {
    main.replaceChildren(el("p", { role: "alert" }, `${error.message} Reload the page to try again.`));
  }
}

begin();
