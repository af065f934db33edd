//! Claims of the UserInfo endpoint, of the certified provider.

use serde_json::json;

use crate::support::World;

/// A world whose users need a group, with UserInfo in the form that is registered.
async fn signed_in(registration: Option<&str>) -> World {
    let plan = World::plan()
        .set("provider.userinfo", "login")
        .set("provider.scopes", json!(["openid", "profile", "groups", "offline_access"]))
        .set("provider.allowed_groups", json!(["engineers"]));
    let plan = match registration {
        Some(algorithm) => plan.registered("userinfo_signed_response_alg", algorithm),
        None => plan,
    };
    plan.signed_in().await
}

async fn has_the_claims_of_userinfo(world: &World) {
    let user = world.browser.user().await;
    assert_eq!((&user["sub"], &user["groups"]), (&json!("ada"), &json!(["engineers"])), "{user}");
    assert_eq!(world.provider.stats().await.requests("me"), 1);
    assert_eq!(world.browser.post("/bff/refresh").await.status.as_u16(), 200);
    assert_eq!(world.browser.user().await["groups"], json!(["engineers"]));
    assert_eq!(world.provider.stats().await.requests("me"), 2, "a refresh asks again");
}

/// OpenID Connect Core §5.3
#[tokio::test(flavor = "multi_thread")]
async fn userinfo_of_the_certified_provider_is_asked_at_a_login_and_at_a_refresh() {
    has_the_claims_of_userinfo(&signed_in(None).await).await;
}

/// OpenID Connect Core §5.3.2
#[tokio::test(flavor = "multi_thread")]
async fn signed_userinfo_of_the_certified_provider_is_verified() {
    has_the_claims_of_userinfo(&signed_in(Some("RS256")).await).await;
}
