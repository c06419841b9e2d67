//! Accuracy against tokens, with intervals.

use super::class_of;
use super::svg::{Drawing, Scale};
use super::table::number;
use crate::summary::{ArmSummary, Summary};

const WIDTH: f64 = 520.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 46.0;
const RIGHT: f64 = 506.0;
const TOP: f64 = 22.0;
const BOTTOM: f64 = 352.0;
/// Width of a letter and height of a line of a label.
const LETTER: f64 = 7.0;
const LINE: f64 = 15.0;

struct Point<'a> {
    arm: &'a ArmSummary,
    x: f64,
    y: f64,
}

/// The plot of accuracy against tokens as an SVG file of its own; nothing where no arm has both.
pub fn plot(summary: &Summary) -> Option<String> {
    scatter(summary).map(Drawing::alone)
}

/// Draws it; nothing where no arm has both figures.
pub(super) fn scatter(summary: &Summary) -> Option<Drawing> {
    let known = |arm: &&ArmSummary| arm.accuracy.is_some() && arm.tokens.is_some();
    let arms: Vec<&ArmSummary> = summary.arms.iter().filter(known).collect();
    if arms.is_empty() {
        return None;
    }
    let tokens = |arm: &ArmSummary| arm.tokens.as_ref().map_or(0.0, |t| t.generated);
    let accuracy = |arm: &ArmSummary| arm.accuracy.as_ref().map_or(0.0, |a| a.mean);
    let ends = |arm: &ArmSummary| {
        let interval = arm.accuracy.as_ref().and_then(|a| a.interval);
        interval.map_or((accuracy(arm), accuracy(arm)), |i| (i.low, i.high))
    };
    let low = arms.iter().map(|arm| ends(arm).0).fold(1.0, f64::min);
    let high = arms.iter().map(|arm| ends(arm).1).fold(0.0, f64::max);
    let most = arms.iter().map(|arm| tokens(arm)).fold(0.0, f64::max);
    let xs = Scale::new((0.0, most * 1.08), (LEFT, RIGHT));
    let ys = Scale::new(
        ((low - 0.03).max(0.0), (high + 0.03).min(1.0)),
        (BOTTOM, TOP),
    );

    let mut drawing = Drawing::new(
        WIDTH,
        HEIGHT,
        "Accuracy of each arm against the tokens it generates for a question",
    );
    for tick in ys.ticks(5) {
        drawing.line("grid", (LEFT, ys.at(tick)), (RIGHT, ys.at(tick)));
        drawing.text(
            "tick",
            (LEFT - 7.0, ys.at(tick) + 4.0),
            "end",
            &format!("{:.0}", 100.0 * tick),
        );
    }
    for tick in xs.ticks(5) {
        drawing.line("grid", (xs.at(tick), BOTTOM), (xs.at(tick), BOTTOM + 5.0));
        drawing.text(
            "tick",
            (xs.at(tick), BOTTOM + 19.0),
            "middle",
            &format!("{tick:.0}"),
        );
    }
    drawing.text(
        "axis",
        (LEFT - 38.0, TOP - 8.0),
        "start",
        "right answers, %",
    );
    drawing.text(
        "axis",
        (RIGHT, HEIGHT - 8.0),
        "end",
        "tokens generated for a question",
    );
    if let Some(baseline) = summary
        .arm(&summary.run.baseline)
        .and_then(|arm| arm.accuracy.as_ref())
    {
        drawing.line(
            "base",
            (LEFT, ys.at(baseline.mean)),
            (RIGHT, ys.at(baseline.mean)),
        );
    }
    let points = spread(
        arms.iter()
            .map(|arm| Point {
                arm,
                x: xs.at(tokens(arm)),
                y: ys.at(accuracy(arm)),
            })
            .collect(),
    );
    for point in &points {
        let class = class_of(summary, &point.arm.name);
        let (low, high) = ends(point.arm);
        drawing.line(
            &format!("whisker {class}"),
            (point.x, ys.at(low)),
            (point.x, ys.at(high)),
        );
    }
    let places = labels(&points);
    for (point, place) in points.iter().zip(places) {
        let class = class_of(summary, &point.arm.name);
        let title = format!(
            "{}: {:.1} % right, {} tokens",
            point.arm.name,
            100.0 * accuracy(point.arm),
            number(tokens(point.arm))
        );
        if (place.1 - point.y).abs() > LINE * 0.8 {
            drawing.line("leader", (point.x, point.y), (place.0 - 3.0, place.1));
        }
        drawing.dot(
            &format!("dot {class}"),
            (point.x, point.y),
            if class == "other" { 4.5 } else { 6.0 },
            &title,
        );
        drawing.text(
            &format!("label {class}"),
            (place.0, place.1 + 4.0),
            "start",
            &point.arm.name,
        );
    }
    Some(drawing)
}

/// Points that would hide each other a little apart, each no further from its place than its own size: what is read off
/// the axis stays true.
fn spread(mut points: Vec<Point<'_>>) -> Vec<Point<'_>> {
    const CLOSE: f64 = 8.0;
    const APART: f64 = 4.0;
    points.sort_by(|a, b| a.y.total_cmp(&b.y));
    for index in 1..points.len() {
        let (before, after) = points.split_at_mut(index);
        let (above, point) = (&before[index - 1], &mut after[0]);
        if (point.x - above.x).abs() < APART && (point.y - above.y).abs() < CLOSE {
            point.x += if index % 2 == 0 { APART } else { -APART };
        }
    }
    points
}

/// Where each label begins: beside its point, or as near as there is room.
fn labels(points: &[Point<'_>]) -> Vec<(f64, f64)> {
    let mut taken: Vec<(f64, f64, f64)> = Vec::new();
    points
        .iter()
        .map(|point| {
            let width = LETTER * point.arm.name.chars().count() as f64;
            let free = |x: f64, y: f64| {
                let inside =
                    x >= LEFT && x + width <= RIGHT + 8.0 && (TOP..=BOTTOM - 6.0).contains(&y);
                let clear = taken.iter().all(|&(from, to, line)| {
                    x > to || x + width < from || (y - line).abs() >= LINE
                });
                let off_points = points
                    .iter()
                    .all(|p| !(x - 5.0..=x + width).contains(&p.x) || (p.y - y).abs() > 9.0);
                inside && clear && off_points
            };
            let steps = (0..24).flat_map(|i| [f64::from(i) * 6.0, f64::from(i) * -6.0]);
            let place = steps
                .flat_map(|dy| {
                    [
                        (point.x + 11.0, point.y + dy),
                        (point.x - 11.0 - width, point.y + dy),
                    ]
                })
                .find(|&(x, y)| free(x, y))
                .unwrap_or((point.x + 11.0, point.y));
            taken.push((place.0, place.0 + width, place.1));
            place
        })
        .collect()
}
