//! Selling: products, prices, orders, what they gave, payments, subscriptions.

use sea_orm_migration::prelude::*;

use crate::dialect;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        dialect::run(manager, UP).await?;
        dialect::fix_statistics(manager).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        dialect::run(manager, DOWN).await
    }
}

const UP: &[&str] = &[
    "ALTER TABLE account ADD COLUMN payment_provider {text} NOT NULL DEFAULT 'manual'",
    "ALTER TABLE account ADD COLUMN renewal_due_days {int} NOT NULL DEFAULT 7 CHECK (renewal_due_days BETWEEN 0 AND 366)",
    "ALTER TABLE account ADD COLUMN renewal_grace_days {int} NOT NULL DEFAULT 14 CHECK (renewal_grace_days BETWEEN 0 AND 366)",
    "CREATE TABLE product (
        account_id {uuid} NOT NULL REFERENCES account (id),
        id {uuid} NOT NULL,
        kind {text} NOT NULL CHECK (kind IN ('credit', 'service')),
        status {text} NOT NULL CHECK (status IN ('draft', 'active', 'archived')),
        slug {text} NOT NULL,
        name {text} NOT NULL,
        description {text},
        image_url {text},
        thank_you {text},
        redirect_url {text},
        credit_type_id {uuid},
        credits_per_unit {long} CHECK (credits_per_unit >= 1),
        expiration {text},
        period_count {int},
        period_unit {text},
        period_from {text},
        expires_on {date},
        metadata {json} NOT NULL,
        created_at {instant} NOT NULL,
        updated_at {instant} NOT NULL,
        PRIMARY KEY (account_id, id),
        CONSTRAINT product_slug UNIQUE (account_id, slug),
        FOREIGN KEY (account_id, credit_type_id) REFERENCES credit_type (account_id, id),
        CONSTRAINT product_credits CHECK ((credit_type_id IS NULL) = (credits_per_unit IS NULL)),
        CONSTRAINT product_kind CHECK (kind = 'credit' OR credit_type_id IS NULL),
        CONSTRAINT product_sold CHECK (kind = 'service' OR status = 'draft' OR credit_type_id IS NOT NULL OR status = 'archived'),
        CONSTRAINT product_policy CHECK (
            CASE expiration
                WHEN 'never' THEN period_count IS NULL AND expires_on IS NULL
                WHEN 'after' THEN period_count >= 1 AND period_unit IS NOT NULL AND period_from IS NOT NULL
                    AND expires_on IS NULL
                WHEN 'on' THEN period_count IS NULL AND expires_on IS NOT NULL
                ELSE expiration IS NULL
            END)
    ) {strict}",
    "CREATE TABLE price (
        account_id {uuid} NOT NULL,
        id {uuid} NOT NULL,
        product_id {uuid} NOT NULL,
        kind {text} NOT NULL CHECK (kind IN ('one_time', 'subscription', 'credits')),
        name {text},
        currency {text},
        tier_mode {text} CHECK (tier_mode IN ('volume', 'graduated')),
        tiers {json} NOT NULL,
        minimum_quantity {long} NOT NULL CHECK (minimum_quantity >= 1),
        maximum_quantity {long} CHECK (maximum_quantity >= minimum_quantity),
        max_per_customer {long} CHECK (max_per_customer >= 1),
        interval_count {int} CHECK (interval_count >= 1),
        interval_unit {text},
        credits_per_renewal {long} CHECK (credits_per_renewal >= 1),
        every_count {int} CHECK (every_count >= 1),
        every_unit {text},
        rollover {text} CHECK (rollover IN ('all', 'none', 'up_to')),
        rollover_limit {long} CHECK (rollover_limit >= 0),
        issue_before_payment {bool} NOT NULL,
        credit_type_id {uuid},
        credit_amount {long} CHECK (credit_amount >= 1),
        expiration {text},
        period_count {int},
        period_unit {text},
        period_from {text},
        expires_on {date},
        replaces_id {uuid},
        archived_at {instant},
        created_at {instant} NOT NULL,
        PRIMARY KEY (account_id, id),
        FOREIGN KEY (account_id, product_id) REFERENCES product (account_id, id),
        FOREIGN KEY (account_id, credit_type_id) REFERENCES credit_type (account_id, id),
        FOREIGN KEY (account_id, replaces_id) REFERENCES price (account_id, id),
        CONSTRAINT price_kind CHECK (
            CASE kind
                WHEN 'credits' THEN credit_type_id IS NOT NULL AND credit_amount IS NOT NULL AND currency IS NULL
                    AND tier_mode IS NULL
                ELSE credit_type_id IS NULL AND credit_amount IS NULL AND currency IS NOT NULL AND tier_mode IS NOT NULL
            END),
        CONSTRAINT price_subscription CHECK (
            CASE kind
                WHEN 'subscription' THEN interval_count IS NOT NULL AND interval_unit IS NOT NULL
                    AND rollover IS NOT NULL AND credits_per_renewal IS NOT NULL
                    AND (every_count IS NULL) = (every_unit IS NULL) AND (rollover = 'up_to') = (rollover_limit IS NOT NULL)
                ELSE interval_count IS NULL AND interval_unit IS NULL AND credits_per_renewal IS NULL
                    AND every_count IS NULL AND rollover IS NULL AND rollover_limit IS NULL AND NOT issue_before_payment
            END)
    ) {strict}",
    "CREATE INDEX price_by_product ON price (account_id, product_id, id)",
    "CREATE TABLE subscription (
        account_id {uuid} NOT NULL,
        id {uuid} NOT NULL,
        customer_id {uuid} NOT NULL,
        price_id {uuid} NOT NULL,
        quantity {long} NOT NULL CHECK (quantity >= 1),
        status {text} NOT NULL CHECK (status IN ('pending', 'active', 'past_due', 'paused', 'cancelled')),
        anchor_at {instant},
        anchor_number {long} NOT NULL CHECK (anchor_number >= 0),
        next_number {long} NOT NULL CHECK (next_number >= anchor_number),
        next_at {instant},
        time_zone {text} NOT NULL,
        pending_price_id {uuid},
        cancel_at_period_end {bool} NOT NULL,
        payment_method {text},
        created_at {instant} NOT NULL,
        updated_at {instant} NOT NULL,
        ended_at {instant},
        reason {text},
        PRIMARY KEY (account_id, id),
        FOREIGN KEY (account_id, customer_id) REFERENCES customer (account_id, id),
        FOREIGN KEY (account_id, price_id) REFERENCES price (account_id, id),
        FOREIGN KEY (account_id, pending_price_id) REFERENCES price (account_id, id),
        CONSTRAINT subscription_end CHECK ((status = 'cancelled') = (ended_at IS NOT NULL)),
        CONSTRAINT subscription_next CHECK ((next_at IS NOT NULL) = (status IN ('active', 'past_due', 'paused'))),
        CONSTRAINT subscription_anchor CHECK (anchor_at IS NOT NULL OR next_at IS NULL)
    ) {strict}",
    "CREATE INDEX subscription_by_customer ON subscription (account_id, customer_id, id)",
    "CREATE INDEX subscription_by_status ON subscription (account_id, status, id)",
    "CREATE TABLE product_order (
        account_id {uuid} NOT NULL,
        id {uuid} NOT NULL,
        number {long} NOT NULL CHECK (number >= 1),
        customer_id {uuid} NOT NULL,
        subscription_id {uuid},
        renewal_number {long},
        status {text} NOT NULL CHECK (status IN ('awaiting_payment', 'paid', 'partially_refunded', 'refunded', 'cancelled')),
        currency {text},
        subtotal {long} NOT NULL CHECK (subtotal >= 0),
        tax {long} NOT NULL CHECK (tax >= 0),
        total {long} NOT NULL,
        refunded {long} NOT NULL CHECK (refunded >= 0),
        buyer_name {text},
        buyer_email {text},
        note {text},
        metadata {json} NOT NULL,
        actor_kind {text} NOT NULL,
        actor {text} NOT NULL,
        placed_at {instant} NOT NULL,
        paid_at {instant},
        cancelled_at {instant},
        reason {text},
        PRIMARY KEY (account_id, id),
        CONSTRAINT product_order_number UNIQUE (account_id, number),
        CONSTRAINT product_order_renewal UNIQUE (account_id, subscription_id, renewal_number),
        FOREIGN KEY (account_id, customer_id) REFERENCES customer (account_id, id),
        FOREIGN KEY (account_id, subscription_id) REFERENCES subscription (account_id, id),
        CONSTRAINT product_order_total CHECK (total = subtotal + tax),
        CONSTRAINT product_order_credits CHECK (currency IS NOT NULL OR total = 0),
        CONSTRAINT product_order_renews CHECK ((subscription_id IS NULL) = (renewal_number IS NULL)),
        CONSTRAINT product_order_paid CHECK (status = 'cancelled' OR (paid_at IS NULL) = (status = 'awaiting_payment')),
        CONSTRAINT product_order_cancelled CHECK ((cancelled_at IS NOT NULL) = (status = 'cancelled'))
    ) {strict}",
    "CREATE INDEX product_order_by_customer ON product_order (account_id, customer_id, id)",
    "CREATE INDEX product_order_by_status ON product_order (account_id, status, id)",
    "CREATE TABLE order_line (
        account_id {uuid} NOT NULL,
        order_id {uuid} NOT NULL,
        position {int} NOT NULL CHECK (position >= 0),
        product_id {uuid} NOT NULL,
        price_id {uuid} NOT NULL,
        quantity {long} NOT NULL CHECK (quantity >= 1),
        amount {long} NOT NULL CHECK (amount >= 0),
        credit_type_id {uuid},
        credits {long} NOT NULL CHECK (credits >= 0),
        expiration {json},
        PRIMARY KEY (account_id, order_id, position),
        FOREIGN KEY (account_id, order_id) REFERENCES product_order (account_id, id),
        FOREIGN KEY (account_id, product_id) REFERENCES product (account_id, id),
        FOREIGN KEY (account_id, price_id) REFERENCES price (account_id, id),
        CONSTRAINT order_line_credits CHECK ((credits = 0) = (credit_type_id IS NULL))
    ) {strict}",
    "CREATE TABLE fulfilment (
        account_id {uuid} NOT NULL,
        order_id {uuid} NOT NULL,
        position {int} NOT NULL,
        part {int} NOT NULL CHECK (part >= 0),
        credits {long} NOT NULL CHECK (credits >= 1),
        cost {long} NOT NULL CHECK (cost >= 0),
        grant_id {uuid},
        activity_id {uuid},
        refusal {json},
        at {instant} NOT NULL,
        PRIMARY KEY (account_id, order_id, position, part),
        FOREIGN KEY (account_id, order_id, position) REFERENCES order_line (account_id, order_id, position),
        FOREIGN KEY (account_id, grant_id) REFERENCES credit_grant (account_id, id),
        FOREIGN KEY (account_id, activity_id) REFERENCES activity (account_id, id),
        CONSTRAINT fulfilment_outcome CHECK ((activity_id IS NULL) = (refusal IS NOT NULL))
    ) {strict}",
    "CREATE INDEX fulfilment_by_grant ON fulfilment (account_id, grant_id) WHERE grant_id IS NOT NULL",
    "CREATE TABLE payment (
        account_id {uuid} NOT NULL,
        id {uuid} NOT NULL,
        order_id {uuid} NOT NULL,
        provider {text} NOT NULL,
        provider_reference {text},
        method {text},
        status {text} NOT NULL CHECK (status IN ('pending', 'requires_action', 'succeeded', 'failed', 'refunded', 'disputed')),
        amount {long} NOT NULL CHECK (amount >= 1),
        refunded {long} NOT NULL CHECK (refunded BETWEEN 0 AND amount),
        currency {text} NOT NULL,
        action_url {text},
        failure {text},
        created_at {instant} NOT NULL,
        updated_at {instant} NOT NULL,
        PRIMARY KEY (account_id, id),
        CONSTRAINT payment_reference UNIQUE (account_id, provider, provider_reference),
        FOREIGN KEY (account_id, order_id) REFERENCES product_order (account_id, id)
    ) {strict}",
    "CREATE INDEX payment_by_order ON payment (account_id, order_id, id)",
    "CREATE TABLE refund (
        account_id {uuid} NOT NULL,
        id {uuid} NOT NULL,
        order_id {uuid} NOT NULL,
        payment_id {uuid},
        provider_reference {text},
        status {text} NOT NULL CHECK (status IN ('pending', 'succeeded', 'failed')),
        amount {long} NOT NULL CHECK (amount >= 0),
        line_amount {long} NOT NULL CHECK (line_amount >= 0),
        currency {text},
        credits {long} NOT NULL CHECK (credits >= 0),
        reason {text} NOT NULL,
        failure {text},
        actor_kind {text} NOT NULL,
        actor {text} NOT NULL,
        at {instant} NOT NULL,
        PRIMARY KEY (account_id, id),
        FOREIGN KEY (account_id, order_id) REFERENCES product_order (account_id, id),
        FOREIGN KEY (account_id, payment_id) REFERENCES payment (account_id, id)
    ) {strict}",
    "CREATE INDEX refund_by_order ON refund (account_id, order_id, id)",
    "CREATE TABLE renewal (
        account_id {uuid} NOT NULL,
        subscription_id {uuid} NOT NULL,
        number {long} NOT NULL CHECK (number >= 0),
        price_id {uuid} NOT NULL,
        status {text} NOT NULL CHECK (status IN ('due', 'paid', 'skipped', 'past_due', 'cancelled')),
        starts_at {instant} NOT NULL,
        ends_at {instant} NOT NULL CHECK (ends_at > starts_at),
        order_id {uuid},
        past_due_at {instant},
        created_at {instant} NOT NULL,
        PRIMARY KEY (account_id, subscription_id, number),
        FOREIGN KEY (account_id, subscription_id) REFERENCES subscription (account_id, id),
        FOREIGN KEY (account_id, order_id) REFERENCES product_order (account_id, id),
        FOREIGN KEY (account_id, price_id) REFERENCES price (account_id, id),
        CONSTRAINT renewal_order CHECK ((order_id IS NULL) = (status = 'skipped'))
    ) {strict}",
    "CREATE TABLE order_counter (
        account_id {uuid} NOT NULL PRIMARY KEY REFERENCES account (id),
        newest {long} NOT NULL CHECK (newest >= 0)
    ) {strict}",
    // What happened in a stretch of time, over all customers of an account: for reports.
    "CREATE INDEX activity_by_time ON activity (account_id, at)",
];

const DOWN: &[&str] = &[
    "DROP INDEX activity_by_time",
    "DROP TABLE order_counter",
    "DROP TABLE renewal",
    "DROP TABLE refund",
    "DROP TABLE payment",
    "DROP TABLE fulfilment",
    "DROP TABLE order_line",
    "DROP TABLE product_order",
    "DROP TABLE subscription",
    "DROP TABLE price",
    "DROP TABLE product",
    "ALTER TABLE account DROP COLUMN renewal_grace_days",
    "ALTER TABLE account DROP COLUMN renewal_due_days",
    "ALTER TABLE account DROP COLUMN payment_provider",
];
