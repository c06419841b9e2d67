//! A decoder that takes embeddings in place of token ids: the tiny Llama with its embedding table cut out.

use crate::support;

use std::fs;
use std::path::Path;

use curt::generate::{CacheKey, CachedKeys, Input};
use curt::{AskOptions, Error, Package, Question};
use support::{bits, decoder, never, tiny, tokens};

/// What the table's Gather gives, which becomes an input of the graph.
const EMBEDDINGS: &str = "/model/embed_tokens/Gather/output_0";
/// The table, transposed: the weights of the logits, `[hidden, vocabulary]`.
const TABLE: &str = "lm_head.MatMul.weight";

/// One field of a protobuf message: its number, the whole of it, and what it holds.
struct Field<'a> {
    number: u64,
    whole: &'a [u8],
    value: &'a [u8],
}

fn varint(bytes: &[u8], at: &mut usize) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let byte = bytes[*at];
        *at += 1;
        value |= u64::from(byte & 127) << shift;
        if byte < 128 {
            break;
        }
    }
    value
}

fn fields(bytes: &[u8]) -> Vec<Field<'_>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        let key = varint(bytes, &mut at);
        let value = match key & 7 {
            0 => {
                let first = at;
                varint(bytes, &mut at);
                first..at
            }
            2 => {
                let length = varint(bytes, &mut at) as usize;
                at += length;
                at - length..at
            }
            5 => {
                at += 4;
                at - 4..at
            }
            _ => {
                at += 8;
                at - 8..at
            }
        };
        found.push(Field {
            number: key >> 3,
            whole: &bytes[start..at],
            value: &bytes[value],
        });
    }
    found
}

/// A field of bytes.
fn put(out: &mut Vec<u8>, number: u8, value: &[u8]) {
    out.push(number << 3 | 2);
    let mut length = value.len();
    while length > 127 {
        out.push((length & 127) as u8 | 128);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(value);
}

fn has(message: &[u8], number: u64, text: &str) -> bool {
    fields(message)
        .iter()
        .any(|f| f.number == number && f.value == text.as_bytes())
}

/// `ValueInfoProto` of f32 embeddings: `[batch, sequence, hidden]`.
fn embeddings_input(hidden: u8) -> Vec<u8> {
    let mut shape = Vec::new();
    for name in ["batch_size", "sequence_length"] {
        let mut dim = Vec::new();
        put(&mut dim, 2, name.as_bytes());
        put(&mut shape, 1, &dim);
    }
    put(&mut shape, 1, &[1 << 3, hidden]);
    // elem_type 1: FLOAT.
    let mut tensor = vec![1 << 3, 1];
    put(&mut tensor, 2, &shape);
    let mut r#type = Vec::new();
    put(&mut r#type, 1, &tensor);
    let mut info = Vec::new();
    put(&mut info, 1, EMBEDDINGS.as_bytes());
    put(&mut info, 2, &r#type);
    info
}

/// Writes the package to `dir` and gives its table: `[vocabulary][hidden]`.
fn without_table(dir: &Path) -> Vec<Vec<f32>> {
    let source = tiny("tiny-llama-fp32");
    for entry in fs::read_dir(&source).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), dir.join(entry.file_name())).unwrap();
    }
    let config = fs::read_to_string(dir.join("genai_config.json")).unwrap();
    let config = config.replace(
        "\"input_ids\": \"input_ids\"",
        &format!("\"inputs_embeds\": \"{EMBEDDINGS}\""),
    );
    fs::write(dir.join("genai_config.json"), config).unwrap();

    let model = fs::read(dir.join("model.onnx")).unwrap();
    let (mut new, mut table) = (Vec::new(), Vec::new());
    for field in fields(&model) {
        if field.number != 7 {
            new.extend_from_slice(field.whole);
            continue;
        }
        let mut graph = Vec::new();
        for field in fields(field.value) {
            let gather = field.number == 1 && has(field.value, 2, EMBEDDINGS);
            let ids = field.number == 11 && has(field.value, 1, "input_ids");
            if field.number == 5 && has(field.value, 8, TABLE) {
                table = read_table(&source, field.value);
            }
            if !gather && !ids {
                graph.extend_from_slice(field.whole);
            }
        }
        put(&mut graph, 11, &embeddings_input(table[0].len() as u8));
        put(&mut new, 7, &graph);
    }
    fs::write(dir.join("model.onnx"), new).unwrap();
    table
}

