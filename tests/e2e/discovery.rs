//! `dns` of an upstream: its endpoints are the addresses that a name has, as they change.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use e2e::{
    client::get,
    dns::{NameServer, Reply},
    edge::Edge,
    load::{Connections, Load},
    loopback,
    upstream::Upstream,
    wait::{Gate, eventually},
};

use crate::edge;

/// The name of the upstream.
const NAME: &str = "items.test.";

/// Servers at one port of different addresses, as those behind one name are.
fn servers<const N: usize>() -> [Upstream; N] {
    let first = Upstream::start_at(SocketAddr::from((loopback::address(), 0)));
    let port = first.address().port();
    let mut first = Some(first);
    [(); N].map(|()| first.take().unwrap_or_else(|| Upstream::start_at(SocketAddr::from((loopback::address(), port)))))
}

fn reply(ttl: u32, servers: &[&Upstream]) -> Reply {
    Reply::Addresses(ttl, servers.iter().map(|server| server.address().ip()).collect())
}

fn upstreams(port: u16) -> String {
    format!("{{ items: {{ dns: '{NAME}:{port}', retries: 0 }} }}")
}

fn resolver(names: &NameServer) -> String {
    format!("{{ servers: ['{}'], timeout: 500ms, min_ttl: 100ms, max_ttl: 1s }}", names.address())
}

/// A proxy that finds its upstream by its name.
#[track_caller]
fn start(names: &NameServer, port: u16) -> Edge {
    edge(&[("upstreams", &upstreams(port)), ("resolver", &resolver(names))])
}

/// How many lines of the log say this.
fn lines(edge: &Edge, what: &str) -> usize {
    edge.proxy.log().lines().filter(|line| line.contains(what)).count()
}

#[test]
fn requests_follow_the_name_and_none_fails() {
    let ([one, other], names) = (servers(), NameServer::start());
    names.say(NAME, reply(1, &[&one]));
    let edge = start(&names, one.address().port());
    let load = Load::start(edge.proxy.address(), &get("/open/1"), &[Connections::Kept, Connections::New]);
    load.await_answers(20);
    assert!(other.take_requests().is_empty());

    names.say(NAME, reply(1, &[&other, &one]));
    let changed = Instant::now();
    other.await_requests(10);
    assert!(changed.elapsed() < Duration::from_secs(3), "{:?} at a time to live of a second", changed.elapsed());

    names.say(NAME, reply(1, &[&other]));
    eventually("the old address gets nothing", || {
        one.take_requests();
        load.await_answers(20);
        one.take_requests().is_empty().then_some(())
    });
    let (answered, failures) = load.stop();
    assert!(failures.is_empty(), "{} of {answered}: {failures:?}", failures.len());
    assert_eq!(lines(&edge, "has other addresses"), 3, "{}", edge.proxy.log());
    let healthy = edge.proxy.metrics();
    let endpoints: Vec<_> = healthy.series("cognigate_upstream_endpoint_healthy").collect();
    assert_eq!(endpoints.len(), 1, "the series of the address that left has ended: {endpoints:?}");
}

#[test]
fn an_answer_in_another_order_changes_nothing() {
    let ([one, other], names) = (servers(), NameServer::start());
    names.say(NAME, reply(0, &[&one, &other]));
    let edge = start(&names, one.address().port());
    names.await_questions(2);
    for turn in 0..4 {
        names.take_questions();
        let order = if turn % 2 == 0 { [&other, &one] } else { [&one, &other] };
        names.say(NAME, reply(0, &order));
        names.await_questions(4);
    }
    assert_eq!(lines(&edge, "has other addresses"), 1, "{}", edge.proxy.log());
    for _ in 0..10 {
        assert_eq!(edge.ask(&get("/open/1")).status, 200);
    }
    assert_eq!((one.take_requests().len(), other.take_requests().len()), (5, 5));
}

#[test]
fn a_bad_day_of_the_name_server_changes_nothing() {
    let ([one], names) = (servers(), NameServer::start());
    names.say(NAME, reply(1, &[&one]));
    let edge = start(&names, one.address().port());
    let load = Load::start(edge.proxy.address(), &get("/open/1"), &[Connections::Kept, Connections::New]);
    let bad = [Reply::Missing, Reply::Failure, Reply::Silence, reply(1, &[]), Reply::addresses(&["0.0.0.0"])];
    for (episode, reply_then) in bad.into_iter().enumerate() {
        names.say(NAME, reply_then);
        eventually("out", || (lines(&edge, "the name is not resolved") == episode + 1).then_some(()));
        names.take_questions();
        names.await_questions(2);
        load.await_answers(50);
        names.say(NAME, reply(1, &[&one]));
        eventually("back", || (lines(&edge, "the name is resolved again") == episode + 1).then_some(()));
        assert_eq!(lines(&edge, "the name is not resolved"), episode + 1, "told once");
    }
    let (answered, failures) = load.stop();
    assert!(failures.is_empty(), "{} of {answered}: {failures:?}", failures.len());
    assert_eq!(lines(&edge, "has other addresses"), 1);
    let metrics = edge.proxy.metrics();
    for result in ["success", "failure"] {
        let labels = [("upstream", "items"), ("result", result)];
        assert!(metrics.sum("cognigate_dns_resolutions_total", &labels) >= 5.0, "{result}");
    }
}

