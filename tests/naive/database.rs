//! Random histories through the database, many at once, each beside a naive ledger of its own.

use std::hash::{DefaultHasher, Hash, Hasher};

use chrono::TimeDelta;
use chrono_tz::Tz;
use entity::activity::Kind;
use entity::{ActivityId, CustomerId, GrantId, HoldId, Minor};
use futures_util::future::join_all;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use scrip::domain::credits;
use scrip::domain::customers::{self, NewCustomer};
use scrip::domain::ground::error::Code;
use scrip::domain::ledger::state::{makes_grants, uses};
use scrip::domain::ledger::{Command, Outcome, balances, grants};
use scrip::domain::{Error, Result, Scope};
use serde_json::json;

use crate::harness::House;
use crate::naive::chance;
use crate::naive::steps::{Names, PEOPLE, Timed};
use crate::naive::{Answer, Line, Naive, Place};

/// Hours between two steps.
const HOURS: i64 = 5;

/// One history: a naive ledger, and what its numbers are called in the database.
struct Player {
    number: usize,
    naive: Naive,
    steps: Vec<Timed>,
    people: Vec<CustomerId>,
    lots: Vec<GrantId>,
    holds: Vec<HoldId>,
    uses: Vec<ActivityId>,
    sent: Vec<(String, Command, Said)>,
}

/// What a command was answered, as far as a repetition must answer the same.
#[derive(Clone, Debug, PartialEq)]
enum Said {
    Done(Vec<ActivityId>),
    Refused(Code),
}

fn said(outcome: &Result<Outcome>) -> Said {
    match outcome {
        Ok(outcome) => Said::Done(outcome.activities.iter().map(|(activity, _)| activity.id).collect()),
        Err(Error::Refused(refusal) | Error::RefusedBefore(refusal)) => Said::Refused(refusal.code()),
        Err(other) => panic!("{other:?}"),
    }
}

impl Player {
    fn line(&self, (activity, allocations): &(entity::activity::Model, Vec<entity::allocation::Model>)) -> Line {
        let owner = self.people.iter().position(|known| *known == activity.customer_id).expect("one of them");
        let lot = |id: GrantId| self.lots.iter().position(|known| *known == id).expect("a lot that was made");
        (owner, activity.kind, allocations.iter().map(|part| (lot(part.grant_id), part.amount.0)).collect())
    }

    /// Learns the ids of what was made, and compares what was written with what the naive ledger says.
    fn compare(&mut self, expected: &Answer, outcome: &Result<Outcome>, command: &Command) {
        let answer: Answer = match outcome {
            Ok(outcome) => {
                for (activity, allocations) in &outcome.activities {
                    if makes_grants(activity.kind) {
                        // What takes the allowance of a cap names the grant that bears it.
                        let made = allocations.iter().filter(|part| part.allowance.is_none_or(|left| left.0 >= 0));
                        self.lots.extend(made.map(|part| part.grant_id));
                    }
                    if activity.kind == Kind::Hold {
                        self.holds.extend(activity.hold_id);
                    }
                    // What was voided by hand can be undone as well, not what goes on because its grant is closed.
                    let voided = activity.kind == Kind::Void && matches!(command, Command::Void(_));
                    if uses(activity.kind) || voided {
                        self.uses.push(activity.id);
                    }
                }
                Ok(outcome.activities.iter().map(|posted| self.line(posted)).collect())
            }
            Err(_) => match said(outcome) {
                Said::Refused(code) => Err(code),
                Said::Done(_) => unreachable!("it failed"),
            },
        };
        assert_eq!(answer, *expected, "history {}: {command:?}", self.number);
    }

    /// A number that falls the same way every time.
    fn dice(&self, round: usize, sides: u64) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.number, round).hash(&mut hasher);
        hasher.finish() % sides
    }
}

/// The histories, the same in every run.
pub fn histories(count: usize) -> Vec<Vec<Timed>> {
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, b"a ledger that is always the same");
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    (0..count).map(|_| chance::history(50..60).new_tree(&mut runner).expect("a history").current()).collect()
}

