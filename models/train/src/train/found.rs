//! The first half of training: the check point, the layers and the text control.

use super::{Event, Listener, Trainer};
use crate::controls::{Kinds, TextChoice, logprob_statistics, survey_text, tune_text};
use crate::error::{Error, Result};
use crate::features::{Inputs, KvColumns};
use crate::search::{CheckPoint, LayerSet, choose, survey_layers};

/// What the search found.
pub(super) struct Found {
    /// Check points that the head is trained at.
    pub at: Vec<usize>,
    /// Layers that it reads.
    pub layers: Vec<usize>,
    /// Text controls, the best first.
    pub text: Vec<TextChoice>,
    pub check_points: Vec<CheckPoint>,
    pub layer_sets: Vec<LayerSet>,
}

impl Trainer<'_> {
    /// Finds what the options leave open.
    pub(super) fn find(&mut self, grid: &[usize], on_event: &mut Listener<'_>) -> Result<Found> {
        let options = self.options;
        let layers = self.columns.layers.len();
        if let Some(&layer) = options.layers.iter().find(|&&l| l >= layers) {
            return Err(Error::option(
                "layers",
                format!("layers below {layers}"),
                layer,
            ));
        }
        let survey = if options.layers.is_empty() {
            survey_layers(layers)
        } else {
            options.layers.clone()
        };
        // N-grams are chosen at a check point. A head that reads other things beside is compared by these.
        let without_text = Kinds {
            text: false,
            ..options.kinds
        };
        let searched = self.inputs(without_text, &survey, None);
        let mut check_points = Vec::new();
        for &at in grid {
            let searched = if searched.width() > 0 {
                &searched
            } else {
                &survey_text(&self.search, at)
            };
            let point = self.search.check_point(
                searched,
                at,
                options.budget_share,
                self.bytes_per_value,
            )?;
            on_event(Event::CheckPoint(&point));
            check_points.push(point);
        }
        let mut at = options.check_at.clone();
        if at.is_empty() {
            at.push(choose(&check_points).ok_or_else(|| {
                Error::option(
                    "budget",
                    format!(
                        "a share that leaves tokens for at least one path after one of the check points {grid:?}, or a \
                         `check_at`"
                    ),
                    options.budget_share,
                )
            })?);
        }
        let (layers, layer_sets) = if !options.kinds.kv || !options.layers.is_empty() {
            (options.layers.clone(), Vec::new())
        } else {
            // Layers are judged by what they say themselves; log-probabilities would cover for poor ones.
            let alone = self.inputs(Kinds::KV, &survey, None);
            self.search
                .layers(&alone, &at, layers, &mut |s| on_event(Event::Layers(s)))?
        };
        let text = tune_text(&mut self.search, &at, &mut |t| on_event(Event::Text(t)))?;
        Ok(Found {
            at,
            layers,
            text,
            check_points,
            layer_sets,
        })
    }

    /// Inputs of a head of `kinds` that pools by means.
    pub(super) fn inputs(
        &self,
        kinds: Kinds,
        layers: &[usize],
        text: Option<&TextChoice>,
    ) -> Inputs {
        Inputs {
            kv: kinds.kv.then(|| KvColumns {
                layers: layers.to_vec(),
                ..self.columns.clone()
            }),
            logprob: if kinds.logprob {
                logprob_statistics()
            } else {
                Vec::new()
            },
            text: text.filter(|_| kinds.text).map(|t| t.vocabulary.clone()),
        }
    }
}
