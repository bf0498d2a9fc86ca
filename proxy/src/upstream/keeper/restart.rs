//! What goes on although a piece of it panicked.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use tokio::time::sleep;

use crate::upstream::pool::Pool;

/// What lies between a panic and the next try: a log that can be read, and no load to speak of.
const PAUSE: Duration = Duration::from_secs(5);

/// Does something for a pool until it ends by itself. If it panics, it begins anew after a pause, and the log says so.
pub(super) async fn whenever_it_panics<F: Future<Output = ()>>(pool: Arc<Pool>, mut begin: impl FnMut() -> F) {
    while panics(begin()).await {
        tracing::error!(upstream = pool.name(), pause = ?PAUSE, "a check or a look-up has panicked: it begins anew");
        sleep(PAUSE).await;
    }
}

/// Runs something to its end. Says whether that was a panic, of which the process has told by then.
async fn panics(work: impl Future<Output = ()>) -> bool {
    let mut work = pin!(work);
    std::future::poll_fn(|context| {
        // What it was working on is not looked at any more.
        match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
            Ok(polled) => polled.map(|()| false),
            Err(_) => Poll::Ready(true),
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use prometheus::Registry;
    use tokio::time::Instant;

    use super::*;
    use crate::{config, telemetry::metrics::ProxyMetrics};

    const CONFIG: &str = "
listeners: [{ address: 127.0.0.1:0 }]
upstreams: { items: { endpoints: ['127.0.0.1:1'] } }
routes: [{ match: { path: / }, auth: none, upstream: items }]
";

    fn pool() -> Arc<Pool> {
        let config = config::parse("file", CONFIG).unwrap();
        let metrics = ProxyMetrics::register(&Registry::new(), "1", "c").unwrap();
        Arc::new(Pool::new(&config.upstreams[0], metrics.upstream("items")).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_is_followed_by_a_pause_and_another_try() {
        let (begun, start) = (AtomicUsize::new(0), Instant::now());
        let work = || async {
            tokio::task::yield_now().await;
            assert!(begun.fetch_add(1, Ordering::Relaxed) >= 2, "what an endpoint said");
        };
        whenever_it_panics(pool(), work).await;
        assert_eq!((begun.load(Ordering::Relaxed), start.elapsed()), (3, 2 * PAUSE));
    }

    #[tokio::test(start_paused = true)]
    async fn what_ends_by_itself_has_ended() {
        let begun = AtomicUsize::new(0);
        let work = || async {
            begun.fetch_add(1, Ordering::Relaxed);
        };
        whenever_it_panics(pool(), work).await;
        assert_eq!(begun.load(Ordering::Relaxed), 1);
    }
}
