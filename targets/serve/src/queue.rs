//! The queue before the engine: bounded, and fair between addresses.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// What waits, by whom it is from. Addresses are served in turn, one request each; the requests of one in their order.
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    /// Most that wait, in all and of one address.
    most: usize,
    most_of_one: usize,
}

struct State<T> {
    /// In the order of their turns; none without a request.
    turns: VecDeque<(IpAddr, VecDeque<(u64, T)>)>,
    waiting: usize,
    next: u64,
    closed: bool,
}

/// Why a request does not wait.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoPlace {
    /// So many wait.
    Full(usize),
    /// Nobody takes any more.
    Closed,
}

impl<T> Queue<T> {
    pub(crate) fn new(most: usize, most_of_one: usize) -> Self {
        let state = State {
            turns: VecDeque::new(),
            waiting: 0,
            next: 0,
            closed: false,
        };
        Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
            most,
            most_of_one,
        }
    }

    /// Nothing that holds the lock can fail halfway.
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lines up `item`; the number to take it out by.
    pub(crate) fn push(&self, from: IpAddr, item: T) -> Result<u64, NoPlace> {
        let mut state = self.state();
        if state.closed {
            return Err(NoPlace::Closed);
        }
        let turn = state.turns.iter().position(|(ip, _)| *ip == from);
        let own = turn.map_or(0, |turn| state.turns[turn].1.len());
        if state.waiting >= self.most || own >= self.most_of_one {
            return Err(NoPlace::Full(state.waiting));
        }
        let number = state.next;
        state.next += 1;
        state.waiting += 1;
        match turn {
            Some(turn) => state.turns[turn].1.push_back((number, item)),
            None => state
                .turns
                .push_back((from, VecDeque::from([(number, item)]))),
        }
        self.changed.notify_one();
        Ok(number)
    }

    /// Takes out what has gone away. `None` where it does not wait any more.
    pub(crate) fn remove(&self, number: u64) -> Option<T> {
        let mut state = self.state();
        let place =
            |(_, own): &(IpAddr, VecDeque<(u64, T)>)| own.iter().position(|(n, _)| *n == number);
        let (turn, place) = state
            .turns
            .iter()
            .enumerate()
            .find_map(|(turn, of)| Some((turn, place(of)?)))?;
        let item = state.turns[turn].1.remove(place);
        if state.turns[turn].1.is_empty() {
            state.turns.remove(turn);
        }
        state.waiting -= 1;
        item.map(|(_, item)| item)
    }

    /// Waits for the next; `None` once the queue is closed.
    pub(crate) fn pop(&self) -> Option<T> {
        let mut state = self.state();
        loop {
            if state.closed {
                return None;
            }
            if let Some((from, mut own)) = state.turns.pop_front() {
                let item = own.pop_front();
                if !own.is_empty() {
                    state.turns.push_back((from, own));
                }
                state.waiting -= 1;
                return item.map(|(_, item)| item);
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.state().waiting
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state().closed
    }

    /// Drops what waits, and takes nothing any more.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        state.waiting = 0;
        state.turns.clear();
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([127, 0, 0, last])
    }

    #[test]
    fn addresses_take_turns_and_keep_their_order() {
        let queue = Queue::new(9, 9);
        for (from, item) in [
            (1, "a1"),
            (1, "a2"),
            (1, "a3"),
            (2, "b1"),
            (2, "b2"),
            (3, "c1"),
        ] {
            queue.push(ip(from), item).unwrap();
        }
        let taken: Vec<_> =
            std::iter::from_fn(|| (queue.len() > 0).then(|| queue.pop().unwrap())).collect();
        assert_eq!(taken, ["a1", "b1", "c1", "a2", "b2", "a3"]);
    }

    #[test]
    fn it_is_bounded_in_all_and_for_one_and_what_left_makes_room() {
        let queue = Queue::new(3, 2);
        let first = queue.push(ip(1), 1).unwrap();
        queue.push(ip(1), 2).unwrap();
        assert_eq!(queue.push(ip(1), 3), Err(NoPlace::Full(2)));
        queue.push(ip(2), 4).unwrap();
        assert_eq!(queue.push(ip(3), 5), Err(NoPlace::Full(3)));
        assert_eq!(queue.remove(first), Some(1));
        assert_eq!(queue.remove(first), None);
        let last = queue.push(ip(3), 6).unwrap();
        assert_eq!(
            [queue.pop(), queue.pop(), queue.pop()],
            [Some(2), Some(4), Some(6)]
        );
        assert_eq!(queue.remove(last), None);
        queue.close();
        assert_eq!(queue.push(ip(1), 7), Err(NoPlace::Closed));
        assert_eq!(queue.pop(), None);
    }
}
