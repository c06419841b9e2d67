//! Drawing: a frame with axes, and text that is safe to put into a page.

/// Text as HTML and SVG take it.
pub(super) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            // What XML does not know, a page need not show.
            c if c.is_control() && c != '\n' && c != '\t' => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    safe
}

/// A drawing of `width` × `height` units, one of which is about a pixel.
pub(super) struct Drawing {
    width: f64,
    height: f64,
    label: String,
    body: String,
}

impl Drawing {
    /// `label` says to a screen reader what is drawn.
    pub(super) fn new(width: f64, height: f64, label: &str) -> Self {
        Self {
            width,
            height,
            label: escape(label),
            body: String::new(),
        }
    }

    /// Anything that SVG knows.
    pub(super) fn raw(&mut self, element: impl AsRef<str>) {
        self.body.push_str(element.as_ref());
        self.body.push('\n');
    }

    pub(super) fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        self.raw(format!(
            r#"<line class="{class}" x1="{:.1}" y1="{:.1}" x2="{:.1}" y2="{:.1}"/>"#,
            from.0, from.1, to.0, to.1
        ));
    }

    /// A bar; one too thin to be seen is drawn half a unit wide.
    pub(super) fn bar(&mut self, class: &str, at: (f64, f64), size: (f64, f64), title: &str) {
        self.raw(format!(
            r#"<rect class="{class}" x="{:.1}" y="{:.1}" width="{:.1}" height="{:.1}" rx="2"><title>{}</title></rect>"#,
            at.0,
            at.1,
            size.0.max(0.5),
            size.1,
            escape(title)
        ));
    }

    pub(super) fn dot(&mut self, class: &str, at: (f64, f64), radius: f64, title: &str) {
        self.raw(format!(
            r#"<circle class="{class}" cx="{:.1}" cy="{:.1}" r="{radius}"><title>{}</title></circle>"#,
            at.0,
            at.1,
            escape(title)
        ));
    }

    /// `anchor`: `start`, `middle` or `end`.
    pub(super) fn text(&mut self, class: &str, at: (f64, f64), anchor: &str, text: &str) {
        self.raw(format!(
            r#"<text class="{class}" x="{:.1}" y="{:.1}" text-anchor="{anchor}">{}</text>"#,
            at.0,
            at.1,
            escape(text)
        ));
    }

    /// For a page, which has the styles.
    pub(super) fn finish(self) -> String {
        self.written("", "")
    }

    /// For a file of its own, with the styles in it.
    pub(super) fn alone(self) -> String {
        const SPACE: &str = r#"xmlns="http://www.w3.org/2000/svg" "#;
        const INSIDE: &str = concat!(
            "<style>\n",
            include_str!("colors.css"),
            include_str!("drawing.css"),
            "</style>\n<rect width=\"100%\" height=\"100%\" fill=\"var(--card)\"/>\n"
        );
        self.written(SPACE, INSIDE) + "\n"
    }

    fn written(self, space: &str, inside: &str) -> String {
        let Self {
            width,
            height,
            label,
            body,
        } = self;
        let wide = 1.35 * width;
        format!(
            r#"<svg {space}viewBox="0 0 {width:.0} {height:.0}" role="img" aria-label="{label}" style="max-width:{wide:.0}px">{inside}{body}</svg>"#
        )
    }
}

/// A linear scale from values to units.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    from: (f64, f64),
    to: (f64, f64),
}

impl Scale {
    /// Values `from.0` to `from.1` lie at `to.0` to `to.1`. Values that are all one get a range around it.
    pub(super) fn new(from: (f64, f64), to: (f64, f64)) -> Self {
        let from = if from.1 > from.0 {
            from
        } else {
            (from.0 - 0.5, from.0 + 0.5)
        };
        Self { from, to }
    }

    pub(super) fn at(&self, value: f64) -> f64 {
        let share = (value - self.from.0) / (self.from.1 - self.from.0);
        self.to.0 + share * (self.to.1 - self.to.0)
    }

    /// About `count` round values in the range.
    pub(super) fn ticks(&self, count: usize) -> Vec<f64> {
        let rough = (self.from.1 - self.from.0) / count as f64;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 2.5, 5.0, 10.0]
            .into_iter()
            .map(|factor| factor * power)
            .find(|step| *step >= rough * 0.999)
            .unwrap_or(rough);
        let first = (self.from.0 / step).ceil() as i64;
        let last = (self.from.1 / step + 1e-9).floor() as i64;
        (first..=last).map(|i| i as f64 * step).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        let scale = Scale::new((0.0, 2937.0), (0.0, 1.0));
        assert_eq!(scale.ticks(4), [0.0, 1000.0, 2000.0]);
        let scale = Scale::new((0.41, 0.97), (0.0, 1.0));
        let ticks = scale.ticks(4);
        assert!(ticks.iter().all(|t| (0.41..=0.97).contains(t)), "{ticks:?}");
        assert!(ticks.len() >= 2);
        assert!(!Scale::new((3.0, 3.0), (0.0, 1.0)).ticks(4).is_empty());
    }

    #[test]
    fn a_text_cannot_leave_its_place() {
        assert_eq!(escape("<b>\"&\u{0}"), "&lt;b&gt;&quot;&amp;\u{fffd}");
    }
}
