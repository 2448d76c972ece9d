//! A picture as pixels: the SVG, drawn with a font that the program brings along, so that the
//! file is the same on every machine.

use std::sync::{Arc, OnceLock};

use anyhow::{Context, Result};
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree, fontdb};

use super::sketch::FONT;

/// Pixels for each of the SVG's: sharp on screens with small ones, and in print.
const SCALE: f32 = 2.0;

fn fonts() -> Arc<fontdb::Database> {
    static FONTS: OnceLock<Arc<fontdb::Database>> = OnceLock::new();
    let load = || {
        let mut fonts = fontdb::Database::new();
        fonts.load_font_data(epaint_default_fonts::UBUNTU_LIGHT.to_vec());
        let face = fonts.faces().next();
        if let Some((family, _)) = face.and_then(|face| face.families.first().cloned()) {
            fonts.set_sans_serif_family(family);
        }
        Arc::new(fonts)
    };
    FONTS.get_or_init(load).clone()
}

/// The PNG file of an SVG file.
///
/// # Errors
///
/// If the SVG is not well formed.
pub(crate) fn png(svg: &str) -> Result<Vec<u8>> {
    let options = Options {
        fontdb: fonts(),
        font_family: FONT.to_owned(),
        ..Options::default()
    };
    let tree = Tree::from_str(svg, &options).context("cannot draw the picture as PNG")?;
    let size = tree.size().to_int_size();
    let side = |pixels: u32| (pixels as f32 * SCALE) as u32;
    let mut pixels = Pixmap::new(side(size.width()), side(size.height()))
        .context("the picture is too large for a PNG")?;
    resvg::render(
        &tree,
        Transform::from_scale(SCALE, SCALE),
        &mut pixels.as_mut(),
    );
    pixels.encode_png().context("cannot write the PNG")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pixels(svg: &str) -> Pixmap {
        Pixmap::decode_png(&png(svg).expect("well formed")).expect("a PNG")
    }

    #[test]
    fn writing_is_drawn_without_any_font_of_the_machine() {
        let svg = |text: &str| {
            format!(
                "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"200\" height=\"40\">\
                 <text x=\"5\" y=\"30\" font-family=\"{FONT}\" font-size=\"20\">{text}</text></svg>"
            )
        };
        let inked = |text: &str| {
            let pixels = pixels(&svg(text));
            assert_eq!((pixels.width(), pixels.height()), (400, 80));
            pixels
                .pixels()
                .iter()
                .filter(|pixel| pixel.alpha() > 128)
                .count()
        };
        assert_eq!(inked(""), 0);
        let (one, more) = (inked("µ"), inked("µs 10"));
        assert!(one > 50 && more > 2 * one, "{one}, {more}");
    }

    #[test]
    fn what_is_no_svg_is_an_error() {
        assert!(png("<svg").is_err());
    }
}
