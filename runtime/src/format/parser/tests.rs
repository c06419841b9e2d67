use proptest::prelude::*;

use super::*;

/// What is found in a text that comes in these pieces: for each section its kind, its text and how it ended.
fn sections<'g>(
    grammar: &'g Grammar,
    pieces: &[&str],
) -> (Vec<(SectionKind, String, Closing)>, Parser<'g>) {
    let mut parser = Parser::new(grammar);
    let mut found: Vec<(SectionKind, String, Option<Closing>)> = Vec::new();
    let mut take = |piece: Piece<'_>| match piece {
        Piece::Opened(kind) => found.push((kind, String::new(), None)),
        Piece::Text(kind, text) => {
            let last = found.last_mut().unwrap();
            assert!(last.0 == kind && last.2.is_none());
            last.1.push_str(text);
        }
        Piece::Closed(kind, by) => {
            let last = found.last_mut().unwrap();
            assert!(last.0 == kind && last.2.is_none());
            last.2 = Some(by);
        }
    };
    for piece in pieces {
        parser.push(piece, &mut take);
    }
    parser.finish(&mut take);
    let found = found
        .into_iter()
        .map(|(k, text, by)| (k, text, by.unwrap()));
    (found.collect(), parser)
}

/// The format of a text, and the texts of its sections.
fn read(grammar: &Grammar, text: &str) -> (Option<ResponseFormat>, Vec<String>) {
    let (sections, parser) = sections(grammar, &[text]);
    let texts = sections.into_iter().map(|(_, text, _)| text);
    (parser.format(), texts.collect())
}

#[test]
fn each_format_is_read_with_and_without_white_space() {
    let grammar = Grammar::assumed();
    for (text, format, texts) in [
        ("<answer>B</answer>", ResponseFormat::Direct, &["B"][..]),
        (
            "<answer>\nlinoleum\n</answer>",
            ResponseFormat::Direct,
            &["linoleum"],
        ),
        (
            "<perception>\nA foal.\n\nIt stands. \n</perception>\n\n<answer>\nfoal\n</answer>\n",
            ResponseFormat::Perception,
            &["A foal.\n\nIt stands.", "foal"],
        ),
        (
            "<perception>a</perception><reasoning>1 < 2, so </b>.</reasoning><answer>x</answer>",
            ResponseFormat::Full,
            &["a", "1 < 2, so </b>.", "x"],
        ),
        (
            "<Perception>a</PERCEPTION> <Answer>x",
            ResponseFormat::Perception,
            &["a", "x"],
        ),
        // A closing tag is left out.
        (
            "<perception>a <reasoning>b<answer>x</answer>",
            ResponseFormat::Full,
            &["a", "b", "x"],
        ),
    ] {
        let (found, sections) = read(&grammar, text);
        assert_eq!(
            (found, &sections[..]),
            (
                Some(format),
                &texts.iter().map(|t| t.to_string()).collect::<Vec<_>>()[..]
            ),
            "{text}"
        );
    }
}

#[test]
fn what_is_out_of_order_or_outside_has_no_format_and_is_read_still() {
    let grammar = Grammar::assumed();
    for (text, texts, fault) in [
        (
            "<answer>x</answer><perception>a</perception>",
            &["x"][..],
            Fault::Stray,
        ),
        (
            "<reasoning>b</reasoning><perception>a</perception><answer>x</answer>",
            &["b", "a", "x"],
            Fault::Order,
        ),
        (
            "<perception>a</perception><perception>b</perception><answer>x</answer>",
            &["a", "b", "x"],
            Fault::Order,
        ),
        ("Sure! <answer>x</answer>", &["x"], Fault::Stray),
        ("<answer>x</answer> y", &["x"], Fault::Stray),
        // The opening tag is left out.
        (
            "<perception>a</perception> x </answer>",
            &["a", "x"],
            Fault::Stray,
        ),
    ] {
        let (sections, parser) = sections(&grammar, &[text]);
        let found: Vec<&str> = sections.iter().map(|(_, text, _)| text.as_str()).collect();
        assert_eq!(found, texts, "{text}");
        assert!(
            parser.faults().contains(&fault),
            "{text}: {:?}",
            parser.faults()
        );
        assert_eq!(parser.format(), None, "{text}");
    }
    // Reasoning without perception is none of the three, and no answer is no response.
    for text in [
        "<reasoning>b</reasoning><answer>x</answer>",
        "<perception>a</perception>",
        "x",
        "",
    ] {
        assert_eq!(read(&grammar, text).0, None, "{text}");
    }
}

#[test]
fn what_thinks_is_read_and_the_rest_is_the_answer() {
    let grammar = Grammar::thinking();
    for (text, format, texts) in [
        (
            "<think>\na\n</think>\n\nThe answer is 7.",
            ResponseFormat::Full,
            &["a", "The answer is 7."][..],
        ),
        (
            "\n The answer is <b>7</b>.\n",
            ResponseFormat::Direct,
            &["The answer is <b>7</b>."],
        ),
        ("<thin", ResponseFormat::Direct, &["<thin"]),
        ("<think>\n\n</think>\n\n7", ResponseFormat::Full, &["", "7"]),
    ] {
        let (found, sections) = read(&grammar, text);
        assert_eq!(
            (found, sections),
            (Some(format), texts.iter().map(|t| t.to_string()).collect()),
            "{text}"
        );
    }
    assert_eq!(read(&grammar, "<think>a").0, None);
}

fn tags() -> impl Strategy<Value = String> {
    let tag = prop::sample::select(vec![
        "<perception>",
        "</perception>",
        "<reasoning>",
        "</reasoning>",
        "<answer>",
        "</answer>",
        "<think>",
        "</think>",
        "<ANSWER>",
        "<",
        "</",
        ">",
        "<per",
        "ception>",
        "\n",
        " ",
        "  ",
        "a",
        "é",
        "x y",
        "\u{2003}",
        "",
    ]);
    prop::collection::vec(tag, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// However a text is cut, its sections are the same.
    #[test]
    fn any_split_gives_the_same_sections(text in tags(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8)) {
        for grammar in [Grammar::assumed(), Grammar::thinking()] {
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
            at.retain(|&at| text.is_char_boundary(at));
            at.extend([0, text.len()]);
            at.sort_unstable();
            let pieces: Vec<&str> = at.windows(2).map(|w| &text[w[0]..w[1]]).collect();
            let (whole, parser) = sections(&grammar, &[&text]);
            let (parts, cut) = sections(&grammar, &pieces);
            prop_assert_eq!(whole, parts);
            prop_assert_eq!(parser.format(), cut.format());
            prop_assert_eq!(parser.faults(), cut.faults());
        }
    }

    /// A response of the grammar has its format, whatever its sections say.
    #[test]
    fn what_the_grammar_writes_it_reads(
        bodies in prop::array::uniform3("[a-z .]{0,12}"),
        space in "[ \n]{0,3}",
        format in prop::sample::select(ResponseFormat::ALL.to_vec()),
    ) {
        let grammar = Grammar::assumed();
        let kinds = grammar.sections(format).unwrap();
        let section = |kind: &SectionKind| {
            let tags = grammar.tags(*kind).unwrap();
            format!("{}{space}{}{space}{}{space}", tags.open, bodies[*kind as usize], tags.close)
        };
        let text: String = kinds.iter().map(section).collect();
        let (found, texts) = read(&grammar, &text);
        prop_assert_eq!(found, Some(format));
        let expected: Vec<String> = kinds.iter().map(|kind| bodies[*kind as usize].trim().to_string()).collect();
        prop_assert_eq!(texts, expected);
    }
}
