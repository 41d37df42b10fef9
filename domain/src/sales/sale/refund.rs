//! What a refund takes (pure): which credits go back, whose cost is lowered, and which payments it comes from
//! (selling.md, S2 to S6).

use std::collections::BTreeMap;

use entity::allocation::CostPool;
use entity::payment::Status as PaymentStatus;
use entity::product_order::Status;
use entity::{ActivityId, Credits, GrantId, Minor, PaymentId};

use super::drawer::Drawer;
use super::{Lot, Sale};
use crate::ground::clock::Instant;
use crate::ground::error::Refusal;
use crate::ground::refusal::sale::Sale as Rule;
use crate::sales::orders::in_words;

/// The most wallets of which one refund takes credits (selling.md, S5).
pub const WALLETS: usize = 100;

/// How much of a line, or of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    Amount(Minor),
    /// Unused credits, at what they cost.
    Credits(Credits),
}

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Wanted {
    /// So much of these lines.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<(i32, Part)>,
    /// So much of the order; what is unused, at what it cost, if nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
    /// Whether credits that were used, ended or given away are refunded as well.
    pub used_credits: bool,
    /// Whether the unused credits stay with the customer.
    pub keep_credits: bool,
}

impl Wanted {
    /// Whether it is about a line: about all of them, where none is named.
    fn names(&self, position: i32) -> bool {
        self.lines.is_empty() || self.lines.iter().any(|(named, _)| *named == position)
    }
}

/// One thing that is taken for the money that goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take {
    /// Free credits, the last ones of a grant.
    Credits { grant: GrantId, credits: Credits, cost: Minor },
    /// Cost, of credits that stay where they are: free, ended, or used by an activity.
    Cost { grant: GrantId, of: Option<ActivityId>, from: CostPool, credits: Credits, cost: Minor },
}

/// What comes from one payment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Portion {
    /// None where no money goes back.
    pub payment: Option<PaymentId>,
    pub amount: Minor,
    /// The part that is beyond the order's total.
    pub surplus: Minor,
    /// The part that is for lines which gave nothing.
    pub of_lines: Vec<(i32, Minor)>,
    pub takes: Vec<Take>,
}

/// A refund that is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub portions: Vec<Portion>,
    pub amount: Minor,
    /// How many free credits go back.
    pub credits: Credits,
    /// How the order stands after it.
    pub status: Status,
}

impl Portion {
    /// How many free credits it takes.
    #[must_use]
    pub fn credits(&self) -> Credits {
        let of = |take: &Take| if let Take::Credits { credits, .. } = take { *credits } else { Credits::ZERO };
        self.takes.iter().map(of).sum()
    }
}

/// What a refund takes, or why it is refused. The sale is as it is at `now`.
pub fn decide(sale: &Sale, wanted: &Wanted, now: Instant) -> Result<Plan, Refusal> {
    ensure_refundable(sale)?;
    let mut drawer = Drawer::of(sale, wanted.keep_credits);
    let asked = Asked::of(sale, wanted, &drawer, now)?;
    let further = goes_further(sale, wanted, &asked)?;
    // What was free may go back for nothing.
    if asked.amount.is_zero() && (!sale.order.total.is_zero() || asked.all.iter().all(|(_, n)| n.is_zero())) {
        return Err(nothing(sale));
    }
    let sources = drawer.sources(now, further, &|line| wanted.names(line));
    let mut portions = Vec::new();
    let mut rest = asked.amount;
    let newest_first = sale.payments.iter().rev().filter(|payment| Sale::can_go_back(payment));
    for payment in newest_first {
        let amount = Minor((payment.amount - payment.refunded).0.min(rest.0));
        if !amount.is_zero() {
            let mut portion = Portion { payment: Some(payment.id), amount, ..Portion::default() };
            drawer.draw(&mut portion, amount, &sources, &asked);
            portions.push(portion);
            rest -= amount;
        }
    }
    if portions.is_empty() {
        portions.push(Portion::default());
    }
    drawer.sweep(portions.last_mut().expect("there is one"), now, &asked);
    let credits = portions.iter().map(Portion::credits).sum();
    let status = status_after(sale, &portions);
    Ok(Plan { portions, amount: asked.amount, credits, status })
}

