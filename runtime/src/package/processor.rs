//! How an image becomes a tensor: what Hugging Face's `preprocessor_config.json` and `processor_config.json` say.
//!
//! What a file leaves out is what the class that it names takes there. The arithmetic is that of transformers' own
//! processors on Pillow (`image_processing_pil_*.py`); its torchvision ones resample with another filter in places.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::files;

/// Most pixels of an edge that a processor may ask for: transformers cuts Idefics3 pictures to 4096.
const MOST_EDGE: usize = 8192;

/// A filter by which a picture is made larger or smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Filter {
    /// A window of three lobes of the sinc function.
    Lanczos,
    /// A triangle.
    Bilinear,
    /// A cubic with a = −0.5.
    Bicubic,
    /// The mean of what falls on a pixel.
    Box,
    /// A Hamming window of one lobe of the sinc function.
    Hamming,
}

/// The size to which a picture is brought first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Resize {
    /// Height and width, whatever its shape.
    To {
        /// Pixels.
        height: usize,
        /// Pixels.
        width: usize,
    },
    /// Its shorter edge, in its own shape.
    Shortest(usize),
    /// Its longer edge, in its own shape, the other one made even.
    Longest(usize),
}

/// How a picture of that size becomes tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tiling {
    /// One tile: it is the picture, or what is cut out of its middle.
    One {
        /// Height and width of what is cut out.
        crop: Option<[usize; 2]>,
    },
    /// One square tile of so many pixels an edge.
    Square(usize),
    /// Squares of so many pixels an edge, row by row, and the whole picture in one more. A picture that fits in one square
    /// is that one.
    Split(usize),
}

/// How a package's images become tensors, and what stands for them in a prompt.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageProcessor {
    /// The size that a picture is brought to first.
    pub resize: Option<Resize>,
    /// By which filter.
    pub filter: Filter,
    /// How it is cut.
    pub tiling: Tiling,
    /// What a level from 0 to 255 is multiplied by.
    pub rescale: Option<f64>,
    /// Mean and standard deviation of each colour, which are then taken away and divided by.
    pub normalize: Option<[[f64; 3]; 2]>,
    /// What stands in a prompt for an image.
    pub wording: Wording,
}

/// What stands in a prompt for an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wording {
    /// The image token once for each image feature.
    Plain,
    /// As Idefics3 has it: each tile by its row and column, then the whole, with so many image tokens each.
    Tiles {
        /// Image tokens of a tile.
        tokens: usize,
    },
}

/// Classes of processors, by what they leave out of their files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Idefics3,
    Siglip,
    Clip,
}

impl Class {
    const KNOWN: &str =
        "Idefics3ImageProcessor, SmolVLMImageProcessor, SiglipImageProcessor or CLIPImageProcessor";

