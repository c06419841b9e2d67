//! Giving back memory between questions.

use super::Engine;
use crate::error::Result;
use crate::kv::KvPlan;

/// What an engine gives back; each is more than the one before it, and makes the next question slower.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trim {
    /// The vision graph, and what it made of images: an image that comes again is seen again.
    Images,
    /// Keys and values too: the next prompt is run from its beginning.
    Rows,
}

impl Engine {
    /// Gives back what `trim` says. Weights are given back by dropping the engine.
    ///
    /// # Errors
    /// [`crate::Error::Io`] where the system refuses the smaller cache; then the larger one is kept.
    pub fn trim(&mut self, trim: Trim) -> Result<()> {
        self.sight.forget();
        if trim == Trim::Rows {
            let geometry = self.package.graph().geometry();
            let smallest = KvPlan::new(geometry, self.layout, 1, 1, None)?;
            self.cached.truncate(0);
            self.decoder.restart(smallest, 0, Some(smallest.bytes))?;
        }
        Ok(())
    }
}