/// Plays histories, all at the same time: each round is one step of each. A fifth of the commands is sent again later,
/// and a tenth of the keys with another command.
pub async fn play(house: &House, histories: Vec<Vec<Timed>>) {
    let credit_type = house.credit_type("Session", json!({ "never": true })).await;
    let credit_type = credit_type.parse().expect("an id");
    let staff = house.staff();
    let zone: Tz = house.account.time_zone.parse().expect("a zone");
    let mut players = Vec::new();
    for (number, steps) in histories.into_iter().enumerate() {
        let mut people = Vec::new();
        for n in 0..PEOPLE {
            let new = NewCustomer { name: format!("Customer {number} {n}"), ..NewCustomer::default() };
            people.push(customers::create(&staff, new).await.expect("a customer").id);
        }
        let naive = Naive::new(zone, house.now());
        let (lots, holds, uses, sent) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        players.push(Player { number, naive, steps, people, lots, holds, uses, sent });
    }
    let rounds = players.iter().map(|player| player.steps.len()).max().unwrap_or(0);
    let begin = house.now();
    for round in 0..rounds {
        let now = begin + TimeDelta::hours(HOURS * i64::try_from(round).expect("few"));
        house.clock.set(now);
        let mut asked = Vec::new();
        for (at, player) in players.iter_mut().enumerate() {
            player.naive.now = now;
            let Some((_, step)) = player.steps.get(round).cloned() else { continue };
            let Some(whom) = step.whom(&player.naive) else { continue };
            for who in whom {
                player.naive.settle(who);
            }
            let Player { people, lots, holds, uses, .. } = &*player;
            let cost = |_, _| Minor::ZERO;
            let names = Names { people, credit_type, lots, holds, uses, cost: &cost };
            let commands = step.commands(&player.naive, &names);
            let expected = step.answers(&mut player.naive);
            let keys = (0..commands.len()).map(|which| format!("{at}-{round}-{which}"));
            asked.push((at, keys.zip(commands).zip(expected).collect::<Vec<_>>()));
        }
        let calls = asked.iter().map(async |(_, commands)| {
            let mut outcomes = Vec::new();
            for ((key, command), _) in commands {
                outcomes.push(credits::submit(&staff, command.clone(), key).await);
            }
            outcomes
        });
        let outcomes = join_all(calls).await;
        for ((at, commands), outcomes) in asked.into_iter().zip(outcomes) {
            for (((key, command), expected), outcome) in commands.into_iter().zip(outcomes) {
                players[at].compare(&expected, &outcome, &command);
                // Wrong input is not remembered.
                if said(&outcome) != Said::Refused(Code::Invalid) {
                    players[at].sent.push((key, command, said(&outcome)));
                }
            }
        }
        send_again(&staff, &players, round).await;
    }
    for player in &players {
        compare_what_there_is(&staff, player).await;
    }
}

async fn send_again(staff: &scrip::domain::Caller, players: &[Player], round: usize) {
    let mut again = Vec::new();
    for player in players.iter().filter(|player| !player.sent.is_empty()) {
        let (key, command, first) =
            &player.sent[usize::try_from(player.dice(round, 1_000)).expect("small") % player.sent.len()];
        match player.dice(round + 1_000, 10) {
            0 | 1 => again.push((key, command.clone(), first.clone())),
            2 => {
                let (_, other, _) = &player.sent[player.sent.len() - 1];
                if other != command {
                    again.push((key, other.clone(), Said::Refused(Code::IdempotencyKeyReused)));
                }
            }
            _ => {}
        }
    }
    let outcomes = join_all(again.iter().map(|(key, command, _)| credits::submit(staff, command.clone(), key))).await;
    for ((key, command, first), outcome) in again.iter().zip(outcomes) {
        assert_eq!(said(&outcome), *first, "{key} once more: {command:?}");
        assert!(!matches!(outcome, Ok(Outcome { replayed: false, .. })), "{key} was carried out twice");
    }
}

/// Grants and balances as they are read, though nobody has written yet what time has done.
async fn compare_what_there_is(staff: &scrip::domain::Caller, player: &Player) {
    let mut naive = player.naive.clone();
    for who in 0..PEOPLE {
        naive.settle(who);
    }
    let view = staff.view(Scope::StaffRead).await.expect("a view");
    let found = grants::by_ids(&view, &player.lots).await.expect("grants");
    for (number, id) in player.lots.iter().enumerate() {
        let grant = &found[id];
        let amounts = [grant.remaining, grant.held, grant.consumed, grant.expired, grant.voided, grant.transferred];
        let places = [Place::Free, Place::Held, Place::Used, Place::Ended, Place::Voided, Place::Gone];
        assert_eq!(amounts.map(|amount| amount.0), places.map(|place| naive.count(number, place)), "{grant:?}");
        assert_eq!(grant.expires_at, naive.lots[number].end);
    }
    let wallets = balances::wallets(&view, &player.people).await.expect("wallets");
    for (who, customer) in player.people.iter().enumerate() {
        let available =
            wallets[customer].first().cloned().map_or(0, |wallet| balances::balance(wallet, view.now()).available.0);
        assert_eq!(available, i64::try_from(naive.usable(who).len()).expect("small"));
    }
}
