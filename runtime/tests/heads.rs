//! Files of stop heads: read back, refused, and called wrongly.

use std::path::Path;

use curt::head::{HeadFile, PathPrefix, Pooling, StopHead};
use curt::{Error, Package};

use crate::checks::{arbitrary_head, ask, attend, mean, options};
use crate::support::{self, engine, reasoner, tiny};

#[test]
fn a_head_is_read_back_and_a_foreign_or_broken_one_refused() {
    let package = Package::open(&reasoner()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("head.safetensors");
    for pooling in [mean(), attend(&package)] {
        for hidden in [0, 8] {
            let head = arbitrary_head(&package, pooling.clone(), hidden);
            head.write(&file).unwrap();
            assert_eq!(HeadFile::read(&file).unwrap(), head);
            StopHead::open(&file, &package).unwrap();
        }
    }
    let refusal =
        |file: &Path, package: &Package| StopHead::open(file, package).unwrap_err().to_string();
    let other = Package::open(&tiny("tiny-llama-int4")).unwrap();
    let error = refusal(&file, &other);
    assert!(
        error.contains("fingerprint") && error.contains("train-head"),
        "{error}"
    );

    let whole = std::fs::read(&file).unwrap();
    let broken = dir.path().join("broken.safetensors");
    for end in [0, 7, 8, 100, whole.len() - 1] {
        std::fs::write(&broken, &whole[..end]).unwrap();
        let error = refusal(&broken, &package);
        assert!(error.contains("safetensors"), "{end}: {error}");
    }
    std::fs::write(&broken, [&whole[..], b"x"].concat()).unwrap();
    assert!(refusal(&broken, &package).contains("safetensors"));

    let text = String::from_utf8_lossy(&whole).into_owned();
    assert!(text.contains("arbitrary"));
    let edit = |from: &str, to: &str| {
        assert_eq!(from.len(), to.len());
        let at = whole
            .windows(from.len())
            .position(|w| w == from.as_bytes())
            .unwrap_or_else(|| panic!("{from} in the header"));
        let mut bytes = whole.clone();
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        std::fs::write(&broken, bytes).unwrap();
        refusal(&broken, &package)
    };
    assert!(edit("curt.stop_head", "curt.stop_hats").contains("train-head"));
    assert!(edit("\\\"version\\\":1", "\\\"version\\\":9").contains("version"));
    assert!(edit("\\\"hidden\\\":8", "\\\"hidden\\\":9").contains("hidden.weight"));
    assert!(edit("\\\"layers\\\":[0,3]", "\\\"layers\\\":[0,9]").contains("layers"));
    assert!(edit("\\\"dims\\\":32", "\\\"dims\\\":16").contains("rotary"));
    assert!(edit("\\\"slope\\\":0.5", "\\\"slope\\\":-.5").contains("header"));
    assert!(edit("\\\"slope\\\":0.5", "\\\"slope\\\":0.0").contains("calibration"));

    // How this package rotates its keys cannot be said: queries would be turned otherwise, or not at all.
    let unknown = Package::open(&tiny("tiny-llama-growing-fp32")).unwrap();
    arbitrary_head(&unknown, mean(), 0).write(&file).unwrap();
    StopHead::open(&file, &unknown).unwrap();
    let unrotated = Pooling::Attend {
        queries: 3,
        window: 24,
        rotary: None,
    };
    let unrotated = arbitrary_head(&unknown, unrotated, 0);
    unrotated.write(&file).unwrap();
    let error = refusal(&file, &unknown);
    assert!(error.contains("rotary embedding is known"), "{error}");

    let mut wrong = arbitrary_head(&package, mean(), 0);
    wrong.output.0.pop();
    assert!(
        wrong
            .write(&file)
            .unwrap_err()
            .to_string()
            .contains("output.weight")
    );
    let mut wrong = arbitrary_head(&package, mean(), 0);
    wrong.shift[0] = f32::NAN;
    let error = wrong.write(&file).unwrap_err().to_string();
    assert!(error.contains("finite"), "{error}");

    let weight = arbitrary_head(&package, attend(&package), 8).output.0[0].to_le_bytes();
    let at = whole.windows(4).position(|w| w == weight).unwrap();
    let mut bytes = whole.clone();
    bytes[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(&broken, bytes).unwrap();
    assert!(refusal(&broken, &package).contains("finite"));
}

/// Parts that contradict each other, sizes that no memory holds, and caches that a head cannot read: errors, never a panic.
#[test]
fn a_head_called_wrongly_is_an_error() {
    if !support::library_or_skip("a_head_called_wrongly_is_an_error") {
        return;
    }
    let mut engine = engine(reasoner());
    ask(&mut engine, &options(Vec::new()));
    let package = engine.package();
    type Edit = fn(&mut HeadFile);
    let parts: [(&str, Edit); 10] = [
        ("no shift", |h| h.shift.clear()),
        ("a short shift", |h| h.shift.truncate(3)),
        ("more hidden units", |h| h.header.hidden = 9),
        ("no hidden units", |h| h.header.hidden = 0),
        ("head_dim 0", |h| h.header.kv.as_mut().unwrap().head_dim = 0),
        ("head_dim 64", |h| {
            h.header.kv.as_mut().unwrap().head_dim = 64
        }),
        ("kv_heads 9", |h| h.header.kv.as_mut().unwrap().kv_heads = 9),
        ("1,000 n-grams", |h| h.prefix_ngrams = vec![[1, 2]; 1000]),
        ("queries without attention", |h| h.queries = vec![1.0]),
        ("attention without queries", |h| {
            h.header.kv.as_mut().unwrap().pooling = Pooling::Attend {
                queries: 2,
                window: 3,
                rotary: None,
            };
        }),
    ];
    for (what, edit) in parts {
        let mut file = arbitrary_head(package, mean(), 8);
        edit(&mut file);
        let error = StopHead::new(file).expect_err(what).to_string();
        assert!(error.contains("expected"), "{what}: {error}");
    }

    let head = StopHead::new(arbitrary_head(package, mean(), 8)).unwrap();
    for paths in [usize::MAX, usize::MAX / 4, 1 << 45] {
        let error = head.buffers(paths).unwrap_err().to_string();
        assert!(error.contains("expected so few"), "{error}");
    }
    let score = |head: &StopHead, of: &StopHead, paths, row| {
        let prefix = PathPrefix {
            row,
            tokens: &[1, 2, 3],
            logprobs: &[-1.0],
        };
        let mut buffers = of.buffers(paths).unwrap();
        let mut scores = Vec::new();
        head.score(engine.kv(), &[1], &[prefix], &mut buffers, &mut scores)
    };
    score(&head, &head, 1, 0).unwrap();
    let other = StopHead::new(arbitrary_head(package, mean(), 0)).unwrap();
    let mut deep = arbitrary_head(package, mean(), 8);
    deep.header.kv.as_mut().unwrap().layers = vec![0, 99];
    let deep = StopHead::new(deep).unwrap();
    for (what, result) in [
        ("row 99", score(&head, &head, 1, 99)),
        ("no buffers", score(&head, &head, 0, 0)),
        ("another head's buffers", score(&head, &other, 1, 0)),
        ("layer 99", score(&deep, &deep, 1, 0)),
    ] {
        assert!(matches!(result, Err(Error::Shape(_))), "{what}: {result:?}");
    }
}
