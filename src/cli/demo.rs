//! The demo: a coaching studio and a year of its business, made by the domain's own operations on a moving clock.

use chrono::{Datelike, Days, NaiveTime, TimeDelta, Weekday};
use entity::account::Mode;
use entity::{Anchor, CreditTypeId, Credits, CustomerId, Expiration, Minor, PeriodUnit};

use super::demo_shop;
use crate::domain::accounts::{self, NewAccount};
use crate::domain::catalog::credit_types::{self, NewCreditType};
use crate::domain::credits::{self, about};
use crate::domain::customers::{self, NewCustomer};
use crate::domain::ground::clock::{Clock, Instant, ManualClock};
use crate::domain::ledger::{Command, Consume, Cost, Issue, Place, Words};
use crate::domain::{App, Caller, Error, Result, Role};

const NAMES: [&str; 40] = [
    "Ada Lovelace",
    "Grace Hopper",
    "Alan Turing",
    "Edsger Dijkstra",
    "Barbara Liskov",
    "Donald Knuth",
    "Margaret Hamilton",
    "Dennis Ritchie",
    "Frances Allen",
    "Tony Hoare",
    "Radia Perlman",
    "Niklaus Wirth",
    "Jean Bartik",
    "John Backus",
    "Lynn Conway",
    "Ken Thompson",
    "Adele Goldberg",
    "Robin Milner",
    "Sophie Wilson",
    "Leslie Lamport",
    "Shafi Goldwasser",
    "Jim Gray",
    "Karen Jones",
    "Edgar Codd",
    "Mary Shaw",
    "Michael Stonebraker",
    "Nancy Lynch",
    "Butler Lampson",
    "Kathleen Booth",
    "Alonzo Church",
    "Rosa Peter",
    "Kurt Goedel",
    "Emmy Noether",
    "Sofia Kovalevskaya",
    "Hedy Lamarr",
    "Claude Shannon",
    "Mina Rees",
    "John McCarthy",
    "Evelyn Granville",
    "Charles Babbage",
];

/// The days that the demo's business has lasted.
const DAYS: u64 = 365;

/// Sells and uses: what the demo's people do.
struct Studio<'a> {
    staff: Caller,
    clock: &'a ManualClock,
    dice: Dice,
    coaching: CreditTypeId,
    class: CreditTypeId,
    workshop: CreditTypeId,
}

/// Makes the account and, unless it is to be empty, a year of business until the present moment.
pub async fn seed(app: &App, clock: &ManualClock, empty: bool) -> Result<()> {
    let present = clock.now();
    let midnight = present.date_naive().and_time(NaiveTime::MIN).and_utc();
    let first_day = midnight - Days::new(DAYS);
    clock.set(if empty { present } else { first_day });
    let account = NewAccount {
        name: "Lakeside Coaching".to_owned(),
        slug: "lakeside".to_owned(),
        time_zone: "Europe/Zurich".to_owned(),
        currency: "CHF".to_owned(),
        mode: Mode::Live,
        clock_at: None,
    };
    let account = accounts::create(&Caller::operator(app.clone(), "dev"), account).await?;
    if empty {
        return Ok(());
    }
    let staff = Caller::of(app.clone(), account.id, Role::Staff, "mira@lakeside.example");
    let season_ends = (present + Days::new(60)).date_naive();
    let mut studio = Studio {
        coaching: credit_type(&staff, "Coaching session", "One hour with a coach", Expiration::Never).await?,
        class: credit_type(
            &staff,
            "Group class",
            "A place in any class",
            Expiration::After { count: 90, unit: PeriodUnit::Day, from: Anchor::Issue },
        )
        .await?,
        workshop: credit_type(&staff, "Season workshop", "A workshop of this season", Expiration::On(season_ends))
            .await?,
        staff,
        clock,
        dice: Dice(1843),
    };
    demo_shop::open(&studio.staff, studio.coaching).await?;
    let mut people = Vec::new();
    for day in 0..DAYS {
        let morning = first_day + Days::new(day) + TimeDelta::hours(8);
        // A new customer every few days, until all are there.
        if day % 7 < 5 && people.len() < NAMES.len() && day >= people.len() as u64 * 6 {
            clock.set(morning);
            people.push(studio.welcome(NAMES[people.len()]).await?);
        }
        if morning.weekday() != Weekday::Sun {
            studio.work(morning, present, &people).await?;
        }
    }
    // Today Ada buys, so that what the examples try can be tried.
    clock.set(present);
    studio.issue(people[0], studio.coaching, 5, 65_000, "Package of five").await
}

async fn credit_type(staff: &Caller, name: &str, description: &str, expiration: Expiration) -> Result<CreditTypeId> {
    let new = NewCreditType {
        name: name.to_owned(),
        description: Some(description.to_owned()),
        expiration: Some(expiration),
        low_balance_at: Some(Credits(2)),
        expiry_notice_days: vec![7, 30],
    };
    Ok(credit_types::create(staff, new).await?.id)
}

