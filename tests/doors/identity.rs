//! Tokens of an identity provider: its keys, fetched when they are needed, kept when it is away.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use scrip::domain::Role;
use scrip::domain::accounts::identity::{Claims, CustomerBy, Identity, IdentityRole};
use scrip::domain::accounts::key_set::KeySource;
use serde_json::{Value, json};

use crate::harness::{Backend, House, SIGNING_SECRET, tokens};

/// A provider that is in the test: its keys can be changed, and it can be away.
#[derive(Default)]
struct Provider {
    keys: std::sync::Mutex<Value>,
    away: AtomicBool,
    asked: AtomicUsize,
}

#[async_trait]
impl KeySource for Provider {
    async fn fetch(&self) -> Result<String, String> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if self.away.load(Ordering::Relaxed) {
            return Err("away".to_owned());
        }
        Ok(json!({ "keys": *self.keys.lock().expect("nobody panics") }).to_string())
    }
}

/// A pair of keys as `openssl` makes them: the private one for signing, the public one as a JWK.
struct Pair {
    name: &'static str,
    algorithm: Algorithm,
    private: EncodingKey,
    public: Value,
}

fn openssl(arguments: &[&str], input: &[u8]) -> Vec<u8> {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let mut child = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl");
    child.stdin.take().expect("its input").write_all(input).expect("written");
    let output = child.wait_with_output().expect("its output");
    assert!(output.status.success(), "openssl {arguments:?}");
    output.stdout
}

fn pair(name: &'static str, algorithm: Algorithm) -> Pair {
    let base64 = |bytes: &[u8]| data_encoding::BASE64URL_NOPAD.encode(bytes);
    let (private, public) = match algorithm {
        Algorithm::RS256 => {
            let pem = openssl(&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"], b"");
            let modulus = String::from_utf8(openssl(&["rsa", "-noout", "-modulus"], &pem)).expect("text");
            let hex = modulus.trim().trim_start_matches("Modulus=");
            let modulus = data_encoding::HEXUPPER.decode(hex.as_bytes()).expect("hex");
            let public = json!({ "kty": "RSA", "n": base64(&modulus), "e": "AQAB", "alg": "RS256", "use": "sig" });
            (EncodingKey::from_rsa_pem(&pem).expect("a key"), public)
        }
        Algorithm::ES256 => {
            let pem = openssl(&["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"], b"");
            let der = openssl(&["pkey", "-pubout", "-outform", "DER"], &pem);
            // The uncompressed point stands last: x and y, 32 bytes each.
            let (x, y) = der[der.len() - 64..].split_at(32);
            let public = json!({ "kty": "EC", "crv": "P-256", "x": base64(x), "y": base64(y) });
            (EncodingKey::from_ec_pem(&pem).expect("a key"), public)
        }
        _ => {
            let pem = openssl(&["genpkey", "-algorithm", "ED25519"], b"");
            let der = openssl(&["pkey", "-pubout", "-outform", "DER"], &pem);
            let public = json!({ "kty": "OKP", "crv": "Ed25519", "x": base64(&der[der.len() - 32..]) });
            (EncodingKey::from_ed_pem(&pem).expect("a key"), public)
        }
    };
    let mut public = public;
    public["kid"] = json!(name);
    Pair { name, algorithm, private, public }
}

impl Pair {
    fn sign(&self, claims: &Value) -> String {
        let header = Header { kid: Some(self.name.to_owned()), ..Header::new(self.algorithm) };
        jsonwebtoken::encode(&header, claims, &self.private).expect("a token")
    }
}

fn seconds() -> i64 {
    chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now()).timestamp()
}

/// A house that trusts a provider, whose roles stand where Keycloak has them and whose customers come by e-mail.
async fn house(provider: &Arc<Provider>) -> House {
    let house = House::new(Backend::Sqlite).await;
    let claims = Claims {
        issuer: "https://id.example".to_owned(),
        audience: "scrip-api".to_owned(),
        role: "realm_access.roles".to_owned(),
        roles: vec![
            (IdentityRole::Owner, "admin".to_owned()),
            (IdentityRole::Staff, "coach".to_owned()),
            (IdentityRole::Customer, "*".to_owned()),
        ],
        account: "https://scrip.example/account".to_owned(),
        only_account: Some(house.account.id),
        customer: "email".to_owned(),
        customer_by: CustomerBy::Email,
    };
    house.trusting(tokens().trusting(Identity::new(provider.clone(), claims)))
}

