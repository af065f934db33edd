use std::time::Duration;

use reqwest::Client;
use serde_json::Value;

use super::*;
use crate::clock::UnixTime;
use crate::demo::provider::keys::{AccessTokenClaims, SigningKey};

const ISSUER: &str = "http://localhost:1";

struct Setting {
    api: DemoApi,
    key: SigningKey,
    clock: Clock,
    client: Client,
}

fn setting() -> Setting {
    let clock = Clock::manual(UnixTime::from_secs(1_000));
    let key = SigningKey::generate(ISSUER).expect("a key");
    let api = DemoApi::start(key.verifying().clone(), clock.clone()).expect("a free port");
    Setting { api, key, clock, client: Client::builder().no_proxy().build().expect("a client") }
}

impl Setting {
    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.api.address())
    }

    fn token(&self) -> String {
        let now = self.clock.now();
        let claims = AccessTokenClaims {
            iss: ISSUER.to_owned(),
            sub: "ada".to_owned(),
            aud: AUDIENCE.to_owned(),
            client_id: "demo".to_owned(),
            scope: "openid".to_owned(),
            iat: now.as_secs(),
            exp: now.as_secs() + 60,
            jti: "grant.token".to_owned(),
        };
        self.key.sign_access_token(&claims).expect("a token")
    }

    async fn get(&self, path: &str, token: &str) -> (u16, String) {
        let request = self.client.get(self.url(path)).bearer_auth(token).header("X-Secret", "hush");
        let response = request.send().await.expect("an answer");
        (response.status().as_u16(), response.text().await.expect("a body"))
    }
}

#[tokio::test]
async fn the_echo_tells_of_the_token_without_showing_it() {
    let setting = setting();
    let token = setting.token();
    let (status, body) = setting.get("/api/echo?a=b", &token).await;
    assert_eq!(status, 200);
    let answer: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!((&answer["method"], &answer["path"]), (&"GET".into(), &"/api/echo?a=b".into()));
    assert_eq!(answer["token"]["length"], token.len());
    assert_eq!((&answer["token"]["exp"], &answer["token"]["expires_in"]), (&1_060.into(), &60.into()));
    assert_eq!(answer["token"]["sha256_prefix"].as_str().map(str::len), Some(8));
    assert_eq!(answer["headers"]["x-secret"], "(not shown)");
    assert_eq!(answer["headers"]["authorization"], "(not shown)");
    let signature = token.rsplit('.').next().expect("a signature");
    assert!(!body.contains("hush") && !body.contains(signature), "{body}");
}

#[tokio::test]
async fn requests_without_a_good_token_get_401_and_a_challenge() {
    let setting = setting();
    let token = setting.token();
    let response = setting.client.get(setting.url("/api/echo")).send().await.expect("an answer");
    assert_eq!(
        (response.status().as_u16(), &response.headers()["www-authenticate"]),
        (401, &"Bearer".parse().expect("a value"))
    );
    assert_eq!(setting.get("/api/echo", &format!("{token}x")).await.0, 401);
    setting.clock.advance(Duration::from_secs(60));
    let (status, body) = setting.get("/api/time", &token).await;
    assert_eq!(status, 401);
    assert!(body.contains("expired"), "{body}");
}

#[tokio::test]
async fn a_posted_body_is_counted() {
    let setting = setting();
    let request = setting.client.post(setting.url("/api/echo")).bearer_auth(setting.token()).body(vec![7; 300_000]);
    let answer: Value = request.send().await.expect("an answer").json().await.expect("JSON");
    assert_eq!(answer["body_bytes"], 300_000);
}

#[tokio::test]
async fn the_time_is_the_clocks() {
    let setting = setting();
    let (status, body) = setting.get("/api/time", &setting.token()).await;
    let answer: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!((status, &answer["unix_seconds"]), (200, &1_000.into()));
}

#[tokio::test]
async fn other_paths_and_methods_are_told_apart() {
    let setting = setting();
    assert_eq!(setting.get("/api/nothing", &setting.token()).await.0, 404);
    let response = setting.client.delete(setting.url("/api/echo")).send().await.expect("an answer");
    assert_eq!(response.status(), 405);
}