impl Studio<'_> {
    /// A new customer, and the first package.
    async fn welcome(&mut self, name: &str) -> Result<CustomerId> {
        let first_name = name.split(' ').next().unwrap_or(name).to_lowercase();
        let customer = NewCustomer {
            name: name.to_owned(),
            email: Some(format!("{first_name}@example.com")),
            external_id: Some(format!("crm-{}", self.dice.roll(9000) + 1000)),
            tags: if self.dice.roll(3) == 0 { vec!["newsletter".to_owned()] } else { Vec::new() },
            ..NewCustomer::default()
        };
        // Two may be called the same: the later one goes without what must be unique.
        let customer = match customers::create(&self.staff, customer.clone()).await {
            Err(Error::Refused(_)) => {
                customers::create(&self.staff, NewCustomer { email: None, external_id: None, ..customer }).await?
            }
            made => made?,
        };
        self.issue(customer.id, self.coaching, 10, 120_000, "Package of ten").await?;
        self.issue(customer.id, self.class, 1, 0, "Welcome: your first class is on us").await?;
        Ok(customer.id)
    }

    /// A day: sessions and classes are delivered, packages are sold.
    async fn work(&mut self, morning: Instant, present: Instant, people: &[CustomerId]) -> Result<()> {
        for hour in 0..3_i64 {
            let at = morning
                + TimeDelta::hours(1 + 3 * hour)
                + TimeDelta::minutes(i64::try_from(self.dice.roll(50)).unwrap_or(0));
            if at >= present || people.is_empty() {
                return Ok(());
            }
            self.clock.set(at);
            let choice = usize::try_from(self.dice.roll(people.len() as u64)).unwrap_or(0);
            let who = people[choice];
            match self.dice.roll(16) {
                0 => self.issue(who, self.class, 10, 25_000, "Class pass, 10 places").await?,
                1 => self.issue(who, self.workshop, 2, 18_000, "Season workshops").await?,
                2..=7 => self.consume(who, self.class, "Class").await?,
                8 => self.consume(who, self.workshop, "Workshop").await?,
                9 if at + TimeDelta::hours(1) < present => self.book(who, at + TimeDelta::minutes(45)).await?,
                _ => {
                    if !self.consume_or_not(who, self.coaching, "Coaching session").await? {
                        self.issue(who, self.coaching, 5, 65_000, "Package of five").await?;
                    }
                }
            }
        }
        Ok(())
    }

    async fn issue(
        &mut self,
        customer: CustomerId,
        credit_type: CreditTypeId,
        amount: i64,
        cost: i64,
        note: &str,
    ) -> Result<()> {
        let issue = Issue {
            customer,
            credit_type,
            amount: Credits(amount),
            effective_at: None,
            expiration: None,
            priority: None,
            cost: (cost > 0).then(|| Cost { minor: Minor(cost), currency: "CHF".to_owned() }),
            metadata: None,
            period: None,
            cap: None,
            words: Words { note: Some(note.to_owned()), ..Words::default() },
        };
        let key = self.key();
        credits::issue(&self.staff, issue, &key).await.map(drop)
    }

    async fn consume(&mut self, customer: CustomerId, credit_type: CreditTypeId, note: &str) -> Result<()> {
        self.consume_or_not(customer, credit_type, note).await.map(drop)
    }

    /// Uses one, if there is one.
    async fn consume_or_not(&mut self, customer: CustomerId, credit_type: CreditTypeId, note: &str) -> Result<bool> {
        let reference = Some(format!("booking-{}", self.dice.roll(9000) + 1000));
        let words = Words { note: Some(note.to_owned()), reference, ..Words::default() };
        let key = self.key();
        match credits::consume(&self.staff, Consume { customer, credit_type, amount: Credits(1), words }, &key).await {
            Ok(_) => Ok(true),
            Err(Error::Refused(_) | Error::RefusedBefore(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Books a coaching session, if there is a credit for it: most are delivered, some are cancelled.
    async fn book(&mut self, customer: CustomerId, end: Instant) -> Result<()> {
        let reference = Some(format!("booking-{}", self.dice.roll(9000) + 1000));
        let words = Words { note: Some("Coaching session, booked".to_owned()), reference, ..Words::default() };
        let place = Place {
            customer,
            credit_type: self.coaching,
            amount: Credits(1),
            expires_at: end + TimeDelta::days(1),
            words,
        };
        let key = self.key();
        let placed = match credits::submit(&self.staff, Command::Place(place), &key).await {
            Ok(placed) => placed,
            Err(Error::Refused(_) | Error::RefusedBefore(_)) => return Ok(()),
            Err(error) => return Err(error),
        };
        self.clock.set(end);
        let hold = placed.activities[0].0.hold_id.expect("what is placed is a hold");
        let cancelled = self.dice.roll(4) == 0;
        let words = |note: &str| Words { note: Some(note.to_owned()), ..Words::default() };
        let command = if cancelled {
            about::release(&self.staff, hold, words("Cancelled in time")).await?
        } else {
            about::capture(&self.staff, hold, None, words("Coaching session, delivered")).await?
        };
        let key = self.key();
        credits::submit(&self.staff, command, &key).await.map(drop)
    }

    fn key(&mut self) -> String {
        format!("demo-{:016x}", self.dice.next())
    }
}

/// Chance that falls the same way every time: SplitMix64 (Steele, Lea, Flood 2014).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// 0 to `sides` - 1.
    fn roll(&mut self, sides: u64) -> u64 {
        self.next() % sides.max(1)
    }
}
