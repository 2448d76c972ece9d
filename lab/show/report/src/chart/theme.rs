//! The greys of pictures, light and dark, and how much one colour stands out from another.

use plotters::style::RGBColor;

/// What is not a lock: background, writing, lines of the grid.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Theme {
    pub(crate) paper: RGBColor,
    pub(crate) ink: RGBColor,
    pub(crate) faint: RGBColor,
    pub(crate) grid: RGBColor,
}

/// As pictures are drawn.
pub(crate) const LIGHT: Theme = Theme {
    paper: RGBColor(0xff, 0xff, 0xff),
    ink: RGBColor(0x24, 0x29, 0x2f),
    faint: RGBColor(0x59, 0x63, 0x6e),
    grid: RGBColor(0xd8, 0xde, 0xe4),
};

/// What a style sheet puts in their place where the reader prefers dark.
pub(crate) const DARK: Theme = Theme {
    paper: RGBColor(0x0d, 0x11, 0x17),
    ink: RGBColor(0xd7, 0xdd, 0xe3),
    faint: RGBColor(0x9a, 0xa4, 0xaf),
    grid: RGBColor(0x2b, 0x32, 0x3b),
};

/// As SVG and CSS write it.
pub(crate) fn hex(colour: RGBColor) -> String {
    format!("#{:02X}{:02X}{:02X}", colour.0, colour.1, colour.2)
}

impl Theme {
    /// Pairs of what is drawn and what takes its place.
    fn pairs(self, other: Self) -> [(RGBColor, RGBColor); 4] {
        [
            (self.paper, other.paper),
            (self.ink, other.ink),
            (self.faint, other.faint),
            (self.grid, other.grid),
        ]
    }
}

/// The rules that turn the greys of elements under `scope` dark; those of locks fit both.
pub(crate) fn dark_rules(scope: &str) -> String {
    let rule = |(light, dark): (RGBColor, RGBColor)| {
        let (light, dark) = (hex(light), hex(dark));
        format!(
            "{scope} [fill=\"{light}\"]{{fill:{dark}}}{scope} [stroke=\"{light}\"]{{stroke:{dark}}}"
        )
    };
    LIGHT.pairs(DARK).map(rule).concat()
}

/// How much two colours stand out from each other, from 1 to 21 (WCAG 2.1, contrast ratio).
#[cfg(test)]
pub(crate) fn contrast(a: RGBColor, b: RGBColor) -> f64 {
    let luminance = |colour: RGBColor| {
        let linear = |part: u8| match f64::from(part) / 255.0 {
            small if small <= 0.040_45 => small / 12.92,
            part => ((part + 0.055) / 1.055).powf(2.4),
        };
        0.2126 * linear(colour.0) + 0.7152 * linear(colour.1) + 0.0722 * linear(colour.2)
    };
    let (a, b) = (luminance(a), luminance(b));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writing_can_be_read_on_its_paper() {
        assert!((contrast(LIGHT.paper, RGBColor(0, 0, 0)) - 21.0).abs() < 1e-9);
        for theme in [LIGHT, DARK] {
            for ink in [theme.ink, theme.faint] {
                assert!(contrast(ink, theme.paper) >= 4.5, "{theme:?}");
            }
        }
    }
}
