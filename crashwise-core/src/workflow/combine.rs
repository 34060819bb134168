//! Several things at once. These poll with the caller's waker only: engines that replay refuse any other.

use super::backend::Command;
use super::context::decode;
use super::{StepError, WorkflowContext};
use futures::future::LocalBoxFuture;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

impl WorkflowContext {
    /// Runs `work` for each item, at most `limit` at once, each in a scope of its own (`name/0`, `name/1`, ...), and gives the
    /// results in the order of the items.
    ///
    /// After an error no further item begins; the ones that run are waited for, and the error of the first item in order
    /// is returned, so that a replay returns the same.
    pub async fn map<I, T, E, F, Fut>(
        &self,
        name: &str,
        limit: usize,
        items: impl IntoIterator<Item = I>,
        work: F,
    ) -> Result<Vec<T>, E>
    where
        F: Fn(Self, I) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        self.map_until(name, limit, items, work, Result::is_err).await.into_iter().collect()
    }

    /// Like [`Self::map`], but every item is carried out and has its own result.
    pub async fn map_all<I, T, F, Fut>(
        &self,
        name: &str,
        limit: usize,
        items: impl IntoIterator<Item = I>,
        work: F,
    ) -> Vec<T>
    where
        F: Fn(Self, I) -> Fut,
        Fut: Future<Output = T>,
    {
        self.map_until(name, limit, items, work, |_| false).await
    }

    async fn map_until<I, T, F, Fut>(
        &self,
        name: &str,
        limit: usize,
        items: impl IntoIterator<Item = I>,
        work: F,
        stop: impl Fn(&T) -> bool,
    ) -> Vec<T>
    where
        F: Fn(Self, I) -> Fut,
        Fut: Future<Output = T>,
    {
        let scope = self.key(name);
        let mut waiting = items.into_iter().enumerate().peekable();
        let mut running: Vec<(usize, Pin<Box<Fut>>)> = Vec::new();
        let mut done: Vec<(usize, T)> = Vec::new();
        let mut stopped = false;
        poll_fn(|task| {
            loop {
                while !stopped && running.len() < limit.max(1) {
                    let Some((index, item)) = waiting.next() else { break };
                    let cx = self.scoped(scope.child(&index.to_string()));
                    running.push((index, Box::pin(work(cx, item))));
                }
                let before = running.len();
                running.retain_mut(|(index, future)| match future.as_mut().poll(task) {
                    Poll::Pending => true,
                    Poll::Ready(result) => {
                        stopped |= stop(&result);
                        done.push((*index, result));
                        false
                    }
                });
                if running.is_empty() && (stopped || waiting.peek().is_none()) {
                    return Poll::Ready(());
                }
                if running.len() == before {
                    return Poll::Pending;
                }
            }
        })
        .await;
        done.sort_by_key(|(index, _)| *index);
        done.into_iter().map(|(_, result)| result).collect()
    }

    /// Waits for all futures and gives their results in order. Give each a scope of its own with [`Self::branch`].
    pub async fn join<T>(&self, futures: impl IntoIterator<Item = LocalBoxFuture<'_, T>>) -> Vec<T> {
        let mut running: Vec<(LocalBoxFuture<'_, T>, Option<T>)> =
            futures.into_iter().map(|future| (future, None)).collect();
        poll_fn(|task| {
            let mut pending = false;
            for (future, result) in &mut running {
                if result.is_none() {
                    match future.as_mut().poll(task) {
                        Poll::Ready(value) => *result = Some(value),
                        Poll::Pending => pending = true,
                    }
                }
            }
            if pending { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
        running.into_iter().filter_map(|(_, result)| result).collect()
    }

    /// Waits for the first of several futures; the others are dropped, which stops their work. Which one won is
    /// journaled, so a replay takes the same one, whoever would be first then. Gives the index of the winner and its
    /// result.
    pub async fn race<T>(
        &self,
        name: &str,
        contenders: Vec<LocalBoxFuture<'_, T>>,
    ) -> Result<(usize, T), StepError> {
        let key = self.key(name);
        let mut contenders = contenders;
        if let Some(winner) = self.backend.recall(&key) {
            let winner: usize = decode(&key, winner)?;
            // Keys of the journal may come from other code; a winner that is not there is not determinism.
            if winner >= contenders.len() {
                let message = format!("the journal says that contender {winner} won");
                return Err(StepError::new(key, super::StepErrorKind::NonDeterminism, message));
            }
            let result = contenders.swap_remove(winner).await;
            self.ask(key, Command::Record(winner.into())).await?;
            return Ok((winner, result));
        }
        let (winner, result) = poll_fn(|task: &mut Context<'_>| {
            for (index, future) in contenders.iter_mut().enumerate() {
                if let Poll::Ready(result) = future.as_mut().poll(task) {
                    return Poll::Ready((index, result));
                }
            }
            Poll::Pending
        })
        .await;
        drop(contenders);
        self.ask(key, Command::Record(winner.into())).await?;
        Ok((winner, result))
    }
}
