//! What GraphiQL opens with in development: a token, and eleven operations that work as they are.

use chrono::{SecondsFormat, TimeDelta};

use super::demo_shop::PACKAGE;
use crate::domain::catalog::{credit_types, prices, products};
use crate::domain::ground::page::Page;
use crate::domain::{Caller, Result, Scope, View, customers};
use crate::http::{Example, Start};

const EVERYONE: &str = "# Customers with balances and newest activity:
# one snapshot, a handful of SQL statements.
query Customers {
  customers(first: 10) {
    nodes {
      name
      email
      balances {
        creditType { name }
        available
        held
        nextExpiry { at amount }
      }
      activity(first: 1) {
        nodes { kind amount balanceAfter note at }
      }
    }
    pageInfo { hasNextPage endCursor }
  }
}";

const ISSUE: &str = "# Five credits, once: press play again,
# and the same grant comes back with replayed: true.
mutation Issue($customer: ID!, $creditType: ID!) {
  creditsIssue(input: {
    customerId: $customer
    creditTypeId: $creditType
    amount: 5
    cost: { minor: 65000, currency: \"CHF\" }
    note: \"Package of five\"
    idempotencyKey: \"try-issue-1\"
  }) {
    replayed
    grant { id amount status expiresAt cost { decimal currency } }
    balance { available nextExpiry { at amount } }
    userErrors { code message field }
  }
}";

const CONSUME: &str = "# Use one: the grant that ends soonest is taken first.
mutation Consume($customer: ID!, $creditType: ID!) {
  creditsConsume(input: {
    customerId: $customer
    creditTypeId: $creditType
    amount: 1
    note: \"Session delivered\"
    reference: \"booking-1\"
    idempotencyKey: \"try-consume-1\"
  }) {
    replayed
    activity {
      id
      balanceAfter
      allocations { amount grant { id expiresAt } }
    }
    balance { available }
    userErrors {
      code
      message
      ... on InsufficientCredits { requested available held expired }
    }
  }
}";

const PREVIEW: &str = "# What would happen? A dry run answers, and writes nothing.
mutation Preview($customer: ID!, $creditType: ID!) {
  creditsConsume(input: {
    customerId: $customer
    creditTypeId: $creditType
    amount: 2
    idempotencyKey: \"not-looked-at\"
    dryRun: true
  }) {
    preview {
      draws { amount grant { id expiresAt } }
      balanceAfter
      wouldExpire { at amount }
      cost { decimal currency }
    }
    userErrors { code message field }
  }
}";

const HOLD: &str = "# Set a credit aside for a booking. Deliver it with holdCapture,
# cancel it with holdRelease: the explorer shows both.
mutation Hold($customer: ID!, $creditType: ID!, $until: DateTime!) {
  holdPlace(input: {
    customerId: $customer
    creditTypeId: $creditType
    amount: 1
    expiresAt: $until
    reference: \"booking-2\"
    idempotencyKey: \"try-hold-1\"
  }) {
    replayed
    hold { id status expiresAt }
    balance { available held }
    userErrors { code message field }
  }
}";

const WHY: &str = "# Why is the balance what it is? Each grant, what touched it,
# in which order it would be used, and why it would not be.
query Why($customer: ID!, $creditType: ID!) {
  customer(by: { id: $customer }) {
    creditStatus(creditTypeId: $creditType, amount: 100) {
      canConsume
      reasons { code message }
    }
    balanceExplanation(creditTypeId: $creditType) {
      available
      held
      grants(first: 5) {
        nodes {
          place
          skipped
          remaining
          movements(first: 3) { amount activity { kind at note } }
        }
      }
    }
    expiryForecast(days: 100) { at amount creditType { name } }
  }
}";

const FORM: &str = "# What is on sale behind a link, and what a quantity costs.
# Anyone may ask: it needs no token. The page is at /o/lakeside/coaching.
query Form($price: ID!) {
  orderForm(account: \"lakeside\", slug: \"coaching\") {
    name
    creditType { name }
    prices { id tiers { from upTo unitAmount { decimal currency } } }
  }
  priceQuote(priceId: $price, quantity: 4) {
    total { decimal currency }
    credits
    pricePerCredit { decimal }
    nextTier { message }
  }
}";

const ORDER: &str = "# Order five. They are issued when the order is paid:
# give its id to orderMarkPaid.
mutation Order($customer: ID!, $price: ID!) {
  orderPlace(input: {
    customerId: $customer
    lines: [{ priceId: $price, quantity: 5 }]
    idempotencyKey: \"try-order-1\"
  }) {
    replayed
    order { id number status total { decimal currency } lines { credits } }
    userErrors { code message field }
  }
}";

const CREATE: &str = "# A new credit type and a new customer.
mutation Create {
  creditTypeCreate(input: {
    name: \"Discovery call\"
    description: \"Half an hour, to get to know each other\"
    expiration: { after: { count: 6, unit: MONTH, from: ISSUE } }
  }) {
    creditType { id name }
    userErrors { code message field }
  }
  customerCreate(input: {
    name: \"Katherine Johnson\"
    email: \"katherine@example.com\"
    tags: [\"new\"]
  }) {
    customer { id name }
    userErrors { code message field }
  }
}";

const TRACK: &str = "# Tell of something that happened elsewhere. Triggers wait for events
# (triggerCreate), and webhooks hear of them (webhookEndpointCreate).
mutation Track($customer: ID!) {
  eventTrack(input: {
    name: \"session.delivered\"
    customer: { id: $customer }
    properties: { coach: \"Katherine\", minutes: 50 }
    idempotencyKey: \"try-track-1\"
  }) {
    replayed
    event { id name payload at runs { nodes { status } } }
    userErrors { code message field }
  }
}";

const WATCH: &str = "# Press play, then issue or use credits in another tab: the balance comes by itself.
subscription Watch($customer: ID!) {
  balanceChanged(customerId: $customer) {
    creditType { name }
    available
    held
    asOf
  }
}";

/// The examples, about the demo's own people where they are there.
pub async fn start(staff: &Caller, token: String) -> Result<Start> {
    let view = staff.view(Scope::StaffRead).await?;
    let customer = customers::by_email(&view, "ada@example.com").await?;
    let first = Page { after: None, before: None, size: 1, backwards: false };
    let credit_type = credit_types::list(&view, false, &first).await?.items.into_iter().next();
    let has_ada = customer.is_some();
    let price = package(&view).await?.map_or_else(|| "the id of a price".to_owned(), |price| price.to_string());
    let until = (view.now() + TimeDelta::days(7)).to_rfc3339_opts(SecondsFormat::Secs, true);
    let variables = match (customer, credit_type) {
        (Some(customer), Some(credit_type)) => {
            serde_json::json!({ "customer": customer.id, "creditType": credit_type.id, "until": until, "price": price })
        }
        _ => {
            serde_json::json!({ "customer": "the id of a customer", "creditType": "the id of a credit type", "until": until, "price": price })
        }
    };
    let variables = serde_json::to_string_pretty(&variables).ok();
    let example =
        |query: &str, with: bool| Example { query: query.to_owned(), variables: variables.clone().filter(|_| with) };
    let examples = vec![
        example(EVERYONE, false),
        example(ISSUE, true),
        example(CONSUME, true),
        example(PREVIEW, true),
        example(HOLD, true),
        example(WHY, true),
        example(FORM, true),
        example(ORDER, true),
        example(CREATE, false),
        example(TRACK, true),
        example(WATCH, true),
    ];
    Ok(Start { token: Some(token), examples, has_ada })
}

/// The price of the demo's package, if that is on sale.
async fn package(view: &View) -> Result<Option<entity::PriceId>> {
    let Some(product) = products::on_sale(view, PACKAGE).await? else { return Ok(None) };
    let key = (product.id, false);
    let prices = prices::of_products(view, &[key]).await?.remove(&key).unwrap_or_default();
    Ok(prices.first().map(|price| price.id))
}