fn staff_claims() -> Value {
    json!({ "iss": "https://id.example", "aud": ["account", "scrip-api"], "sub": "u-1", "exp": seconds() + 600,
        "realm_access": { "roles": ["coach", "offline_access"] } })
}

const VIEWER: &str = "{ viewer { __typename ... on Staff { subject owner } ... on Customer { name } } }";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_of_each_algorithm_are_good_and_none_is_mistaken_for_another() {
    let provider = Arc::new(Provider::default());
    let house = house(&provider).await;
    house.customer("Ada").await;
    let pairs = [pair("rsa", Algorithm::RS256), pair("ec", Algorithm::ES256), pair("ed", Algorithm::EdDSA)];
    *provider.keys.lock().expect("nobody panics") = pairs.iter().map(|pair| pair.public.clone()).collect();
    for pair in &pairs {
        let (status, response) = house.ask_with(Some(&pair.sign(&staff_claims())), VIEWER, json!({})).await;
        assert_eq!(status, 200, "{}: {response}", pair.name);
        assert_eq!(response["data"]["viewer"], json!({ "__typename": "Staff", "subject": "u-1", "owner": false }));
    }
    assert_eq!(provider.asked.load(Ordering::Relaxed), 1, "the keys are kept");
    let with = |name: &str, value: Value| {
        let mut claims = staff_claims();
        claims[name] = value;
        claims
    };
    let owner = pairs[0].sign(&with("realm_access", json!({ "roles": ["admin"] })));
    assert_eq!(house.ask_with(Some(&owner), VIEWER, json!({})).await.1["data"]["viewer"]["owner"], true);
    let customer = |verified: bool, email: &str| {
        let mut claims = with("realm_access", json!({ "roles": [] }));
        (claims["email"], claims["email_verified"]) = (json!(email), json!(verified));
        pairs[1].sign(&claims)
    };
    let (_, ada) = house.ask_with(Some(&customer(true, "ADA@example.com")), VIEWER, json!({})).await;
    assert_eq!(ada["data"]["viewer"], json!({ "__typename": "Customer", "name": "Ada" }));
    // What folds into an address is not that address: U+0130 and U+212A become ASCII letters.
    for (name, email) in [("Kim", "kim@example.com"), ("Ina", "ina@example.com")] {
        house.done("customerCreate", "customer { id }", json!({ "name": name, "email": email })).await;
        assert_eq!(
            house.ask_with(Some(&customer(true, email)), VIEWER, json!({})).await.1["data"]["viewer"]["name"],
            name
        );
    }
    for email in
        ["\u{212a}im@example.com", "\u{130}na@example.com", "k\u{200b}im@example.com", "kim\u{202e}@example.com"]
    {
        assert_eq!(house.ask_with(Some(&customer(true, email)), VIEWER, json!({})).await.0, 401, "{email:?}");
        let made = house.mutate("customerCreate", "customer { id }", json!({ "name": "Eve", "email": email })).await;
        assert_eq!(made["userErrors"][0]["code"], "INVALID", "{email:?}");
    }
    // As RFC 5322 has it, without quotes: what a spreadsheet takes for a formula is none.
    for email in [
        "=hyperlink(\"x\")@example.com",
        "\"=a b\"@example.com",
        "a..b@example.com",
        "a@[127.0.0.1]",
        "a@b@example.com",
        "a@-example.com",
        "Ada <ada2@example.com>",
    ] {
        let made = house.mutate("customerCreate", "customer { id }", json!({ "name": "Eve", "email": email })).await;
        assert_eq!(made["userErrors"][0]["code"], "INVALID", "{email:?}");
    }
    // Composed or not, a text is one text.
    let made = house
        .mutate(
            "customerCreate",
            "customer { name email }",
            json!({ "name": "Rene\u{301}\r\nLine", "email": "rene\u{301}@example.com" }),
        )
        .await;
    assert_eq!(made["customer"], json!({ "name": "Ren\u{e9}\nLine", "email": "ren\u{e9}@example.com" }), "{made}");
    let unseen = house.mutate("customerCreate", "customer { id }", json!({ "name": "\u{200b}" })).await;
    assert_eq!(unseen["userErrors"][0]["message"], "Must have a character that can be seen.");
    // What must be understood, and is not, is refused (RFC 7515, 4.1.11).
    let header =
        Header { kid: Some("rsa".to_owned()), crit: Some(vec!["b64".to_owned()]), ..Header::new(Algorithm::RS256) };
    let critical = jsonwebtoken::encode(&header, &staff_claims(), &pairs[0].private).expect("a token");
    assert_eq!(house.ask_with(Some(&critical), VIEWER, json!({})).await.0, 401);
    // What is not right is 401, whatever is not right.
    let mistaken = |algorithm: Algorithm, key: &EncodingKey, kid: &str| {
        let header = Header { kid: Some(kid.to_owned()), ..Header::new(algorithm) };
        jsonwebtoken::encode(&header, &staff_claims(), key).expect("a token")
    };
    // The public key as an HMAC secret: the oldest trick there is.
    let public = EncodingKey::from_secret(pairs[0].public["n"].as_str().expect("text").as_bytes());
    let mut without = staff_claims();
    without.as_object_mut().expect("an object").remove("aud");
    for (what, token) in [
        ("HMAC by a public key", mistaken(Algorithm::HS256, &public, "rsa")),
        (
            "HMAC by our secret, for the provider",
            mistaken(Algorithm::HS256, &EncodingKey::from_secret(SIGNING_SECRET.as_bytes()), "rsa"),
        ),
        ("another algorithm of the same key", mistaken(Algorithm::RS512, &pairs[0].private, "rsa")),
        ("another's key", mistaken(Algorithm::RS256, &pair("x", Algorithm::RS256).private, "rsa")),
        ("a key of another kind", mistaken(Algorithm::RS256, &pairs[0].private, "ec")),
        ("an unknown key", mistaken(Algorithm::RS256, &pairs[0].private, "unknown")),
        ("expired", pairs[0].sign(&with("exp", json!(seconds() - 120)))),
        ("not yet valid", pairs[0].sign(&with("nbf", json!(seconds() + 120)))),
        ("another issuer", pairs[0].sign(&with("iss", json!("https://evil.example")))),
        ("another audience", pairs[0].sign(&with("aud", json!("account")))),
        ("no audience", pairs[0].sign(&without)),
        (
            "another account",
            pairs[0].sign(&with("https://scrip.example/account", json!("acc_01h455vb4pex5vsknk084sn02q"))),
        ),
        ("an address that is not verified", customer(false, "ada@example.com")),
        ("an address of nobody", customer(true, "eve@example.com")),
    ] {
        assert_eq!(house.ask_with(Some(&token), VIEWER, json!({})).await.0, 401, "{what}");
    }
    // Our own tokens are as good as ever.
    assert_eq!(house.ask_with(Some(&house.token(Role::Staff)), VIEWER, json!({})).await.0, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_good_keys_are_kept_and_made_up_names_ask_nobody_twice() {
    let provider = Arc::new(Provider::default());
    let house = house(&provider).await;
    let first = pair("first", Algorithm::EdDSA);
    provider.away.store(true, Ordering::Relaxed);
    *provider.keys.lock().expect("nobody panics") = json!([first.public]);
    // It was never reached: nobody can say whether the token is right, so nobody says that it is wrong.
    let (status, response) = house.ask_with(Some(&first.sign(&staff_claims())), VIEWER, json!({})).await;
    assert_eq!((status, &response["errors"][0]["extensions"]["code"]), (503, &json!("UNAVAILABLE")));
    provider.away.store(false, Ordering::Relaxed);

    let provider = Arc::new(Provider::default());
    *provider.keys.lock().expect("nobody panics") = json!([first.public]);
    let house = self::house(&provider).await;
    assert_eq!(house.ask_with(Some(&first.sign(&staff_claims())), VIEWER, json!({})).await.0, 200);
    provider.away.store(true, Ordering::Relaxed);
    for n in 0..20 {
        let unknown = Pair {
            name: "unknown",
            algorithm: Algorithm::EdDSA,
            private: pair("k", Algorithm::EdDSA).private,
            public: json!(n),
        };
        assert_eq!(house.ask_with(Some(&unknown.sign(&staff_claims())), VIEWER, json!({})).await.0, 401);
    }
    assert_eq!(
        house.ask_with(Some(&first.sign(&staff_claims())), VIEWER, json!({})).await.0,
        200,
        "the last good ones stay"
    );
    let asked = provider.asked.load(Ordering::Relaxed);
    assert!(asked <= 2, "it was asked {asked} times");
}
