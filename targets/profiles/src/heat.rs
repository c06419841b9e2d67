//! How hot a machine is, and what its profile does about it.

use std::path::Path;

use crate::{Profile, Rule, read};

/// The hottest zone.
#[derive(Debug, Clone, PartialEq)]
pub struct Heat {
    /// Its kind, as the system names it.
    pub zone: String,
    /// Its temperature in °C.
    pub celsius: f64,
    /// Whether a zone has passed a trip point at which the system slows it down.
    pub passive: bool,
}

/// What heat takes away.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Paths that may be launched.
    pub paths: usize,
    /// The deadline, where that holds too, in milliseconds.
    pub deadline_ms: Option<u64>,
    /// Why, in a sentence.
    pub why: String,
}

/// Most zones, and trip points of one, that are looked at.
const MOST: usize = 64;

/// The hottest thermal zone below `root` (Linux, `Documentation/driver-api/thermal`); `None` where none says anything.
pub fn read_heat(root: &Path) -> Option<Heat> {
    let mut hottest: Option<Heat> = None;
    let mut passive = false;
    for zone in 0..MOST {
        let dir = format!("sys/class/thermal/thermal_zone{zone}");
        let text = |file: &str| Some(read(root, &format!("{dir}/{file}"))?.trim().to_owned());
        let celsius = |file: &str| Some(text(file)?.parse::<i64>().ok()? as f64 / 1e3);
        // A zone whose sensor sleeps gives an error, or absolute zero.
        let Some(now) = celsius("temp").filter(|now| (-100.0..300.0).contains(now)) else {
            continue;
        };
        passive |= (0..MOST).any(|trip| {
            text(&format!("trip_point_{trip}_type")).as_deref() == Some("passive")
                && celsius(&format!("trip_point_{trip}_temp"))
                    .is_some_and(|at| at > 0.0 && now >= at)
        });
        if hottest.as_ref().is_none_or(|hot| now > hot.celsius) {
            hottest = Some(Heat {
                zone: text("type").unwrap_or_else(|| format!("zone {zone}")),
                celsius: now,
                passive: false,
            });
        }
    }
    hottest.map(|hot| Heat { passive, ..hot })
}

impl Profile {
    /// What `heat` takes away of this profile: first paths, then time.
    pub fn limits(&self, heat: &Heat) -> Option<Limits> {
        let Rule {
            limit_celsius,
            paths,
            deadline_celsius,
            deadline_ms,
        } = self.heat.as_ref()?.value;
        let hot = heat.celsius >= limit_celsius;
        if !hot && !heat.passive {
            return None;
        }
        let late = heat.celsius >= deadline_celsius;
        let because = match hot {
            true => format!("the limit of profile {} is {limit_celsius} °C", self.name),
            false => "the system has begun to slow it down".into(),
        };
        let deadline = match late {
            true => format!(" and {deadline_ms} ms"),
            false => String::new(),
        };
        Some(Limits {
            paths,
            deadline_ms: late.then_some(deadline_ms),
            why: format!(
                "{} is at {:.1} °C and {because}: at most {paths} paths{deadline}",
                heat.zone, heat.celsius
            ),
        })
    }
}
