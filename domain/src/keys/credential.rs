//! What API keys and customers' sessions look like (pure): `scrip_live_<account and key>_<secret><checksum>`.
//!
//! It carries its account, so that it is found within that; a checksum, so that a slip of the pen costs no look into the
//! database and scanners of leaked secrets know one when they see it; and 32 bytes, of which 244 bits are random. What
//! is stored is SHA-256 over these: as hard to turn back as they are to guess, so that it needs no salt and no delay.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE32_DNSSEC;
use entity::AccountId;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use super::LedgerKey;
use crate::ground::clock::fresh_salt;
use crate::ground::error::Error;

/// Characters of an id, of the secret's text, and of the checksum.
const ID: usize = 26;
const SECRET: usize = 52;
const CHECK: usize = 6;

/// What a credential is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An API key of an account that serves people.
    Live,
    /// An API key of a sandbox.
    Test,
    /// A customer's session.
    Session,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Live, Self::Test, Self::Session];

    fn prefix(self) -> &'static str {
        match self {
            Self::Live => "scrip_live_",
            Self::Test => "scrip_test_",
            Self::Session => "scrip_session_",
        }
    }
}

/// An API key or a session as its bearer has it. Never logged: it has no `Debug`.
pub struct Credential {
    pub kind: Kind,
    pub account: AccountId,
    pub id: Uuid,
    secret: Vec<u8>,
}

impl Credential {
    /// A new one.
    #[must_use]
    pub fn fresh(kind: Kind, account: AccountId, id: Uuid) -> Self {
        Self { kind, account, id, secret: [fresh_salt(), fresh_salt()].concat() }
    }

    /// Whether a text wants to be one: whatever else it is, it is no other kind of token.
    #[must_use]
    pub fn is_meant(text: &str) -> bool {
        Kind::ALL.iter().any(|kind| text.starts_with(kind.prefix()))
    }

    /// What is stored of it: an HMAC under a key that is kept outside the database, so that none can be planted there.
    #[must_use]
    pub fn digest(&self, key: &LedgerKey) -> Vec<u8> {
        key.credential(self.account, self.id, &self.secret)
    }

    /// Whether it is the one whose digest was stored; takes as long whatever differs.
    #[must_use]
    pub fn is_of(&self, digest: &[u8], key: &LedgerKey) -> bool {
        self.digest(key).ct_eq(digest).into()
    }

    fn body(&self) -> String {
        let (account, id) = (id_text(self.account.0), id_text(self.id));
        format!("{}{account}{id}_{}", self.kind.prefix(), BASE32_DNSSEC.encode(&self.secret))
    }
}

/// The whole text: to be shown once.
impl fmt::Display for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = self.body();
        write!(f, "{body}{}", checksum(&body))
    }
}

impl FromStr for Credential {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        read(text).ok_or(Error::Unauthenticated)
    }
}

fn read(text: &str) -> Option<Credential> {
    let kind = Kind::ALL.into_iter().find(|kind| text.starts_with(kind.prefix()))?;
    let rest = &text[kind.prefix().len()..];
    if !text.is_ascii() || rest.len() != 2 * ID + 1 + SECRET + CHECK || rest.as_bytes()[2 * ID] != b'_' {
        return None;
    }
    let (body, check) = text.split_at(text.len() - CHECK);
    if checksum(body) != check {
        return None;
    }
    let secret = BASE32_DNSSEC.decode(&rest.as_bytes()[2 * ID + 1..2 * ID + 1 + SECRET]).ok()?;
    Some(Credential { kind, account: AccountId(id_of(&rest[..ID])?), id: id_of(&rest[ID..2 * ID])?, secret })
}

/// An id without its prefix.
fn id_text(id: Uuid) -> String {
    AccountId(id).to_string()[AccountId::PREFIX.len() + 1..].to_owned()
}

fn id_of(text: &str) -> Option<Uuid> {
    format!("{}_{text}", AccountId::PREFIX).parse::<AccountId>().ok().map(|id| id.0)
}

fn checksum(body: &str) -> String {
    BASE32_DNSSEC.encode(&Sha256::digest(body.as_bytes()))[..CHECK].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ground::clock::fresh_id;

    #[test]
    fn a_credential_is_read_as_it_was_written() {
        let key = LedgerKey::new("a key".to_owned().into());
        for kind in Kind::ALL {
            let made = Credential::fresh(kind, AccountId(fresh_id()), fresh_id());
            let read: Credential = made.to_string().parse().unwrap_or_else(|_| panic!("{kind:?}"));
            assert_eq!((read.kind, read.account, read.id), (kind, made.account, made.id));
            assert!(Credential::is_meant(&made.to_string()) && read.is_of(&made.digest(&key), &key));
            let other = Credential::fresh(kind, made.account, made.id);
            assert!(!other.is_of(&made.digest(&key), &key));
            assert!(!read.is_of(&made.digest(&key), &LedgerKey::new("another".to_owned().into())));
        }
    }

    #[test]
    fn a_slip_of_the_pen_is_noticed_without_a_look_into_the_database() {
        let text = Credential::fresh(Kind::Live, AccountId(fresh_id()), fresh_id()).to_string();
        for at in 0..text.len() {
            let wrong = text.char_indices().map(|(place, c)| if place == at { other(c) } else { c });
            assert!(wrong.collect::<String>().parse::<Credential>().is_err(), "{at}");
            assert!(text[..at].parse::<Credential>().is_err(), "cut at {at}");
        }
        assert!(format!("{text}0").parse::<Credential>().is_err());
        assert!(text.to_uppercase().parse::<Credential>().is_err());
        assert!(format!("{}é", &text[..text.len() - 2]).parse::<Credential>().is_err());
    }

    fn other(c: char) -> char {
        if c == '7' { '8' } else { '7' }
    }
}