/// Whether a refund goes on to credits that are not free, or why it is refused.
fn goes_further(sale: &Sale, wanted: &Wanted, asked: &Asked) -> Result<bool, Refusal> {
    let returnable = sale.returnable();
    if asked.amount > returnable {
        let disputed = sale.settled().any(|payment| payment.status == PaymentStatus::Disputed);
        return Err(if disputed { Rule::PaymentDisputed } else { Rule::MoreThanPaid { left: returnable } }.into());
    }
    let of_line = |line: &i32| asked.defaults.get(line).copied().unwrap_or_default();
    let beyond = asked.amount > asked.surplus + asked.default
        || asked.by_line.iter().any(|(line, amount)| *amount > of_line(line));
    let further = wanted.used_credits && (beyond || asked.everything);
    let is_held = |lot: &&Lot| !lot.grant.held.is_zero() && wanted.names(lot.position);
    let holders = sale.lots.iter().filter(|lot| further || lot.grant.customer_id == sale.buyer()).filter(is_held);
    let held = holders.map(|lot| lot.grant.held).sum::<Credits>();
    let takes_credits = asked.amount > asked.surplus || asked.sweeps;
    if takes_credits && !held.is_zero() && (further || !wanted.keep_credits) {
        return Err(Rule::CreditsHeld { held }.into());
    }
    if beyond && !wanted.used_credits {
        // Of lines, no more of each than is unused of it.
        let of_lines = asked.by_line.iter().map(|(line, amount)| (*amount).min(of_line(line))).sum::<Minor>();
        let unused = if asked.by_line.is_empty() { asked.unused } else { of_lines };
        return Err(Rule::CreditsUsed { refundable: asked.surplus + unused }.into());
    }
    if further && super::load::wallets(&sale.lots).len() > WALLETS {
        return Err(Rule::TooManyWallets { most: WALLETS }.into());
    }
    Ok(further)
}

/// How an order stands after a refund. Money that paid for nothing changes nothing (selling.md, S6).
fn status_after(sale: &Sale, portions: &[Portion]) -> Status {
    let amount = portions.iter().map(|portion| portion.amount).sum::<Minor>();
    let of_surplus = portions.iter().map(|portion| portion.surplus).sum::<Minor>();
    match sale.order.status {
        Status::Paid | Status::PartiallyRefunded if amount == of_surplus && takes_nothing(portions) => {
            sale.order.status
        }
        Status::Paid | Status::PartiallyRefunded => {
            let kept = sale.kept() - amount - (sale.surplus() - of_surplus);
            if kept.is_zero() { Status::Refunded } else { Status::PartiallyRefunded }
        }
        other => other,
    }
}

fn takes_nothing(portions: &[Portion]) -> bool {
    portions.iter().all(|portion| portion.takes.is_empty() && portion.of_lines.is_empty())
}

/// Refuses an order of which no money is here.
fn ensure_refundable(sale: &Sale) -> Result<(), Refusal> {
    let paid = matches!(sale.order.status, Status::Paid | Status::PartiallyRefunded);
    if paid || !sale.kept().is_zero() {
        return Ok(());
    }
    Err(Rule::OrderNotPaid { status: in_words(sale.order.status).to_owned() }.into())
}

/// The one line that gave credits, where none is named.
fn only_line(sale: &Sale) -> Result<i32, Refusal> {
    if sale.credit_lines() > 1 {
        let message = "This order has several lines that issue credits. Say of which, with lines.";
        return Err(Refusal::invalid("lines", message));
    }
    let mut lines = sale.lines.iter().zip(0..).filter(|(line, _)| line.credit_type.is_some());
    Ok(lines.next().map_or(0, |(_, position)| position))
}

/// Why nothing can go back, and what could be asked instead.
fn nothing(sale: &Sale) -> Refusal {
    if sale.returnable().is_zero() && sale.settled().any(|payment| payment.status == PaymentStatus::Disputed) {
        return Rule::PaymentDisputed.into();
    }
    Rule::NothingUnused { paid: sale.returnable() }.into()
}

