//! What follows from what happened: events that wait to be followed, triggers, automations, webhooks.

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
    "ALTER TABLE account ADD COLUMN followed {json} NOT NULL DEFAULT '[]'",
    "ALTER TABLE account ADD COLUMN event_days {int} NOT NULL DEFAULT 90 CHECK (event_days BETWEEN 1 AND 3660)",
    "ALTER TABLE credit_type ADD COLUMN noticed_from {instant}",
    "ALTER TABLE wallet ADD COLUMN noticed_at {instant}",
    "ALTER TABLE event ADD COLUMN depth {small} NOT NULL DEFAULT 0 CHECK (depth BETWEEN 0 AND 8)",
    "ALTER TABLE event ADD COLUMN pending {bool} NOT NULL DEFAULT false",
    // What nobody has looked at yet. A row leaves it once.
    "CREATE INDEX event_pending ON event (account_id, id) WHERE pending",
    "CREATE INDEX event_by_name ON event (account_id, name, id)",
    "CREATE INDEX event_by_customer ON event (account_id, customer_id, id)",
    "CREATE TABLE event_trigger (
        account_id {uuid} NOT NULL REFERENCES account (id),
        id {uuid} NOT NULL,
        name {text} NOT NULL,
        event {text} NOT NULL,
        conditions {json} NOT NULL,
        actions {json} NOT NULL,
        enabled {bool} NOT NULL,
        version {int} NOT NULL CHECK (version >= 1),
        created_at {instant} NOT NULL,
        updated_at {instant} NOT NULL,
        deleted_at {instant},
        PRIMARY KEY (account_id, id)
    ) {strict}",
    "CREATE TABLE automation (
        account_id {uuid} NOT NULL REFERENCES account (id),
        id {uuid} NOT NULL,
        name {text} NOT NULL,
        enabled {bool} NOT NULL,
        version {int} NOT NULL CHECK (version >= 1),
        created_at {instant} NOT NULL,
        updated_at {instant} NOT NULL,
        PRIMARY KEY (account_id, id)
    ) {strict}",
    "CREATE TABLE automation_version (
        account_id {uuid} NOT NULL,
        automation_id {uuid} NOT NULL,
        version {int} NOT NULL CHECK (version >= 1),
        steps {json} NOT NULL,
        created_at {instant} NOT NULL,
        PRIMARY KEY (account_id, automation_id, version),
        FOREIGN KEY (account_id, automation_id) REFERENCES automation (account_id, id)
    ) {strict}",
    "CREATE TABLE enrolment (
        account_id {uuid} NOT NULL,
        id {uuid} NOT NULL,
        automation_id {uuid} NOT NULL,
        version {int} NOT NULL,
        customer_id {uuid} NOT NULL,
        event_id {uuid},
        facts {json} NOT NULL,
        status {text} NOT NULL CHECK (status IN ('running', 'stopped', 'done', 'failed')),
        active {bool} NOT NULL CHECK (active = (status IN ('running', 'stopped'))),
        step {int} NOT NULL CHECK (step >= 0),
        position {int} NOT NULL CHECK (position >= 0),
        wake_at {instant},
        depth {small} NOT NULL CHECK (depth BETWEEN 1 AND 8),
        reason {text},
        started_at {instant} NOT NULL,
        ended_at {instant} CHECK ((ended_at IS NULL) = (status IN ('running', 'stopped'))),
        PRIMARY KEY (account_id, id),
        FOREIGN KEY (account_id, automation_id, version)
            REFERENCES automation_version (account_id, automation_id, version),
        FOREIGN KEY (account_id, customer_id) REFERENCES customer (account_id, id)
    ) {strict}",
    // A customer walks an automation once at a time.
    "CREATE UNIQUE INDEX enrolment_active ON enrolment (account_id, automation_id, customer_id) WHERE active",
    "CREATE INDEX enrolment_by_customer ON enrolment (account_id, customer_id, id)",
    "CREATE INDEX enrolment_by_automation ON enrolment (account_id, automation_id, id)",
    "CREATE INDEX enrolment_by_status ON enrolment (account_id, automation_id, status, id)",
    // The natural keys are constraints of their own: of a trigger's run, and of an enrolment's step.
    "CREATE TABLE run (
        account_id {uuid} NOT NULL,
        id {uuid} NOT NULL,
        trigger_id {uuid},
        trigger_version {int},
        enrolment_id {uuid},
        event_id {uuid},
        position {int} NOT NULL CHECK (position >= 0),
        customer_id {uuid} NOT NULL,
        action {json} NOT NULL,
        depth {small} NOT NULL CHECK (depth >= 1),
        status {text} NOT NULL CHECK (status IN ('pending', 'done', 'refused', 'failed')),
        activity_id {uuid},
        refusal {json},
        detail {json} NOT NULL,
        created_at {instant} NOT NULL,
        ended_at {instant} CHECK ((ended_at IS NULL) = (status = 'pending')),
        PRIMARY KEY (account_id, id),
        CONSTRAINT run_of_trigger UNIQUE (account_id, trigger_id, trigger_version, event_id, position),
        CONSTRAINT run_of_enrolment UNIQUE (account_id, enrolment_id, position),
        CONSTRAINT run_owner CHECK ((trigger_id IS NULL) <> (enrolment_id IS NULL)),
        CONSTRAINT run_refusal CHECK ((refusal IS NOT NULL) = (status = 'refused'))
    ) {strict}",
    "CREATE INDEX run_by_trigger ON run (account_id, trigger_id, id)",
    "CREATE INDEX run_by_event ON run (account_id, event_id, id)",
    "CREATE INDEX run_by_status ON run (account_id, status, id)",
    "CREATE INDEX run_by_trigger_status ON run (account_id, trigger_id, status, id)",
    "CREATE TABLE webhook_endpoint (
        account_id {uuid} NOT NULL REFERENCES account (id),
        id {uuid} NOT NULL,
        url {text} NOT NULL,
        description {text},
        events {json} NOT NULL,
        enabled {bool} NOT NULL,
        generation {int} NOT NULL CHECK (generation >= 1),
        previous_until {instant},
        failing_since {instant},
        disabled_reason {text},
        created_at {instant} NOT NULL,
        updated_at {instant} NOT NULL,
        deleted_at {instant},
        PRIMARY KEY (account_id, id)
    ) {strict}",
    "CREATE TABLE webhook_delivery (
        account_id {uuid} NOT NULL,
        id {uuid} NOT NULL,
        endpoint_id {uuid} NOT NULL,
        event_id {uuid} NOT NULL,
        status {text} NOT NULL CHECK (status IN ('pending', 'delivered', 'failed')),
        attempts {int} NOT NULL CHECK (attempts >= 0),
        next_at {instant} CHECK ((next_at IS NOT NULL) = (status = 'pending')),
        log {json} NOT NULL,
        created_at {instant} NOT NULL,
        ended_at {instant} CHECK ((ended_at IS NULL) = (status = 'pending')),
        PRIMARY KEY (account_id, id),
        CONSTRAINT webhook_delivery_event UNIQUE (account_id, endpoint_id, event_id),
        FOREIGN KEY (account_id, endpoint_id) REFERENCES webhook_endpoint (account_id, id)
    ) {strict}",
    "CREATE INDEX webhook_delivery_due ON webhook_delivery (account_id, endpoint_id, next_at) WHERE next_at IS NOT NULL",
    "CREATE INDEX webhook_delivery_by_endpoint ON webhook_delivery (account_id, endpoint_id, id)",
    "CREATE INDEX webhook_delivery_by_status ON webhook_delivery (account_id, endpoint_id, status, id)",
];

const DOWN: &[&str] = &[
    "DROP TABLE webhook_delivery",
    "DROP TABLE webhook_endpoint",
    "DROP TABLE run",
    "DROP TABLE enrolment",
    "DROP TABLE automation_version",
    "DROP TABLE automation",
    "DROP TABLE event_trigger",
    "DROP INDEX event_by_customer",
    "DROP INDEX event_by_name",
    "DROP INDEX event_pending",
    "ALTER TABLE event DROP COLUMN pending",
    "ALTER TABLE event DROP COLUMN depth",
    "ALTER TABLE wallet DROP COLUMN noticed_at",
    "ALTER TABLE credit_type DROP COLUMN noticed_from",
    "ALTER TABLE account DROP COLUMN event_days",
    "ALTER TABLE account DROP COLUMN followed",
];