#[test]
fn a_name_that_is_not_resolved_at_first_is_served_when_it_is() {
    let ([one], names) = (servers(), NameServer::start());
    let edge = start(&names, one.address().port());
    let response = edge.ask(&get("/open/1"));
    assert_eq!((response.status, response.header("retry-after")), (503, Some("1")), "{response:?}");
    assert_eq!(lines(&edge, "no addresses yet"), 1);
    names.say(NAME, reply(1, &[&one]));
    eventually("served", || (edge.ask(&get("/open/1")).status == 200).then_some(()));
}

#[test]
fn no_request_waits_for_a_name_server() {
    let ([one], names) = (servers(), NameServer::start());
    let gate = Gate::default();
    names.say(NAME, Reply::After(gate.clone(), Box::new(reply(0, &[&one]))));
    let edge = start(&names, one.address().port());
    let ask = |status| {
        let asked = Instant::now();
        assert_eq!(edge.ask(&get("/open/1")).status, status);
        assert!(asked.elapsed() < Duration::from_millis(400), "{:?}", asked.elapsed());
    };
    for _ in 0..10 {
        ask(503);
    }
    gate.open();
    eventually("resolved", || (lines(&edge, "has other addresses") == 1).then_some(()));
    names.say(NAME, Reply::After(Gate::default(), Box::new(Reply::Missing)));
    names.take_questions();
    names.await_questions(1);
    for _ in 0..10 {
        ask(200);
    }
}

/// A definition that changes is another upstream, but the name is the same, and nobody answers for it just now.
#[test]
fn a_reload_while_nobody_answers_keeps_the_addresses() {
    let ([one], names) = (servers(), NameServer::start());
    names.say(NAME, reply(1, &[&one]));
    let edge = start(&names, one.address().port());
    let load = Load::start(edge.proxy.address(), &get("/open/1"), &[Connections::Kept, Connections::New]);
    load.await_answers(10);
    names.say(NAME, Reply::Silence);
    let upstreams =
        |retries: usize| format!("{{ items: {{ dns: '{NAME}:{}', retries: {retries} }} }}", one.address().port());
    for retries in 1..=2 {
        edge.reload(&[("upstreams", &upstreams(retries)), ("resolver", &resolver(&names))]);
        load.await_answers(10);
    }
    eventually("nobody answers", || (lines(&edge, "the name is not resolved") > 0).then_some(()));
    load.await_answers(10);
    assert_eq!((lines(&edge, "no addresses yet"), lines(&edge, "has other addresses")), (0, 1), "{}", edge.proxy.log());
    names.say(NAME, reply(1, &[&one]));
    eventually("back", || (lines(&edge, "the name is resolved again") > 0).then_some(()));
    let (answered, failures) = load.stop();
    assert!(failures.is_empty(), "{} of {answered}: {failures:?}", failures.len());
}

/// The other family may still be there: what was known of it holds, until something is said about it.
#[test]
fn where_one_family_is_answered_the_other_stays() {
    let ([one], names) = (servers(), NameServer::start());
    let (v4, v6) = (reply(1, &[&one]), Reply::addresses(&["::1"]));
    let families = |v4: &Reply, v6: &Reply| Reply::Families(Box::new(v4.clone()), Box::new(v6.clone()));
    let none = reply(1, &[]);
    let resolver = format!("{{ servers: ['{}'], timeout: 200ms, min_ttl: 100ms, max_ttl: 1s }}", names.address());
    for unknown in [Reply::Failure, Reply::Silence] {
        // From the beginning: what is known is served.
        names.say(NAME, families(&v4, &unknown));
        let upstreams = format!("{{ items: {{ dns: '{NAME}:{}' }} }}", one.address().port());
        let edge = edge(&[("upstreams", &upstreams), ("resolver", &resolver)]);
        let endpoints = || edge.proxy.metrics().series("cognigate_upstream_endpoint_healthy").count();
        eventually("served", || (edge.ask(&get("/open/1")).status == 200).then_some(()));
        assert_eq!(endpoints(), 1, "{unknown:?}");
        names.say(NAME, families(&v4, &v6));
        eventually("both", || (endpoints() == 2).then_some(()));
        let resolved = edge.proxy.metrics().sum("cognigate_dns_resolutions_total", &[("result", "success")]);
        names.say(NAME, families(&v4, &unknown));
        eventually("three answers about one", || {
            let now = edge.proxy.metrics().sum("cognigate_dns_resolutions_total", &[("result", "success")]);
            (now >= resolved + 3.0).then_some(())
        });
        assert_eq!((endpoints(), lines(&edge, "the name is not resolved")), (2, 0), "{unknown:?}");
        names.say(NAME, families(&v4, &none));
        eventually("one", || (endpoints() == 1).then_some(()));
        assert_eq!(edge.ask(&get("/open/1")).status, 200);
    }
}

