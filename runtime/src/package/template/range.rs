//! Python's `range`.

use std::fmt;
use std::sync::Arc;

use minijinja::value::{Enumerator, Object, ObjectRepr};
use minijinja::{Error, Value};

use super::limits::invalid;

/// The most numbers in a range: the sandbox that transformers renders in has no longer one.
const MOST: usize = 100_000;

/// `range(start, stop, step)`: a sequence that prints as what it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Range {
    start: i64,
    stop: i64,
    step: i64,
    count: usize,
}

impl Range {
    pub(super) fn of(first: i64, second: Option<i64>, step: Option<i64>) -> Result<Value, Error> {
        let (start, stop) = second.map_or((0, first), |second| (first, second));
        let step = step.unwrap_or(1);
        let (from, to, by) = (i128::from(start), i128::from(stop), i128::from(step));
        let count = match step {
            0 => return Err(invalid("the step of a range must not be 0")),
            1.. => (to - from + by - 1) / by,
            ..0 => (from - to - by - 1) / -by,
        };
        let count = usize::try_from(count.max(0)).unwrap_or(usize::MAX);
        if count > MOST {
            return Err(invalid(format!(
                "expected a range of at most {MOST} numbers, got {count}"
            )));
        }
        Ok(Value::from_object(Self {
            start,
            stop,
            step,
            count,
        }))
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "range({}, {}", self.start, self.stop)?;
        if self.step != 1 {
            write!(f, ", {}", self.step)?;
        }
        f.write_str(")")
    }
}

impl Object for Range {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let place = key.as_usize().filter(|place| *place < self.count)?;
        let steps = i64::try_from(place).ok()?;
        Some(Value::from(self.start + steps * self.step))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.count)
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
