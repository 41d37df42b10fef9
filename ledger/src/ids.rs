//! Typed ids: a UUIDv7 each, shown with a prefix (`cus_01h455vb4pex5vsknk084sn02q`, the TypeID form).
//!
//! The text is the UUID's 128 bits in 26 characters of Crockford's base 32, lower case.
//! Specification: <https://github.com/jetify-com/typeid/tree/main/spec>.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const LENGTH: usize = 26;

/// The text is not an id of the expected kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an id of this kind")]
pub struct MalformedId;

fn encode(uuid: Uuid) -> String {
    let bits = uuid.as_u128();
    (0..LENGTH)
        .map(|place| {
            let shift = 5 * (LENGTH - 1 - place);
            char::from(ALPHABET[((bits >> shift) & 31) as usize])
        })
        .collect()
}

fn decode(text: &str) -> Result<Uuid, MalformedId> {
    // 26 characters hold 130 bits: a first character above 7 would not fit 128.
    if text.len() != LENGTH || text.as_bytes()[0] > b'7' {
        return Err(MalformedId);
    }
    text.bytes()
        .try_fold(0_u128, |bits, byte| {
            let value = ALPHABET.iter().position(|letter| *letter == byte)?;
            Some((bits << 5) | value as u128)
        })
        .map(Uuid::from_u128)
        .ok_or(MalformedId)
}

/// Whether a text is an id, of whatever kind.
#[must_use]
pub fn is_id(text: &str) -> bool {
    text.split_once('_').is_some_and(|(prefix, rest)| PREFIXES.contains(&prefix) && decode(rest).is_ok())
}

macro_rules! ids {
    ($($(#[$meta:meta])* $name:ident = $prefix:literal;)+) => {
        const PREFIXES: &[&str] = &[$($prefix),+];
    $(
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[cfg_attr(feature = "orm", derive(sea_orm::DeriveValueType))]
        pub struct $name(pub Uuid);

        impl $name {
            /// What the text form begins with, before the underscore.
            pub const PREFIX: &'static str = $prefix;
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}_{}", Self::PREFIX, encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = MalformedId;

            fn from_str(text: &str) -> Result<Self, MalformedId> {
                let (prefix, rest) = text.split_once('_').ok_or(MalformedId)?;
                if prefix == Self::PREFIX { decode(rest).map(Self) } else { Err(MalformedId) }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }

        // SeaORM asks every key type for this; ids are made by the application, never counted by the database.
        #[cfg(feature = "orm")]
        impl sea_orm::TryFromU64 for $name {
            fn try_from_u64(_: u64) -> Result<Self, sea_orm::DbErr> {
                Err(sea_orm::DbErr::ConvertFromU64(stringify!($name)))
            }
        }
    )+};
}

ids! {
    /// A business: the tenant that owns everything else.
    AccountId = "acc";
    /// A person who buys and uses credits.
    CustomerId = "cus";
    /// What one credit is good for.
    CreditTypeId = "ctp";
    /// One lot of credits issued to a customer.
    GrantId = "grt";
    /// One immutable ledger record.
    ActivityId = "act";
    /// Credits set aside for a booking.
    HoldId = "hld";
    /// Something that happened.
    EventId = "evt";
    /// Something that is to be done at an instant.
    JobId = "job";
    /// Long work over many customers.
    BulkOperationId = "blk";
    /// What is offered.
    ProductId = "prd";
    /// How a product is paid.
    PriceId = "prc";
    /// One purchase.
    OrderId = "ord";
    /// What settles an order.
    PaymentId = "pay";
    /// Money, or credits, that went back.
    RefundId = "rfd";
    /// An order that renews.
    SubscriptionId = "sub";
    /// What is done when something happens.
    TriggerId = "trg";
    /// Steps that customers walk through.
    AutomationId = "aut";
    /// One customer's walk.
    EnrolmentId = "enr";
    /// One action or step that was carried out.
    RunId = "run";
    /// Where events are posted to.
    WebhookEndpointId = "whe";
    /// One event on its way to one endpoint.
    WebhookDeliveryId = "whd";
    /// What a program of the business comes in with.
    ApiKeyId = "key";
    /// What a customer comes in with, for a while.
    CustomerSessionId = "ses";
    /// One line of who did what.
    AccessEntryId = "acs";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_form_is_the_specification_s_own_example() {
        let uuid = Uuid::parse_str("01890a5d-ac96-774b-bcce-b302099a8057").expect("a UUID");
        assert_eq!(CustomerId(uuid).to_string(), "cus_01h455vb4pex5vsknk084sn02q");
        assert_eq!("cus_01h455vb4pex5vsknk084sn02q".parse(), Ok(CustomerId(uuid)));
    }

    #[test]
    fn what_is_no_id_of_the_kind_is_refused() {
        for text in [
            "",
            "_",
            "cus_",
            "cus",
            "grt_01h455vb4pex5vsknk084sn02q",
            "cus_81h455vb4pex5vsknk084sn02q",
            "cus_01h455vb4pex5vsknk084sn02",
            "cus_01H455VB4PEX5VSKNK084SN02Q",
            "cus_01h455vb4pex5vsknk084sn0éq",
        ] {
            assert_eq!(text.parse::<CustomerId>(), Err(MalformedId), "{text}");
        }
    }

    #[test]
    fn order_of_the_text_is_order_of_the_id() {
        let (low, high) = (Uuid::from_u128(7), Uuid::from_u128(u128::MAX));
        assert!(encode(low) < encode(high));
        assert_eq!(decode(&encode(high)), Ok(high));
    }
}