/// The transposed table of a tensor whose bytes lie outside the graph.
fn read_table(dir: &Path, tensor: &[u8]) -> Vec<Vec<f32>> {
    let tensor = fields(tensor);
    let numbers = |number| tensor.iter().filter(move |f| f.number == number);
    let dims: Vec<usize> = numbers(1)
        .map(|f| varint(f.value, &mut 0) as usize)
        .collect();
    let offset = numbers(13)
        .find(|f| has(f.value, 1, "offset"))
        .and_then(|f| fields(f.value).pop())
        .map_or(0, |f| {
            std::str::from_utf8(f.value).unwrap().parse().unwrap()
        });
    let bytes = &fs::read(dir.join("model.onnx.data")).unwrap()[offset..];
    let at = |row: usize, column: usize| {
        let start = (row * dims[1] + column) * 4;
        f32::from_le_bytes(bytes[start..start + 4].try_into().unwrap())
    };
    (0..dims[1])
        .map(|token| (0..dims[0]).map(|hidden| at(hidden, token)).collect())
        .collect()
}

#[test]
fn embeddings_of_tokens_give_what_the_tokens_give() {
    let test = "embeddings_of_tokens_give_what_the_tokens_give";
    if !support::library_or_skip(test) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let table = without_table(dir.path());
    let hidden = table[0].len();
    let with_ids = Package::open(&tiny("tiny-llama-fp32")).unwrap();
    let package = Package::open(dir.path()).unwrap();
    // Longer than one prefill step.
    let prompt = tokens(&with_ids, 530, 1);
    let embedded = |tokens: &[u32]| -> Vec<f32> {
        let rows = tokens.iter().map(|&token| &table[token as usize]);
        rows.flatten().copied().collect()
    };
    let mut of_ids = decoder(&with_ids, 2, 540);
    let mut of_vectors = decoder(&package, 2, 540);
    of_ids.prefill(&prompt, &never()).unwrap();
    of_vectors
        .prefill(Input::Embeddings(&embedded(&prompt)), &never())
        .unwrap();
    assert_eq!(bits(of_ids.logits(0)), bits(of_vectors.logits(0)));
    of_ids.fork(2, &never()).unwrap();
    of_vectors.fork(2, &never()).unwrap();
    of_ids.step(&[7, 9], &never()).unwrap();
    of_vectors
        .step(Input::Embeddings(&embedded(&[7, 9])), &never())
        .unwrap();
    for row in 0..2 {
        assert_eq!(bits(of_ids.logits(row)), bits(of_vectors.logits(row)));
    }

    // Each graph takes its own kind alone, of the right size and finite.
    let mut nan = embedded(&[7, 9]);
    nan[3] = f32::NAN;
    for wrong in [&embedded(&[7])[..], &embedded(&[7, 9])[1..], &nan, &[]] {
        assert!(of_vectors.step(Input::Embeddings(wrong), &never()).is_err());
    }
    let error = of_vectors.step(&[7, 9], &never()).unwrap_err();
    let said = format!("embeddings of {hidden} numbers");
    assert!(error.to_string().contains(&said), "{error}");
    assert!(
        of_ids
            .step(Input::Embeddings(&embedded(&[7, 9])), &never())
            .is_err()
    );
    // A step that was refused has changed nothing.
    of_ids.step(&[3, 4], &never()).unwrap();
    of_vectors
        .step(Input::Embeddings(&embedded(&[3, 4])), &never())
        .unwrap();
    assert_eq!(bits(of_ids.logits(1)), bits(of_vectors.logits(1)));
}

#[test]
fn what_is_reused_is_keyed_by_what_stands_there() {
    let dir = tempfile::tempdir().unwrap();
    let table = without_table(dir.path());
    let key = |token: usize| CacheKey::of_embedding(&table[token]);
    let mut cached = CachedKeys::default();
    cached.extend([key(5), key(6), key(7)]);
    assert_eq!(cached.in_common([key(5), key(6), key(8)]), 2);
    // The ids that the vectors stand for are not what stands there.
    assert_eq!(cached.in_common([5, 6, 7]), 0);
}

#[test]
fn an_engine_says_that_it_cannot_embed_text() {
    let test = "an_engine_says_that_it_cannot_embed_text";
    if !support::library_or_skip(test) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    without_table(dir.path());
    let mut engine = support::engine(dir.path());
    let question = Question::Tokens(vec![1, 2, 3]);
    let asked = engine.ask(&question, &AskOptions::default(), &mut |_| {});
    let error = asked.unwrap_err();
    assert!(matches!(error.error, Error::Option { .. }), "{error}");
    assert!(error.to_string().contains("embeddings of"), "{error}");
}
