//! Images: tensors and answers are those of Hugging Face transformers (`models/recipes/reference/images.py`), what is no
//! image is an error, and what two images show is never mixed up.

use crate::support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use curt::package::ImageProcessor;
use curt::vision::{Decoded, Image, ImageLimits, decode, process};
use curt::{AskOptions, Package, Question, SamplingDefaults};
use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use support::{checkout, edit, tiny};

#[derive(Deserialize)]
struct Tensors {
    processors: Map<String, Value>,
    tensors: Vec<Tensor>,
}

#[derive(Deserialize)]
struct Tensor {
    processor: String,
    picture: String,
    shape: [usize; 4],
    sha256: String,
    samples: Vec<(usize, f32)>,
}

#[derive(Deserialize)]
struct Answers {
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    pictures: Vec<String>,
    splitting: bool,
    question: String,
    prompt: Vec<u32>,
    greedy: Vec<u32>,
    margins: Vec<f32>,
}

fn data<T: for<'de> Deserialize<'de>>(name: &str) -> T {
    let file = checkout().join("models/recipes/reference/data").join(name);
    serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

fn picture(name: &str) -> PathBuf {
    checkout()
        .join("models/recipes/reference/pictures")
        .join(name)
}

/// Pictures that every decoder reads alike.
const PICTURES: usize = 14;

fn file(name: &str) -> Image {
    Image::File(picture(name))
}

/// A copy of a package with the folder of its graphs.
fn copy(name: &str) -> tempfile::TempDir {
    let dir = support::copy(&tiny(name));
    let graphs = tiny(name).join("onnx");
    if graphs.is_dir() {
        fs::create_dir(dir.path().join("onnx")).unwrap();
        for entry in fs::read_dir(graphs).unwrap() {
            let entry = entry.unwrap();
            let to = dir.path().join("onnx").join(entry.file_name());
            fs::copy(entry.path(), to).unwrap();
        }
    }
    dir
}

fn processor(fields: &Value) -> ImageProcessor {
    let dir = copy("tiny-idefics3");
    edit(dir.path(), "preprocessor_config.json", |json| {
        *json = fields.clone()
    });
    let package = Package::open(dir.path()).unwrap();
    package.image_processor().unwrap().clone()
}

#[test]
fn tensors_are_those_of_transformers() {
    let reference: Tensors = data("images.json");
    let mut faults = Vec::new();
    let mut pictures: BTreeMap<&str, Decoded> = BTreeMap::new();
    for (name, fields) in &reference.processors {
        let processor = processor(fields);
        for tensor in reference.tensors.iter().filter(|t| t.processor == *name) {
            let decoded = pictures.entry(&tensor.picture).or_insert_with(|| {
                decode(&file(&tensor.picture), &ImageLimits::default()).unwrap()
            });
            let pixels = process(decoded.clone(), &processor).unwrap();
            let shape = [pixels.tiles, 3, pixels.height, pixels.width];
            let mut bytes = vec![0; pixels.values.len() * 4];
            for (bytes, value) in bytes.chunks_exact_mut(4).zip(&pixels.values) {
                bytes.copy_from_slice(&value.to_le_bytes());
            }
            let digest = format!("{:x}", Sha256::digest(bytes));
            if shape != tensor.shape || digest != tensor.sha256 {
                let samples: Vec<String> = tensor
                    .samples
                    .iter()
                    .map(|&(at, value)| format!("{at}: {value} {:?}", pixels.values.get(at)))
                    .collect();
                faults.push(format!(
                    "{name}, {}: {shape:?} of {:?}; {}",
                    tensor.picture,
                    tensor.shape,
                    samples.join(", ")
                ));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    // One processor is held on three pictures, the others on all.
    let all = reference.processors.len() - 1;
    assert_eq!(reference.tensors.len(), all * PICTURES + 3);
}

/// Answers of the tiny model in `name`'s layout.
fn answers_are_those_of_transformers(name: &str) {
    let reference: Answers = data("tiny-idefics3.json");
    for splitting in [true, false] {
        let dir = copy(name);
        edit(dir.path(), "preprocessor_config.json", |json| {
            json["do_image_splitting"] = splitting.into();
        });
        let mut engine = support::engine(dir.path());
        for item in reference.items.iter().filter(|i| i.splitting == splitting) {
            let images = item.pictures.iter().map(|name| file(name));
            let question = Question::Text(item.question.clone()).about(images);
            let options = AskOptions {
                sampling: SamplingDefaults {
                    max_tokens: Some(24),
                    ..SamplingDefaults::default()
                },
                ..AskOptions::default()
            };
            let answer = engine.ask(&question, &options, &mut |_| {}).unwrap();
            let what = format!("{name}, {:?}, tiles {splitting}", item.pictures);
            assert_eq!(answer.prompt, item.prompt, "{what}");
            let ours = &answer.paths[0].tokens;
            let parted = ours.iter().zip(&item.greedy).position(|(a, b)| a != b);
            if let Some(at) = parted {
                let margin = item.margins[at];
                panic!(
                    "{what}: token {at} differs, margin {margin}: {ours:?}, {:?}",
                    item.greedy
                );
            }
            assert_eq!(ours.len(), item.greedy.len(), "{what}");
        }
    }
}

#[test]
fn answers_in_the_layout_of_transformers_js_are_those_of_transformers() {
    let test = "answers_in_the_layout_of_transformers_js_are_those_of_transformers";
    if support::library_or_skip(test) {
        answers_are_those_of_transformers("tiny-idefics3");
    }
}

#[test]
fn answers_in_the_layout_of_genai_are_those_of_transformers() {
    let test = "answers_in_the_layout_of_genai_are_those_of_transformers";
    if support::library_or_skip(test) {
        answers_are_those_of_transformers("tiny-idefics3-genai");
    }
}

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

#[test]
fn a_strip_becomes_a_tensor_or_an_error() {
    let reference: Tensors = data("images.json");
    for (name, fields) in &reference.processors {
        // The same in larger tiles.
        if name == "smolvlm" {
            continue;
        }
        let processor = processor(fields);
        for (width, height) in [(1, 500), (500, 1), (1, 60_000), (60_000, 1), (3, 1500)] {
            let image = Image::Pixels {
                width,
                height,
                order: curt::vision::PixelOrder::Rgb,
                bytes: vec![9; width * height * 3].into(),
            };
            let decoded = decode(&image, &ImageLimits::default()).unwrap();
            match process(decoded, &processor) {
                Ok(pixels) => {
                    let size = pixels.tiles * 3 * pixels.height * pixels.width;
                    assert_eq!(pixels.values.len(), size, "{name}, {width} x {height}");
                }
                Err(error) => assert!(error.to_string().contains("brings to at most"), "{error}"),
            }
        }
    }
}

fn options() -> AskOptions {
    AskOptions {
        sampling: SamplingDefaults {
            max_tokens: Some(8),
            ..SamplingDefaults::default()
        },
        ..AskOptions::default()
    }
}

/// Pixels of one colour.
fn plain(level: u8) -> Image {
    Image::Pixels {
        width: 20,
        height: 20,
        order: curt::vision::PixelOrder::Rgb,
        bytes: vec![level; 20 * 20 * 3].into(),
    }
}

#[test]
fn two_images_of_equal_tokens_share_neither_features_nor_keys_and_values() {
    if !support::library_or_skip(
        "two_images_of_equal_tokens_share_neither_features_nor_keys_and_values",
    ) {
        return;
    }
    let mut engine = support::engine(tiny("tiny-idefics3"));
    let mut ask = |image: Image| {
        let question = Question::from("what is it?").about([image]);
        engine.ask(&question, &options(), &mut |_| {}).unwrap()
    };
    let dark = ask(plain(10));
    let light = ask(plain(240));
    assert_eq!(dark.prompt, light.prompt);
    assert_ne!(dark.paths[0].tokens, light.paths[0].tokens);
    assert!(!light.images[0].cached);
    let first = dark
        .prompt
        .iter()
        .position(|&id| id == image_token())
        .unwrap();
    assert_eq!(
        light.tokens.reused, first,
        "up to the first part of the image"
    );
    // The one before is known by its features, and not by what is cached of its placeholders.
    let again = ask(plain(10));
    assert!(again.images[0].cached && again.images[0].encode_ms.is_none());
    assert_eq!(again.tokens.reused, first);
    assert_eq!(again.paths[0].tokens, dark.paths[0].tokens);
    // And all of it where it is asked about twice.
    let twice = ask(plain(10));
    assert_eq!(twice.tokens.reused, twice.prompt.len() - 1);
    assert_eq!(twice.paths[0].tokens, dark.paths[0].tokens);
    // One level of one pixel is another image.
    let mut bytes = vec![10; 20 * 20 * 3];
    bytes[700] = 11;
    let other = ask(Image::Pixels {
        width: 20,
        height: 20,
        order: curt::vision::PixelOrder::Rgb,
        bytes: bytes.into(),
    });
    assert!(!other.images[0].cached);
    assert_eq!(other.tokens.reused, first);
}

fn image_token() -> u32 {
    let package = Package::open(&tiny("tiny-idefics3")).unwrap();
    package.image_token_id().unwrap()
}

#[test]
fn an_image_is_known_wherever_it_comes_from() {
    if !support::library_or_skip("an_image_is_known_wherever_it_comes_from") {
        return;
    }
    let mut engine = support::engine(tiny("tiny-idefics3"));
    let decoded = decode(&file("alpha.png"), &ImageLimits::default()).unwrap();
    let sources = [
        file("alpha.png"),
        Image::Encoded {
            name: "bytes".into(),
            bytes: fs::read(picture("alpha.png")).unwrap().into(),
        },
        Image::Pixels {
            width: decoded.width,
            height: decoded.height,
            order: curt::vision::PixelOrder::Rgb,
            bytes: decoded.rgb.into(),
        },
    ];
    for (number, image) in sources.into_iter().enumerate() {
        let question = Question::from("what is it?").about([image]);
        let answer = engine.ask(&question, &options(), &mut |_| {}).unwrap();
        assert_eq!(answer.images[0].cached, number > 0);
        let json = serde_json::to_value(&answer).unwrap();
        assert_eq!(json["images"][0]["width"], 61);
        assert_eq!(json["images"][0]["tokens"], 13 * 4);
    }
}

#[test]
fn nothing_is_kept_where_nothing_may_be() {
    if !support::library_or_skip("nothing_is_kept_where_nothing_may_be") {
        return;
    }
    let mut usual = support::engine(tiny("tiny-idefics3"));
    let mut bare = curt::Engine::open(
        tiny("tiny-idefics3"),
        &curt::EngineOptions {
            threads: Some(1),
            image_cache_bytes: 0,
            keep_encoder: false,
            ..curt::EngineOptions::default()
        },
    )
    .unwrap();
    for _ in 0..2 {
        let question = Question::from("what is it?").about([file("alpha.png")]);
        let theirs = usual.ask(&question, &options(), &mut |_| {}).unwrap();
        let ours = bare.ask(&question, &options(), &mut |_| {}).unwrap();
        assert!(!ours.images[0].cached && ours.images[0].load_ms.is_some());
        assert_eq!(ours.paths[0].tokens, theirs.paths[0].tokens);
    }
}

#[test]
fn image_tokens_and_features_agree_or_nothing_is_asked() {
    if !support::library_or_skip("image_tokens_and_features_agree_or_nothing_is_asked") {
        return;
    }
    let mut engine = support::engine(tiny("tiny-idefics3"));
    let mut refusal = |question: Question| {
        let error = engine.ask(&question, &options(), &mut |_| {}).unwrap_err();
        error.to_string()
    };
    let token = image_token();
    let image = || file("alpha.png");
    for (question, said) in [
        (
            Question::Tokens(vec![1, token, token, 2]).about([image()]),
            "52 image tokens",
        ),
        (Question::Tokens(vec![1, token]), "0 image tokens"),
        (
            Question::from("what is <image>?").about([image()]),
            "<image>",
        ),
        (Question::from("what is <image>?"), "<image>"),
        (
            Question::Messages(vec![curt::Message::new(curt::Role::User, "hi")]).about([image()]),
            "`images`: expected 0",
        ),
        (Question::from(" ").about([image()]), "some text"),
        (
            Question::from("what?").about([file("gone.png")]),
            "gone.png",
        ),
    ] {
        let error = refusal(question);
        assert!(error.contains(said), "{error}");
    }
    let mut texts = support::engine(tiny("tiny-llama-fp32"));
    let question = Question::from("what?").about([image()]);
    let error = texts.ask(&question, &options(), &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("texts alone"), "{error}");
}

#[test]
fn a_processor_that_does_not_fit_its_graphs_is_named() {
    if !support::library_or_skip("a_processor_that_does_not_fit_its_graphs_is_named") {
        return;
    }
    let refusal = |name: &str, field: &str, value: Value| {
        let dir = copy("tiny-idefics3");
        edit(dir.path(), name, |json| json[field] = value);
        let mut engine = support::engine(dir.path());
        let question = Question::from("what is it?").about([file("dot.png")]);
        let error = engine.ask(&question, &options(), &mut |_| {}).unwrap_err();
        error.to_string()
    };
    let tokens = refusal("processor_config.json", "image_seq_len", 5.into());
    support::assert_names(&tokens, &["one for each image feature", "68", "85"]);
    let edge = serde_json::json!({"longest_edge": 64});
    let size = refusal("preprocessor_config.json", "max_image_size", edge);
    support::assert_names(&size, &["vision_encoder.onnx", "pixel_values", "64", "32"]);
}

#[test]
fn files_of_several_types_are_chosen_among() {
    let dir = copy("tiny-idefics3");
    let onnx = dir.path().join("onnx");
    for suffix in ["_q4", "_fp16", "_quantized"] {
        let to = onnx.join(format!("decoder_model_merged{suffix}.onnx"));
        fs::copy(onnx.join("decoder_model_merged.onnx"), to).unwrap();
    }
    let chosen = |dtype: Option<&str>| -> Result<String, String> {
        let package = Package::open_as(dir.path(), dtype).map_err(|e| e.to_string())?;
        let report = package.report().unwrap();
        let images = report.images.unwrap();
        assert_eq!(
            images,
            "squares of 32 pixels, and the whole in one, 4 tokens each"
        );
        Ok(report.files[0].0.clone())
    };
    assert_eq!(chosen(None).unwrap(), "decoder_model_merged_q4.onnx");
    assert_eq!(
        chosen(Some("decoder_model_merged=fp16")).unwrap(),
        "decoder_model_merged_fp16.onnx"
    );
    assert_eq!(chosen(Some("fp32")).unwrap(), "decoder_model_merged.onnx");
    edit(dir.path(), "config.json", |json| {
        json["transformers.js_config"] =
            serde_json::json!({"dtype": {"decoder_model_merged": "q8"}});
    });
    assert_eq!(chosen(None).unwrap(), "decoder_model_merged_quantized.onnx");
    support::assert_names(
        &chosen(Some("q5")).unwrap_err(),
        &["`dtype`", "q4f16", "got q5"],
    );
    support::assert_names(
        &chosen(Some("fp16")).unwrap_err(),
        &["embed_tokens", "fp32"],
    );
    let notes = Package::open(dir.path()).unwrap().notes().join("; ");
    support::assert_names(
        &notes,
        &[
            "decoder_model_merged has files in q4, q8, fp32, fp16",
            "config.json",
        ],
    );
    let genai = Package::open_as(&tiny("tiny-idefics3-genai"), Some("q4")).unwrap_err();
    support::assert_names(&genai.to_string(), &["one file of each graph"]);
}

#[test]
fn a_text_model_in_the_layout_of_transformers_js_answers_as_in_the_other() {
    if !support::library_or_skip(
        "a_text_model_in_the_layout_of_transformers_js_answers_as_in_the_other",
    ) {
        return;
    }
    let source = tiny("tiny-llama-growing-fp32");
    let dir = support::copy(&source);
    fs::remove_file(dir.path().join("genai_config.json")).unwrap();
    fs::create_dir(dir.path().join("onnx")).unwrap();
    let graph = dir.path().join("onnx/model.onnx");
    fs::rename(dir.path().join("model.onnx"), &graph).unwrap();
    let config = r#"{"model_type": "llama", "max_position_embeddings": 640, "eos_token_id": [2], "bos_token_id": 1}"#;
    fs::write(dir.path().join("config.json"), config).unwrap();
    let options = options();
    let ask = |dir: &Path| {
        let question = Question::Tokens((5..60).collect());
        let mut engine = support::engine(dir);
        engine.ask(&question, &options, &mut |_| {}).unwrap().paths[0]
            .tokens
            .clone()
    };
    let expected = ask(&source);
    assert_eq!(ask(dir.path()), expected);
    // As optimum merges a graph without a past and one with: told which it is to be. Appended messages are merged.
    let mut bytes = fs::read(&graph).unwrap();
    bytes.extend(input_of_bool("use_cache_branch"));
    fs::write(&graph, bytes).unwrap();
    assert_eq!(ask(dir.path()), expected);
}

/// A `ModelProto` whose graph has an input `[1]` of bool and nothing else.
fn input_of_bool(name: &str) -> Vec<u8> {
    let field = |number: u8, value: &[u8]| {
        let mut bytes = vec![number << 3 | 2, value.len() as u8];
        bytes.extend_from_slice(value);
        bytes
    };
    let shape = field(1, &[1 << 3, 1]);
    let mut tensor = vec![1 << 3, 9];
    tensor.extend(field(2, &shape));
    let mut info = field(1, name.as_bytes());
    info.extend(field(2, &field(1, &tensor)));
    field(7, &field(11, &info))
}

#[test]
fn a_package_of_several_graphs_is_known_by_all_of_them() {
    let fingerprint = |dir: &Path| Package::open(dir).unwrap().fingerprint().unwrap();
    let whole = fingerprint(&tiny("tiny-idefics3"));
    assert_eq!(fingerprint(copy("tiny-idefics3").path()), whole);
    for graph in ["vision_encoder", "embed_tokens", "decoder_model_merged"] {
        let dir = copy("tiny-idefics3");
        let file = dir.path().join(format!("onnx/{graph}.onnx"));
        let mut bytes = fs::read(&file).unwrap();
        // Inside a weight: in the middle of the largest part of the file.
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&file, bytes).unwrap();
        assert_ne!(fingerprint(dir.path()), whole, "{graph}");
    }
    for (file, field, value) in [
        ("preprocessor_config.json", "resample", Value::from(3)),
        ("config.json", "image_token_id", Value::from(5)),
    ] {
        let dir = copy("tiny-idefics3");
        edit(dir.path(), file, |json| json[field] = value);
        assert_ne!(fingerprint(dir.path()), whole, "{file}");
    }
}

#[test]
fn what_a_processor_cannot_do_is_named() {
    let change = |field: &str, value: Value| {
        let dir = copy("tiny-idefics3");
        edit(dir.path(), "preprocessor_config.json", |json| {
            json[field] = value
        });
        dir
    };
    for (field, value) in [
        ("resample", Value::from(0)),
        ("size", serde_json::json!({"longest_edge": 1 << 30})),
        ("size", serde_json::json!({"shortest_edge": 5})),
        ("max_image_size", serde_json::json!({"longest_edge": 0})),
        ("image_mean", serde_json::json!([0.5])),
        ("image_std", serde_json::json!([0.5, 0.0, 0.5])),
    ] {
        let refusal = support::refusal(change(field, value).path());
        support::assert_names(&refusal, &["preprocessor_config.json", field]);
    }
    // A text can still be asked about where images cannot.
    let other = change("image_processor_type", "Qwen2VLImageProcessor".into());
    let package = Package::open(other.path()).unwrap();
    assert!(package.image_processor().is_none());
    let notes = package.notes().join("; ");
    support::assert_names(&notes, &["Idefics3ImageProcessor", "Qwen2VLImageProcessor"]);
}

#[derive(Deserialize)]
struct Asked {
    id: String,
    question: String,
    image: PathBuf,
    answer: String,
}

/// Questions of one look: what lies in one cell. The package answers 19 of 20 of them (its card).
const GLANCE: [&str; 3] = ["-color_at", "-shape_at", "-digit_at"];

/// Fewest and most right answers of 30, with the picture and with a grey one in its place: of five colours, four shapes or
/// ten digits one guess in five is right.
const RIGHT_WHERE_IT_SEES: usize = 26;
const RIGHT_WHERE_IT_GUESSES: usize = 14;

#[test]
fn the_shipped_package_answers_from_what_it_sees() {
    if !support::library_or_skip("the_shipped_package_answers_from_what_it_sees") {
        return;
    }
    let workload = checkout().join("models/workloads/vqa");
    let lines = fs::read_to_string(workload.join("held_out.jsonl")).unwrap();
    let asked: Vec<Asked> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|asked: &Asked| GLANCE.iter().any(|kind| asked.id.contains(kind)))
        .take(30)
        .collect();
    let mut engine = support::engine(checkout().join("models/packages/vqa"));
    let mut right = |blank: bool| {
        let mut count = 0;
        for asked in &asked {
            let image = match blank {
                true => plain(128),
                false => Image::File(workload.join(&asked.image)),
            };
            let question = Question::from(asked.question.as_str()).about([image]);
            let answer = engine
                .ask(&question, &AskOptions::default(), &mut |_| {})
                .unwrap();
            assert_eq!(answer.images[0].tokens, 64);
            count += usize::from(answer.answer.as_deref() == Some(asked.answer.as_str()));
        }
        count
    };
    let (sees, guesses) = (right(false), right(true));
    println!("the shipped package: {sees} of 30 right, {guesses} about a grey picture");
    assert!(sees >= RIGHT_WHERE_IT_SEES, "{sees} of 30");
    assert!(
        guesses <= RIGHT_WHERE_IT_GUESSES,
        "{guesses} of 30 about a grey picture"
    );
}
