//! Who did what.

use async_graphql::{Context, Description, ID, InputObject, Object, Result};
use entity::access_entry::Model;

use super::activity::{Actor, ActorKindName};
use super::context::Ask;
use super::page::{self, Connection};
use super::scalars::DateTime;
use domain::identity::access::{self, Actor as Whose};
use domain::{Error, Scope};

/// One thing that somebody of the account did, or tried to do. Kept as long as events are.
#[derive(Description)]
pub struct AccessEntry(Model);

#[Object(use_type_description)]
impl AccessEntry {
    /// Unique, and later ones sort after earlier ones.
    fn id(&self) -> ID {
        self.0.id.to_string().into()
    }

    /// When.
    fn at(&self) -> DateTime {
        DateTime(self.0.at)
    }

    /// Who.
    fn actor(&self) -> Actor {
        Actor::new(self.0.actor_kind, &self.0.actor)
    }

    /// Which mutation, or `customerExport`.
    fn operation(&self) -> &str {
        &self.0.operation
    }

    /// The id of what it was asked for, such as the customer that was erased. Null where the mutation names nothing, as
    /// where something is created.
    fn about(&self) -> Option<ID> {
        self.0.about.clone().map(ID)
    }

    /// `done`, the code of the refusal, or the code of the error.
    fn outcome(&self) -> &str {
        &self.0.outcome
    }

    /// The request's id, as it stands in the server's log.
    fn request_id(&self) -> &str {
        &self.0.request_id
    }
}

/// Whose entries.
#[derive(InputObject)]
pub struct AccessActorInput {
    /// What kind of actor.
    kind: ActorKindName,
    /// The subject of the token, or the API key's id.
    subject: String,
}

#[derive(Default)]
pub struct AccessQuery;

#[Object]
impl AccessQuery {
    /// Who did what: each mutation with its outcome, newest first. Written within a second of it. For staff.
    #[graphql(complexity = "page::cost(first, last, child_complexity)")]
    async fn access_log(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only what this one did.")] actor: Option<AccessActorInput>,
        #[graphql(desc = "How many from the beginning, 1 to 100; 20 if nothing is said.")] first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
    ) -> Option<Result<Connection<AccessEntry>>> {
        let found = async {
            let page = page::page(first, after.as_deref(), last, before.as_deref()).map_err(Error::from)?;
            let whose = actor.map(|actor| Whose { kind: actor.kind.into(), subject: actor.subject });
            let reads = ctx.reads(Scope::StaffRead).await?;
            Ok(page::connection(access::list(reads.alone()?, whose.as_ref(), &page).await?, |row| row.id, AccessEntry))
        };
        Some(found.await)
    }
}