    fn named(name: &str) -> Option<Self> {
        let name = name.trim_end_matches("Pil").trim_end_matches("Fast");
        Some(match name {
            "Idefics3ImageProcessor" | "SmolVLMImageProcessor" => Class::Idefics3,
            "SiglipImageProcessor" => Class::Siglip,
            "CLIPImageProcessor" | "CLIPFeatureExtractor" => Class::Clip,
            _ => return None,
        })
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Fields {
    do_resize: Option<bool>,
    size: Option<Size>,
    resample: Option<u32>,
    do_center_crop: Option<bool>,
    crop_size: Option<Size>,
    do_rescale: Option<bool>,
    rescale_factor: Option<f64>,
    do_normalize: Option<bool>,
    image_mean: Option<Vec<f64>>,
    image_std: Option<Vec<f64>>,
    do_image_splitting: Option<bool>,
    max_image_size: Option<Size>,
}

/// A size as any of the classes writes it.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(untagged)]
enum Size {
    Edge(usize),
    Named {
        #[serde(default)]
        height: Option<usize>,
        #[serde(default)]
        width: Option<usize>,
        #[serde(default)]
        shortest_edge: Option<usize>,
        #[serde(default)]
        longest_edge: Option<usize>,
    },
}

/// A processor's files, read.
#[derive(Debug)]
pub(super) enum Read {
    /// What they say.
    Known(ImageProcessor),
    /// A class that is not known, by its name.
    Unknown(String),
}

/// Reads the processor in `files`. `None` where they hold none of Hugging Face's form.
///
/// # Errors
/// [`Error::Io`] or [`Error::Package`] where a file cannot be read, is no JSON, or says what no processor can do.
pub(super) fn read(files: &[PathBuf]) -> Result<Option<Read>> {
    let mut of_image: Option<(&Path, Map<String, Value>)> = None;
    let mut tokens = None;
    for file in files {
        let action = "the package's processor cannot be read";
        let text = files::read_text(file, files::WRITTEN_BYTES, action)?;
        let mut all: Map<String, Value> = serde_json::from_str(&text)
            .map_err(|e| Error::package(file, "JSON", "an image processor", e))?;
        if let Some(n) = all.get("image_seq_len").or(all.get("image_seq_length")) {
            let n = n.as_u64().and_then(|n| usize::try_from(n).ok());
            tokens = tokens.or(n);
        }
        // Newer files hold the image's part under a name of its own.
        let own = match all.remove("image_processor") {
            Some(Value::Object(own)) => Some(own),
            _ if all.contains_key("image_processor_type") => Some(all),
            // Files of a CLIP model from before classes were named.
            _ if all.contains_key("feature_extractor_type") => Some(all),
            _ => None,
        };
        if let (None, Some(own)) = (&of_image, own) {
            of_image = Some((file, own));
        }
    }
    let Some((file, fields)) = of_image else {
        return Ok(None);
    };
    let name = ["image_processor_type", "feature_extractor_type"];
    let name = name.iter().find_map(|key| fields.get(*key)?.as_str());
    let name = name.unwrap_or("none").to_string();
    let Some(class) = Class::named(&name) else {
        return Ok(Some(Read::Unknown(name)));
    };
    let fields: Fields = serde_json::from_value(Value::Object(fields))
        .map_err(|e| Error::package(file, "JSON", "the fields of an image processor", e))?;
    Ok(Some(Read::Known(
        Parts { file, class }.join(fields, tokens)?,
    )))
}

impl Read {
    /// Why images cannot be asked about, where the class is not known.
    pub(super) fn refusal(name: &str) -> String {
        format!(
            "images cannot be asked about: expected {} as the image processor, got {name:?}",
            Class::KNOWN
        )
    }
}

struct Parts<'a> {
    file: &'a Path,
    class: Class,
}

impl Parts<'_> {
    fn join(&self, fields: Fields, tokens: Option<usize>) -> Result<ImageProcessor> {
        let default_filter = match self.class {
            Class::Idefics3 => 1,
            Class::Siglip | Class::Clip => 3,
        };
        let filter = match fields.resample.unwrap_or(default_filter) {
            1 => Filter::Lanczos,
            2 => Filter::Bilinear,
            3 => Filter::Bicubic,
            4 => Filter::Box,
            5 => Filter::Hamming,
            other => {
                let expected = "1 to 5: Lanczos, bilinear, bicubic, box, Hamming";
                return Err(self.refused("resample", expected, other));
            }
        };
        let resize = match fields.do_resize.unwrap_or(true) {
            true => Some(self.resize(fields.size)?),
            false => None,
        };
        let normalize = match fields.do_normalize.unwrap_or(true) {
            true => Some(self.normalize(&fields)?),
            false => None,
        };
        let rescale = match fields.do_rescale.unwrap_or(true) {
            true => Some(self.finite(
                "rescale_factor",
                fields.rescale_factor.unwrap_or(1.0 / 255.0),
            )?),
            false => None,
        };
        Ok(ImageProcessor {
            resize,
            filter,
            tiling: self.tiling(&fields)?,
            rescale,
            normalize,
            wording: match self.class {
                // The processor's own default.
                Class::Idefics3 => Wording::Tiles {
                    tokens: tokens.unwrap_or(169),
                },
                Class::Siglip | Class::Clip => Wording::Plain,
            },
        })
    }

