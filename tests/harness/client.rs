//! A client of the doors without a socket between: it hands a request in and takes the response.

use poem::endpoint::BoxEndpoint;
use poem::http::{HeaderName, HeaderValue, Method, header};
use poem::{Body, Endpoint, EndpointExt, Request, RequestBuilder, Response};
use scrip::http::{Doors, endpoint};
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::form_urlencoded::Serializer;

/// Asks an endpoint.
pub struct Client(BoxEndpoint<'static, Response>);

impl Client {
    /// One that stands before these doors.
    pub fn before(doors: Doors) -> Self {
        Self(endpoint(doors).boxed())
    }

    pub fn get(&self, path: impl AsRef<str>) -> Asking<'_> {
        self.request(Method::GET, path)
    }

    pub fn post(&self, path: impl AsRef<str>) -> Asking<'_> {
        self.request(Method::POST, path)
    }

    pub fn request(&self, method: Method, path: impl AsRef<str>) -> Asking<'_> {
        let (request, path) = (Request::builder().method(method), path.as_ref().to_owned());
        Asking { client: self, request, path, query: Vec::new(), body: Body::empty() }
    }
}

/// A request on its way.
#[must_use]
pub struct Asking<'a> {
    client: &'a Client,
    request: RequestBuilder,
    path: String,
    query: Vec<(String, String)>,
    body: Body,
}

impl Asking<'_> {
    /// Adds a header, beside any of the same name.
    pub fn header<K, V>(self, name: K, value: V) -> Self
    where
        K: TryInto<HeaderName>,
        V: TryInto<HeaderValue>,
    {
        let name: HeaderName = name.try_into().ok().expect("a header's name");
        let value: HeaderValue = value.try_into().ok().expect("a header's value");
        Self { request: self.request.header(name, value), ..self }
    }

    pub fn content_type(self, content_type: &str) -> Self {
        self.header(header::CONTENT_TYPE, content_type)
    }

    /// Adds a parameter to the URL.
    pub fn query(mut self, name: &str, value: &str) -> Self {
        self.query.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn body(self, body: impl Into<Body>) -> Self {
        Self { body: body.into(), ..self }
    }

    /// Sets a body of JSON, and its type.
    pub fn body_json(self, body: &impl Serialize) -> Self {
        let json = serde_json::to_vec(body).expect("JSON");
        self.content_type("application/json").body(json)
    }

    pub async fn send(self) -> Answer {
        let query = Serializer::new(String::new()).extend_pairs(self.query).finish();
        let path = if query.is_empty() { self.path } else { format!("{}?{query}", self.path) };
        let request = self.request.uri_str(path).body(self.body);
        Answer(self.client.0.call(request).await.unwrap_or_else(poem::Error::into_response))
    }
}

/// What the doors answered.
pub struct Answer(pub Response);

impl Answer {
    /// The body, which is JSON.
    pub async fn json<T: DeserializeOwned>(self) -> T {
        self.0.into_body().into_json().await.expect("JSON")
    }
}
