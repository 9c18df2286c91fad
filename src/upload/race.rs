//! Waiting for one of two futures, and for all of several: the two combinators that uploads need.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;

/// Which of two futures ended first. The other one is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Either<A, B> {
    First(A),
    Second(B),
}

/// Polls `first` before `second` each time, so that when both are ready `first` wins.
pub async fn race<A: Future, B: Future>(first: A, second: B) -> Either<A::Output, B::Output> {
    let (mut first, mut second) = (pin!(first), pin!(second));
    poll_fn(|cx| {
        if let Poll::Ready(output) = first.as_mut().poll(cx) {
            return Poll::Ready(Either::First(output));
        }
        second.as_mut().poll(cx).map(Either::Second)
    })
    .await
}

/// Runs all futures, at most `at_once` of them at a time, and gives their outputs in the order of the futures. Every
/// wake polls all that run: meant for a handful.
pub async fn join_all<F: Future>(futures: impl IntoIterator<Item = F>, at_once: usize) -> Vec<F::Output> {
    let mut waiting = futures.into_iter().enumerate();
    let mut running: Vec<(usize, Pin<Box<F>>)> = Vec::new();
    let mut done: Vec<(usize, F::Output)> = Vec::new();
    poll_fn(|cx| {
        loop {
            while running.len() < at_once.max(1) {
                let Some((index, future)) = waiting.next() else { break };
                running.push((index, Box::pin(future)));
            }
            let before = done.len();
            running.retain_mut(|(index, future)| match future.as_mut().poll(cx) {
                Poll::Ready(output) => {
                    done.push((*index, output));
                    false
                }
                Poll::Pending => true,
            });
            if running.is_empty() && done.len() == before {
                return Poll::Ready(());
            }
            if done.len() == before {
                return Poll::Pending;
            }
        }
    })
    .await;
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, output)| output).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::task::{Context, Waker};

    fn now<F: Future>(future: F) -> Option<F::Output> {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    #[test]
    fn the_first_wins_a_tie_and_a_pending_one_loses() {
        assert_eq!(now(race(async { 1 }, async { 2 })), Some(Either::First(1)));
        assert_eq!(now(race(std::future::pending::<()>(), async { 2 })), Some(Either::Second(2)));
        assert_eq!(now(race(std::future::pending::<()>(), std::future::pending::<()>())), None);
    }

    #[test]
    fn all_are_run_in_order_and_never_more_than_allowed_at_once() {
        let (running, most) = (Cell::new(0), Cell::new(0));
        let futures = (0..10).map(|index| {
            let (running, most) = (&running, &most);
            async move {
                running.set(running.get() + 1);
                most.set(most.get().max(running.get()));
                let mut yielded = false;
                poll_fn(
                    |_| if std::mem::replace(&mut yielded, true) { Poll::Ready(()) } else { Poll::Pending },
                )
                .await;
                running.set(running.get() - 1);
                index
            }
        });
        let mut all = pin!(join_all(futures, 3));
        let mut context = Context::from_waker(Waker::noop());
        let outputs = (0..20).find_map(|_| match all.as_mut().poll(&mut context) {
            Poll::Ready(outputs) => Some(outputs),
            Poll::Pending => None,
        });
        assert_eq!(outputs, Some((0..10).collect()));
        assert_eq!(most.get(), 3);
        assert_eq!(now(join_all(Vec::<std::future::Ready<()>>::new(), 3)), Some(Vec::new()));
    }
}