    fn resize(&self, size: Option<Size>) -> Result<Resize> {
        let size = size.unwrap_or(match self.class {
            Class::Idefics3 => longest(4 * 364),
            Class::Siglip => square(224),
            Class::Clip => Size::Edge(224),
        });
        let resize = match size {
            Size::Edge(edge) => Resize::Shortest(edge),
            Size::Named {
                longest_edge: Some(edge),
                ..
            } if self.class == Class::Idefics3 => Resize::Longest(edge),
            Size::Named {
                shortest_edge: Some(edge),
                longest_edge: None,
                ..
            } if self.class != Class::Idefics3 => Resize::Shortest(edge),
            Size::Named {
                height: Some(height),
                width: Some(width),
                ..
            } => Resize::To { height, width },
            other => {
                let expected = match self.class {
                    Class::Idefics3 => "a longest_edge, or height and width",
                    Class::Siglip | Class::Clip => "a shortest_edge alone, or height and width",
                };
                return Err(self.refused("size", expected, format!("{other:?}")));
            }
        };
        match resize {
            Resize::To { height, width } => {
                self.edge("size", height)?;
                self.edge("size", width)?;
            }
            Resize::Shortest(edge) | Resize::Longest(edge) => self.edge("size", edge)?,
        }
        Ok(resize)
    }

    fn tiling(&self, fields: &Fields) -> Result<Tiling> {
        if self.class == Class::Idefics3 {
            let edge = match fields.max_image_size.unwrap_or(longest(364)) {
                Size::Edge(edge) => edge,
                Size::Named {
                    longest_edge: Some(edge),
                    ..
                } => edge,
                other => {
                    let got = format!("{other:?}");
                    return Err(self.refused("max_image_size", "a longest_edge", got));
                }
            };
            self.edge("max_image_size", edge)?;
            return Ok(match fields.do_image_splitting.unwrap_or(true) {
                true => Tiling::Split(edge),
                false => Tiling::Square(edge),
            });
        }
        if !fields.do_center_crop.unwrap_or(self.class == Class::Clip) {
            return Ok(Tiling::One { crop: None });
        }
        let crop = match fields.crop_size.unwrap_or(square(224)) {
            Size::Edge(edge) => [edge, edge],
            Size::Named {
                height: Some(height),
                width: Some(width),
                ..
            } => [height, width],
            other => {
                return Err(self.refused("crop_size", "height and width", format!("{other:?}")));
            }
        };
        for edge in crop {
            self.edge("crop_size", edge)?;
        }
        Ok(Tiling::One { crop: Some(crop) })
    }

    fn normalize(&self, fields: &Fields) -> Result<[[f64; 3]; 2]> {
        let (mean, std) = match self.class {
            Class::Idefics3 | Class::Siglip => ([0.5; 3], [0.5; 3]),
            Class::Clip => (
                [0.481_454_66, 0.457_827_5, 0.408_210_73],
                [0.268_629_54, 0.261_302_58, 0.275_777_11],
            ),
        };
        let three = |field, given: &Option<Vec<f64>>, default: [f64; 3]| match given {
            None => Ok(default),
            Some(given) => <[f64; 3]>::try_from(given.as_slice())
                .map_err(|_| self.refused(field, "3 numbers, one a colour", given.len())),
        };
        let mean = three("image_mean", &fields.image_mean, mean)?;
        let std = three("image_std", &fields.image_std, std)?;
        for number in mean {
            self.finite("image_mean", number)?;
        }
        for number in std {
            if !(number.is_finite() && number as f32 != 0.0) {
                return Err(self.refused("image_std", "numbers other than 0", number));
            }
        }
        Ok([mean, std])
    }

    fn edge(&self, field: &str, edge: usize) -> Result<()> {
        if (1..=MOST_EDGE).contains(&edge) {
            return Ok(());
        }
        Err(self.refused(field, format!("1 to {MOST_EDGE} pixels"), edge))
    }

    fn finite(&self, field: &str, number: f64) -> Result<f64> {
        if number.is_finite() {
            return Ok(number);
        }
        Err(self.refused(field, "a finite number", number))
    }

    fn refused(&self, field: &str, expected: impl ToString, got: impl ToString) -> Error {
        Error::package(self.file, field, expected, got)
    }
}

fn longest(edge: usize) -> Size {
    Size::Named {
        height: None,
        width: None,
        shortest_edge: None,
        longest_edge: Some(edge),
    }
}

fn square(edge: usize) -> Size {
    Size::Named {
        height: Some(edge),
        width: Some(edge),
        shortest_edge: None,
        longest_edge: None,
    }
}
