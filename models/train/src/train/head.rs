//! The second half of training: pooling, the heads themselves, and how well each ranks.

use curt::head::{
    Calibration, HeadFile, HeadHeader, KvInputs, LogprobInputs, Measured, PackageRef, Pooling,
    TextInputs, VERSION, WorkloadRef,
};

use super::found::Found;
use super::{Event, Listener, PoolingKind, QUERIES, Trained, Trainer};
use crate::calibrate::{brier, calibrated, expected_calibration_error, platt};
use crate::controls::Kinds;
use crate::error::{Error, Result};
use crate::features::{Inputs, SPANS, Table};
use crate::fit::{
    AttendShape, AttendSource, Examples, FitOptions, Fitted, Shape, fit, score, within,
};
use crate::measure::{auroc, mean};
use crate::report::{HeadReport, PoolingTest, Report};
use crate::scaling;
use crate::search::compare;
use crate::study::Ranking;

/// What [`Measured`] says of where its questions come from: groups of the training part that nothing was fitted to, and
/// that did not choose the step.
const MEASURED_PART: &str = "validation";

/// How one head is built.
struct Plan {
    kinds: Kinds,
    inputs: Inputs,
    attend: bool,
    shape: Shape,
    fit: FitOptions,
}

impl Trainer<'_> {
    /// Chooses the pooling, then fits and measures the head asked for and its controls.
    pub(super) fn finish(
        &mut self,
        found: Found,
        attend: Option<AttendSource<'_>>,
        on_event: &mut Listener<'_>,
    ) -> Result<Trained> {
        let mut attend = attend;
        let (pooling, test) = self.pooling(&found, &mut attend)?;
        if pooling == PoolingKind::Mean {
            attend = None;
        }
        let asked = self.options.kinds;
        let (mut heads, mut reports) = (Vec::new(), Vec::new());
        let mut first: Option<Ranking> = None;
        for kinds in std::iter::once(asked).chain(asked.controls()) {
            let (head, mut report, ranking) = self.head(kinds, &found, &mut attend)?;
            match &first {
                None => first = Some(ranking),
                Some(first) => {
                    report.head_above_this = Some(compare(first, &ranking, self.options.seed));
                }
            }
            on_event(Event::Head(&report));
            heads.push(head);
            reports.push(report);
        }
        let paths = self.data.questions.iter().flat_map(|q| &q.paths);
        Ok(Trained {
            heads,
            report: Report {
                questions: [
                    self.parts.fitted.len(),
                    self.parts.stopping.len(),
                    self.parts.measured.len(),
                ],
                right: mean(paths.map(|p| f64::from(u8::from(p.correct)))),
                path_tokens: self.data.path_tokens(),
                check_points: found.check_points,
                check_at_tokens: found.at,
                layer_sets: found.layer_sets,
                layers: found.layers,
                pooling: test,
                text: found.text,
                heads: reports,
            },
        })
    }

    /// The cheaper pooling, unless the other is better beyond chance or asked for.
    fn pooling(
        &mut self,
        found: &Found,
        attend: &mut Option<AttendSource<'_>>,
    ) -> Result<(PoolingKind, Option<PoolingTest>)> {
        if attend.is_none() {
            return Ok((PoolingKind::Mean, None));
        }
        if let Some(asked) = self.options.pooling {
            return Ok((asked, None));
        }
        let kinds = self.options.kinds;
        let mean = self.plan(kinds, found, &None);
        let mean = self.rank(&mean, found, &mut None)?;
        let learned = self.plan(kinds, found, attend);
        let learned = self.rank(&learned, found, attend)?;
        let window = attend.as_ref().map_or(0, |a| a.windows.window);
        let position = found.layers.len() * self.columns.kv_heads * self.columns.head_dim;
        let prefix = found.at.iter().max().copied().unwrap_or(0);
        let read = position * self.bytes_per_value;
        let test = PoolingTest {
            mean: mean.auroc(),
            attend: learned.auroc(),
            attend_above_mean: compare(&learned, &mean, self.options.seed),
            bytes_read: [read * prefix, 2 * read * window],
        };
        let better = test.attend_above_mean.is_above();
        let chosen = if better {
            PoolingKind::Attend
        } else {
            PoolingKind::Mean
        };
        Ok((chosen, Some(test)))
    }

    fn plan(&self, kinds: Kinds, found: &Found, attend: &Option<AttendSource<'_>>) -> Plan {
        let text = found.text.first();
        let mut inputs = self.inputs(kinds, &found.layers, text);
        let attend = attend.as_ref().filter(|_| kinds.kv).map(|source| {
            inputs.kv = None;
            AttendShape {
                layers: source.windows.layers.len(),
                kv_heads: source.windows.kv_heads,
                queries: QUERIES,
                head_dim: source.windows.head_dim,
            }
        });
        let fit = match text {
            Some(text) if kinds == Kinds::TEXT => text.fit,
            _ => self.search.fit,
        };
        Plan {
            kinds,
            attend: attend.is_some(),
            shape: Shape {
                attend,
                dense: inputs.width(),
                hidden: fit.hidden,
            },
            inputs,
            fit,
        }
    }

    fn rank(
        &mut self,
        plan: &Plan,
        found: &Found,
        attend: &mut Option<AttendSource<'_>>,
    ) -> Result<Ranking> {
        let table = self.search.table(&plan.inputs, &found.at)?;
        let source = attend.as_mut().filter(|_| plan.attend);
        self.search
            .study
            .rank(&table, source, plan.shape, &plan.fit)
    }

    fn head(
        &mut self,
        kinds: Kinds,
        found: &Found,
        attend: &mut Option<AttendSource<'_>>,
    ) -> Result<(HeadFile, HeadReport, Ranking)> {
        let plan = self.plan(kinds, found, attend);
        let ranking = self.rank(&plan, found, attend)?;
        let mut table = self.search.table(&plan.inputs, &found.at)?;
        let part = |of: &[usize]| -> Vec<usize> {
            let groups = table.groups.iter().enumerate();
            let mine = groups.filter(|(_, g)| of.binary_search(&g.question).is_ok());
            mine.map(|(number, _)| number).collect()
        };
        let parts = &self.parts;
        let [train, stopping, validation] =
            [&parts.fitted, &parts.stopping, &parts.measured].map(|of| part(of));
        let scaled = scaling::of_groups(&table, &train);
        scaling::apply(&mut table, &scaled.0, &scaled.1);
        let mut examples = Examples {
            table: &table,
            attend: attend.as_mut().filter(|_| plan.attend),
        };
        let fitted = fit(&mut examples, &train, &stopping, plan.shape, &plan.fit)?;
        let logits = score(&fitted.network, &mut examples, &validation)?;
        let name = if kinds == self.options.kinds {
            self.options.name.clone()
        } else {
            kinds.name()
        };
        let (measured, calibration) = self.measured(&name, &table, &validation, &logits)?;
        let ranked = within(&table, &validation, &logits);
        let at = |at: usize| {
            let here = validation.iter().zip(&ranked);
            let here = here.filter(|(g, _)| table.groups[**g].at_tokens == at);
            mean(here.filter_map(|(_, r)| *r))
        };
        let report = HeadReport {
            name: name.clone(),
            kinds,
            inputs: plan.shape.inputs(),
            hidden: plan.fit.hidden,
            step: fitted.step,
            cross_validated: ranking.auroc(),
            measured: measured.clone(),
            by_check_point: found.at.iter().map(|&a| (a, at(a))).collect(),
            head_above_this: None,
            file_bytes: None,
        };
        let header = self.header(name, found, &plan, attend, measured, calibration);
        Ok((file(header, plan, &fitted, scaled)?, report, ranking))
    }

    /// Calibrates and measures the head `name` by its logits of the groups `validation`.
    ///
    /// # Errors
    /// [`Error::Fit`] where a measure is no number.
    fn measured(
        &self,
        name: &str,
        table: &Table,
        validation: &[usize],
        logits: &[f64],
    ) -> Result<(Measured, Option<Calibration>)> {
        let rows = validation
            .iter()
            .flat_map(|&g| table.groups[g].rows.clone());
        let right: Vec<bool> = rows.map(|row| table.right[row]).collect();
        let calibration = platt(logits, &right);
        let probabilities: Option<Vec<f64>> =
            calibration.map(|c| logits.iter().map(|&z| calibrated(z, c)).collect());
        let probabilities = probabilities.as_ref();
        let ranked = within(table, validation, logits);
        let measured = Measured {
            auroc_within_question: mean(ranked.into_iter().flatten()),
            auroc: auroc(logits, &right).unwrap_or(f64::NAN),
            brier: probabilities.map(|p| brier(p, &right)),
            ece: probabilities.map(|p| expected_calibration_error(p, &right)),
            questions: self.parts.measured.len(),
            part: MEASURED_PART.into(),
        };
        let m = &measured;
        let all = [Some(m.auroc_within_question), Some(m.auroc), m.brier, m.ece];
        let logits = logits.iter().copied();
        if let Some(wrong) = all
            .into_iter()
            .flatten()
            .chain(logits)
            .find(|x| !x.is_finite())
        {
            return Err(Error::Fit {
                what: format!("measuring the head {name:?}"),
                expected: "logits and measures that are numbers".into(),
                got: wrong.to_string(),
            });
        }
        Ok((measured, calibration))
    }

    fn header(
        &self,
        name: String,
        found: &Found,
        plan: &Plan,
        attend: &Option<AttendSource<'_>>,
        measured: Measured,
        calibration: Option<Calibration>,
    ) -> HeadHeader {
        let settings = &self.data.settings;
        let pooling = match attend {
            Some(source) if plan.attend => Pooling::Attend {
                queries: QUERIES,
                window: source.windows.window,
                rotary: source.rotary,
            },
            _ => Pooling::Mean {
                spans: self.columns.spans.iter().map(|&s| SPANS[s]).collect(),
            },
        };
        HeadHeader {
            version: VERSION,
            name,
            package: PackageRef {
                name: settings.package.clone(),
                fingerprint: settings.package_fingerprint.clone(),
            },
            check_at_tokens: found.at.clone(),
            kv: plan.kinds.kv.then(|| KvInputs {
                layers: found.layers.clone(),
                kv_heads: self.columns.kv_heads,
                head_dim: self.columns.head_dim,
                pooling,
            }),
            logprob: (!plan.inputs.logprob.is_empty()).then(|| LogprobInputs {
                statistics: plan.inputs.logprob.clone(),
            }),
            text: plan.inputs.text.as_ref().map(|t| TextInputs {
                prefix_ngrams: t.prefix.len(),
                prompt_ngrams: t.prompt.len(),
            }),
            hidden: plan.fit.hidden,
            sampling: settings.sampling.into(),
            workload: WorkloadRef {
                name: settings.workload.clone(),
                digest: settings.workload_digest.clone(),
            },
            calibration,
            measured,
        }
    }
}

/// A fitted network as a file: what attention pools comes first among the inputs, as in the runtime.
fn file(
    header: HeadHeader,
    plan: Plan,
    fitted: &Fitted,
    (dense_shift, dense_scale): (Vec<f32>, Vec<f32>),
) -> Result<HeadFile> {
    let (mut shift, mut scale) = fitted.network.pooled_scaling()?;
    shift.extend(dense_shift);
    scale.extend(dense_scale);
    let mut weights = fitted.network.weights()?.0.into_iter();
    let mut next = || weights.next().unwrap_or_default();
    let queries = if plan.attend { next() } else { Vec::new() };
    let hidden = if plan.fit.hidden > 0 {
        (next(), next())
    } else {
        Default::default()
    };
    let vocabulary = plan.inputs.text.unwrap_or_default();
    Ok(HeadFile {
        header,
        queries,
        prefix_ngrams: vocabulary.prefix,
        prompt_ngrams: vocabulary.prompt,
        shift,
        scale,
        hidden,
        output: (next(), next()),
    })
}
