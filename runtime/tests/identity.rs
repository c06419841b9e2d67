//! The fingerprint: packages that answer differently never share it, and builds of one model do. And graph files that are
//! no models: refused in bounded time and memory.

use crate::support;

use std::fs;
use std::path::Path;

use curt::Package;
use curt::head::StopHead;
use curt::package::KeyRotation;
use serde_json::json;
use support::onnx::{self, Message, Value, edit_graph, edit_model, entry};
use support::{assert_names, cached, copy, edit, reasoner, refusal, skip, tiny};

const LLAMA: &str = "tiny-llama-fp32";

fn fingerprint(dir: &Path) -> String {
    Package::open(dir).unwrap().fingerprint().unwrap()
}

/// Bytes of an external tensor, and the file and place where they lie.
fn place(dir: &Path, tensor: &Message) -> (std::path::PathBuf, usize, Vec<u8>) {
    let mut found = std::collections::BTreeMap::new();
    for entry in tensor.messages(onnx::TENSOR_ENTRIES) {
        found.insert(entry.text(1), entry.text(2));
    }
    let number = |key: &str| found.get(key).map_or(0, |n| n.parse::<usize>().unwrap());
    let file = dir.join(&found["location"]);
    let bytes = fs::read(&file).unwrap();
    let (offset, length) = (number("offset"), number("length"));
    let bytes = bytes[offset..offset + length].to_vec();
    (file, offset, bytes)
}

/// Changes the first external initializer of the graph in `dir`.
fn edit_first_external(dir: &Path, mut change: impl FnMut(&mut Message)) {
    let mut first = true;
    edit_graph(&dir.join("model.onnx"), |graph| {
        graph.each(onnx::GRAPH_INITIALIZERS, |tensor| {
            if std::mem::take(&mut first) {
                change(tensor);
            }
        });
    });
    assert!(!first);
}

/// Makes the tensor's place in the file be `entries`.
fn set_entries(tensor: &mut Message, entries: &[(&str, &str)]) {
    tensor.remove(onnx::TENSOR_ENTRIES);
    for (key, value) in entries {
        let entry = entry(key, value).to_bytes();
        tensor.0.push((onnx::TENSOR_ENTRIES, Value::Bytes(entry)));
    }
}

#[test]
fn weights_count_wherever_they_lie() {
    let original = fingerprint(&tiny(LLAMA));

    // Inline, the fields of the file left behind: ONNX Runtime does not look at them then.
    for (other, same) in [(false, true), (true, false)] {
        let dir = copy(&tiny(LLAMA));
        let folder = dir.path().to_owned();
        edit_first_external(dir.path(), |tensor| {
            let (_, _, mut bytes) = place(&folder, tensor);
            bytes[0] ^= u8::from(other);
            tensor.remove(onnx::TENSOR_LOCATION);
            tensor.0.push((onnx::TENSOR_RAW, Value::Bytes(bytes)));
        });
        assert_eq!(fingerprint(dir.path()) == original, same, "inline, {other}");
    }

    // A length of 0, and none: the tensor's own.
    for length in [Some("0"), None] {
        for (other, same) in [(false, true), (true, false)] {
            let dir = copy(&tiny(LLAMA));
            let folder = dir.path().to_owned();
            edit_first_external(dir.path(), |tensor| {
                let (file, offset, _) = place(&folder, tensor);
                let mut bytes = fs::read(&file).unwrap();
                bytes[offset] ^= u8::from(other);
                fs::write(&file, bytes).unwrap();
                let offset = offset.to_string();
                let mut entries = vec![("location", "model.onnx.data"), ("offset", &offset)];
                entries.extend(length.map(|length| ("length", length)));
                set_entries(tensor, &entries);
            });
            assert_eq!(
                fingerprint(dir.path()) == original,
                same,
                "{length:?}, {other}"
            );
        }
    }

    // In a folder with the graph: names go from there, and what lies under the same name beside it does not count.
    for (other, same) in [(false, true), (true, false)] {
        let dir = copy(&tiny(LLAMA));
        let sub = dir.path().join("sub");
        fs::create_dir(&sub).unwrap();
        for file in ["model.onnx", "model.onnx.data"] {
            fs::copy(dir.path().join(file), sub.join(file)).unwrap();
        }
        edit(dir.path(), "genai_config.json", |json| {
            json["model"]["decoder"]["filename"] = json!("sub/model.onnx");
        });
        let data = if other { &sub } else { dir.path() }.join("model.onnx.data");
        let mut bytes = fs::read(&data).unwrap();
        bytes[0] ^= 1;
        fs::write(data, bytes).unwrap();
        assert_eq!(
            fingerprint(dir.path()) == original,
            same,
            "subfolder, {other}"
        );
    }
}

