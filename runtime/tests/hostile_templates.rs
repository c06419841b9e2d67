//! Chat templates that nobody vouches for: a text or an error, in bounded time, memory and stack.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use curt::package::{ChatTemplate, Message, Role};
use proptest::prelude::*;
use proptest::sample::select;

use crate::support::{caught_panics, in_full};

fn compile(source: &str) -> curt::Result<ChatTemplate> {
    ChatTemplate::compile("chat_template.jinja".into(), source.into(), BTreeMap::new())
}

fn render(source: &str) -> curt::Result<String> {
    let messages = [
        Message::new(Role::User, "Hi"),
        Message::new(Role::Assistant, "Hello"),
        Message::new(Role::User, "12+5"),
    ];
    let rendered = compile(source)?.render(&messages, &|| false)?;
    Ok(rendered.text)
}

/// Templates that are no more than an error.
#[test]
fn what_overflows_the_stack_or_fills_the_memory_is_an_error() {
    let caught = caught_panics();
    let chain = |piece: &str, times: usize| format!("{{{{ 1{} }}}}", piece.repeat(times));
    let deep = "{% set x = [x] %}".repeat(7_000);
    let cases: Vec<(&str, String)> = vec![
        ("long chain", chain("+1", 25_000)),
        ("long chain of attributes", chain(".a", 25_000)),
        ("long chain of filters", chain("|string", 12_000)),
        ("long chain of calls", chain("()", 25_000)),
        ("long chain of nots", format!("{{{{ {} 1 }}}}", "not ".repeat(25_000))),
        ("deep brackets", format!("{{{{ {} }}}}", "[".repeat(60_000))),
        ("deep brackets of a set", format!("{{% set {} %}}", "(".repeat(60_000))),
        ("elif", format!("{{% if a %}}{}{{% endif %}}", "{% elif b %}".repeat(9_000))),
        ("nested ifs", "{% if a %}".repeat(10_000)),
        ("long source", "x".repeat(10_000_000)),
        ("format width", "{{ '{:>99999999999}'.format('x') }}".into()),
        ("format precision", "{{ '{:.9999999999f}'.format(1.0) }}".into()),
        ("format nested", "{{ '{:{}}'.format('x', 99999999999) }}".into()),
        ("format of much", "{% set x = range(9999)|list %}{% for i in range(5000) %}{{ '{:1}'.format(1, x) }}{% endfor %}".into()),
        ("printf width", "{{ '%99999999999d' % 1 }}".into()),
        ("printf filter", "{{ '%.99999999999f'|format(1.0) }}".into()),
        ("tojson indent", "{{ [[1]]|tojson(indent=99999999999) }}".into()),
        ("tojson of a deep value", format!("{deep}{{{{ x|tojson }}}}")),
        ("repetition", "{{ 'x' * 99999999 }}".into()),
        ("repeated list", "{{ [1] * 99999999 }}".into()),
        ("doubling", "{% set ns = namespace(s='xxxxxxxx') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}{{ ns.s }}".into()),
        ("doubling lists", "{% set ns = namespace(s=[1]) %}{% for i in range(60) %}{% set ns.s = [ns.s, ns.s] %}{% endfor %}{{ ns.s }}".into()),
        ("doubling by replacing", "{% set ns = namespace(s='xx') %}{% for i in range(60) %}{% set ns.s = ns.s.replace('x', ns.s) %}{% endfor %}".into()),
        ("doubling by joining", "{% set ns = namespace(s='xx') %}{% for i in range(60) %}{% set ns.s = ns.s.join(ns.s) %}{% endfor %}".into()),
        ("list times a number", "{{ 99999999 * [1] }}".into()),
        ("list times a number, called", "{{ 99999999 * (messages)[0:] }}".into()),
        ("ranges times a number", "{{ (range(100000) * 1000)|string|length }}".into()),
        ("doubling lists by names", format!("{{% set x = [1] %}}{}{{{{ (x ~ '')|length }}}}", "{% set x = [x, x] %}".repeat(60))),
        ("doubling lists by adding", format!("{{% set x = [1] %}}{}{{{{ (x ~ '')|length }}}}", "{% set x = x + x %}".repeat(60))),
        ("doubling lists by chains", format!("{{% set x = [1] %}}{}{{{{ (x|string)|length }}}}", "{% set x = x|chain(x) %}".repeat(60))),
        ("doubling lists by loops", "{% for y in [[1]] recursive %}{% if loop.depth > 60 %}{{ y ~ '' }}{% else %}{{ loop([[y, y]]) }}{% endif %}{% endfor %}".into()),
        ("doubling lists by macros", "{% macro f(x, n) %}{% if n == 0 %}{{ (x ~ '')|length }}{% else %}{{ f([x, x], n - 1) }}{% endif %}{% endmacro %}{{ f([1], 60) }}".into()),
        ("doubling lists by scopes", format!("{{% set x = [1] %}}{}{{{{ (x ~ '')|length }}}}{}", "{% with x = [x, x] %}".repeat(60), "{% endwith %}".repeat(60))),
        ("doubling maps", format!("{{% set x = {{'a': 1}} %}}{}{{{{ x|pprint|length }}}}", "{% set x = {'a': x, 'b': x} %}".repeat(60))),
        ("repeated lists in each other", "{{ [[[[1] * 500] * 500] * 500]|string|length }}".into()),
        ("repeated lists of texts", "{{ (['x' * 60000] * 15000)|string|length }}".into()),
        ("list of a product", "{{ [1] * 99999 * 99999 }}".into()),
        ("repeated text", "{{ 'x' * 999999999999 }}".into()),
        ("repetition in a test", "{{ 1 is eq 1 * [1] * 99999999 * 99999999 }}".into()),
        ("printf width given", "{{ '%*d' % (99999999999, 1) }}".into()),
        ("printf precision given", "{{ '%.*f' % (99999999999, 1) }}".into()),
        ("printf of a text", "{{ '%99999999999s' % 'x' }}".into()),
        ("ljust", "{{ 'x'.ljust(99999999999) }}".into()),
        ("rjust", "{{ 'x'.rjust(99999999999, 'é') }}".into()),
        ("centered", "{{ 'x'.center(99999999999) }}".into()),
        ("zfill", "{{ '1'.zfill(99999999999) }}".into()),
        ("printing", "{% for i in range(9999) %}{{ range(9999)|list }}{% endfor %}".into()),
        ("joining prints", "{% for i in range(9999) %}{% set x = range(9999)|list ~ '' %}{% endfor %}".into()),
        ("center", "{{ 'x'|center(9999999999) }}".into()),
        ("indentation", "{{ 'x\ny'|indent(9999999999) }}".into()),
        ("deep value in a namespace", "{% set ns = namespace(l=[]) %}{% for i in range(100000) %}{% set ns.l = [ns.l] %}{% endfor %}{{ ns.l }}".into()),
        ("loops", "{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}".into()),
        ("macros", "{% macro f(x) %}{{ f([x]) }}{% endmacro %}{{ f(1) }}".into()),
        ("recursive loop", "{% for x in [[1]] recursive %}{{ loop([[x]]) }}{% endfor %}".into()),
        ("including itself", "{% include 'chat' %}".into()),
        ("extending itself", "{% extends 'chat' %}".into()),
        ("importing itself", "{% import 'chat' as c %}{{ c }}".into()),
    ];
    for (name, source) in cases {
        let clock = Instant::now();
        match render(&source) {
            Ok(text) => panic!("{name}: gave {} bytes", text.len()),
            Err(error) => assert!(
                in_full(&error).starts_with("chat_template.jinja: chat template: "),
                "{name}: {error}"
            ),
        }
        assert!(
            clock.elapsed() < Duration::from_secs(10),
            "{name}: {:?}",
            clock.elapsed()
        );
    }
    assert_eq!(caught.since(), 0, "panics were caught");
}

