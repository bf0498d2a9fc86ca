//! Sends requests at a fixed rate, whatever comes back, and tells how long each took from the moment that it was due.
//!
//! Each connection has a timetable of its own, as in wrk2: a request that waits for its turn because the one before was
//! slow counts its wait. A load that sends the next request when the last answer is in would not notice
//! ("coordinated omission"). One thread a connection, blocking: a few thousand requests a second need no more, and nothing
//! stands between a timetable and its socket.
//!
//! Prints one JSON object with latencies in microseconds. Anything but a 200 with a length ends it with an error.

use std::{
    fs, io,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    num::{NonZeroU32, NonZeroU64},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use clap::Parser;
use serde_json::json;
use thiserror::Error;

/// For which requests are sent but not counted: long enough that no connection is new any more.
const WARM_UP: Duration = Duration::from_millis(250);

/// Between the last connection and the first request.
const HEAD_START: Duration = Duration::from_millis(50);

/// After which an answer is not waited for any longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest answer that is taken, head and body.
const MAX_RESPONSE: usize = 16 * 1024;

/// How far apart in the file the first tokens of two connections are.
const STRIDE: usize = 97;

/// The seed of the moments at which the connections begin: every proxy is asked at the same ones.
const SEED: u64 = 0x5eed;

#[derive(Parser)]
#[command(about = "Sends requests at a fixed rate and prints how long they took")]
struct Arguments {
    #[arg(long)]
    address: SocketAddr,
    #[arg(long)]
    path: String,
    /// A file with a token a line, which are sent in turn
    #[arg(long)]
    tokens: PathBuf,
    /// How many tokens of the file are sent
    #[arg(long)]
    distinct: usize,
    /// Requests a second, over all connections
    #[arg(long)]
    rate: NonZeroU32,
    #[arg(long, default_value = "64")]
    connections: NonZeroU32,
    #[arg(long)]
    seconds: u64,
}

#[derive(Debug, Error)]
enum PaceError {
    #[error("no answer")]
    Io(#[from] io::Error),
    #[error("not a single answer was counted")]
    Nothing,
    #[error("not a 200 with a length: {0}")]
    Refused(String),
    #[error("a thread that sends is gone")]
    Thread,
    #[error("{} has no token", .0.display())]
    Tokens(PathBuf),
}

/// When a connection's requests are due.
struct Timetable {
    first: Instant,
    period: Duration,
    counted_from: Instant,
    end: Instant,
}

fn main() -> Result<(), PaceError> {
    let Arguments { address, path, tokens, distinct, rate, connections, seconds } = Arguments::parse();
    let requests = requests(&tokens, distinct, &path, address)?;
    let streams = (0..connections.get()).map(|_| connect(address)).collect::<Result<Vec<_>, _>>()?;

    let period = Duration::from_secs(1) * connections.get() / rate.get();
    let counted_from = Instant::now() + HEAD_START + WARM_UP;
    let mut random = fastrand::Rng::with_seed(SEED);
    let timetables = streams.iter().map(|_| Timetable {
        first: counted_from - WARM_UP + period.mul_f64(random.f64()),
        period,
        counted_from,
        end: counted_from + Duration::from_secs(seconds),
    });
    let latencies = all_along(streams.iter().zip(timetables), &requests)?;
    report(latencies)
}

/// What is sent, the bytes of one request for each token.
fn requests(tokens: &Path, distinct: usize, path: &str, address: SocketAddr) -> Result<Vec<String>, PaceError> {
    let text = fs::read_to_string(tokens)?;
    let request = |token| format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\r\n");
    let requests: Vec<String> = text.lines().take(distinct).map(request).collect();
    if requests.is_empty() { Err(PaceError::Tokens(tokens.to_owned())) } else { Ok(requests) }
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Keeps every timetable, each on a thread, and gives what was counted.
fn all_along<'s>(
    connections: impl Iterator<Item = (&'s TcpStream, Timetable)>,
    requests: &[String],
) -> Result<Vec<Duration>, PaceError> {
    thread::scope(|scope| {
        let threads: Vec<_> = connections
            .enumerate()
            .map(|(at, (stream, timetable))| {
                let in_turn = requests.iter().cycle().skip(at * STRIDE % requests.len().max(1));
                scope.spawn(move || keep(stream, &timetable, in_turn))
            })
            .collect();
        let mut latencies = Vec::new();
        for thread in threads {
            latencies.extend(thread.join().map_err(|_| PaceError::Thread)??);
        }
        Ok(latencies)
    })
}

/// Sends each request when it is due, or as soon after as the one before is answered.
fn keep<'r>(
    mut stream: &TcpStream,
    timetable: &Timetable,
    requests: impl Iterator<Item = &'r String>,
) -> Result<Vec<Duration>, PaceError> {
    // Else the kernel may wake a thread 50 microseconds late, to spare itself a timer.
    rustix::thread::set_current_timer_slack(NonZeroU64::new(1)).map_err(io::Error::from)?;
    let mut latencies = Vec::new();
    let mut due = timetable.first;
    for request in requests {
        if due >= timetable.end {
            break;
        }
        wait_until(due);
        stream.write_all(request.as_bytes())?;
        read_response(stream)?;
        if due >= timetable.counted_from {
            latencies.push(due.elapsed());
        }
        due += timetable.period;
    }
    Ok(latencies)
}

#[expect(clippy::disallowed_methods, reason = "the thread is there to wait")]
fn wait_until(due: Instant) {
    thread::sleep(due.saturating_duration_since(Instant::now()));
}

/// Reads one response to its end.
fn read_response(mut stream: impl Read) -> Result<(), PaceError> {
    let mut buffer = [0; MAX_RESPONSE];
    let mut filled = 0;
    loop {
        let received = buffer.get(..filled).unwrap_or_default();
        if received.len() >= response_length(received)?.unwrap_or(usize::MAX) {
            return Ok(());
        }
        let room = buffer.get_mut(filled..).unwrap_or_default();
        match stream.read(room)? {
            0 => return Err(PaceError::Refused("the connection was closed, or the answer is too long".to_owned())),
            count => filled += count,
        }
    }
}

/// How long the response is that begins with these bytes, once its head is there.
fn response_length(received: &[u8]) -> Result<Option<usize>, PaceError> {
    let text = String::from_utf8_lossy(received);
    let Some((head, _)) = text.split_once("\r\n\r\n") else {
        return Ok(None);
    };
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap_or_default();
    let length =
        lines.filter_map(|line| line.split_once(':')).find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    match length.and_then(|(_, value)| value.trim().parse::<usize>().ok()) {
        Some(length) if status.starts_with("HTTP/1.1 200 ") => Ok(Some(head.len() + 4 + length)),
        _ => Err(PaceError::Refused(status.to_owned())),
    }
}

/// Prints how long the requests took.
fn report(mut latencies: Vec<Duration>) -> Result<(), PaceError> {
    latencies.sort_unstable();
    let result = json!({
        "requests": latencies.len(),
        "p50": quantile(&latencies, 500)?,
        "p99": quantile(&latencies, 990)?,
        "p999": quantile(&latencies, 999)?,
        "max": quantile(&latencies, 1_000)?,
    });
    Ok(writeln!(io::stdout(), "{result}")?)
}

/// Microseconds within which so many of a thousand were: exact, of a sorted list of them all.
fn quantile(sorted: &[Duration], per_mille: usize) -> Result<u128, PaceError> {
    let rank = (sorted.len() * per_mille).div_ceil(1_000).saturating_sub(1);
    sorted.get(rank).map(Duration::as_micros).ok_or(PaceError::Nothing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_ends_where_its_length_says() {
        for (received, length) in [
            ("", None),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", None),
            ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", Some(43)),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nDate: now\r\n\r\n12345", Some(54)),
        ] {
            assert_eq!(response_length(received.as_bytes()).unwrap(), length, "{received:?}");
        }
    }

    #[test]
    fn what_is_not_a_200_with_a_length_is_an_error() {
        for head in
            ["HTTP/1.1 401 Unauthorized\r\nContent-Length: 0", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked", ""]
        {
            assert!(response_length(format!("{head}\r\n\r\n").as_bytes()).is_err(), "{head:?}");
        }
    }

    #[test]
    fn a_response_that_comes_in_pieces_is_read_to_its_end() {
        let pieces = (&b"HTTP/1.1 200 OK\r\nContent-"[..]).chain(&b"Length: 3\r\n\r\n1"[..]).chain(&b"23"[..]);
        read_response(pieces).unwrap();
        let cut = (&b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n1"[..]).chain(&b"2"[..]);
        assert!(read_response(cut).is_err());
    }

    #[test]
    fn quantiles_are_those_of_every_request() {
        let thousand: Vec<_> = (1..=1_000).map(Duration::from_micros).collect();
        for (per_mille, expected) in [(500, 500), (990, 990), (999, 999), (1_000, 1_000)] {
            assert_eq!(quantile(&thousand, per_mille).unwrap(), expected);
        }
        assert_eq!(quantile(&[Duration::from_micros(7)], 500).unwrap(), 7);
        assert!(quantile(&[], 500).is_err());
    }
}
