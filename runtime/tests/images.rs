//! Image files: what they decode to, and what is no image.

use std::fs;

use curt::vision::{Image, ImageLimits, decode};

use crate::support::{self, checkout};
use crate::vision::{file, picture};

/// Largest difference of a level between Pillow's decoders (libjpeg-turbo, libwebp) and those of the `image` crate, as this
/// test prints it: the inverse transforms, the smoothing of colours that are stored at half size and the way from their
/// model to red, green and blue round in each library's own order.
const OTHER_DECODER: [(&str, u8); 3] = [("photo.jpg", 3), ("cmyk.jpg", 3), ("lossy.webp", 3)];

#[test]
fn lossy_formats_differ_from_pillow_by_a_few_levels() {
    for (name, most) in OTHER_DECODER {
        let limits = ImageLimits::default();
        let ours = decode(&file(name), &limits).unwrap();
        let theirs = decode(&file(&format!("{name}.decoded.png")), &limits).unwrap();
        assert_eq!((ours.width, ours.height), (theirs.width, theirs.height));
        let pairs = ours.rgb.iter().zip(&theirs.rgb);
        let differences: Vec<u8> = pairs.map(|(a, b)| a.abs_diff(*b)).collect();
        let largest = differences.iter().copied().max().unwrap();
        let sum: u64 = differences.iter().map(|&d| u64::from(d)).sum();
        let mean = sum as f64 / differences.len() as f64;
        println!("{name}: up to {largest} of 255 levels, {mean:.3} in the mean");
        assert!(largest <= most, "{name}: {largest}");
    }
}

#[test]
fn what_is_not_in_the_pixels_is_said() {
    let notes = |name: &str| decode(&file(name), &ImageLimits::default()).unwrap().notes;
    assert!(notes("photo.jpg")[0].contains("colour profile"));
    assert!(notes("moving.gif")[0].contains("first frame"));
    assert!(notes("lossless.webp").is_empty());
}

/// Why `bytes` are no image.
fn refused(bytes: &[u8], limits: &ImageLimits) -> String {
    let image = Image::Encoded {
        name: "given".into(),
        bytes: bytes.into(),
    };
    let error = decode(&image, limits).unwrap_err().to_string();
    assert!(error.starts_with("given: "), "{error}");
    error
}

#[test]
fn what_is_no_whole_image_is_an_error() {
    let limits = ImageLimits::default();
    for (bytes, said) in [
        (&b""[..], "no bytes"),
        (
            b"just a text, whatever its file is called",
            "something else",
        ),
        (b"%PDF-1.7\n%\xe2\xe3", "something else"),
        (b"\x00\x00\x00\x1cftypavif\x00\x00\x00\x00", "JPEG, PNG"),
    ] {
        let error = refused(bytes, &limits);
        assert!(error.contains(said), "{error}");
    }
    for name in [
        "alpha.png",
        "photo.jpg",
        "lossless.webp",
        "lossy.webp",
        "palette.bmp",
        "moving.gif",
    ] {
        let whole = fs::read(picture(name)).unwrap();
        // Nowhere does a cut end in a panic, and nowhere before the middle in an image; of a JPEG nowhere at all.
        for part in 1..40 {
            let cut = whole.len() * part / 40;
            let image = Image::Encoded {
                name: "given".into(),
                bytes: whole[..cut].into(),
            };
            let decoded = decode(&image, &limits);
            assert!(
                (part > 20 && name != "photo.jpg") || decoded.is_err(),
                "{name} cut at {cut}"
            );
        }
        // Nor does a byte that fell over.
        for at in (0..whole.len()).step_by(7) {
            let mut broken = whole.clone();
            broken[at] ^= 0x55;
            let image = Image::Encoded {
                name: "given".into(),
                bytes: broken.into(),
            };
            let _ = decode(
                &image,
                &ImageLimits {
                    max_pixels: 1 << 20,
                },
            );
        }
    }
    let text = tempfile::Builder::new().suffix(".png").tempfile().unwrap();
    fs::write(text.path(), "a text").unwrap();
    let error = decode(&Image::File(text.path().into()), &limits).unwrap_err();
    assert!(error.to_string().contains("something else"), "{error}");
    let folder = decode(&Image::File(checkout()), &limits).unwrap_err();
    assert!(folder.to_string().contains("a folder"), "{folder}");
}

#[test]
fn pixels_are_counted_before_they_are_decoded() {
    let limits = ImageLimits { max_pixels: 1000 };
    let error = refused(&fs::read(picture("large.png")).unwrap(), &limits);
    support::assert_names(
        &error,
        &["1000 pixels", "`max_image_pixels`", "5472 x 3648"],
    );
    // A head that promises four thousand million pixels, and nothing behind it.
    let mut bomb = fs::read(picture("dot.png")).unwrap();
    bomb[16..24].copy_from_slice(&[0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff]);
    let head = crc32(&bomb[12..29]);
    bomb[29..33].copy_from_slice(&head.to_be_bytes());
    let error = refused(&bomb, &ImageLimits::default());
    support::assert_names(&error, &["65535 x 65535"]);
    for (width, height, bytes) in [
        (0, 4, 0),
        (4, 0, 0),
        (2, 2, 11),
        (2, 2, 13),
        (usize::MAX, 2, 6),
    ] {
        let image = Image::Pixels {
            width,
            height,
            order: curt::vision::PixelOrder::Rgb,
            bytes: vec![0; bytes].into(),
        };
        assert!(
            decode(&image, &limits).is_err(),
            "{width} x {height} in {bytes}"
        );
    }
}

/// The check that ends a chunk of a PNG.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    })
}