/// Templates that are what they look like, though they could not be followed without care.
#[test]
fn values_that_hold_themselves_are_copies() {
    for (source, wanted) in [
        (
            "{% set ns = namespace() %}{% set ns.l = ns %}{{ ns.l.l is defined }}",
            "false",
        ),
        (
            "{% set ns = namespace() %}{% set ns.l = [ns] %}{{ ns.l|length }}",
            "1",
        ),
        (
            "{% set ns = namespace() %}{% set a, ns.l = 1, ns %}{{ a }}{{ ns.l.l is defined }}",
            "1false",
        ),
        (
            "{% set ns = namespace() %}{% set ns.l | default(ns, true) %}{% endset %}{{ ns.l.l is defined }}",
            "false",
        ),
        (
            "{% set ns = namespace() %}{% set ns.l = {ns: 1} %}{{ ns.l|length }}{{ {ns: 1}|length }}",
            "11",
        ),
        (
            "{% set ns = namespace() %}{% set ns.l = {(1, 2): 'x'} %}{{ ns.l[(1, 2)] }} {{ ns.l }}",
            "x {(1, 2): 'x'}",
        ),
        (
            "{% set a = namespace() %}{% set a.l = a %}{% set b = namespace() %}{% set b.l = b %}{{ a == b }}",
            "true",
        ),
    ] {
        assert_eq!(render(source).unwrap().to_lowercase(), wanted, "{source}");
    }
}

