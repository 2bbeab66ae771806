use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};

use super::*;

const A: SubscriptionKey = SubscriptionKey(1);

fn frame(offset: u64, bytes: usize) -> ItemKind {
    ItemKind::Frame(Position::new(1, offset), vec![0; bytes].into())
}

#[test]
fn a_full_queue_is_dropped_and_says_where_it_began() {
    let queue = Queue::new(1000);
    assert_eq!(queue.push(A, frame(5, 300)), Pushed::Queued);
    assert_eq!(queue.push(A, frame(6, 300)), Pushed::Queued);
    assert_eq!(queue.push(A, frame(7, 900)), Pushed::Dropped);
    assert_eq!(queue.push(A, frame(8, 1)), Pushed::Dropped, "nothing is queued while the client is behind");
    let taken = queue.take(usize::MAX);
    assert!(taken.items.is_empty());
    assert_eq!(taken.behind, Some(Position::new(1, 4)));
}

#[test]
fn ephemeral_frames_never_put_a_client_behind() {
    let queue = Queue::new(500);
    assert_eq!(queue.push(A, frame(5, 300)), Pushed::Queued);
    assert_eq!(queue.push(A, ItemKind::Ephemeral(vec![0; 300].into())), Pushed::Dropped);
    let taken = queue.take(usize::MAX);
    assert_eq!((taken.items.len(), taken.behind, taken.skipped), (1, None, vec![(A, 1)]));
}

#[test]
fn take_gives_no_more_than_asked_for_and_keeps_count() {
    let queue = Queue::new(100_000);
    for offset in 1..=10 {
        queue.push(A, frame(offset, 1000));
    }
    assert_eq!(queue.take(1500).items.len(), 2);
    assert_eq!(queue.take(usize::MAX).items.len(), 8);
    assert_eq!(queue.status(), (0, false));
}

/// A queue on a connection that is lent, and the connection's other end.
async fn carried() -> (Queue, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let there = TcpStream::connect(listener.local_addr().expect("an address")).await.expect("a connection");
    let (here, _) = listener.accept().await.expect("a client");
    let queue = Queue::new(100_000);
    queue.carry(Arc::new(Lane::new(here)));
    queue.lane().expect("a lane").lend();
    (queue, there)
}

fn text(offset: u64, text: &'static str) -> ItemKind {
    ItemKind::Frame(Position::new(1, offset), Bytes::from_static(text.as_bytes()))
}

#[tokio::test]
async fn what_waits_is_written_in_order_and_told() {
    let (queue, mut there) = carried().await;
    assert_eq!(queue.push(A, text(1, "one ")), Pushed::First);
    assert_eq!(queue.push(A, text(2, "two ")), Pushed::Queued);
    queue.flush();
    assert_eq!(queue.push(A, text(3, "three")), Pushed::First, "it is empty again");
    queue.flush();
    let mut read = [0; 13];
    there.read_exact(&mut read).await.expect("bytes");
    assert_eq!(&read, b"one two three");
    let taken = queue.take(usize::MAX);
    assert_eq!((taken.items.len(), taken.told), (0, vec![(A, Position::new(1, 3))]));
}

#[tokio::test]
async fn what_is_not_lent_waits_for_the_session() {
    let (queue, _there) = carried().await;
    queue.lane().expect("a lane").take_back();
    assert_eq!(queue.push(A, text(1, "one")), Pushed::First);
    queue.flush();
    let taken = queue.take(usize::MAX);
    assert_eq!((taken.items.len(), taken.told), (1, vec![]));
}

#[tokio::test]
async fn what_only_a_session_can_do_waits_for_it_with_all_that_follows() {
    let (queue, mut there) = carried().await;
    let other = SubscriptionKey(2);
    queue.push(A, text(1, "one"));
    queue.push(A, ItemKind::Evicted(Position::new(1, 1)));
    queue.push(other, text(2, "two"));
    queue.flush();
    let mut read = [0; 3];
    there.read_exact(&mut read).await.expect("bytes");
    assert_eq!(&read, b"one");
    let taken = queue.take(usize::MAX);
    assert_eq!((taken.items.len(), taken.told), (2, vec![(A, Position::new(1, 1))]));
}

#[tokio::test]
async fn of_a_client_that_is_behind_nothing_is_written() {
    let (queue, there) = carried().await;
    queue.push(A, frame(1, 60_000));
    queue.push(A, frame(2, 60_000));
    queue.flush();
    assert_eq!(queue.take(usize::MAX).behind, Some(Position::new(1, 0)));
    let read = there.try_read(&mut [0; 1]);
    assert_eq!(read.expect_err("nothing").kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn it_is_known_how_far_each_subscription_was_told() {
    let queue = Queue::new(100_000);
    for (key, offset) in [(3, 1), (1, 2), (3, 4), (2, 5), (1, 6)] {
        queue.state.lock().note(SubscriptionKey(key), Position::new(1, offset));
    }
    // The newest of a subscription may come first: whoever reads them takes the greater one.
    let mut told: Vec<_> = queue.take(usize::MAX).told.into_iter().map(|(key, at)| (key.0, at.offset.0)).collect();
    told.sort_unstable();
    assert_eq!(told, [(1, 2), (1, 6), (2, 5), (3, 4)]);
}
