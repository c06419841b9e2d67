//! Handles: numbers that stand for what lives on this side, and are known when they are no longer good.
//!
//! A handle holds its kind, a place, and the place's generation, which goes up each time the place is emptied. So a handle that
//! was closed is never taken for what came into its place later, and one of another kind for one of this.

use std::sync::{Arc, Mutex, PoisonError};

use crate::status::{CurtStatus, Failure};

/// What a handle stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Engine = 0xC1,
    Question = 0xC2,
    Answer = 0xC3,
    KvView = 0xC4,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Engine => "an engine",
            Kind::Question => "a question",
            Kind::Answer => "an answer",
            Kind::KvView => "a view of keys and values",
        }
    }
}

/// Bits of a handle below its kind: of its place, and of its generation.
const PLACE_BITS: u32 = 24;
const GENERATION_BITS: u32 = 32;

/// Everything of one kind that lives.
pub(crate) struct Table<T> {
    kind: Kind,
    places: Mutex<Places<T>>,
}

struct Places<T> {
    all: Vec<Place<T>>,
    /// Places that hold nothing and can.
    free: Vec<u32>,
}

struct Place<T> {
    generation: u32,
    value: Option<Arc<T>>,
}

impl<T> Table<T> {
    pub(crate) const fn new(kind: Kind) -> Self {
        Self {
            kind,
            places: Mutex::new(Places {
                all: Vec::new(),
                free: Vec::new(),
            }),
        }
    }

    /// Lets `value` live until its handle is removed.
    ///
    /// # Errors
    /// [`CurtStatus::Memory`] where all places are taken.
    pub(crate) fn insert(&self, value: Arc<T>) -> Result<u64, Failure> {
        let mut places = self.lock();
        let place = match places.free.pop() {
            Some(place) => place,
            None if places.all.len() < 1 << PLACE_BITS => {
                places.all.push(Place {
                    generation: 1,
                    value: None,
                });
                (places.all.len() - 1) as u32
            }
            None => {
                let message = format!(
                    "{} more than {} of a kind",
                    self.kind.name(),
                    1 << PLACE_BITS
                );
                return Err(Failure::new(CurtStatus::Memory, message));
            }
        };
        let slot = &mut places.all[place as usize];
        slot.value = Some(value);
        Ok(self.handle(place, slot.generation))
    }

    /// What `handle` stands for. It lives as long as it is held, closed or not.
    ///
    /// # Errors
    /// [`CurtStatus::Handle`].
    pub(crate) fn get(&self, handle: u64) -> Result<Arc<T>, Failure> {
        let mut places = self.lock();
        self.place(&mut places, handle)
            .and_then(|(_, place)| place.value.clone())
            .ok_or_else(|| self.unknown(handle))
    }

    /// Takes what `handle` stands for out of the table; from now on the handle is unknown.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub(crate) fn remove(&self, handle: u64) -> Result<Arc<T>, Failure> {
        let mut places = self.lock();
        let taken = self.place(&mut places, handle).and_then(|(number, place)| {
            let value = place.value.take()?;
            // A place whose generations are used up is not used again.
            let next = place.generation.checked_add(1);
            place.generation = next.unwrap_or(place.generation);
            Some((value, next.map(|_| number)))
        });
        let (value, free) = taken.ok_or_else(|| self.unknown(handle))?;
        places.free.extend(free);
        Ok(value)
    }

    fn place<'a>(&self, places: &'a mut Places<T>, handle: u64) -> Option<(u32, &'a mut Place<T>)> {
        let number = (handle >> GENERATION_BITS) as u32 & ((1 << PLACE_BITS) - 1);
        let generation = handle as u32;
        if handle != self.handle(number, generation) {
            return None;
        }
        let place = places.all.get_mut(number as usize)?;
        (place.generation == generation).then_some((number, place))
    }

    fn handle(&self, place: u32, generation: u32) -> u64 {
        (self.kind as u64) << (PLACE_BITS + GENERATION_BITS)
            | u64::from(place) << GENERATION_BITS
            | u64::from(generation)
    }

    fn unknown(&self, handle: u64) -> Failure {
        let kinds = [Kind::Engine, Kind::Question, Kind::Answer, Kind::KvView];
        let of = (handle >> (PLACE_BITS + GENERATION_BITS)) as u8;
        let got = match kinds.into_iter().find(|&kind| kind as u8 == of) {
            _ if handle == 0 => "0".into(),
            None => format!("{handle:#x}, which no call has given"),
            Some(kind) if kind != self.kind => kind.name().into(),
            Some(_) => format!("{handle:#x}, which was closed"),
        };
        let message = format!("expected {}, got {got}", self.kind.name());
        Failure::new(CurtStatus::Handle, message)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Places<T>> {
        // Nothing in between can panic but for lack of memory, and every step leaves the places whole.
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_is_good_once_and_for_its_own_kind() {
        let engines = Table::new(Kind::Engine);
        let answers = Table::<u8>::new(Kind::Answer);
        let first = engines.insert(Arc::new(1)).unwrap();
        assert_eq!(*engines.get(first).unwrap(), 1);
        assert_eq!(*engines.remove(first).unwrap(), 1);
        let says = |failure: Option<Failure>| failure.unwrap().message;
        assert!(says(engines.get(first).err()).contains("was closed"));
        assert!(engines.remove(first).is_err());
        // In the same place, and not the same.
        let second = engines.insert(Arc::new(2)).unwrap();
        assert_eq!(first >> GENERATION_BITS, second >> GENERATION_BITS);
        assert!(engines.get(first).is_err());
        assert_eq!(*engines.get(second).unwrap(), 2);
        let other = says(answers.get(second).err());
        assert_eq!(other, "expected an answer, got an engine");
        assert_eq!(says(engines.get(0).err()), "expected an engine, got 0");
        for bit in 0..64 {
            assert!(engines.get(second ^ 1 << bit).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_place_is_left_when_its_generations_are_used_up() {
        let table = Table::new(Kind::Question);
        let first = table.insert(Arc::new(())).unwrap();
        table.lock().all[0].generation = u32::MAX;
        let last = table.handle(0, u32::MAX);
        table.remove(last).unwrap();
        assert!(table.get(last).is_err() && table.get(first).is_err());
        let next = table.insert(Arc::new(())).unwrap();
        assert_eq!(next, table.handle(1, 1));
    }
}
