//! Lists, whose items are resolved in boxes.
//!
//! The library resolves a list by a future that has the futures of its items in it, and compiles some 250 functions for each
//! type that is ever an item: half of what this crate was compiled to. In a box all items are of one type.

use std::borrow::Cow;

use async_graphql::parser::types::Field;
use async_graphql::registry::Registry;
use async_graphql::{ContextSelectionSet, OutputType, Positioned, ServerResult, Value};
use futures_util::future::{BoxFuture, try_join_all};

/// A list. The hook that extensions have for what is resolved is not called for each of its items.
#[derive(Debug)]
pub struct List<T>(Vec<T>);

impl<T> Default for List<T> {
    /// An empty one.
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> From<Vec<T>> for List<T> {
    fn from(items: Vec<T>) -> Self {
        Self(items)
    }
}

impl<T> FromIterator<T> for List<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self(items.into_iter().collect())
    }
}

impl<T: OutputType> OutputType for List<T> {
    fn type_name() -> Cow<'static, str> {
        <Vec<T> as OutputType>::type_name()
    }

    fn qualified_type_name() -> String {
        <Vec<T> as OutputType>::qualified_type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        <Vec<T> as OutputType>::create_type_info(registry)
    }

    async fn resolve(&self, ctx: &ContextSelectionSet<'_>, field: &Positioned<Field>) -> ServerResult<Value> {
        let items = self.0.iter().enumerate();
        all(items.map(|(place, item)| one(item, ctx.with_index(place), field)).collect()).await
    }
}

/// One item at its place, in a box.
fn one<'a, T: OutputType>(
    item: &'a T,
    ctx: ContextSelectionSet<'a>,
    field: &'a Positioned<Field>,
) -> BoxFuture<'a, ServerResult<Value>> {
    Box::pin(async move { item.resolve(&ctx, field).await.map_err(|error| ctx.set_error_path(error)) })
}

/// All items at once, or what went wrong with one.
async fn all(items: Vec<BoxFuture<'_, ServerResult<Value>>>) -> ServerResult<Value> {
    try_join_all(items).await.map(Value::List)
}
