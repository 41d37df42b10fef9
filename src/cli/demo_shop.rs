//! What the demo's studio has on sale: a package with tiers, a monthly subscription, a session that costs a credit.

use entity::price::{Rollover, TierMode};
use entity::product::Kind;
use entity::{CreditTypeId, Credits, Minor, PeriodUnit};

use crate::domain::catalog::prices::{self, Money, NewPrice, Paid, Renews};
use crate::domain::catalog::pricing::Tier;
use crate::domain::catalog::products::{self, NewProduct};
use crate::domain::{Caller, Result};

/// The link of the package's order form.
pub const PACKAGE: &str = "coaching";

/// Puts all of it on sale.
pub async fn open(staff: &Caller, coaching: CreditTypeId) -> Result<()> {
    let tier = |from: i64, up_to: Option<i64>, unit: i64| Tier { from, up_to, unit: Minor(unit), flat: Minor::ZERO };
    let money = |tiers: Vec<Tier>| Money { currency: "CHF".to_owned(), mode: TierMode::Volume, tiers };
    let package = ("Coaching sessions", "One hour each with a coach of your choice. Five or more cost less.");
    let tiers = vec![tier(1, Some(4), 15_000), tier(5, None, 13_000)];
    put_on_sale(staff, Kind::Credit, PACKAGE, package, Some(coaching), Paid::Once(money(tiers))).await?;
    let renews = Renews {
        interval: (1, PeriodUnit::Month),
        credits: Credits(2),
        every: None,
        rollover: Rollover::UpTo,
        rollover_limit: Some(Credits(2)),
        issue_before_payment: false,
    };
    let paid = Paid::Renewing { money: money(vec![tier(1, None, 24_000)]), renews };
    let monthly = ("Coaching every month", "Two sessions a month; up to two that you miss wait for you.");
    put_on_sale(staff, Kind::Credit, "coaching-monthly", monthly, Some(coaching), paid).await?;
    let session = ("One session", "Book an hour with a credit that you have.");
    let paid = Paid::Credits { credit_type: coaching, amount: Credits(1) };
    put_on_sale(staff, Kind::Service, "session", session, None, paid).await
}

async fn put_on_sale(
    staff: &Caller,
    kind: Kind,
    slug: &str,
    (name, description): (&str, &str),
    credit_type: Option<CreditTypeId>,
    paid: Paid,
) -> Result<()> {
    let product = NewProduct {
        kind,
        slug: slug.to_owned(),
        name: name.to_owned(),
        description: Some(description.to_owned()),
        image_url: None,
        thank_you: Some("Thank you! We write to you as soon as your payment is here.".to_owned()),
        redirect_url: None,
        credit_type,
        credits_per_unit: None,
        expiration: None,
        metadata: None,
    };
    let product = products::create(staff, product).await?.id;
    let price = NewPrice {
        product,
        name: None,
        paid,
        minimum_quantity: 1,
        maximum_quantity: None,
        max_per_customer: None,
        expiration: None,
        replaces: None,
    };
    prices::create(staff, price).await?;
    products::activate(staff, product).await.map(drop)
}
