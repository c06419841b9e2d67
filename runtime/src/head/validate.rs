//! Validate: refuse a head whose parts contradict each other or whose sizes no head has. Nothing in a file is trusted.

use std::path::Path;

use super::{HeadFile, HeadHeader, KvInputs, Pooling, Span, VERSION};
use crate::error::{Error, Result};

/// Most hidden units, and most inputs, of a head: the largest that ships has 1,542 inputs and 64 hidden units.
const MOST_UNITS: usize = 1 << 20;

impl HeadHeader {
    /// Refuses fields that contradict each other. `file` is named in the error.
    pub(super) fn validate(&self, file: &Path) -> Result<()> {
        let refuse = |field: &str, expected: &str, got: String| {
            Err(Error::package(file, field, expected, got))
        };
        if self.version != VERSION {
            return refuse(
                "version",
                &format!("{VERSION}: train the head anew, or use the curt that made it"),
                self.version.to_string(),
            );
        }
        let at = &self.check_at_tokens;
        if at.is_empty() || at[0] == 0 || at.windows(2).any(|w| w[0] >= w[1]) {
            return refuse(
                "check_at_tokens",
                "at least one check point, from 1 token up, ascending",
                format!("{at:?}"),
            );
        }
        if let Some(kv) = &self.kv {
            kv.validate(file)?;
        }
        let inputs = self.inputs().into_iter().fold(0, usize::saturating_add);
        if inputs == 0 {
            return refuse("inputs", "at least one", "none".into());
        }
        if inputs > MOST_UNITS || self.hidden > MOST_UNITS {
            return refuse(
                "kv, text, hidden",
                &format!("at most {MOST_UNITS} inputs and as many hidden units"),
                format!("{inputs} inputs and {} hidden units", self.hidden),
            );
        }
        if let Some(c) = self.calibration
            && !(c.slope > 0.0 && c.slope.is_finite() && c.offset.is_finite())
        {
            return refuse(
                "calibration",
                "a slope above 0 and an offset, both finite",
                format!("{c:?}"),
            );
        }
        let m = &self.measured;
        let shares = [Some(m.auroc_within_question), Some(m.auroc), m.brier, m.ece];
        if shares.iter().flatten().any(|x| !(0.0..=1.0).contains(x)) {
            return refuse("measured", "numbers from 0 to 1", format!("{m:?}"));
        }
        Ok(())
    }
}

impl KvInputs {
    /// As [`HeadHeader::validate`], of these fields.
    pub(super) fn validate(&self, file: &Path) -> Result<()> {
        let refuse = |field: &str, expected: &str, got: String| {
            Err(Error::package(file, field, expected, got))
        };
        if self.kv_heads == 0 || self.head_dim == 0 {
            return refuse(
                "kv",
                "at least one KV head, of at least one element",
                format!("{} heads of {} elements", self.kv_heads, self.head_dim),
            );
        }
        if self.layers.is_empty() || self.layers.windows(2).any(|w| w[0] >= w[1]) {
            return refuse(
                "kv.layers",
                "at least one layer, ascending",
                format!("{:?}", self.layers),
            );
        }
        if self.outputs() > MOST_UNITS {
            return refuse(
                "kv",
                &format!("at most {MOST_UNITS} pooled numbers"),
                format!(
                    "{} layers × {} heads × {} vectors × {} elements",
                    self.layers.len(),
                    self.kv_heads,
                    self.pooling.vectors(),
                    self.head_dim
                ),
            );
        }
        match &self.pooling {
            Pooling::Mean { spans } if spans.is_empty() || spans.contains(&Span::Last(0)) => {
                refuse(
                    "kv.pooling.mean.spans",
                    "at least one span, none of them of 0 positions",
                    format!("{spans:?}"),
                )
            }
            Pooling::Attend {
                queries, window, ..
            } if *queries == 0 || *window == 0 => refuse(
                "kv.pooling.attend",
                "at least one query and one position",
                format!("{queries} queries, {window} positions"),
            ),
            Pooling::Attend {
                rotary: Some(r), ..
            } if r.dims % 2 != 0
                || r.dims > self.head_dim
                || !(r.theta > 1.0 && r.theta.is_finite()) =>
            {
                refuse(
                    "kv.pooling.attend.rotary",
                    "an even number of dims, at most head_dim, and a base above 1",
                    format!("{r:?}"),
                )
            }
            _ => Ok(()),
        }
    }
}

impl HeadFile {
    /// Refuses parts that the header does not ask for: other lengths, numbers that are not finite, n-grams that do not ascend.
    /// `file` is named in the error.
    pub(super) fn validate(&self, file: &Path) -> Result<()> {
        self.header.validate(file)?;
        for (name, shape, values) in self.floats() {
            let expected = shape.iter().fold(1usize, |n, &m| n.saturating_mul(m));
            if values.len() != expected {
                let expected = format!("{expected} numbers, {shape:?}");
                return Err(Error::package(file, name, expected, values.len()));
            }
            if let Some(x) = values.iter().find(|x| !x.is_finite()) {
                return Err(Error::package(file, name, "finite numbers", x));
            }
        }
        for (name, count, ngrams) in self.ngrams() {
            if ngrams.len() != count {
                let expected = format!("{count} n-grams, as the header says");
                return Err(Error::package(file, name, expected, ngrams.len()));
            }
            if ngrams.windows(2).any(|w| w[0] >= w[1]) {
                let expected = "n-grams in ascending order, each once";
                return Err(Error::package(file, name, expected, "another order"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::header::tests::header;
    use super::*;
    use crate::head::Rotary;

    fn refusal(header: &HeadHeader) -> String {
        header.validate(Path::new("x")).unwrap_err().to_string()
    }

    #[test]
    fn sizes_that_no_head_has_are_refused_before_they_are_multiplied() {
        assert!(header().validate(Path::new("x")).is_ok());
        let edits: [fn(&mut HeadHeader, usize); 6] = [
            |h, huge| h.kv.as_mut().unwrap().head_dim = huge,
            |h, huge| h.kv.as_mut().unwrap().kv_heads = huge,
            |h, huge| {
                h.kv.as_mut().unwrap().pooling = Pooling::Attend {
                    queries: huge,
                    window: 1,
                    rotary: None,
                };
            },
            |h, huge| h.text.as_mut().unwrap().prefix_ngrams = huge,
            |h, huge| h.text.as_mut().unwrap().prompt_ngrams = huge,
            |h, huge| h.hidden = huge,
        ];
        for huge in [MOST_UNITS + 1, usize::MAX / 2, usize::MAX] {
            for (number, edit) in edits.iter().enumerate() {
                let mut header = header();
                edit(&mut header, huge);
                assert!(refusal(&header).contains("at most 1048576"), "{number}");
            }
        }
        let mut header = header();
        header.kv.as_mut().unwrap().head_dim = 0;
        assert!(refusal(&header).contains("at least one KV head"));
    }

    #[test]
    fn a_measure_that_says_nothing_and_a_rotation_beyond_the_head_are_refused() {
        let mut unmeasured = header();
        unmeasured.measured.auroc = f64::NAN;
        assert!(refusal(&unmeasured).contains("measured"));
        for (dims, theta) in [(6, 1e4), (3, 1e4), (4, f64::NAN), (4, 0.5)] {
            let mut rotated = header();
            rotated.kv.as_mut().unwrap().pooling = Pooling::Attend {
                queries: 1,
                window: 1,
                rotary: Some(Rotary {
                    theta,
                    dims,
                    interleaved: false,
                }),
            };
            assert!(refusal(&rotated).contains("rotary"), "{dims} {theta}");
        }
    }
}
