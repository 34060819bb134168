//! Places that are limited, with a queue in the order of priority.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot;

/// A number of places. Who finds none free waits: higher priority first, then who came first.
#[derive(Debug)]
pub(crate) struct Places {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    free: usize,
    next: u64,
    waiting: BTreeMap<(Reverse<i32>, u64), oneshot::Sender<Place>>,
}

/// A place that is taken; dropping it gives it to the next in the queue.
#[derive(Debug)]
pub(crate) struct Place {
    places: Option<Arc<Places>>,
}

impl Places {
    pub(crate) fn new(number: usize) -> Arc<Self> {
        let state = State { free: number.max(1), next: 0, waiting: BTreeMap::new() };
        Arc::new(Self { state: Mutex::new(state) })
    }

    /// A place, if one is free right now.
    pub(crate) fn try_take(self: &Arc<Self>) -> Option<Place> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.free = state.free.checked_sub(1)?;
        Some(Place { places: Some(Arc::clone(self)) })
    }

    /// Waits for a place. Dropping the future leaves the queue.
    pub(crate) async fn take(self: &Arc<Self>, priority: i32) -> Place {
        loop {
            let (ticket, place) = {
                let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(free) = state.free.checked_sub(1) {
                    state.free = free;
                    return Place { places: Some(Arc::clone(self)) };
                }
                let (give, place) = oneshot::channel();
                let ticket = (Reverse(priority), state.next);
                state.next += 1;
                state.waiting.insert(ticket, give);
                (ticket, place)
            };
            let leave = Leave { places: self, ticket };
            let place = place.await;
            drop(leave);
            if let Ok(place) = place {
                return place;
            }
        }
    }

    fn give_back(self: Arc<Self>) {
        let next = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((_, next)) = state.waiting.pop_first() {
                next
            } else {
                state.free += 1;
                return;
            }
        };
        // One that has left meanwhile drops the place it is sent, which brings it back here.
        drop(next.send(Place { places: Some(self) }));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(places) = self.places.take() {
            places.give_back();
        }
    }
}

/// Takes a waiting one out of the queue when it stops waiting.
struct Leave<'p> {
    places: &'p Arc<Places>,
    ticket: (Reverse<i32>, u64),
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.places.state.lock().unwrap_or_else(PoisonError::into_inner).waiting.remove(&self.ticket);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use std::pin::pin;

    #[test]
    fn the_queue_is_in_order_of_priority_then_arrival() {
        let places = Places::new(1);
        let first = places.try_take().unwrap();
        assert!(places.try_take().is_none());
        let mut waiting: Vec<_> = [(0, "a"), (5, "b"), (0, "c"), (9, "left")]
            .map(|(priority, name)| {
                let places = Arc::clone(&places);
                (name, Some(Box::pin(async move { places.take(priority).await })))
            })
            .into();
        for (_, future) in &mut waiting {
            assert!(future.as_mut().unwrap().now_or_never().is_none());
        }
        waiting.pop();
        let mut held = Some(first);
        let mut order = Vec::new();
        while !waiting.is_empty() {
            drop(held.take());
            let ready = waiting
                .iter_mut()
                .position(|(_, future)| match future.as_mut().unwrap().now_or_never() {
                    Some(place) => {
                        held = Some(place);
                        true
                    }
                    None => false,
                })
                .unwrap();
            order.push(waiting.remove(ready).0);
        }
        assert_eq!(order, ["b", "a", "c"]);
        drop(held);
        assert!(places.try_take().is_some());
    }

    #[test]
    fn a_place_sent_to_one_that_left_is_not_lost() {
        let places = Places::new(1);
        let held = places.try_take().unwrap();
        {
            let mut waiting = pin!(places.take(0));
            assert!(waiting.as_mut().now_or_never().is_none());
            drop(held);
        }
        assert!(places.try_take().is_some());
    }
}