#[test]
fn deep_values_are_an_error_where_they_get_a_name() {
    let nest = |times: usize| format!("{}1{}", "[".repeat(times), "]".repeat(times));
    let text = render(&format!("{{% set x = {} %}}{{{{ x|length }}}}", nest(50))).unwrap();
    assert_eq!(text, "1");
    let deeper = format!(
        "{{% set x = {} %}}{{% set y = [{}] %}}{{{{ y }}}}",
        nest(90),
        "x".to_string() + &"|list".repeat(2)
    );
    drop(render(&deeper));
    let twice = format!(
        "{{% set x = {} %}}{{% set y = {} %}}",
        nest(60),
        nest(60).replace('1', "x")
    );
    let error = in_full(&render(&twice).unwrap_err());
    assert!(error.contains("deep"), "{error}");
}

#[test]
fn a_rendering_can_be_cancelled() {
    let messages = [Message::new(Role::User, "Hi")];
    let error = compile("ok")
        .unwrap()
        .render(&messages, &|| true)
        .unwrap_err();
    assert!(matches!(error, curt::Error::Cancelled { .. }), "{error}");
}

fn expression() -> impl Strategy<Value = String> {
    let leaf = select(vec![
        "1",
        "'x'",
        "messages",
        "messages[0]",
        "ns",
        "ns.a",
        "ns.b",
        "x",
        "y",
        "none",
        "true",
        "9999999",
        "-1",
        "1.5",
        "{}",
        "[]",
        "range(1000)",
        "loop",
        "namespace",
        "caller",
        "'{:9999}'",
        "'%9999s|%r'",
        "'%*d'",
        "(1, 'x')",
        "1e300",
        "bos_token",
        "''",
        "'é'",
        "m",
    ])
    .prop_map(str::to_string);
    leaf.prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            (
                inner.clone(),
                select(vec![
                    "+", "~", "*", "==", "in", "<", "//", "%", "**", "and", "-", "is"
                ]),
                inner.clone()
            )
                .prop_map(|(a, op, b)| format!("({a} {op} {b})")),
            (
                inner.clone(),
                select(vec![
                    "tojson",
                    "tojson(indent=9)",
                    "list",
                    "string",
                    "length",
                    "join",
                    "sort",
                    "unique",
                    "reverse",
                    "items",
                    "dictsort",
                    "batch(2)",
                    "slice(3)",
                    "map('string')",
                    "first",
                    "last",
                    "trim",
                    "upper",
                    "title",
                    "indent(99)",
                    "center(999)",
                    "pprint",
                    "groupby('a')",
                    "sum",
                    "min",
                    "max",
                    "default(ns, true)",
                    "format(1)",
                    "round",
                    "int",
                    "float",
                    "select",
                    "reject('none')",
                    "selectattr('a')",
                    "replace('', 'xx')",
                    "attr('a')",
                    "lines",
                    "split('')",
                    "chain",
                    "zip",
                    "urlencode",
                    "bool",
                    "capitalize",
                    "truncate(3)",
                    "wordcount",
                ])
            )
                .prop_map(|(a, filter)| format!("({a}|{filter})")),
            (
                inner.clone(),
                select(vec![
                    "strip()",
                    "split('')",
                    "format(1, 2)",
                    "replace('', 'ab')",
                    "rsplit('x', 1)",
                    "rsplit()",
                    "partition('x')",
                    "rpartition('x')",
                    "removeprefix('x')",
                    "removesuffix('x')",
                    "ljust(99)",
                    "zfill(9)",
                    "index('x')",
                    "copy()",
                    "items()",
                    "keys()",
                    "values()",
                    "get('a')",
                    "join(messages)",
                    "upper()",
                    "count('')",
                    "splitlines()",
                    "startswith('')",
                    "a",
                    "b",
                    "content",
                    "title()",
                ])
            )
                .prop_map(|(a, method)| format!("{a}.{method}")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("[{a}, {b}]")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{{{a}: {b}}}")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a}[{b}]")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a}[:{b}]")),
            (inner.clone(), inner.clone(), inner.clone())
                .prop_map(|(a, b, c)| format!("({a} if {b} else {c})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a}({b})")),
            inner
                .clone()
                .prop_map(|a| format!("namespace(a={a}, b=ns)")),
            inner.prop_map(|a| format!("m({a})")),
        ]
    })
}

