//! Live updates: `graphql-transport-ws` and Server-Sent Events, one server and several.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use scrip::domain::{App, Role};
use scrip::http::{Rules, serve};
use scrip::worker::Worker;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Message, protocol::CloseFrame};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use tokio_util::sync::CancellationToken;

use crate::flow::sse::Events;
use crate::harness::{Backend, House, doors};
use crate::on_both;

pub const BALANCE: &str =
    "subscription($id: ID!) { balanceChanged(customerId: $id) { available held creditType { name } } }";
const ACTIVITY: &str = "subscription($id: ID!) { activityAdded(customerId: $id) { kind amount internalNote } }";

/// A server at an address, until it is stopped.
pub struct Served {
    pub address: String,
    pub stop: CancellationToken,
    pub task: tokio::task::JoinHandle<()>,
}

async fn served(house: &House, app: &App) -> Served {
    served_by(house, app, Rules::default()).await
}

/// The same, by other rules.
pub async fn served_by(house: &House, app: &App, rules: Rules) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let rules = Rules { origins: vec!["https://portal.example".to_owned()], ..rules };
    let doors = doors(app, &house.tokens, rules);
    let stop = CancellationToken::new();
    let asked = stop.clone();
    let task = tokio::spawn(async move {
        serve(listener, doors, asked.cancelled_owned(), CancellationToken::new()).await.expect("served");
    });
    Served { address, stop, task }
}