#[test]
fn a_place_with_a_leading_dot_is_inside_and_one_in_memory_is_not() {
    let located = |location: &str| {
        let dir = copy(&tiny(LLAMA));
        let folder = dir.path().to_owned();
        edit_first_external(dir.path(), |tensor| {
            let (_, offset, bytes) = place(&folder, tensor);
            let (offset, length) = (offset.to_string(), bytes.len().to_string());
            set_entries(
                tensor,
                &[
                    ("location", location),
                    ("offset", &offset),
                    ("length", &length),
                ],
            );
        });
        dir
    };
    let dot = located("./model.onnx.data");
    assert_eq!(fingerprint(dot.path()), fingerprint(&tiny(LLAMA)));
    for elsewhere in [
        "../model.onnx.data",
        "/etc/passwd",
        "*/_ORT_MEM_ADDR_/*",
        "",
    ] {
        let dir = located(elsewhere);
        assert_names(
            &refusal(dir.path()),
            &["external data", "inside the package"],
        );
    }
}

#[test]
fn another_length_than_the_tensors_and_a_key_said_twice_are_refused() {
    for (entries, wanted) in [
        (
            vec![("location", "model.onnx.data"), ("length", "4")],
            "as its type and shape need",
        ),
        (
            vec![("location", "model.onnx.data"), ("location", "x")],
            "each key once",
        ),
        (
            vec![("location", "model.onnx.data"), ("offset", "-1")],
            "a number as offset",
        ),
    ] {
        let dir = copy(&tiny(LLAMA));
        edit_first_external(dir.path(), |tensor| set_entries(tensor, &entries));
        assert_names(&refusal(dir.path()), &["external data", wanted]);
    }
}

#[test]
fn names_for_keys_and_values_lead_to_their_places_in_attention() {
    let swap = |package: &str| {
        let dir = copy(&tiny(package));
        edit(dir.path(), "genai_config.json", |json| {
            let inputs = &mut json["model"]["decoder"]["inputs"];
            let key = inputs["past_key_names"].take();
            inputs["past_key_names"] = inputs["past_value_names"].take();
            inputs["past_value_names"] = key;
        });
        dir
    };
    assert_names(
        &refusal(swap(LLAMA).path()),
        &["GroupQueryAttention", "place 3", "past_key_values.0.value"],
    );
    // No operator says which is which.
    let growing = "tiny-llama-growing-fp32";
    assert_ne!(
        fingerprint(swap(growing).path()),
        fingerprint(&tiny(growing))
    );
}

#[test]
fn a_tensor_that_stands_twice_is_refused() {
    let dir = copy(&tiny(LLAMA));
    edit_graph(&dir.path().join("model.onnx"), |graph| {
        let first = graph.bytes(onnx::GRAPH_INITIALIZERS).to_vec();
        graph
            .0
            .push((onnx::GRAPH_INITIALIZERS, Value::Bytes(first)));
    });
    assert_names(&refusal(dir.path()), &["one tensor named", "several"]);
}

#[test]
fn all_of_a_graph_file_counts_but_what_says_nothing() {
    let original = fingerprint(&tiny(LLAMA));
    let with = |field: u32, content: &[u8]| {
        let dir = copy(&tiny(LLAMA));
        edit_model(&dir.path().join("model.onnx"), |model| {
            model.0.push((field, Value::Bytes(content.to_vec())));
        });
        fingerprint(dir.path())
    };
    // Bodies of functions: name, domain, one node.
    let function = |op: &str| {
        let node = Message::default().with(1, "x").with(2, "y").with(4, op);
        let function = Message::default()
            .with(1, "F")
            .with(10, "own")
            .with(4, "x")
            .with(5, "y");
        function.with(7, node.to_bytes()).to_bytes()
    };
    let relu = with(onnx::MODEL_FUNCTIONS, &function("Relu"));
    assert_ne!(relu, with(onnx::MODEL_FUNCTIONS, &function("Neg")));
    assert_ne!(relu, original);
    // A version of a set of operators; a field of a later version of the format.
    assert_ne!(
        original,
        with(
            onnx::MODEL_OPSETS,
            &Message::default().with(1, "own").to_bytes()
        )
    );
    assert_ne!(original, with(77, b"what is to come"));
    // Producer and comment.
    assert_eq!(original, with(2, b"another producer"));
    assert_eq!(original, with(6, b"a comment"));

    let node = |change: fn(&mut Message)| {
        let dir = copy(&tiny(LLAMA));
        let file = dir.path().join("model.onnx");
        edit_graph(&file, |graph| graph.each(onnx::GRAPH_NODES, change));
        fingerprint(dir.path())
    };
    assert_eq!(
        original,
        node(|node| node.0.push((6, Value::Bytes(b"comment".into()))))
    );
    // Another value of an attribute.
    assert_ne!(
        original,
        node(|node| node.each(onnx::NODE_ATTRIBUTES, |attribute| {
            for (field, value) in &mut attribute.0 {
                if let Value::Fixed(bytes) = value
                    && *field == 2
                {
                    bytes[3] ^= 1;
                }
            }
        }))
    );
}