fn statements() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        expression().prop_map(|e| format!("{{{{ {e} }}}}")),
        expression().prop_map(|e| format!("{{% set x = {e} %}}")),
        expression().prop_map(|e| format!("{{% set ns.a = {e} %}}")),
        expression().prop_map(|e| format!("{{% set ns.b, y = {e}, ns %}}")),
        Just("text".to_string()),
        Just("{# c #}{% raw %}{{ {% endraw %}".to_string()),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4).prop_map(|all| all.concat()),
            (expression(), inner.clone())
                .prop_map(|(e, s)| format!("{{% for y in {e} %}}{s}{{% endfor %}}")),
            (expression(), inner.clone()).prop_map(|(e, s)| format!(
                "{{% for y in {e} recursive %}}{s}{{{{ loop(y) }}}}{{% endfor %}}"
            )),
            (expression(), inner.clone())
                .prop_map(|(e, s)| format!("{{% if {e} %}}{s}{{% else %}}{s}{{% endif %}}")),
            inner
                .clone()
                .prop_map(|s| format!("{{% macro m(x) %}}{s}{{% endmacro %}}")),
            inner
                .clone()
                .prop_map(|s| format!("{{% set ns.a %}}{s}{{% endset %}}")),
            inner
                .clone()
                .prop_map(|s| format!("{{% call m(1) %}}{s}{{% endcall %}}")),
            inner
                .clone()
                .prop_map(|s| format!("{{% filter upper %}}{s}{{% endfilter %}}")),
            inner.prop_map(|s| format!("{{%- generation -%}}{s}{{% endgeneration %}}")),
        ]
    })
}

proptest! {
    #[test]
    fn a_template_of_any_statements_gives_a_text_or_an_error(all in prop::collection::vec(statements(), 1..5)) {
        let caught = caught_panics();
        let source = format!("{{% set ns = namespace(a=1) %}}{}", all.concat());
        let clock = Instant::now();
        drop(render(&source));
        prop_assert!(clock.elapsed() < Duration::from_secs(10), "{:?}: {}", clock.elapsed(), source);
        prop_assert_eq!(caught.since(), 0, "a panic was caught: {}", source);
    }
}