pub struct Client(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Client {
    pub async fn connect(address: &str, headers: &[(&'static str, &str)]) -> Result<Self, u16> {
        let mut request = format!("ws://{address}/graphql").into_client_request().expect("a request");
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().expect("a header"));
        }
        match connect_async(request).await {
            Ok((socket, _)) => Ok(Self(socket)),
            Err(tokio_tungstenite::tungstenite::Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    pub async fn open(address: &str) -> Self {
        Self::connect(address, &[("sec-websocket-protocol", "graphql-transport-ws")]).await.expect("a socket")
    }

    /// One that has said who it is.
    pub async fn signed_in(address: &str, token: &str) -> Self {
        let mut client = Self::open(address).await;
        client
            .say(json!({ "type": "connection_init", "payload": { "Authorization": format!("Bearer {token}") } }))
            .await;
        assert_eq!(client.next().await, json!({ "type": "connection_ack" }));
        client
    }

    pub async fn say(&mut self, message: Value) {
        self.0.send(Message::text(message.to_string())).await.expect("sent");
    }

    /// Says something, unless the socket was closed meanwhile.
    pub async fn try_say(&mut self, message: Value) -> bool {
        self.0.send(Message::text(message.to_string())).await.is_ok()
    }

    pub async fn subscribe(&mut self, id: &str, query: &str, variables: Value) {
        self.say(json!({ "id": id, "type": "subscribe", "payload": { "query": query, "variables": variables } })).await;
    }

    /// The next message within some seconds.
    pub async fn next(&mut self) -> Value {
        loop {
            let message = tokio::time::timeout(Duration::from_secs(12), self.0.next()).await.expect("in time");
            match message.expect("open").expect("a message") {
                Message::Text(text) => return serde_json::from_str(&text).expect("JSON"),
                Message::Close(frame) => panic!("closed: {frame:?}"),
                _ => {}
            }
        }
    }

    /// The next message, whenever it comes; none once it is closed.
    pub async fn try_next(&mut self) -> Option<Value> {
        loop {
            match self.0.next().await?.ok()? {
                Message::Text(text) => return serde_json::from_str(&text).ok(),
                Message::Close(_) => return None,
                _ => {}
            }
        }
    }

    /// How it was closed.
    pub async fn closed(&mut self) -> (u16, String) {
        loop {
            let message = tokio::time::timeout(Duration::from_secs(15), self.0.next()).await.expect("in time");
            match message {
                Some(Ok(Message::Close(Some(CloseFrame { code, reason })))) => {
                    return (code.into(), reason.to_string());
                }
                Some(Ok(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it reads as what is compared")]
fn next(id: &str, data: Value) -> Value {
    json!({ "id": id, "type": "next", "payload": { "data": data } })
}

on_both! {
    async fn changes_reach_who_watches_as_they_happen(house: House) {
        let served = served(&house, &house.app).await;
        let (ada, bob) = (house.customer("Ada").await, house.customer("Bob").await);
        let class = house.credit_type("Class", json!({ "never": true })).await;
        house.issue(json!({ "customerId": ada, "creditTypeId": class, "amount": 2 })).await;
        let mut staff = Client::signed_in(&served.address, &house.token(Role::Staff)).await;
        let mut own = Client::signed_in(&served.address, &house.token(Role::Customer(ada.parse().expect("an id")))).await;
        staff.subscribe("b", BALANCE, json!({ "id": ada })).await;
        let balance = |available: i64, held: i64| json!({ "balanceChanged": { "available": available, "held": held, "creditType": { "name": "Class" } } });
        assert_eq!(staff.next().await, next("b", balance(2, 0)), "first what there is");
        own.subscribe("a", ACTIVITY, json!({ "id": ada })).await;
        own.subscribe("q", "{ viewer { __typename } }", json!({})).await;
        assert_eq!(own.next().await, next("q", json!({ "viewer": { "__typename": "Customer" } })), "queries too");
        assert_eq!(own.next().await, json!({ "id": "q", "type": "complete" }));
        let input = json!({ "customerId": ada, "creditTypeId": class, "amount": 5, "internalNote": "A secret" });
        house.ledger("creditsIssue", input).await;
        house.issue(json!({ "customerId": bob, "creditTypeId": class, "amount": 9 })).await;
        assert_eq!(staff.next().await, next("b", balance(7, 0)));
        assert_eq!(own.next().await, next("a", json!({ "activityAdded": { "kind": "ISSUE", "amount": 5, "internalNote": null } })));
        let hold = json!({ "customerId": ada, "creditTypeId": class, "amount": 1, "expiresAt": "2026-03-02T09:00:00Z" });
        house.ledger("holdPlace", hold).await;
        assert_eq!(staff.next().await, next("b", balance(6, 1)));
        assert_eq!(own.next().await, next("a", json!({ "activityAdded": { "kind": "HOLD", "amount": -1, "internalNote": null } })));
        staff.say(json!({ "id": "b", "type": "complete" })).await;
        staff.say(json!({ "type": "ping" })).await;
        assert_eq!(staff.next().await, json!({ "type": "pong" }));
        house.consume(json!({ "customerId": ada, "creditTypeId": class, "amount": 1 })).await;
        assert_eq!(own.next().await, next("a", json!({ "activityAdded": { "kind": "CONSUME", "amount": -1, "internalNote": null } })));
        staff.say(json!({ "type": "ping" })).await;
        assert_eq!(staff.next().await, json!({ "type": "pong" }), "what was completed says no more");
        served.stop.cancel();
        assert_eq!(own.closed().await.0, 1001);
        tokio::time::timeout(Duration::from_secs(10), served.task).await.expect("it stops").expect("well");
    }

    async fn nobody_watches_whom_it_may_not_see(house: House) {
        let served = served(&house, &house.app).await;
        let (ada, bob) = (house.customer("Ada").await, house.customer("Bob").await);
        let mut own = Client::signed_in(&served.address, &house.token(Role::Customer(ada.parse().expect("an id")))).await;
        for (query, whom) in [(BALANCE, bob.as_str()), (ACTIVITY, bob.as_str()), (BALANCE, "cus_x")] {
            own.subscribe("x", query, json!({ "id": whom })).await;
            let answer = own.next().await;
            assert_eq!((&answer["type"], &answer["id"], &answer["payload"][0]["message"]), (&json!("error"), &json!("x"), &json!("customerId: There is no such customer. Check what was given.")), "{answer:#}");
        }
        let mut nobody = Client::open(&served.address).await;
        nobody.say(json!({ "type": "connection_init" })).await;
        assert_eq!(nobody.next().await["type"], "connection_ack");
        nobody.subscribe("x", BALANCE, json!({ "id": ada })).await;
        let answer = nobody.next().await;
        assert_eq!((&answer["type"], &answer["payload"][0]["extensions"]["code"]), (&json!("error"), &json!("UNAUTHENTICATED")), "{answer:#}");
        own.subscribe("m", "mutation { customerArchive(input: { id: \"x\" }) { __typename } }", json!({})).await;
        assert_eq!(own.next().await["type"], "error", "mutations are posted");
        own.subscribe("two", "subscription { a: balanceChanged(customerId: \"x\") { held } b: balanceChanged(customerId: \"x\") { held } }", json!({})).await;
        assert_eq!(own.next().await["type"], "error");
        own.subscribe("bad", "subscription { nothing }", json!({})).await;
        assert_eq!(own.next().await["type"], "error");
        own.subscribe("f", "subscription { ...F } fragment F on Live { balanceChanged(customerId: \"x\") { held } }", json!({})).await;
        assert_eq!(own.next().await["type"], "error", "never silently nothing");
        own.subscribe("no", "subscription {", json!({})).await;
        assert_eq!(own.next().await["type"], "error");
        served.stop.cancel();
    }

    /// An id may be used again once its operation is over: the new one is not ended by what the old one still says.
    async fn an_id_is_used_again(house: House) {
        let served = served(&house, &house.app).await;
        let ada = house.customer("Ada").await;
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let mut client = Client::signed_in(&served.address, &house.token(Role::Staff)).await;
        for amount in 1..=5 {
            client.subscribe("1", ACTIVITY, json!({ "id": ada })).await;
            client.subscribe("q", "{ viewer { __typename } }", json!({})).await;
            client.next().await;
            client.next().await;
            house.issue(json!({ "customerId": ada, "creditTypeId": class, "amount": amount })).await;
            assert_eq!(client.next().await, next("1", json!({ "activityAdded": { "kind": "ISSUE", "amount": amount, "internalNote": null } })));
            client.say(json!({ "id": "1", "type": "complete" })).await;
        }
        served.stop.cancel();
    }

    /// Whoever reads nothing loses its connection and holds up nobody: the ledger and other readers go on.
    async fn a_reader_that_takes_nothing_is_dropped(house: House) {
        // Room for two of an address: a third gets in when one has lost its place.
        let served = served_by(&house, &house.app, Rules { streams: 4, ..Rules::default() }).await;
        let ada = house.customer("Ada").await;
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let mut slow = Client::signed_in(&served.address, &house.token(Role::Staff)).await;
        let mut quick = Client::signed_in(&served.address, &house.token(Role::Staff)).await;
        quick.subscribe("a", ACTIVITY, json!({ "id": ada })).await;
        // More than the buffers between the two hold: the whole schema, over and over.
        let schema = "{ __schema { types { name description fields { name description args { name description } } inputFields { name description } enumValues { name description } } } }";
        for n in 0..90 {
            slow.subscribe(&format!("s{n}"), schema, json!({})).await;
        }
        for amount in 1..=3 {
            house.issue(json!({ "customerId": ada, "creditTypeId": class, "amount": amount })).await;
            assert_eq!(quick.next().await["payload"]["data"]["activityAdded"]["amount"], amount);
        }
        let third = async || Client::connect(&served.address, &[("sec-websocket-protocol", "graphql-transport-ws")]).await;
        assert_eq!(third().await.err(), Some(503), "nobody waits for the slow one to lose its place");
        let dropped = async { while third().await.is_err() { tokio::time::sleep(Duration::from_millis(50)).await } };
        tokio::time::timeout(Duration::from_mins(1), dropped).await.expect("it is dropped");
        // What was on its way is still there to be read, and then the end, long before all ninety answers.
        let mut read = 0;
        while tokio::time::timeout(Duration::from_secs(10), slow.try_next()).await.expect("it has ended").is_some() {
            read += 1;
        }
        assert!(read < 90, "{read}");
        served.stop.cancel();
    }

    /// Several servers on one PostgreSQL tell each other.
    async fn a_change_at_one_server_reaches_who_watches_at_another(house: House) {
        if house.backend == Backend::Sqlite { return; }
        let second = house.second_server().await;
        let workers = [Worker::start(house.app.clone()), Worker::start(second.clone())];
        let served = served(&house, &second).await;
        let ada = house.customer("Ada").await;
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let mut watching = Client::signed_in(&served.address, &house.token(Role::Staff)).await;
        watching.subscribe("a", ACTIVITY, json!({ "id": ada })).await;
        watching.subscribe("q", "{ viewer { __typename } }", json!({})).await;
        watching.next().await;
        watching.next().await;
        // Whoever has not begun to listen yet would be late, and not wrong.
        tokio::time::sleep(Duration::from_millis(300)).await;
        for amount in 1..=3 {
            house.issue(json!({ "customerId": ada, "creditTypeId": class, "amount": amount })).await;
            assert_eq!(watching.next().await, next("a", json!({ "activityAdded": { "kind": "ISSUE", "amount": amount, "internalNote": null } })));
        }
        served.stop.cancel();
        served.task.await.expect("it stops");
        for worker in workers { worker.stop().await; }
        second.close().await;
    }

    async fn the_same_as_server_sent_events(house: House) {
        let served = served(&house, &house.app).await;
        let ada = house.customer("Ada").await;
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let token = house.token(Role::Staff);
        let mut events = Events::post(&served.address, Some(&token), "text/event-stream", ACTIVITY, &json!({ "id": ada })).await;
        assert_eq!((events.status, events.header("content-type")), (200, "text/event-stream"));
        tokio::time::sleep(Duration::from_millis(200)).await;
        house.issue(json!({ "customerId": ada, "creditTypeId": class, "amount": 4 })).await;
        assert_eq!(events.next().await, ("next".to_owned(), json!({ "data": { "activityAdded": { "kind": "ISSUE", "amount": 4, "internalNote": null } } })));
        let mut query = Events::post(&served.address, Some(&token), "text/event-stream", "{ viewer { __typename } }", &json!({})).await;
        assert_eq!(query.next().await, ("next".to_owned(), json!({ "data": { "viewer": { "__typename": "Staff" } } })));
        assert_eq!(query.next().await, ("complete".to_owned(), Value::Null));
        let mut refused = Events::post(&served.address, None, "text/event-stream", ACTIVITY, &json!({ "id": ada })).await;
        let (kind, payload) = refused.next().await;
        assert_eq!((kind.as_str(), &payload["errors"][0]["extensions"]["code"]), ("next", &json!("UNAUTHENTICATED")));
        assert_eq!(refused.next().await.0, "complete");
        let mutation = "mutation { customerArchive(input: { id: \"x\" }) { __typename } }";
        assert_eq!(Events::post(&served.address, Some(&token), "text/event-stream", mutation, &json!({})).await.status, 406);
        // urql lists event streams on every request: a query is answered as one, unless they win.
        let urql = "application/graphql-response+json, application/json, text/event-stream";
        assert_eq!(Events::post(&served.address, Some(&token), urql, "{ viewer { __typename } }", &json!({})).await.header("content-type"), "application/graphql-response+json; charset=utf-8");
        assert_eq!(Events::post(&served.address, Some(&token), "application/json", ACTIVITY, &json!({ "id": ada })).await.status, 406);
        let both = "application/json, text/event-stream";
        assert_eq!(Events::post(&served.address, Some(&token), both, ACTIVITY, &json!({ "id": ada })).await.header("content-type"), "text/event-stream");
        let first = "text/event-stream, application/json;q=0.5";
        assert_eq!(Events::post(&served.address, Some(&token), first, mutation, &json!({})).await.header("content-type"), "application/json; charset=utf-8");
        served.stop.cancel();
        assert!(events.is_cut().await, "not complete: a client comes again");
        tokio::time::timeout(Duration::from_secs(10), served.task).await.expect("it stops").expect("well");
    }
}

/// The protocol's own words for everything that is not as it has it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_breaks_the_protocol_is_closed_with_its_codes() {
    let house = House::new(Backend::Sqlite).await;
    let served = served(&house, &house.app).await;
    let (address, token) = (served.address.clone(), house.token(Role::Staff));
    let ada = house.customer("Ada").await;
    let init = json!({ "type": "connection_init" });
    let mut late = Client::open(&address).await;
    let open = async |messages: &[Value]| {
        let mut client = Client::open(&address).await;
        for message in messages {
            client.say(message.clone()).await;
        }
        client.closed().await.0
    };
    let subscribe =
        json!({ "id": "1", "type": "subscribe", "payload": { "query": BALANCE, "variables": { "id": ada } } });
    assert_eq!(open(std::slice::from_ref(&subscribe)).await, 4401);
    assert_eq!(open(&[init.clone(), init.clone()]).await, 4429);
    assert_eq!(open(&[json!({ "type": "hello" })]).await, 4400);
    assert_eq!(open(&[json!([1])]).await, 4400);
    assert_eq!(
        open(&[json!({ "type": "connection_init", "payload": { "authorization": "Bearer nonsense" } })]).await,
        4403
    );
    assert_eq!(open(&[json!({ "type": "connection_init", "payload": { "authorization": 7 } })]).await, 4403);
    let mut twice = Client::signed_in(&address, &token).await;
    twice.say(subscribe.clone()).await;
    twice.say(subscribe).await;
    assert_eq!(twice.closed().await, (4409, "Subscriber for 1 already exists".to_owned()));
    let mut binary = Client::signed_in(&address, &token).await;
    binary.0.send(Message::binary(vec![1])).await.expect("sent");
    assert_eq!(binary.closed().await.0, 4400);
    let mut other = Client::connect(&address, &[]).await.expect("a socket");
    assert_eq!(other.closed().await.0, 4406);
    let protocol = ("sec-websocket-protocol", "graphql-transport-ws");
    assert_eq!(Client::connect(&address, &[protocol, ("origin", "https://evil.example")]).await.err(), Some(403));
    assert!(Client::connect(&address, &[protocol, ("origin", "https://portal.example")]).await.is_ok());
    assert!(Client::connect(&address, &[protocol, ("origin", &format!("http://{address}"))]).await.is_ok());
    let short =
        house.tokens.make(Some(house.account.id), Role::Staff, "short", Duration::from_secs(1)).expect("a token");
    let mut expires = Client::signed_in(&address, &short).await;
    expires.subscribe("1", BALANCE, json!({ "id": ada })).await;
    assert_eq!(expires.closed().await, (4403, "Forbidden: the token has expired".to_owned()));
    assert_eq!(late.closed().await, (4408, "Connection initialisation timeout".to_owned()));
    served.stop.cancel();
}
