//! What a request costs in heap allocations, counted in a whole proxy over real sockets.
//!
//! The proxy runs in this process, whose allocator counts; the client and the upstream on the other ends of the sockets
//! allocate nothing while requests are counted, so every block is the proxy's.

#![expect(
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a helper that panics fails the test that asked for it"
)]

use std::{
    error::Error,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
};

use cognigate::{
    app::{self, App, Circumstances},
    config::{self, Loaded},
    lifecycle::signal::Order,
};
use cognigate_auth::{
    clock::{Clock, SystemClock},
    local_pool::{SigningKey, claims, jwks},
    policy::TokenUse,
};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

/// Requests of one round.
const REQUESTS: u64 = 100;

/// A timer or a task of the runtime adds a block now and then: the round with the fewest has the requests' own.
const ROUNDS: usize = 9;
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

type Outcome<T> = Result<T, Box<dyn Error>>;

#[test]
fn a_cached_token_costs_no_more_allocations_than_an_open_route() -> Outcome<()> {
    let key = SigningKey::generate("k")?;
    let config = configuration(&key)?;
    let config = config::parse("allocations", &config)?;
    let token = key.mint(&claims("https://issuer.example", "client", TokenUse::Id, SystemClock.now()))?;
    let _profiler = dhat::Profiler::builder().testing().build();

    let (tell_address, address) = std::sync::mpsc::channel();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let proxy = thread::spawn(move || {
        app::on_threads(config.server, async move {
            let files = config::Files::default();
            let app = App::bind(Loaded { config, files }, Circumstances::default())?;
            let runtime = app.runtime();
            tell_address.send((app.addresses().next(), runtime)).ok();
            let mut stopped = Some(stopped);
            // Asked again and again: what was heard must not be lost with the future that waited for it.
            let stop = async move || match &mut stopped {
                Some(waiting) => {
                    // Whoever stops may be gone already.
                    let _ = waiting.await;
                    stopped = None;
                    Order::Stop
                }
                None => std::future::pending().await,
            };
            app.serve(stop).await
        })
    });
    let (address, runtime) = address.recv()?;
    while runtime.load().pools_missing_keys().next().is_some() {
        thread::yield_now();
    }

    let mut connection = TcpStream::connect(address.ok_or("no listener")?)?;
    let mut blocks = |path: &str| -> Outcome<u64> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\n\r\n");
        // The first requests fill the cache, open the connection to the upstream and make the series of metrics.
        (0..REQUESTS).try_for_each(|_| exchange(&mut connection, &request))?;
        let round = |_| {
            let before = dhat::HeapStats::get().total_blocks;
            (0..REQUESTS).try_for_each(|_| exchange(&mut connection, &request))?;
            Ok(dhat::HeapStats::get().total_blocks - before)
        };
        (0..ROUNDS).map(round).try_fold(u64::MAX, |fewest, blocks: Outcome<u64>| Ok(fewest.min(blocks?)))
    };
    let (open, guarded) = (blocks("/open")?, blocks("/guarded")?);
    println!("blocks a request: open {}, cached token {}", per_request(open), per_request(guarded));
    assert!(guarded <= open + REQUESTS / 4, "cached token: {guarded} blocks, open route: {open}");

    stop.send(()).ok();
    proxy.join().map_err(|_| "the proxy panicked")??;
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a number to read")]
fn per_request(blocks: u64) -> f64 {
    blocks as f64 / REQUESTS as f64
}

fn configuration(key: &SigningKey) -> Outcome<String> {
    let document = jwks([key]);
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{document}", document.len());
    let keys = serve(answer.into_bytes())?;
    let upstream = serve(RESPONSE.to_vec())?;
    Ok(format!(
        r#"
listeners: [{{ address: "127.0.0.1:0" }}]
admin: {{ address: "127.0.0.1:0" }}
user_pools: {{ main: {{ id: eu-west-1_x, issuer: "https://issuer.example", jwks_uri: "http://{keys}/", client_ids: [client] }} }}
upstreams: {{ items: {{ endpoints: ["{upstream}"] }} }}
routes:
  - {{ match: {{ path: /open }}, auth: none, upstream: items }}
  - {{ match: {{ path: /guarded }}, auth: {{ user_pools: [main] }}, upstream: items }}
server: {{ threads: 1 }}
"#
    ))
}

/// Answers every request on every connection with the same bytes, from buffers that are there already.
fn serve(answer: Vec<u8>) -> Outcome<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let answer = answer.clone();
            thread::spawn(move || answer_all(connection, &answer));
        }
    });
    Ok(address)
}

fn answer_all(mut connection: TcpStream, answer: &[u8]) -> std::io::Result<()> {
    let mut buffer = [0; 16 * 1024];
    let mut length = 0;
    loop {
        match connection.read(&mut buffer[length..])? {
            0 => return Ok(()),
            read => length += read,
        }
        if buffer[..length].ends_with(b"\r\n\r\n") {
            length = 0;
            connection.write_all(answer)?;
        }
    }
}

/// Sends a request and reads its response, which ends as [`RESPONSE`] does.
fn exchange(connection: &mut TcpStream, request: &str) -> Outcome<()> {
    connection.write_all(request.as_bytes())?;
    let mut buffer = [0; 4096];
    let mut length = 0;
    while !buffer[..length].ends_with(b"\r\n\r\nok") {
        match connection.read(&mut buffer[length..])? {
            0 => return Err("the proxy closed the connection".into()),
            read => length += read,
        }
    }
    if !buffer[..length].starts_with(b"HTTP/1.1 200") {
        return Err("refused".into());
    }
    Ok(())
}
