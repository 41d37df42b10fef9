//! Products.

use async_graphql::{Context, Description, Enum, ID, InputObject, MaybeUndefined, Object, Result, SimpleObject};
use entity::product::{Kind, Model, Status};

use super::accounts::{changed, kept, or_empty};
use super::context::Ask;
use super::credit_types::CreditType;
use super::expiration::{ExpirationInput, ExpirationPolicy};
use super::list::List;
use super::page::{self, Connection};
use super::payload::{UserErrorInterface, answer, id};
use super::prices::Price;
use super::scalars::{Credits, DateTime, Json, Url};
use domain::catalog::products::{self, Changes, NewProduct};
use domain::{Error, Scope};

/// What is sold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "Kind", name = "ProductKind")]
pub enum ProductKind {
    /// Issues credits when its order is paid.
    Credit,
    /// Anything else: a session, a class, a call. It can be paid in credits.
    Service,
}

/// Whether it is sold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "Status", name = "ProductStatus")]
pub enum ProductStatus {
    /// Not yet.
    Draft,
    /// On sale.
    Active,
    /// No more, until it is activated again; what was ordered goes on.
    Archived,
}

/// What an order form offers.
#[derive(Description)]
pub struct Product(pub Model);

#[Object(use_type_description)]
impl Product {
    /// Opaque, and unique over the whole server.
    pub async fn id(&self) -> ID {
        self.0.id.to_string().into()
    }

    /// What is sold.
    fn kind(&self) -> ProductKind {
        self.0.kind.into()
    }

    /// Whether it is sold.
    fn status(&self) -> ProductStatus {
        self.0.status.into()
    }

    /// Its name in the link of its order form; unique in the account.
    fn slug(&self) -> &str {
        &self.0.slug
    }

    /// The path of its order form on this server, for anyone to open while it is on sale.
    async fn order_form_path(&self, ctx: &Context<'_>) -> Result<String> {
        let reads = ctx.reads(Scope::OwnRead).await?;
        Ok(format!("/o/{}/{}", reads.account().slug, self.0.slug))
    }

    /// The name that people read.
    fn name(&self) -> &str {
        &self.0.name
    }

    /// What it is, in more words.
    fn description(&self) -> Option<&str> {
        self.0.description.as_deref()
    }

    /// The address of its picture.
    fn image_url(&self) -> Option<Url> {
        self.0.image_url.clone().map(Url)
    }

    /// What buyers read after the order.
    fn thank_you(&self) -> Option<&str> {
        self.0.thank_you.as_deref()
    }

    /// Where buyers go after the order.
    fn redirect_url(&self) -> Option<Url> {
        self.0.redirect_url.clone().map(Url)
    }

    /// Of a credit product: what it issues.
    async fn credit_type(&self, ctx: &Context<'_>) -> Result<Option<CreditType>> {
        let Some(id) = self.0.credit_type_id else { return Ok(None) };
        Ok(ctx.reads(Scope::OwnRead).await?.credit_types.get(id).await?.map(CreditType))
    }

    /// Of a credit product: how many credits one unit is.
    fn credits_per_unit(&self) -> Option<Credits> {
        self.0.credits_per_unit.map(Credits)
    }

    /// When its credits end, where it says otherwise than their type.
    fn expiration(&self) -> Option<ExpirationPolicy> {
        self.0.policy().map(Into::into)
    }

    /// Its prices, oldest first: those on sale, or all of them.
    #[graphql(complexity = "child_complexity.saturating_mul(5).saturating_add(1)")]
    async fn prices(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whether archived ones are listed too.", default)] include_archived: bool,
    ) -> Result<List<Price>> {
        let all = include_archived && ctx.is_staff();
        let prices = ctx.reads(Scope::OwnRead).await?.product_prices.get((self.0.id, all)).await?;
        Ok(prices.unwrap_or_default().into_iter().map(Price).collect())
    }

    /// A JSON object of the business's own. Staff only: null for the customer.
    fn metadata(&self, ctx: &Context<'_>) -> Option<Json> {
        ctx.is_staff().then(|| Json(self.0.metadata.clone()))
    }

    /// When it was created.
    fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }

    /// When it was last changed.
    fn updated_at(&self) -> DateTime {
        DateTime(self.0.updated_at)
    }
}

#[derive(Default)]
pub struct ProductQuery;

#[Object]
impl ProductQuery {
    /// One product; null if there is none with this id. For staff.
    async fn product(&self, ctx: &Context<'_>, #[graphql(desc = "Its id.")] id: ID) -> Option<Result<Product>> {
        let found = async {
            let reads = ctx.reads(Scope::StaffRead).await?;
            let Ok(id) = id.parse() else { return Ok(None) };
            Ok(reads.products.get(id).await?.map(Product))
        };
        found.await.transpose()
    }

    /// Products, oldest first. For staff.
    #[graphql(complexity = "page::cost(first, last, child_complexity)")]
    async fn products(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only those that are sold so.")] status: Option<ProductStatus>,
        #[graphql(desc = "How many from the beginning, 1 to 100; 20 if nothing is said.")] first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
    ) -> Option<Result<Connection<Product>>> {
        let found = async {
            let page = page::page(first, after.as_deref(), last, before.as_deref()).map_err(Error::from)?;
            let reads = ctx.reads(Scope::StaffRead).await?;
            let slice = products::list(reads.alone()?, status.map(Into::into), &page).await?;
            Ok(page::connection(slice, |row| row.id, Product))
        };
        Some(found.await)
    }
}

