//! Caches of known paths, and how rows behave beside each other.

use super::{AskOptions, Engine, Question};
use crate::error::{Error, Result};
use crate::generate::{Room, RowInvariance, probe_row_invariance};
use crate::package::EncodedPrompt;
use crate::paths::{self, CachedPaths};

impl Engine {
    /// The cache of known paths, as it stood while they were drawn: each of `paths`, whole, continues the prompt of
    /// `question`. Of a response with formats, whose paths part in the midst of it, that is [`Question::Tokens`] of the prompt
    /// and what they share, and its images: what they share is prefilled here and was drawn token by token there, so that the
    /// package's arithmetic may round it otherwise.
    ///
    /// `visit` sees the cache when `at_tokens` tokens of each path are in it; at a length that no path has more tokens than, it
    /// sees nothing. Of `options`, what makes the prompt counts (prompt file, system text, pixels of an image), and `cancel`
    /// until the paths begin. Forgets what is cached.
    ///
    /// # Errors
    /// [`Error::Option`] for no prompt, no paths, an id that the model does not know, or lengths that do not ascend from 1
    /// up; [`Error::Context`] and [`Error::Capacity`] where it does not fit; [`Error::Image`], [`Error::Session`] and
    /// [`Error::Cancelled`]; those of template, tokenizer and `visit`.
    pub fn rebuild(
        &mut self,
        question: &Question,
        options: &AskOptions,
        paths: &[&[u32]],
        at_tokens: &[usize],
        visit: &mut dyn FnMut(CachedPaths<'_>) -> Result<()>,
    ) -> Result<()> {
        if paths.is_empty() {
            return Err(Error::option("paths", "at least 1", 0));
        }
        for path in paths {
            self.validate_ids("paths", path)?;
        }
        paths::validate_ascending("at_tokens", at_tokens)?;
        let (EncodedPrompt { tokens: prompt, .. }, seen) = self.prompt(question, options)?;
        // Beyond the last token but one of the longest path, no path is left to see.
        let longest = paths.iter().map(|path| path.len()).max().unwrap_or(0);
        let most = at_tokens.last().copied().unwrap_or(0);
        let most = most.min(longest.saturating_sub(1));
        let context_tokens = self.package.context_tokens();
        if prompt.len() + most > context_tokens {
            return Err(Error::Context {
                prompt_tokens: prompt.len() + most,
                context_tokens,
            });
        }
        let room = Room {
            rows: paths.len(),
            prompt_tokens: prompt.len(),
            prefill_tokens: prompt.len(),
            capacity_tokens: prompt.len() + most,
        };
        let plan = self.plan(room, None)?;
        self.cached.truncate(0);
        self.decoder.restart(plan.kv, 0, None)?;
        self.prefill(&prompt, 0, &seen, options)?;
        let rebuilt = paths::rebuild(&mut self.decoder, &prompt, paths, at_tokens, visit);
        self.decoder.keep_first_row();
        rebuilt
    }

    /// Whether rows depend on their batch, for this package, library and machine. Forgets what is cached.
    ///
    /// # Errors
    /// Those of [`Self::ask`] for a question of 16 paths.
    pub fn probe_row_invariance(&mut self) -> Result<RowInvariance> {
        const BATCHES: [usize; 6] = [1, 2, 3, 5, 8, 16];
        const STEPS: usize = 8;
        let graph = self.package.graph();
        let prompt: Vec<u32> = (0..24u32)
            .map(|i| (i * 37 + 11) % graph.vocabulary() as u32)
            .collect();
        let room = Room {
            rows: 16,
            prompt_tokens: prompt.len(),
            prefill_tokens: prompt.len(),
            capacity_tokens: prompt.len() + STEPS,
        };
        let plan = self.plan(room, None)?;
        self.cached.truncate(0);
        self.decoder.restart(plan.kv, 0, None)?;
        probe_row_invariance(&mut self.decoder, &prompt, &BATCHES, STEPS)
    }
}
