//! A session is revoked while the key server is dead, the proxy dies and starts again, and nothing of it is forgotten.

use e2e::{
    client::{Client, Request, post, request},
    pool::{KID, key},
};
use serde_json::json;

use crate::{
    fault::Fault,
    report::Report,
    traffic::{Class, REFUSED, SERVED, Token},
    world::{POOL, Scene, Traffic, World},
};

/// What the admin listener asks for.
const ADMIN_TOKEN: &str = "chaos-0123456789abcdef";

/// What keeps keys and revocations over a restart.
const JWKS: &str = "{ refresh: 1s, state_file: $DIRECTORY/main.jwks }";
const MORE: &str = "admin: { address: 127.0.0.1:0, token_file: $DIRECTORY/admin.token }
revocation: { state_file: $DIRECTORY/revocations }";

/// The session that is revoked.
const SESSION: &str = "3f2504e0-4f89-41d3-9a0c-0305e82c3301";

/// One entry ends every token of a session at its next request, until the entry is taken back.
pub(crate) fn of_a_session() -> Report {
    let world = World::new(JWKS, MORE);
    world.directory.write("admin.token", ADMIN_TOKEN);
    Scene::start_ready("session revoked in an outage", world, Traffic::new(SERVED, REFUSED)).play(|scene| {
        let session = [
            Class::guarded("revoked-cached", Token::Same(POOL.id_token(&json!({ "origin_jti": SESSION }))), SERVED),
            Class::guarded("revoked-fresh", tokens_of_the_session(), SERVED),
        ];
        for class in &session {
            scene.add(class);
            class.await_next(SERVED);
        }
        Fault::Dead.befall(&scene.world);

        let entry = json!({ "origin_jti": SESSION }).to_string();
        let revoke = post("/revocations").header("Content-Type", "application/json").body(entry);
        let status = ask_admin(scene, &revoke);
        scene.require(status == 401, format!("POST /revocations without the token: {status}"));
        session.iter().for_each(|class| class.await_next(SERVED));
        let revoke = revoke.token(ADMIN_TOKEN);
        let status = ask_admin(scene, &revoke);
        session.iter().for_each(|class| class.expect(REFUSED));
        scene.require(status == 201, format!("POST /revocations: {status}"));
        session.iter().for_each(|class| class.await_next(REFUSED));

        scene.kill();
        scene.begin_again();
        for class in &session {
            scene.resume(class);
            class.await_next(REFUSED);
        }
        scene.traffic.await_good(SERVED);

        scene.world.heal([&key(KID)]);
        session.iter().for_each(|class| class.expect(REFUSED | SERVED));
        let take_back = request("DELETE", format!("/revocations?origin_jti={SESSION}")).token(ADMIN_TOKEN);
        let status = ask_admin(scene, &take_back);
        session.iter().for_each(|class| class.expect(SERVED));
        scene.require(status == 204, format!("DELETE /revocations: {status}"));
        session.iter().for_each(|class| class.await_next(SERVED));
        "refused from the next request on, and after a restart".to_owned()
    })
}

fn tokens_of_the_session() -> Token {
    Token::fresh(|| POOL.id_token(&json!({ "origin_jti": SESSION, "jti": crate::world::next_jti() })))
}

fn ask_admin(scene: &Scene, request: &Request) -> u16 {
    Client::connect(scene.proxy.admin_address()).ask(request).status
}
