//! A request that is nothing but a head goes to its upstream directly, any other through Pingora's proxy. A client cannot tell
//! which: whatever the upstream answers, it gets the same on both ways.

use e2e::{
    client::{Request, Response, get, request},
    message::Head,
    upstream::Answer,
};

use crate::edge;

/// What differs from one response to the next.
const OF_THE_MOMENT: [&str; 2] = ["date", "x-request-id"];

/// What a client saw: the response, if there was one, and what became of the next request on the connection.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    response: Option<Answered>,
    next: Option<u16>,
}

#[derive(Debug, PartialEq, Eq)]
struct Answered {
    status_line: String,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
}

/// The same request, and more than a head.
fn the_long_way(sent: &Request) -> Request {
    sent.clone().header("TE", "trailers")
}

fn fields(head: &Head) -> Vec<(String, String)> {
    let fields = head.fields().map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()));
    let mut fields: Vec<_> = fields.filter(|(name, _)| !OF_THE_MOMENT.contains(&name.as_str())).collect();
    fields.sort();
    fields
}

/// Asks for what the upstream answers so, and for something else after that.
fn seen(edge: &e2e::edge::Edge, sent: &Request, answer: &Answer) -> Seen {
    let mut client = edge.client();
    edge.upstream.answer(answer.clone());
    let response = client.try_ask(sent).ok();
    let response = response.map(|Response { head, body, .. }| Answered {
        status_line: head.start_line().to_owned(),
        fields: fields(&head),
        body,
    });
    edge.upstream.answer(Answer::Echo);
    let next = client.try_ask(&get("/open/next")).ok().map(|response| response.status);
    Seen { response, next }
}

fn every_answer() -> Vec<Answer> {
    let stays = [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 Fine By Me\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 299 Odd\r\nSET-COOKIE: a=1\r\nset-cookie: b=2\r\nX-Text: caf\u{e9}\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\nX-Trailer: 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: \"a\"\r\n\r\n",
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nConnection: x-hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nUpgrade: h2c\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello, world",
    ];
    let ends = [
        "",
        "HTTP/1.1 200 OK\r\n\r\nhello",
        "HTTP/1.0 200 OK\r\n\r\nhello",
        "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnine\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nhello",
        "HTTP/1.1 99 Early\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nno field\r\n\r\nhello",
        "HTTP/2 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "220 smtp.example.com ESMTP\r\n",
    ];
    let large = format!("HTTP/1.1 200 OK\r\nX-Large: {}\r\nContent-Length: 5\r\n\r\nhello", "x".repeat(100_000));
    let long = format!("HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n{}", "x".repeat(300_000));
    let stays = stays.map(str::to_owned).into_iter().chain([large, long]).map(|bytes| Answer::Raw(bytes.into()));
    stays.chain(ends.map(|bytes| Answer::Last(bytes.into()))).collect()
}

#[test]
fn a_client_gets_the_same_on_both() {
    let edge = edge(&[]);
    let mut report = String::new();
    for method in ["GET", "HEAD", "POST"] {
        for answer in every_answer() {
            let sent = request(method, "/open/1");
            let (direct, long) = (seen(&edge, &sent, &answer), seen(&edge, &the_long_way(&sent), &answer));
            if direct != long {
                report.push_str(&format!("{method}, {answer:?}:\n  {direct:?}\n  {long:?}\n"));
            }
        }
    }
    assert!(report.is_empty(), "{report}");
}

/// What comes before the response passes, and the response is not taken for it.
#[test]
fn early_hints_pass_on_both() {
    let edge = edge(&[]);
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n";
    let answer = format!("{hints}{hints}HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    edge.upstream.answer(Answer::Raw(answer.into()));
    for sent in [get("/open/1"), the_long_way(&get("/open/1"))] {
        let mut client = edge.client();
        client.send(sent.to_bytes());
        let statuses = [(); 2].map(|()| client.head().start_line().to_owned());
        assert!(statuses.iter().all(|status| status.starts_with("HTTP/1.1 103")), "{statuses:?}");
        assert_eq!(client.response().text(), "hello");
    }
}

/// An upstream gets the same request on both, down to the order of its fields.
#[test]
fn an_upstream_gets_the_same_on_both() {
    let edge = edge(&[]);
    let token = edge.pool.id_token(&serde_json::json!({}));
    for sent in [
        get("/open/1?a=%20b"),
        get("/open/1").host("Edge.Example:8443").header("X-One", "1").header("x-one", "2"),
        get("/items/1").token(&token).header("Cookie", "a=1").header("Accept", "*/*"),
        get("/open/1").header("Connection", "Keep-Alive").header("X_Forwarded_For", "1.2.3.4"),
        request("PROPFIND", "/open/1"),
    ] {
        let heads = [sent.clone(), the_long_way(&sent)].map(|sent| {
            assert_eq!(edge.ask(&sent).status, 200, "{sent:?}");
            let [recorded] = edge.upstream.take_requests().try_into().unwrap();
            let fields = recorded.head.fields().filter(|(name, _)| *name != "x-request-id");
            let fields: Vec<_> = fields.map(|(name, value)| format!("{name}: {value}")).collect();
            (recorded.head.start_line().to_owned(), fields)
        });
        assert_eq!(heads[0], heads[1]);
    }
}

/// Each way keeps its own connections, which tells that there are two.
#[test]
fn a_connection_is_used_again_by_its_own_way() {
    let edge = edge(&[]);
    let (direct, long) = (get("/open/1"), the_long_way(&get("/open/1")));
    let mut client = edge.client();
    let mut connections = |sent: &Request| {
        assert_eq!(client.ask(sent).status, 200);
        let count = |reused| edge.proxy.metrics().sum("cognigate_upstream_connections_total", &[("reused", reused)]);
        [count("false"), count("true")]
    };
    assert_eq!(connections(&direct), [1.0, 0.0]);
    assert_eq!(connections(&direct), [1.0, 1.0]);
    assert_eq!(connections(&long), [2.0, 1.0]);
    assert_eq!(connections(&direct), [2.0, 2.0]);
}
