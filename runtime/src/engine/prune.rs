//! What is asked of pruning, and the checks that it comes to for a package.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::head::{DEFAULT_HEAD, StopHead};
use crate::paths::{Check, Keep, Signal, SignalName};

/// Which paths go on, and when they are asked: what is left empty follows from the package and its heads. All empty: every
/// path runs to its end.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PruneOptions {
    /// Who goes on at each check point. One rule for several is the last one's: see [`Keep::at_each`].
    pub keep: Vec<Keep>,
    /// Check points, in generated tokens, never descending. Empty: where the heads were trained.
    pub check_at: Vec<usize>,
    /// What paths are scored by: one for all check points, or one for each. Empty: the package's head [`DEFAULT_HEAD`].
    pub signals: Vec<SignalName>,
}

impl PruneOptions {
    /// Whether nothing is asked.
    pub fn is_off(&self) -> bool {
        self.keep.is_empty() && self.check_at.is_empty() && self.signals.is_empty()
    }

    /// The checks of `paths` paths; `open` opens a head by its name.
    ///
    /// # Errors
    /// [`Error::Option`] for what does not fit together or is nowhere said; those of `open`.
    pub fn resolve(
        &self,
        paths: usize,
        open: impl FnMut(&str) -> Result<Arc<StopHead>>,
    ) -> Result<Vec<Check>> {
        if self.is_off() {
            return Ok(Vec::new());
        }
        if paths < 2 {
            let expected = "at least 2, since a check chooses among paths";
            return Err(Error::option("paths", expected, paths));
        }
        let signals = self.signals(open)?;
        let at = match self.check_at.as_slice() {
            [] => trained_at(&signals)?,
            given => given.to_vec(),
        };
        if signals.len() > 1 && signals.len() != at.len() {
            return Err(Error::option(
                "signal",
                format!("one for all check points or one for each of {}", at.len()),
                signals.len(),
            ));
        }
        if self.keep.is_empty() {
            let expected = "which paths go on, since a check is asked for";
            return Err(Error::option("keep", expected, "nothing"));
        }
        let keep = Keep::at_each(&self.keep, at.len(), paths)?;
        let signal = |check: usize| signals[check.min(signals.len() - 1)].clone();
        let checks = at.iter().zip(keep).enumerate();
        Ok(checks
            .map(|(check, (&at_tokens, keep))| Check {
                at_tokens,
                signal: signal(check),
                keep,
            })
            .collect())
    }

    /// At least one signal.
    fn signals(&self, mut open: impl FnMut(&str) -> Result<Arc<StopHead>>) -> Result<Vec<Signal>> {
        match self.signals.as_slice() {
            [] => Ok(vec![Signal::Head(open(DEFAULT_HEAD)?)]),
            named => named.iter().map(|name| name.resolve(&mut open)).collect(),
        }
    }
}

/// Where the heads were trained: one head at all its check points, several at the first of each.
fn trained_at(signals: &[Signal]) -> Result<Vec<usize>> {
    let mut at = Vec::new();
    for signal in signals {
        match signal {
            Signal::Head(head) if signals.len() == 1 => {
                at.clone_from(&head.header().check_at_tokens);
            }
            Signal::Head(head) => at.extend(head.header().check_at_tokens.first()),
            other => {
                let expected = format!(
                    "when paths are scored, in generated tokens, since {:?} does not say it",
                    other.name()
                );
                return Err(Error::option("check_at", expected, "nothing"));
            }
        }
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(options: &PruneOptions, paths: usize) -> String {
        let no_head = |name: &str| Err(Error::option("signal", "a head", name));
        options.resolve(paths, no_head).unwrap_err().to_string()
    }

    #[test]
    fn what_is_not_said_is_asked_for_by_its_field() {
        let options = PruneOptions {
            keep: vec![Keep::Top(2)],
            check_at: vec![8, 16],
            signals: vec![SignalName::Random],
        };
        let checks = options.resolve(8, |_| unreachable!()).unwrap();
        let got: Vec<_> = checks.iter().map(|c| (c.at_tokens, c.keep)).collect();
        assert_eq!(got, [(8, Keep::Top(4)), (16, Keep::Top(2))]);

        assert!(refused(&options, 1).starts_with("`paths`: expected at least 2"));
        let mut lacking = options.clone();
        lacking.keep.clear();
        assert!(refused(&lacking, 8).starts_with("`keep`"));
        let mut lacking = options.clone();
        lacking.check_at.clear();
        assert!(refused(&lacking, 8).starts_with("`check_at`"));
        let mut lacking = options.clone();
        lacking.signals.clear();
        assert!(refused(&lacking, 8).contains(DEFAULT_HEAD));
        let mut wrong = options.clone();
        wrong.signals = vec![SignalName::Random; 3];
        assert!(refused(&wrong, 8).starts_with("`signal`: expected one for all"));
        wrong.signals = vec![SignalName::Oracle];
        assert!(refused(&wrong, 8).contains("replay"));
        let off = PruneOptions::default();
        assert!(off.resolve(1, |_| unreachable!()).unwrap().is_empty());
    }
}