/// What is asked for, in figures.
pub(super) struct Asked {
    pub amount: Minor,
    /// Money that pays for nothing of the order, which goes back first; none where lines are named.
    pub surplus: Minor,
    /// What the free credits, and what gave nothing, of these lines cost.
    pub default: Minor,
    /// The same of each line by itself.
    pub defaults: BTreeMap<i32, Minor>,
    /// The part of it whose money can go back.
    pub unused: Minor,
    /// How many free credits go back at least, by line; none where the amount says how many.
    pub all: Vec<(i32, Credits)>,
    /// Whether so many go back, whatever the amount reaches.
    pub sweeps: bool,
    /// Whether all that was used, ended or given away is taken as well.
    pub everything: bool,
    /// How much of which line, where that is said.
    pub by_line: BTreeMap<i32, Minor>,
}

impl Asked {
    fn of(sale: &Sale, wanted: &Wanted, drawer: &Drawer<'_>, now: Instant) -> Result<Self, Refusal> {
        let unknown = |position: &i32| usize::try_from(*position).ok().is_none_or(|at| at >= sale.lines.len());
        if let Some(position) = wanted.lines.iter().map(|(position, _)| *position).find(unknown) {
            return Err(Refusal::invalid("lines", format!("This order has no line {position}.")));
        }
        let returnable = sale.returnable();
        let free = drawer.free(now, true, &|line| wanted.names(line));
        let gave_nothing = drawer.of_lines.iter().filter(|(line, _)| wanted.names(**line)).map(|(_, cost)| *cost);
        let default = free.iter().map(|lot| lot.grant.cost_left).sum::<Minor>() + gave_nothing.sum();
        let mut defaults = drawer.of_lines.clone();
        for lot in &free {
            *defaults.entry(lot.position).or_default() += lot.grant.cost_left;
        }
        let unused = Minor(default.0.min((returnable - sale.surplus()).0.max(0)));
        let surplus = if wanted.lines.is_empty() { sale.surplus() } else { Minor::ZERO };
        let free_of = |position: i32| {
            let lots = drawer.free(now, true, &|of| of == position);
            lots.iter().map(|lot| lot.grant.remaining).sum::<Credits>()
        };
        let positions = (0..).take(sale.lines.len());
        let nothing = Self {
            amount: Minor::ZERO,
            surplus,
            default,
            defaults,
            unused,
            all: Vec::new(),
            sweeps: false,
            everything: false,
            by_line: BTreeMap::new(),
        };
        if !wanted.lines.is_empty() {
            let mut asked = nothing;
            for (position, part) in &wanted.lines {
                let amount = match part {
                    Part::Amount(amount) if *amount > sale.kept_of(*position) => {
                        return Err(Rule::MoreThanPaid { left: sale.kept_of(*position) }.into());
                    }
                    Part::Amount(amount) => *amount,
                    Part::Credits(credits) => {
                        asked.sweeps = true;
                        asked.all.push((*position, *credits));
                        drawer.cost_of_last(now, *position, *credits, free_of(*position))?
                    }
                };
                asked.by_line.insert(*position, amount);
                asked.amount += amount;
            }
            return Ok(asked);
        }
        match wanted.part {
            Some(Part::Credits(credits)) => {
                let position = only_line(sale)?;
                let amount = drawer.cost_of_last(now, position, credits, free_of(position))?;
                // The credits are said, and so is what they cost: nothing of it is for money beyond the total.
                let by_line = BTreeMap::from([(position, amount)]);
                Ok(Self { amount, all: vec![(position, credits)], sweeps: true, by_line, ..nothing })
            }
            Some(Part::Amount(amount)) => {
                let whole = amount == surplus + unused || (wanted.used_credits && amount == returnable);
                if amount > surplus && !whole {
                    only_line(sale)?;
                }
                Ok(Self { amount, everything: wanted.used_credits && amount == returnable, ..nothing })
            }
            None => {
                let everything = wanted.used_credits;
                let amount = if everything { returnable } else { surplus + unused };
                let all = positions.map(|position| (position, free_of(position))).collect();
                // Where some of the money cannot go back, no more credits do than it pays for.
                let sweeps = !wanted.keep_credits && unused == default;
                Ok(Self { amount, all, sweeps, everything, ..nothing })
            }
        }
    }
}