#[test]
fn the_order_of_tensors_does_not_count() {
    let dir = copy(&tiny(LLAMA));
    edit_graph(&dir.path().join("model.onnx"), |graph| {
        let (mut tensors, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut graph.0)
            .into_iter()
            .partition(|(field, _)| *field == onnx::GRAPH_INITIALIZERS);
        tensors.reverse();
        graph.0 = rest;
        graph.0.extend(tensors);
    });
    assert_eq!(fingerprint(dir.path()), fingerprint(&tiny(LLAMA)));
}

#[test]
fn an_attribute_that_stands_twice_is_refused() {
    let dir = copy(&tiny(LLAMA));
    edit_graph(&dir.path().join("model.onnx"), |graph| {
        graph.each(onnx::GRAPH_NODES, |node| {
            if let Some(first) = node.messages(onnx::NODE_ATTRIBUTES).first() {
                let first = Value::Bytes(first.to_bytes());
                node.0.push((onnx::NODE_ATTRIBUTES, first));
            }
        });
    });
    assert_names(&refusal(dir.path()), &["the attribute", "twice"]);
}

#[test]
fn every_graph_and_the_processor_count() {
    let build = |pixel: u8, processor: &str| {
        let dir = copy(&tiny(LLAMA));
        edit(dir.path(), "genai_config.json", |json| {
            json["model"]["vision"] = json!({"filename": "vision.onnx"});
        });
        let tensor = Message::default()
            .with(onnx::TENSOR_NAME, "w")
            .with(onnx::TENSOR_RAW, [pixel]);
        let graph = Message::default().with(onnx::GRAPH_INITIALIZERS, tensor.to_bytes());
        let model = Message::default().with(onnx::MODEL_GRAPH, graph.to_bytes());
        fs::write(dir.path().join("vision.onnx"), model.to_bytes()).unwrap();
        fs::write(dir.path().join("processor_config.json"), processor).unwrap();
        let package = Package::open(dir.path()).unwrap();
        let files = package.report().unwrap().files;
        assert!(
            files.iter().any(|(name, _)| name == "vision.onnx"),
            "{files:?}"
        );
        package.fingerprint().unwrap()
    };
    let first = build(1, "{}");
    assert_eq!(first, build(1, "{}"));
    assert_ne!(first, build(2, "{}"));
    assert_ne!(first, build(1, "[]"));
    assert_ne!(first, fingerprint(&tiny(LLAMA)));
}

#[test]
fn tokens_that_the_template_names_count() {
    let dir = copy(&tiny(LLAMA));
    edit(dir.path(), "tokenizer_config.json", |json| {
        json["bos_token"] = json!("<other>");
    });
    assert_ne!(fingerprint(dir.path()), fingerprint(&tiny(LLAMA)));
}

#[test]
fn it_is_computed_once_per_open_package() {
    let dir = copy(&tiny(LLAMA));
    let package = Package::open(dir.path()).unwrap();
    let first = package.fingerprint().unwrap();
    fs::remove_file(dir.path().join("model.onnx.data")).unwrap();
    assert_eq!(package.fingerprint().unwrap(), first);
}

#[test]
fn shipped_heads_fit_the_shipped_package() {
    assert_heads_fit(&reasoner().join("heads"), &reasoner());
}

