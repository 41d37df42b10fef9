//! A year of a yoga studio in memory: `cargo run -p ledger --example ledger`.

use ledger::chain::ChainKey;
use ledger::command::{Command, Consume, Issue, OnExpired, Place, Reverse, Transfer, Words};
use ledger::memory::{Memory, counted};
use ledger::{
    Account, AccountId, Anchor, CreditType, CreditTypeId, Credits, CustomerId, Expiration, HoldId, PeriodUnit,
};
use uuid::Uuid;

fn main() {
    let (ada, ben) = (CustomerId(Uuid::from_u128(1)), CustomerId(Uuid::from_u128(2)));
    let class = CreditTypeId(Uuid::from_u128(3));
    let account = Account::of(AccountId(Uuid::from_u128(4)), "Europe/Zurich", "CHF");
    let mut ledger = Memory::new(account, ChainKey::new(b"32 random bytes, kept elsewhere"), counted());
    let season = Expiration::After { count: 90, unit: PeriodUnit::Day, from: Anchor::Issue };
    ledger.add_credit_type(CreditType::of(class, season));
    ledger.add_customer(ada);
    ledger.add_customer(ben);
    let on = |day: &str| format!("{day}T09:00:00Z").parse().expect("an instant");
    let (credit_type, words) = (class, Words::default());
    let issue = |amount| Command::Issue(Issue::of(ada, class, Credits(amount)));
    let consume = |amount| {
        Command::Consume(Consume { customer: ada, credit_type, amount: Credits(amount), words: words.clone() })
    };
    let gift = Transfer { from: ada, to: ben, credit_type, amount: Credits(3), words: words.clone() };
    let booked =
        Place { customer: ada, credit_type, amount: Credits(1), expires_at: on("2026-05-01"), words: words.clone() };

    ledger.run(issue(10), on("2026-01-10")).expect("issued");
    let activity = ledger.run(consume(1), on("2026-01-12")).expect("used")[0].id;
    println!("Ada was at a class: {} left.", ledger.available(ada, class, on("2026-01-12")));

    let (amount, on_expired, reason) = (None, OnExpired::Forfeit, "The teacher was ill".to_owned());
    let back = Reverse { activity, customer: ada, credit_type, amount, on_expired, reason, words: words.clone() };
    ledger.run(Command::Reverse(back), on("2026-01-13")).expect("given back");
    ledger.run(Command::Transfer(gift), on("2026-02-01")).expect("given");
    let left = [ada, ben].map(|customer| ledger.available(customer, class, on("2026-02-01")));
    println!("It did not take place, and she gave 3 of 10 to Ben: {} and {}.", left[0], left[1]);

    let placed = ledger.run(Command::Place(booked), on("2026-04-01")).expect("set aside");
    let hold: HoldId = placed[0].hold_id.expect("a hold");
    println!("{hold} is set aside for a class on 1 May; the others end on 11 April.");
    match ledger.run(consume(1), on("2026-04-11")) {
        Err(refusal) => println!("{}: {}", refusal.code().name(), refusal.message()),
        Ok(_) => unreachable!("they have ended"),
    }

    println!("{} records, and what does not fit is {:?}.", ledger.records(ada, class).len(), ledger.verify());
    let altered = ledger.verify_by(|(activity, allocations)| {
        let mut activity = activity.clone();
        activity.actor.push_str("somebody else");
        (activity, allocations.clone())
    });
    println!("With another name in every record: {}.", altered[0]);
}
