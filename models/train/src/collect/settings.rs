//! The settings that options ask for: written to a new folder, or compared with those of one that was begun.

use std::io::Write;
use std::path::{Path, PathBuf};

use curt::{Engine, Format, SamplingDefaults};
use curt_workload::{Part, Workload};

use super::CollectOptions;
use crate::dataset::{HELD_OUT_PART, PATHS_FILE, Places, SETTINGS_FILE, Settings, TRAIN_PART};
use crate::error::{Error, Result};

impl Settings {
    /// The settings of `options` for `workload` and the package of `engine`. Reads every weight, for the fingerprint.
    ///
    /// # Errors
    /// [`Error::Option`] for options outside their range, or sampling that neither prompt nor package state.
    pub(super) fn of(
        engine: &Engine,
        workload: &Workload,
        options: &CollectOptions,
    ) -> Result<Self> {
        let package = engine.package();
        if options.paths < 2 {
            return Err(Error::option(
                "paths",
                "at least 2, since a head learns to tell paths of one question apart",
                options.paths,
            ));
        }
        let prefixes = &options.prefix_tokens;
        if prefixes.first() == Some(&0) || prefixes.windows(2).any(|w| w[0] >= w[1]) {
            return Err(Error::option(
                "prefix",
                "lengths from 1 token up, ascending",
                format!("{prefixes:?}"),
            ));
        }
        if prefixes.is_empty() != (options.rollouts == 0) {
            return Err(Error::option(
                "rollouts",
                "a number of continuations where `prefix` is given, and none without it",
                options.rollouts,
            ));
        }
        let formats = package.formats().is_some();
        if formats && options.rollouts > 0 {
            return Err(Error::option(
                "rollouts",
                "0 for a package whose responses have formats: a prefix of the reasoning is not asked on its own",
                options.rollouts,
            ));
        }
        let stated = workload.prompt().sampling.or(package.sampling());
        let needed = |field: &str| {
            Error::option(
                "workload",
                format!("a prompt that states [prompt.sampling] {field}"),
                "none, in the workload or the package",
            )
        };
        let neutral = curt::generate::Sampling::default();
        Ok(Self {
            package: file_name(package.dir()),
            package_fingerprint: package.fingerprint()?,
            workload: workload.name().into(),
            workload_digest: workload.digest().into(),
            part: match options.part {
                Part::Train => TRAIN_PART,
                Part::HeldOut => HELD_OUT_PART,
            }
            .into(),
            paths: options.paths,
            seed: options.seed,
            prefix_tokens: prefixes.clone(),
            rollouts: options.rollouts,
            onnxruntime: Some(curt::session::library_info()?.version),
            attention: {
                let attention = engine.attention();
                attention.shared.then(|| attention.name().into())
            },
            format: formats.then_some(Format::Full),
            sampling: SamplingDefaults {
                temperature: Some(stated.temperature.ok_or_else(|| needed("temperature"))?),
                top_k: Some(stated.top_k.unwrap_or(neutral.top_k as u32)),
                top_p: Some(stated.top_p.unwrap_or(neutral.top_p)),
                min_p: Some(stated.min_p.unwrap_or(neutral.min_p)),
                repetition_penalty: Some(
                    stated
                        .repetition_penalty
                        .unwrap_or(neutral.repetition_penalty),
                ),
                no_repeat_ngram_size: stated.no_repeat_ngram_size,
                min_length: stated.min_length,
                max_tokens: Some(stated.max_tokens.ok_or_else(|| needed("max_tokens"))?),
            },
            places: Some(Places {
                package: whole(package.dir()),
                workload: whole(&options.workload_dir),
            }),
        })
    }

    /// Writes the settings to a new folder, or compares them with those of one that was begun.
    ///
    /// # Errors
    /// [`Error::Settings`] where they differ; [`Error::Data`] for paths without the settings they were collected with.
    pub(super) fn keep_or_compare(&self, dir: &Path) -> Result<()> {
        let file = dir.join(SETTINGS_FILE);
        if file.exists() {
            return Self::read(dir)?.compare(self, &file);
        }
        let paths = dir.join(PATHS_FILE);
        if std::fs::metadata(&paths).is_ok_and(|m| m.len() > 0) {
            let expected = format!(
                "{SETTINGS_FILE} beside it, which says how its paths were collected: put it back, or name another `out`"
            );
            return Err(Error::data(&paths, "settings", expected, "none"));
        }
        let text = toml::to_string(self)
            .map_err(|e| Error::data(&file, "TOML", "settings that TOML can hold", e))?;
        // Renamed into place: a file that is there is whole.
        let new = dir.join(format!("{SETTINGS_FILE}.new"));
        let write = || {
            let mut handle = std::fs::File::create(&new)?;
            handle.write_all(text.as_bytes())?;
            handle.sync_all()?;
            std::fs::rename(&new, &file)
        };
        write().map_err(Error::io(&file, "the settings cannot be written"))
    }

    fn compare(&self, asked: &Self, file: &Path) -> Result<()> {
        let (recorded, asked) = (self.fields(file)?, asked.fields(file)?);
        let differing: Vec<&String> = recorded
            .keys()
            .filter(|&key| recorded.get(key) != asked.get(key))
            .collect();
        if differing.is_empty() {
            return Ok(());
        }
        let values = |table: &toml::Table| {
            let all = differing.iter().map(|&key| table.get(key));
            let all: Vec<String> = all.flatten().map(ToString::to_string).collect();
            all.join(", ")
        };
        let names: Vec<&str> = differing.iter().map(|key| key.as_str()).collect();
        Err(Error::Settings {
            file: file.into(),
            field: names.join(", "),
            recorded: values(&recorded),
            asked: values(&asked),
        })
    }

    /// Every setting by name, the nested ones as `sampling.temperature`.
    fn fields(&self, file: &Path) -> Result<toml::Table> {
        let compared = Self {
            places: None,
            ..self.clone()
        };
        let table = toml::Table::try_from(compared)
            .map_err(|e| Error::data(file, "TOML", "settings that TOML can hold", e))?;
        let mut flat = toml::Table::new();
        for (key, value) in table {
            match value {
                toml::Value::Table(inner) => {
                    flat.extend(inner.into_iter().map(|(k, v)| (format!("{key}.{k}"), v)));
                }
                value => {
                    flat.insert(key, value);
                }
            }
        }
        Ok(flat)
    }
}

fn whole(dir: &Path) -> PathBuf {
    dir.canonicalize().unwrap_or_else(|_| dir.into())
}

fn file_name(dir: &Path) -> String {
    // `.` and `..` have no name of their own.
    whole(dir)
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}