#[test]
fn heads_of_the_word_problems_fit_the_package_they_name() {
    let name = "smollm2-135m-instruct-int8";
    let Some(dir) = cached(name) else {
        let test = "heads_of_the_word_problems_fit_the_package_they_name";
        return skip(test, &format!("{name} is not in curt's cache"));
    };
    let heads = "../models/workloads/word-problems/heads";
    assert_heads_fit(&Path::new(env!("CARGO_MANIFEST_DIR")).join(heads), &dir);
}

fn assert_heads_fit(heads: &Path, dir: &Path) {
    let package = Package::open(dir).unwrap();
    let mut opened = 0;
    for entry in fs::read_dir(heads).unwrap() {
        let file = entry.unwrap().path();
        if file.extension().is_some_and(|e| e == "safetensors") {
            StopHead::open(&file, &package).unwrap();
            opened += 1;
        }
    }
    assert!(opened > 0);
}

#[test]
fn a_graph_says_whether_it_rotates_keys_or_that_it_cannot_be_known() {
    let rotation = |dir: &Path| Package::open(dir).unwrap().key_rotation().unwrap();
    assert!(matches!(rotation(&tiny(LLAMA)), KeyRotation::Described(r) if r.theta == 1e4));
    let growing = rotation(&tiny("tiny-llama-growing-fp32"));
    assert!(
        matches!(growing, KeyRotation::Unknown { .. }),
        "{growing:?}"
    );

    // Attention that does not rotate; and layers that rotate by two tables.
    let rename = |change: fn(usize, &mut Message)| {
        let dir = copy(&tiny(LLAMA));
        edit_graph(&dir.path().join("model.onnx"), |graph| {
            let mut attention = 0;
            graph.each(onnx::GRAPH_NODES, |node| {
                if node.text(4) == "GroupQueryAttention" {
                    change(attention, node);
                    attention += 1;
                }
            });
            assert!(attention > 1);
        });
        rotation(dir.path())
    };
    let still = rename(|_, node| {
        node.each(onnx::NODE_ATTRIBUTES, |attribute| {
            if attribute.text(1) == "do_rotary" {
                attribute.remove(3);
                attribute.0.push((3, Value::Number(0)));
            }
        });
    });
    assert_eq!(still, KeyRotation::None);
    let several = rename(|layer, node| {
        for (field, value) in &mut node.0 {
            if *field == 1 && *value == Value::Bytes(b"cos_cache".into()) && layer == 1 {
                *value = Value::Bytes(b"cos_cache_of_local_layers".into());
            }
        }
    });
    assert!(
        matches!(&several, KeyRotation::Unknown { why } if why.contains("several tables")),
        "{several:?}"
    );
}

#[test]
fn a_file_of_empty_nodes_takes_no_memory_to_speak_of() {
    let dir = copy(&tiny(LLAMA));
    let graph = [onnx::GRAPH_NODES as u8 * 8 + 2, 0].repeat(4_000_000);
    let model = Message::default().with(onnx::MODEL_GRAPH, graph);
    fs::write(dir.path().join("model.onnx"), model.to_bytes()).unwrap();
    assert_names(
        &refusal(dir.path()),
        &["ONNX protobuf", "a structure of more than"],
    );
}

#[test]
fn graphs_within_graphs_end_before_the_stack_does() {
    let dir = copy(&tiny(LLAMA));
    let mut graph = Message::default();
    for _ in 0..2_000 {
        let attribute = Message::default().with(1, "body").with(6, graph.to_bytes());
        let node = Message::default().with(onnx::NODE_ATTRIBUTES, attribute.to_bytes());
        graph = Message::default().with(onnx::GRAPH_NODES, node.to_bytes());
    }
    let model = Message::default().with(onnx::MODEL_GRAPH, graph.to_bytes());
    fs::write(dir.path().join("model.onnx"), model.to_bytes()).unwrap();
    assert_names(&refusal(dir.path()), &["graphs within graphs"]);
}

#[test]
fn a_graph_file_with_any_byte_changed_is_opened_or_refused() {
    let dir = copy(&tiny("tiny-qwen2-int4"));
    let file = dir.path().join("model.onnx");
    let whole = fs::read(&file).unwrap();
    for at in (0..whole.len()).step_by(61) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        fs::write(&file, bytes).unwrap();
        if let Ok(package) = Package::open(dir.path()) {
            // Either is right; what counts is that it comes back.
            let _ = package.fingerprint();
            let _ = package.report();
        }
    }
}
