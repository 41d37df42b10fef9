//! Opening balances from a file, as a user runs it: `scrip import`, `scrip export`, and `scrip verify --anchor`.

use std::path::Path;

use crate::harness::server::{Server, run, said};
use serde_json::json;

const SETTINGS: [(&str, &str); 3] = [
    ("SCRIP_SIGNING_SECRET", "a signing secret of thirty-two bytes"),
    ("SCRIP_LEDGER_KEY", "a ledger key of thirty-two bytes, or more"),
    ("SCRIP_DATABASE_URL", "sqlite:scrip.db"),
];

/// A business with two customers and two credit types.
fn business(folder: &Path) {
    assert!(run(folder, &["migrate"], &SETTINGS).status.success());
    let made = run(
        folder,
        &[
            "account",
            "create",
            "--name",
            "Studio",
            "--slug",
            "studio",
            "--time-zone",
            "Europe/Zurich",
            "--currency",
            "CHF",
        ],
        &SETTINGS,
    );
    let owner = said(&made).lines().find(|line| line.starts_with("ey")).expect("a token").to_owned();
    let server = Server::start(folder, &["serve"], &SETTINGS);
    let query = "mutation {
        a: customerCreate(input: { name: \"Ada\", email: \"ada@example.com\", externalId: \"crm-1\" }) { customer { id } userErrors { message } }
        b: customerCreate(input: { name: \"Grace\", email: \"grace@example.com\" }) { customer { id } userErrors { message } }
        c: creditTypeCreate(input: { name: \"Class\", expiration: { after: { count: 90, unit: DAY } } }) { creditType { id } userErrors { message } }
        d: creditTypeCreate(input: { name: \"Old pass\" }) { creditType { id } userErrors { message } } }";
    let (_, made) = server.ask(Some(&owner), query, &json!({}));
    let archive = "mutation($id: ID!) { creditTypeArchive(input: { id: $id }) { creditType { id } } }";
    server.ask(Some(&owner), archive, &json!({ "id": made["data"]["d"]["creditType"]["id"] }));
    assert!(server.stop());
}

fn import(folder: &Path, file: &str, apply: bool) -> (bool, String) {
    let arguments = ["import", file, "--apply"];
    let output = run(folder, if apply { &arguments } else { &arguments[..2] }, &SETTINGS);
    (output.status.success(), said(&output))
}

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).expect("a file");
}

#[test]
fn good_rows_are_imported_once_and_bad_ones_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    business(here);
    write(
        here,
        "credits.csv",
        "customer,credit_type,amount,expires,cost,key,note\n\
         ada@example.com,Class,10,2099-06-30,250.00,old-1,Class pass\n\
         crm-1,Class,5,never,,old-2,\n\
         nobody@example.com,Class,5,never,,old-3,\n\
         grace@example.com,Class,many,never,,old-4,\n\
         grace@example.com,Class,3,2001-01-01,,old-5,\n\
         grace@example.com,Class,3,soon,,old-6,\n\
         grace@example.com,Old pass,3,never,,old-7,\n\
         grace@example.com,Class,3,never,12.345,old-8,\n\
         grace@example.com,Class,3,never,,old-1,\n\
         grace@example.com,Class,3\n\
         grace@example.com,Class,0,never,,old-9,\n\
         grace@example.com,Class,7,,,old-10,\"Two lines,\nand a comma\"\n",
    );
    let (clean, text) = import(here, "credits.csv", false);
    assert!(!clean, "rows are refused");
    for line in [
        "studio: 3 rows to import (22 credits), 0 imported before, 9 refused",
        "  paid for them: 250.00 CHF",
        "  line 4: customer: There is no such customer.",
        "  line 5: amount: Must be a whole number from 1 to 1,000,000,000.",
        "  line 6: expires: These credits would end before they could be used. Choose a later expiration.",
        "  line 7: expires: Must be empty (as the credit type says), never, a date such as 2026-03-31",
        "  line 8: credit_type: This credit type is archived",
        "  line 9: cost: Must be an amount of CHF such as 1250.55, without separators.",
        "  line 10: key: Line 2 has this key already. Give each row a key of its own.",
        "  line 11: row: Has 3 fields, the header has 7.",
        "  line 12: amount: Must be a whole number from 1 to 1,000,000,000.",
        "Every refused row is in credits.csv.refused.csv.",
        "Nothing was written. Run it again with --apply to import the rows that are not refused.",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    assert!(said(&run(here, &["verify"], &SETTINGS)).contains("studio: 0 wallets, 0 activities"));
    let report = std::fs::read_to_string(here.join("credits.csv.refused.csv")).expect("a report");
    assert!(report.starts_with("line,key,code,column,message\n4,old-3,NOT_FOUND,customer,"), "{report}");
    assert!(report.contains("\n5,old-4,INVALID,amount,"), "a row that is not understood keeps its key: {report}");
    // The good rows are imported all the same; a second run finds them.
    let (clean, text) = import(here, "credits.csv", true);
    assert!(!clean && text.contains("Imported 3 rows."), "{text}");
    let (_, text) = import(here, "credits.csv", true);
    assert!(text.contains("studio: 0 rows to import (0 credits), 3 imported before, 9 refused"), "{text}");
    assert!(text.contains("Imported 0 rows."), "{text}");
    // The same key with another amount is another request.
    write(here, "changed.csv", "customer,credit_type,amount,key\ncrm-1,Class,6,old-2\n");
    let (clean, text) = import(here, "changed.csv", true);
    assert!(
        !clean && text.contains("line 2: key: A row with this key was imported before, with other values."),
        "{text}"
    );
    // Once no row is refused, the report of the run before is gone.
    write(here, "changed.csv", "customer,credit_type,amount,key\ncrm-1,Class,6,old-12\n");
    assert!(here.join("changed.csv.refused.csv").exists());
    assert!(import(here, "changed.csv", false).0 && !here.join("changed.csv.refused.csv").exists());
    let verified = said(&run(here, &["verify"], &SETTINGS));
    assert!(verified.contains("studio: 2 wallets, 3 activities") && verified.contains("Verified:"), "{verified}");
}

#[test]
fn a_file_that_cannot_be_read_is_refused_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    business(here);
    for (text, message) in [
        (
            "customer,type,amount,key\n",
            "the header has an unknown column \"type\". Expected, in any order: customer,credit_type",
        ),
        ("customer,credit_type,amount\n", "the header lacks the column \"key\""),
        ("customer,credit_type,amount,key,key\n", "the header has the column \"key\" twice"),
        ("", "has no header"),
        ("customer;credit_type;amount;key\na;b;1;c\n", "the columns must be parted by commas"),
        ("customer,credit_type,amount,key\n", "has no rows"),
    ] {
        write(here, "bad.csv", text);
        let (clean, said) = import(here, "bad.csv", true);
        assert!(!clean && said.contains(message), "{said}");
    }
    let (clean, said) = import(here, "missing.csv", true);
    assert!(!clean && said.contains("missing.csv cannot be read"), "{said}");
}

/// What one business exports another one imports: every balance, end, cost and priority is the same.
#[test]
fn what_is_exported_is_imported() {
    let (first, second) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    for folder in [&first, &second] {
        business(folder.path());
    }
    write(
        first.path(),
        "credits.csv",
        "customer,credit_type,amount,expires,cost,currency,effective,priority,key\n\
         ada@example.com,Class,10,2099-06-30,250.00,CHF,,10,a\n\
         ada@example.com,Class,4,never,1000,JPY,2098-01-01T00:00:00Z,,b\n\
         grace@example.com,Class,3,2 MONTH from FIRST_USE,,,,,c\n\
         grace@example.com,Class,8,,0.10,EUR,,,d\n",
    );
    let (clean, said_first) = import(first.path(), "credits.csv", true);
    assert!(clean, "{said_first}");
    let exported = run(first.path(), &["export", "out.csv"], &SETTINGS);
    assert!(said(&exported).contains("studio: 4 rows, 25 credits in out.csv"), "{}", said(&exported));
    let again = run(first.path(), &["export", "out.csv"], &SETTINGS);
    assert!(!again.status.success() && said(&again).contains("out.csv is there already"), "{}", said(&again));
    std::fs::copy(first.path().join("out.csv"), second.path().join("in.csv")).expect("a copy");
    let (clean, said_second) = import(second.path(), "in.csv", true);
    assert!(clean && said_second.contains("Imported 4 rows."), "{said_second}");
    assert!(run(second.path(), &["export", "out.csv"], &SETTINGS).status.success());
    let rows = |folder: &Path| {
        let text = std::fs::read_to_string(folder.join("out.csv")).expect("a file");
        // All but the key, which is the grant's own id.
        let mut rows = text.lines().map(|line| line.rsplit_once(',').expect("a key").0.to_owned()).collect::<Vec<_>>();
        rows.sort();
        rows
    };
    assert_eq!(rows(first.path()), rows(second.path()));
    // Into the account that it came from it would double every balance.
    let (clean, said_third) = import(first.path(), "out.csv", true);
    assert!(
        !clean && said_third.contains("0 rows to import") && said_third.contains("was exported from here"),
        "{said_third}"
    );
}

/// What strangers wrote is no formula in a spreadsheet, and the files are for their owner alone.
#[test]
fn no_spreadsheet_takes_a_row_for_a_formula() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    business(here);
    let owner = said(&run(here, &["token", "--owner"], &SETTINGS));
    let owner = owner.lines().find(|line| line.starts_with("ey")).expect("a token").to_owned();
    let server = Server::start(here, &["serve"], &SETTINGS);
    let query = "mutation {
        customerCreate(input: { name: \"Eve\", externalId: \"=HYPERLINK(1)\" }) { customer { id } userErrors { message } }
        creditTypeCreate(input: { name: \"-2+3\" }) { creditType { id } userErrors { message } } }";
    let (_, made) = server.ask(Some(&owner), query, &json!({}));
    let (eve, made_type) =
        (&made["data"]["customerCreate"]["customer"]["id"], &made["data"]["creditTypeCreate"]["creditType"]["id"]);
    let (eve, made_type) = (eve.as_str().expect("an id"), made_type.as_str().expect("an id"));
    assert!(server.stop());
    write(
        here,
        "credits.csv",
        &format!("customer,credit_type,amount,key\n{eve},{made_type},3,a\nnobody,{made_type},3,=1+1\n"),
    );
    let (clean, told) = import(here, "credits.csv", true);
    assert!(!clean, "{told}");
    assert!(run(here, &["export", "out.csv"], &SETTINGS).status.success());
    let files = std::fs::read_dir(here).expect("a folder").map(|file| file.expect("a file").path());
    let files = files.filter(|path| path.extension().is_some_and(|end| end == "csv") && !path.ends_with("credits.csv"));
    let files = files.collect::<Vec<_>>();
    assert_eq!(files.len(), 2, "{files:?}");
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a text");
        let formula = text.split([',', '\n']).find(|cell| cell.trim_matches('"').starts_with(['=', '-', '+', '@']));
        assert_eq!(formula, None, "{text}");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let rights = std::fs::metadata(&file).expect("a file").permissions().mode();
            assert_eq!(rights & 0o077, 0, "{} can be read by others: {rights:o}", file.display());
        }
    }
}

/// Money without a currency is the account's, in the account's own minor unit; a name that means two is refused.
#[test]
fn money_and_names_mean_one_thing() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    business(here);
    let owner = said(&run(here, &["token", "--owner"], &SETTINGS)).trim().to_owned();
    let server = Server::start(here, &["serve"], &SETTINGS);
    let ask = |query: &str| server.ask(Some(&owner), query, &json!({})).1;
    ask("mutation { accountUpdate(input: { currency: \"JPY\" }) { account { id } } }");
    ask("mutation { customerCreate(input: { name: \"Twin\", externalId: \"ada@example.com\" }) { customer { id } } }");
    write(
        here,
        "credits.csv",
        "customer,credit_type,amount,cost,key\ngrace@example.com,Class,3,1250,a\ngrace@example.com,Class,3,12.50,b\nada@example.com,Class,1,,c\n",
    );
    let (_, text) = import(here, "credits.csv", true);
    for line in [
        "paid for them: 1250 JPY",
        "line 3: cost: Must be an amount of JPY such as 1250, without separators.",
        "line 4: customer: Is one customer's e-mail address and another one's external id. Name the customer by its id.",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    let found =
        ask("{ customer(by: { email: \"grace@example.com\" }) { grants { nodes { cost { minor currency } } } } }");
    assert_eq!(found["data"]["customer"]["grants"]["nodes"], json!([{ "cost": { "minor": 1250, "currency": "JPY" } }]));
    assert!(server.stop());
}

/// Connections to the database that keep no foreign keys, as somebody with its file may have.
async fn lawless(folder: &Path) -> sqlx::SqlitePool {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(folder.join("scrip.db")).foreign_keys(false);
    sqlx::SqlitePool::connect_with(options).await.expect("a connection")
}

/// An end that is cut off so well that the rest is whole: the anchor knows better.
#[tokio::test]
async fn an_anchor_finds_a_cut_tail() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    business(here);
    write(here, "one.csv", "customer,credit_type,amount,expires,key\ncrm-1,Class,6,never,one\n");
    assert!(import(here, "one.csv", true).0);
    let verify_with = |more: &[&str]| {
        let output = run(here, &[&["verify", "--anchor", "heads.txt"], more].concat(), &SETTINGS);
        (output.status.success(), said(&output))
    };
    let verify = || verify_with(&[]);
    let lost = verify();
    assert!(!lost.0 && lost.1.contains("--new") && !here.join("heads.txt").exists(), "{}", lost.1);
    let first = verify_with(&["--new"]);
    assert!(first.0 && first.1.contains("The heads are in heads.txt."), "{}", first.1);
    assert!(!verify_with(&["--new"]).0, "what is there is not made anew");
    let pool = lawless(here).await;
    sqlx::query("CREATE TABLE kept AS SELECT * FROM wallet").execute(&pool).await.expect("a copy");
    write(here, "two.csv", "customer,credit_type,amount,expires,key\ncrm-1,Class,5,never,two\n");
    assert!(import(here, "two.csv", true).0);
    let second = verify();
    assert!(second.0 && second.1.contains("1 anchored heads checked"), "{}", second.1);
    // As if the second import had never been: rows and head are those of before, and fit together.
    for statement in [
        "DELETE FROM allocation WHERE activity_id = (SELECT id FROM activity WHERE sequence = 2)",
        "DELETE FROM activity WHERE sequence = 2",
        "DELETE FROM credit_grant WHERE amount = 5",
        "DELETE FROM wallet",
        "INSERT INTO wallet SELECT * FROM kept",
    ] {
        sqlx::query(statement).execute(&pool).await.expect(statement);
    }
    pool.close().await;
    let alone = run(here, &["verify"], &SETTINGS);
    assert!(alone.status.success(), "the ledger is whole in itself: {}", said(&alone));
    let found = verify();
    assert!(!found.0 && found.1.contains("activity 2 was anchored, and is gone: the end was cut off"), "{}", found.1);
    // A whole account that is gone is found as well.
    let pool = lawless(here).await;
    let copy = std::fs::read(here.join("heads.txt")).expect("heads");
    sqlx::query("CREATE TABLE kept_account AS SELECT * FROM account").execute(&pool).await.expect("a copy");
    sqlx::query("DELETE FROM account").execute(&pool).await.expect("deleted");
    let gone = verify();
    assert!(!gone.0 && gone.1.contains("was anchored, and is gone"), "{}", gone.1);
    sqlx::query("INSERT INTO account SELECT * FROM kept_account").execute(&pool).await.expect("back");
    pool.close().await;
    assert_eq!(std::fs::read(here.join("heads.txt")).expect("heads"), copy, "a bad end leaves the anchor as it is");
    // An anchor that somebody wrote to is no anchor.
    let text = std::fs::read_to_string(here.join("heads.txt")).expect("heads");
    write(here, "heads.txt", &text.replace(" 2 ", " 1 "));
    let altered = verify();
    assert!(!altered.0 && altered.1.contains("or the file was altered"), "{}", altered.1);
}

/// A quote that is not closed takes in the rest of the file: it is said, and not read into memory first.
#[test]
fn a_row_has_an_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    business(here);
    let rest = "grace@example.com,Class,1,never,k\n".repeat(100_000);
    write(
        here,
        "open.csv",
        &format!("customer,credit_type,amount,expires,key\n\"ada@example.com,Class,1,never,k1\n{rest}"),
    );
    let (clean, text) = import(here, "open.csv", true);
    assert!(!clean && text.contains("a quote is not closed") && text.contains("line 2"), "{text}");
}
