//! `rehearsal`: takes no money and does what it is told, for sandboxes. What it does stands in the payment method:
//!
//! * `succeed`: succeeds at once. So does a payment without a method.
//! * `fail`: fails at once.
//! * `late`: is pending, and has succeeded when it is asked again, or when a message says so.
//! * `late-fail`: is pending, and has failed when it is asked again.
//! * `ask`: needs the payer to act at a page, and says nothing by itself: a message has to.
//! * `away`: does not answer.
//! * `no-refund`: succeeds, and gives nothing back.
//!
//! A message is posted to `/hooks/rehearsal/{account}`: `{"reference": …, "status": "succeeded" | "failed" | "disputed" |
//! "charged_back"}`,
//! with the header `rehearsal-signature`, the HMAC-SHA256 of the body by the key `rehearsal`, in hex. To answer twice, send
//! it twice: it may be sent as often, and as late, as one likes.

use async_trait::async_trait;
use data_encoding::HEXLOWER_PERMISSIVE;
use entity::payment::Status;
use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use sha2::Sha256;

use crate::domain::storage::ports::payments::{Charge, Message, PaymentProvider, Return, Said, SaidOfRefund, Unheard};

/// The key of its messages. No secret: it takes no money.
pub const SECRET: &str = "rehearsal";

pub struct Rehearsal;

/// What arrives at its door.
#[derive(Deserialize)]
struct Told {
    reference: String,
    status: Status,
}

fn said(reference: String, status: Status) -> Said {
    let failure = (status == Status::Failed).then(|| "declined, as it was told to be".to_owned());
    let action_url = (status == Status::RequiresAction).then(|| format!("https://rehearsal.example/{reference}"));
    Said { reference, status, action_url, failure }
}

#[async_trait]
impl PaymentProvider for Rehearsal {
    fn name(&self) -> &'static str {
        "rehearsal"
    }

    fn is_for_sandboxes(&self) -> bool {
        true
    }

    async fn collect(&self, charge: &Charge) -> Result<Said, Unheard> {
        let method = charge.method.as_deref().unwrap_or("succeed");
        let status = match method {
            "fail" => Status::Failed,
            "late" | "late-fail" => Status::Pending,
            "ask" => Status::RequiresAction,
            "away" => return Err(Unheard::Away("it was told to be away".to_owned())),
            _ => Status::Succeeded,
        };
        // The reference says how it ends, so that nothing has to be kept.
        Ok(said(format!("{method}:{}", charge.payment), status))
    }

    async fn result(&self, reference: &str) -> Result<Said, Unheard> {
        let status = match reference.split_once(':').map(|(method, _)| method) {
            Some("fail" | "late-fail") => Status::Failed,
            Some("ask") => Status::RequiresAction,
            _ => Status::Succeeded,
        };
        Ok(said(reference.to_owned(), status))
    }

    async fn refund(&self, wanted: &Return) -> Result<SaidOfRefund, Unheard> {
        let refuses = wanted.reference.as_deref().is_some_and(|reference| reference.starts_with("no-refund:"));
        let failure = refuses.then(|| "refused, as it was told to".to_owned());
        Ok(SaidOfRefund { reference: Some(wanted.refund.to_string()), failure })
    }

    fn hear(&self, message: &Message<'_>) -> Result<Vec<Said>, Unheard> {
        let signature = (message.header)("rehearsal-signature").ok_or(Unheard::NotGenuine("it is not signed"))?;
        let signature = HEXLOWER_PERMISSIVE.decode(signature.as_bytes());
        let signature = signature.map_err(|_| Unheard::NotGenuine("its signature is not hex"))?;
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("HMAC takes keys of any length");
        mac.update(message.body);
        mac.verify_slice(&signature).map_err(|_| Unheard::NotGenuine("its signature is another's"))?;
        let told: Told = serde_json::from_slice(message.body).map_err(|_| Unheard::NotGenuine("it cannot be read"))?;
        Ok(vec![said(told.reference, told.status)])
    }
}