/// What nobody was asked to do pays for no retry: a hundred requests that had nowhere to go leave the ten that there are.
#[test]
fn requests_that_go_nowhere_pay_for_no_retries() {
    let names = NameServer::start();
    let upstreams = format!("{{ items: {{ dns: '{NAME}:1', retries: 5, outlier: {{ consecutive_failures: 0 }} }} }}");
    let edge = edge(&[("upstreams", &upstreams), ("resolver", &resolver(&names))]);
    let mut client = edge.client();
    for _ in 0..100 {
        assert_eq!(client.ask(&get("/open/1")).status, 503);
        client = edge.client();
    }
    names.say(NAME, Reply::Addresses(3600, vec!["127.0.0.1".parse().unwrap()]));
    eventually("an address", || (lines(&edge, "has other addresses") == 1).then_some(()));
    for _ in 0..20 {
        assert_eq!(edge.ask(&get("/open/1")).status, 502);
    }
    assert_eq!(
        edge.proxy.metrics().sum("cognigate_upstream_retries_total", &[("upstream", "items")]),
        10.0 + 20.0 / 5.0
    );
}

#[test]
fn an_alias_is_followed() {
    let ([one], names) = (servers(), NameServer::start());
    let alias = "other.test.";
    for told in [vec![one.address().ip()], vec![]] {
        // Whether the server says with the alias what it leads to, or has to be asked.
        names.say(NAME, Reply::Alias(alias.to_owned(), 1, told));
        names.say(alias, reply(1, &[&one]));
        let edge = start(&names, one.address().port());
        assert_eq!(edge.ask(&get("/open/1")).status, 200);
    }
}

#[test]
fn names_of_the_system_itself_need_no_server() {
    let names = NameServer::start();
    let upstream = Upstream::start();
    let upstreams = format!("{{ items: {{ dns: 'localhost:{}' }} }}", upstream.address().port());
    let edge = edge(&[("upstreams", &upstreams), ("resolver", &resolver(&names))]);
    // Its IPv6 address refuses: the other is tried.
    assert_eq!(edge.ask(&get("/open/1")).status, 200);
    assert_eq!(names.take_questions(), []);
}

#[test]
fn an_upstream_that_a_reload_brings_has_addresses_at_once() {
    let ([one], names) = (servers(), NameServer::start());
    let gate = Gate::default();
    names.say(NAME, Reply::After(gate.clone(), Box::new(reply(1, &[&one]))));
    let edge = edge(&[("resolver", &resolver(&names))]);
    let load = Load::start(edge.proxy.address(), &get("/open/1"), &[Connections::Kept]);
    load.await_answers(1);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            names.await_questions(2);
            gate.open();
        });
        edge.reload(&[("resolver", &resolver(&names)), ("upstreams", &upstreams(one.address().port()))]);
    });
    one.await_requests(10);
    let (answered, failures) = load.stop();
    assert!(failures.is_empty(), "{} of {answered}: {failures:?}", failures.len());
}

#[test]
fn another_name_server_counts_from_the_reload_on() {
    let ([one, other], names, new_names) = (servers(), NameServer::start(), NameServer::start());
    names.say(NAME, reply(3600, &[&one]));
    new_names.say(NAME, reply(3600, &[&other]));
    let upstreams = upstreams(one.address().port());
    let resolver = |names: &NameServer| format!("{{ servers: ['{}'], max_ttl: 1h }}", names.address());
    let edge = edge(&[("upstreams", &upstreams), ("resolver", &resolver(&names))]);
    assert_eq!(edge.ask(&get("/open/1")).status, 200);
    one.take_request();
    edge.reload(&[("upstreams", &upstreams), ("resolver", &resolver(&new_names))]);
    eventually("the new server's address", || {
        assert_eq!(edge.ask(&get("/open/1")).status, 200);
        (!other.take_requests().is_empty()).then_some(())
    });
    assert_eq!(names.take_questions().len(), 2, "one for each family: the answer held");
}
