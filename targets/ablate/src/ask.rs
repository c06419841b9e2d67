//! From an item to what the runtime is asked.

use curt::vision::{Image, ImageLimits, PixelOrder, decode};
use curt::{AskOptions, Question};
use curt_workload::Item;

use crate::arm::ImageShown;

/// The level of every colour of a blank image: the middle, which processors bring near 0.
const GREY: u8 = 127;

/// The question of `item`, its image shown as `shown` says.
///
/// # Errors
/// [`curt::Error`] where the image's size must be known and it cannot be read.
pub(crate) fn question(
    item: &Item,
    shown: ImageShown,
    options: &AskOptions,
) -> Result<Question, curt::Error> {
    let text = Question::Text(item.asked().into_owned());
    let Some(file) = item.image.as_ref().filter(|_| shown != ImageShown::None) else {
        return Ok(text);
    };
    let image = Image::File(file.clone());
    if shown == ImageShown::Whole {
        return Ok(text.about([image]));
    }
    let limits = ImageLimits {
        max_pixels: options.max_image_pixels,
    };
    let decoded = decode(&image, &limits)?;
    let blank = Image::Pixels {
        width: decoded.width,
        height: decoded.height,
        order: PixelOrder::Rgb,
        bytes: vec![GREY; decoded.rgb.len()].into(),
    };
    Ok(text.about([blank]))
}

/// Whether another item might fare better: all else is wrong with the run.
pub(crate) fn is_of_the_item(error: &curt::Error) -> bool {
    matches!(
        error,
        curt::Error::Context { .. }
            | curt::Error::Capacity { .. }
            | curt::Error::NonFiniteLogits { .. }
            | curt::Error::LongText { .. }
            | curt::Error::Tokenizer { .. }
            | curt::Error::Image { .. }
    )
}
