//! What somebody with the database's password plants or drops there is seen: `scrip doctor` says so, `scrip restore` refuses.

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::doors::keys::key;
use crate::harness::{Backend, House};
use crate::on_both;

on_both! {
    async fn what_no_migration_makes_is_named(house: House) {
        assert_eq!(house.app.store().differences().await.expect("a look"), Vec::<String>::new());
        let planted: &[(&str, &str)] = match house.backend {
            Backend::Sqlite => &[
                ("CREATE TRIGGER planted AFTER INSERT ON activity BEGIN UPDATE wallet SET balance = 1; END", "trigger activity.planted"),
                ("CREATE VIEW planted_view AS SELECT * FROM customer", "planted_view"),
                ("DROP INDEX activity_by_customer", "activity_by_customer"),
            ],
            Backend::Postgres => &[
                ("CREATE FUNCTION planted() RETURNS trigger AS $$ BEGIN RETURN NULL; END $$ LANGUAGE plpgsql", "function planted"),
                ("CREATE TRIGGER planted AFTER INSERT ON activity FOR EACH ROW EXECUTE FUNCTION planted()", "trigger activity.planted"),
                ("CREATE RULE planted AS ON DELETE TO wallet DO INSTEAD NOTHING", "rule wallet.planted"),
                ("ALTER TABLE credit_grant DROP CONSTRAINT credit_grant_open", "constraint credit_grant.credit_grant_open"),
                ("DROP INDEX activity_by_customer", "index activity.activity_by_customer"),
            ],
        };
        for (sql, named) in planted {
            house.tamper(sql).await;
            let found = house.app.store().differences().await.expect("a look");
            assert!(found.iter().any(|line| line.contains(named)), "{named}: {found:#?}");
        }
        assert_eq!(house.app.store().differences().await.expect("a look").len(), planted.len());
    }
}

on_both! {
    /// A credential whose digest somebody wrote into the database without the ledger key lets nobody in.
    async fn a_planted_credential_lets_nobody_in(house: House) {
        let (_, text) = key(&house, &["READ"]).await;
        assert_eq!(house.ask_with(Some(&text), "{ account { slug } }", json!({})).await.0, 200);
        // What it was when it was SHA-256 of the secret alone, which everybody can reckon.
        let secret = text.rsplit_once('_').expect("a secret").1;
        let secret = data_encoding::BASE32_DNSSEC.decode(&secret.as_bytes()[..52]).expect("as it is written");
        let digest = data_encoding::HEXLOWER.encode(&Sha256::digest(&secret));
        let digest = if house.backend == Backend::Sqlite { format!("x'{digest}'") } else { format!("'\\x{digest}'") };
        assert_eq!(house.tamper(&format!("UPDATE api_key SET digest = {digest}")).await, 1);
        assert_eq!(house.ask_with(Some(&text), "{ account { slug } }", json!({})).await.0, 401);
    }
}

/// The list that `doctor` compares with is what the migrations make.
#[cfg_attr(not(postgres), ignore = "there is no PostgreSQL: install initdb, or set TEST_POSTGRES_URL")]
#[tokio::test]
async fn the_list_of_postgresql_is_up_to_date() {
    let house = House::new(Backend::Postgres).await;
    let made = sea_orm::Database::connect(&house.url).await.expect("a connection");
    let made = migration::shape::lines(&made).await.expect("lines").into_iter().collect::<Vec<_>>().join("\n") + "\n";
    let listed = std::fs::read_to_string("migration/src/shape.postgres.txt").expect("the list");
    if made != listed {
        std::fs::write("target/shape.postgres.txt", &made).expect("a file");
        panic!("a migration has changed the tables: cp target/shape.postgres.txt migration/src/shape.postgres.txt");
    }
}
