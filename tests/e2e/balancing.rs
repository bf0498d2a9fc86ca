//! Which endpoint of an upstream a request goes to.

use e2e::{client::get, upstream::Upstream};

use crate::edge;

#[test]
fn weights_are_kept_exactly_and_evenly() {
    let heavy = Upstream::start();
    let address = heavy.address();
    let upstreams = format!(r#"{{ items: {{ endpoints: ["$UPSTREAM", {{ address: "{address}", weight: 3 }}] }} }}"#);
    let edge = edge(&[("upstreams", &upstreams)]);
    let mut client = edge.client();
    for round in 1..=10 {
        for _ in 0..4 {
            assert_eq!(client.ask(&get("/open/1")).status, 200);
        }
        let (light, heavy) = (edge.upstream.take_requests().len(), heavy.take_requests().len());
        assert_eq!((light, heavy), (1, 3), "round {round}");
    }
}

#[test]
fn an_endpoint_of_weight_0_gets_nothing() {
    let idle = Upstream::start();
    let address = idle.address();
    let upstreams = format!(r#"{{ items: {{ endpoints: ["$UPSTREAM", {{ address: "{address}", weight: 0 }}] }} }}"#);
    let edge = edge(&[("upstreams", &upstreams)]);
    for _ in 0..8 {
        assert_eq!(edge.ask(&get("/open/1")).status, 200);
    }
    assert_eq!((edge.upstream.take_requests().len(), idle.take_requests().len()), (8, 0));
}