/// A new product. It is a draft until `productActivate`.
#[derive(InputObject)]
pub struct ProductCreateInput {
    /// What is sold.
    kind: ProductKind,
    /// Its name in the link of its order form: 3 to 40 of the characters `a-z`, `0-9` and `-`; unique in the account.
    slug: String,
    /// The name that people read.
    name: String,
    /// What it is, in more words.
    description: Option<String>,
    /// The address of its picture.
    image_url: Option<Url>,
    /// What buyers read after the order.
    thank_you: Option<String>,
    /// Where buyers go after the order.
    redirect_url: Option<Url>,
    /// Of a credit product: what it issues. It cannot be activated without.
    credit_type_id: Option<ID>,
    /// Of a credit product: how many credits one unit is; one, if left out.
    credits_per_unit: Option<Credits>,
    /// When its credits end; as their type says, if left out.
    expiration: Option<ExpirationInput>,
    /// A JSON object of the business's own, at most 16 KiB.
    metadata: Option<Json>,
}

/// What changes in a product. What is left out stays; null clears where something may be absent.
/// What was ordered already keeps its terms.
#[derive(InputObject)]
pub struct ProductUpdateInput {
    /// The product.
    id: ID,
    /// Its name in the link of its order form. Links with the former one end.
    slug: MaybeUndefined<String>,
    /// The name that people read.
    name: MaybeUndefined<String>,
    /// What it is, in more words.
    description: MaybeUndefined<String>,
    /// The address of its picture.
    image_url: MaybeUndefined<Url>,
    /// What buyers read after the order.
    thank_you: MaybeUndefined<String>,
    /// Where buyers go after the order.
    redirect_url: MaybeUndefined<Url>,
    /// Of a credit product: what it issues.
    credit_type_id: MaybeUndefined<ID>,
    /// Of a credit product: how many credits one unit is.
    credits_per_unit: MaybeUndefined<Credits>,
    /// When its credits end; null for as their type says.
    expiration: MaybeUndefined<ExpirationInput>,
    /// A JSON object of the business's own; null for an empty one.
    metadata: MaybeUndefined<Json>,
}

/// A product to put on sale.
#[derive(InputObject)]
pub struct ProductActivateInput {
    /// The product.
    id: ID,
}

/// A product to archive.
#[derive(InputObject)]
pub struct ProductArchiveInput {
    /// The product.
    id: ID,
}

/// What became of a change to a product.
#[derive(SimpleObject)]
pub struct ProductPayload {
    /// The product as it is now; null if the change was refused.
    product: Option<Product>,
    /// Why it was refused.
    user_errors: Vec<UserErrorInterface>,
}

#[derive(Default)]
pub struct ProductMutation;

#[Object]
impl ProductMutation {
    /// Create a product, as a draft. For staff.
    async fn product_create(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The product.")] input: ProductCreateInput,
    ) -> Option<Result<ProductPayload>> {
        let result = async {
            let new = NewProduct {
                kind: input.kind.into(),
                slug: input.slug,
                name: input.name,
                description: input.description,
                image_url: input.image_url.map(|url| url.0),
                thank_you: input.thank_you,
                redirect_url: input.redirect_url.map(|url| url.0),
                credit_type: input.credit_type_id.map(|it| id("creditTypeId", "credit type", &it)).transpose()?,
                credits_per_unit: input.credits_per_unit.map(|credits| credits.0),
                expiration: input.expiration.map(ExpirationInput::policy).transpose()?,
                metadata: input.metadata.map(|json| json.0),
            };
            products::create(ctx.caller()?, new).await
        };
        Some(payload(ctx, result).await)
    }

    /// Change a product. For staff.
    async fn product_update(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What changes.")] input: ProductUpdateInput,
    ) -> Option<Result<ProductPayload>> {
        let result = async {
            let url = |url: MaybeUndefined<Url>| changed(url).map(|url| url.map(|url| url.0));
            let credit_type = changed(input.credit_type_id)
                .map(|it| it.map(|it| id("creditTypeId", "credit type", &it)).transpose())
                .transpose()?;
            let changes = Changes {
                slug: kept("slug", input.slug)?,
                name: kept("name", input.name)?,
                description: changed(input.description),
                image_url: url(input.image_url),
                thank_you: changed(input.thank_you),
                redirect_url: url(input.redirect_url),
                credit_type,
                credits_per_unit: changed(input.credits_per_unit).map(|credits| credits.map(|credits| credits.0)),
                expiration: changed(input.expiration)
                    .map(|policy| policy.map(ExpirationInput::policy).transpose())
                    .transpose()?,
                metadata: or_empty(input.metadata, Json(serde_json::json!({}))).map(|json| json.0),
            };
            products::update(ctx.caller()?, id("id", "product", &input.id)?, changes).await
        };
        Some(payload(ctx, result).await)
    }

    /// Put a product on sale, also one that was archived. It needs a price, and if it is a credit product, a credit type. For staff.
    async fn product_activate(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The product.")] input: ProductActivateInput,
    ) -> Option<Result<ProductPayload>> {
        let result = async { products::activate(ctx.caller()?, id("id", "product", &input.id)?).await };
        Some(payload(ctx, result).await)
    }

    /// Archive a product: it is sold no more, and what was ordered goes on. For staff.
    async fn product_archive(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The product.")] input: ProductArchiveInput,
    ) -> Option<Result<ProductPayload>> {
        let result = async { products::archive(ctx.caller()?, id("id", "product", &input.id)?).await };
        Some(payload(ctx, result).await)
    }
}

async fn payload(ctx: &Context<'_>, operation: impl Future<Output = domain::Result<Model>>) -> Result<ProductPayload> {
    let answered = answer(ctx, operation).await;
    answered.map(|(row, user_errors)| ProductPayload { product: row.map(Product), user_errors })
}
