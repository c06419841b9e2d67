//! Chat templates read as transformers reads them.

use std::collections::BTreeMap;

use curt::package::{ChatTemplate, Message, Role};

use crate::support::in_full;

fn render(source: &str, messages: &[Message]) -> curt::Result<String> {
    let specials = BTreeMap::from([("bos_token", "<s>".to_string())]);
    let template = ChatTemplate::compile("chat_template.jinja".into(), source.into(), specials)?;
    Ok(template.render(messages, &|| false)?.text)
}

fn talk() -> Vec<Message> {
    vec![
        Message::new(Role::User, "Hi <b> & 'é'"),
        Message::new(Role::Assistant, "Hello"),
        Message::new(Role::User, "12+5"),
    ]
}

#[test]
fn a_template_reads_as_transformers_reads_it() {
    // The right-hand sides are what `apply_chat_template` of transformers 5.24.0 gives for the same source.
    for (source, wanted) in [
        // Lines with nothing but a block vanish (trim_blocks, lstrip_blocks), Python's string methods work.
        (
            "{{ bos_token }}\n{% for m in messages %}\n    {% if m['role'] == 'user' %}\n[{{ m.content.strip() }}]\n    {% endif %}\n{% endfor %}\n{% if add_generation_prompt %}>{% endif %}",
            "<s>\n[Hi <b> & 'é']\n[12+5]\n>",
        ),
        (
            "{% for m in messages %}\r\n{{ m.role }}\r\n{% endfor %}\r.",
            "user\nassistant\nuser\n.",
        ),
        (
            "{% for m in messages %}{% generation %}\n[{{ m.content }}]{% endgeneration %}\n{% endfor %}",
            "[Hi <b> & 'é'][Hello][12+5]",
        ),
        (
            "{%- for m in messages -%} {%- generation -%} {{ m.role }} {%- endgeneration -%} {%- endfor -%}",
            "userassistantuser",
        ),
        // Set in the block, gone after it, as in a call block; a text that only looks like the tag stays.
        (
            "{% set x = 1 %}{% generation %}{% set x = 2 %}{{ x }}{% endgeneration %}{{ x }}{{ '{% generation %}' }}",
            "21{% generation %}",
        ),
        (
            "{{ messages[0]|tojson }}",
            r#"{"role": "user", "content": "Hi <b> & 'é'"}"#,
        ),
        (
            "{{ {'b': [1, none, 1.5], 'a': true}|tojson(indent=2, sort_keys=true) }}",
            "{\n  \"a\": true,\n  \"b\": [\n    1,\n    null,\n    1.5\n  ]\n}",
        ),
        (
            "{{ ['é🎉', {}, []]|tojson(ensure_ascii=true, separators=(',', ':')) }}",
            r#"["\u00e9\ud83c\udf89",{},[]]"#,
        ),
        (
            "{% macro f(a, b=true) %}{{ a }}{{ caller(3) }}{% endmacro %}{% call(x) f(1, true) %}{{ x * 2 }}{% endcall %}{% macro g(a) %}{{ caller() }}{% endmacro %}{% call g(true) %}-{% endcall %}",
            "16-",
        ),
        (
            "{% with a = 1, b = [2] %}{{ a }}{{ b[0] }}{% endwith %}",
            "12",
        ),
        ("{{ tools is none }}{{ documents is none }}", "TrueTrue"),
        ("{% if tools is defined and tools %}x{% endif %}y", "y"),
        (
            "{{ bos_token }}{{ eos_token }}{{ pad_token is defined }}",
            "<s>False",
        ),
        (
            "{% for m in messages %}{% if loop.index0 == 1 %}{% break %}{% endif %}{{ m.role }}{% endfor %}",
            "user",
        ),
        ("{{ '{}-{:>3}'.format('a', 3) }}", "a-  3"),
        (
            "{% set ns = namespace(l=[]) %}{% for m in messages %}{% set ns.l = ns.l + [m] %}{% endfor %}{{ ns.l|length }}{{ ns.l[1].content }}",
            "3Hello",
        ),
    ] {
        assert_eq!(render(source, &talk()).unwrap(), wanted, "{source}");
    }
}

#[test]
fn a_date_is_local() {
    // `date` knows the time zone by its own means.
    let said = std::process::Command::new("date")
        .arg("+%d %b %Y %H %z")
        .output()
        .unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    let ours = render("{{ strftime_now('%d %b %Y %H %z') }}", &talk()).unwrap();
    assert_eq!(ours, said.trim());
    let padded = render("{{ strftime_now('%-d') }}", &talk()).unwrap();
    assert!(!padded.starts_with('0'), "{padded}");
    let error = render("{{ strftime_now('%') }}", &talk()).unwrap_err();
    assert!(
        in_full(&error).contains("strftime_now"),
        "{}",
        in_full(&error)
    );
}

#[test]
fn what_a_template_says_is_the_cause_of_its_error() {
    let error = render("{{ raise_exception('roles must alternate') }}", &talk()).unwrap_err();
    assert!(std::error::Error::source(&error).is_some());
    assert!(
        in_full(&error).contains("roles must alternate"),
        "{}",
        in_full(&error)
    );
}

#[test]
fn a_system_text_that_the_template_does_not_take_stands_before_the_first_question() {
    let turns = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}";
    let refuses = format!(
        "{{% if messages[0].role == 'system' %}}{{{{ raise_exception('no system') }}}}{{% endif %}}{turns}"
    );
    let drops =
        "{% for m in messages if m.role != 'system' %}<{{ m.role }}>{{ m.content }}{% endfor %}";
    let with_system = [vec![Message::new(Role::System, "Be brief.")], talk()].concat();
    for source in [refuses.as_str(), drops] {
        let template = ChatTemplate::compile("t".into(), source.into(), BTreeMap::new()).unwrap();
        let rendered = template.render(&with_system, &|| false).unwrap();
        assert!(rendered.system_moved);
        assert_eq!(
            rendered.text,
            "<user>Be brief.\n\nHi <b> & 'é'<assistant>Hello<user>12+5"
        );
        assert!(!template.render(&talk(), &|| false).unwrap().system_moved);
    }
    // One that changes the text has taken it.
    for source in [
        turns,
        "{% for m in messages %}{{ m.content|upper if m.role == 'system' else m.content }}{% endfor %}",
    ] {
        let template = ChatTemplate::compile("t".into(), source.into(), BTreeMap::new()).unwrap();
        assert!(
            !template
                .render(&with_system, &|| false)
                .unwrap()
                .system_moved,
            "{source}"
        );
    }
    // What else it refuses stays refused, in its own words.
    let never = "{{ raise_exception('never') }}";
    let error = in_full(&render(never, &with_system).unwrap_err());
    assert!(error.contains("never"), "{error}");
}

#[test]
fn operators_methods_and_prints_are_those_of_python() {
    // The right-hand sides are what `apply_chat_template` of transformers 5.24.0 gives for the same source.
    for (source, wanted) in [
        (
            "{{ 'a,b,c'.rsplit(',', 1) }} {{ 'a,b,c'.rsplit(sep=',')[0] }} {{ '  a b  c '.rsplit(None, 1) }} {{ '  a b  c '.split(maxsplit=1) }}",
            "['a,b', 'c'] a ['  a b', 'c'] ['a', 'b  c ']",
        ),
        (
            "{{ 'a</think>b</think>c'.partition('</think>') }} {{ 'a.b.c'.rpartition('.')[2] }} {{ 'abc'.partition('x') }} {{ 'abc'.rpartition('x') }}",
            "('a', '</think>', 'b</think>c') c ('abc', '', '') ('', '', 'abc')",
        ),
        (
            "{{ 'abc'.removeprefix('a') }} {{ 'abc'.removesuffix('bc') }} {{ 'abc'.removeprefix('x') }}",
            "bc a abc",
        ),
        (
            "{{ 'abc'.index('c') }} {{ 'éabc'.rindex('c') }} {{ [1, 2].index(2) }} {{ 'ab'.center(5, '-') }} {{ 'ab'.ljust(4) ~ '|' }} {{ '-5'.zfill(4) }}",
            "2 3 1 --ab- ab  | -005",
        ),
        (
            r#"{{ 'aBc'.swapcase() }} {{ "they're".title() }} {{ 'a\rb\u2028c\n'.splitlines() }} {{ 'a\nb'.splitlines(keepends=true) }}"#,
            r"AbC They'Re ['a', 'b', 'c'] ['a\n', 'b']",
        ),
        (
            "{{ '%s' % messages[0].role }} {{ '%s: %s' % (messages[1].role, messages[1].content) }} {{ '%s' % [1, none, 'a'] }}",
            "user assistant: Hello [1, None, 'a']",
        ),
        (
            r#"{{ '%d|%5d|%-5d|%05d|%+d|%d' % (1, 2, 3, 4, 5, 3.7) }} {{ '%r %r %a' % ("it's", 1.5, 'é') }} {{ '%.2f%% %x %c' % (2.345, 255, 'é') }}"#,
            r#"1|    2|3    |00004|+5|3 "it's" 1.5 '\xe9' 2.35% ff é"#,
        ),
        (
            "{{ '%(a)s-%(b)03d' % {'a': 'x', 'b': 2} }} {{ '%*d|%.*f|%5s|%.1s' % (4, 3, 2, 1.23456, 'é', 'éa') }} {{ '%s'|format(1e20) }}",
            "x-002    3|1.23|    é|é 1e+20",
        ),
        (
            "{{ 'a' ~ '%d' % 5 ~ 'b' }} {{ '%s' % ('a' ~ 2 * 3) }} {{ '%s' % messages|length * 2 }} {{ ('%s' % messages[0].role)|upper }}",
            "a5b a6 33 USER",
        ),
        (
            "{{ 7 % 3 }} {{ -7 % 3 }} {{ 7 % -3 }} {{ -7.5 % 2 }} {{ 6.0 % -3 }} {{ true % 2 }} {{ 2 ** 3 % 5 * 2 }} {{ 10 / 4 * 2 }} {{ 5 // 2 * 2 }}",
            "1 2 -2 0.5 -0.0 1 6 5.0 4",
        ),
    ] {
        assert_eq!(render(source, &talk()).unwrap(), wanted, "{source}");
    }
    // What Python refuses, too.
    for source in [
        "{{ '%s %s' % 'a' }}",
        "{{ '%s' % ('a', 'b') }}",
        "{{ 'abc' % 5 }}",
        "{{ '%d' % 'x' }}",
        "{{ '%q' % 1 }}",
        "{{ '%(x)s' % {'a': 1} }}",
        "{{ 'a'.partition('') }}",
        "{{ 'a'.rsplit('') }}",
        "{{ 'a'.index('x') }}",
        "{{ 7 % 0 }}",
        "{{ 7.0 % 0 }}",
        "{{ [1] * 1.5 }}",
        "{{ [1] * [2] }}",
        "{{ {'a': 1} * 2 }}",
        "{{ range(100001) }}",
        "{{ range(0, 9, 0) }}",
    ] {
        assert!(render(source, &talk()).is_err(), "{source}");
    }
    // Python counts characters there and minijinja bytes: better no answer than another one.
    let padded = "{{ '{:>6}|{:<3}|{}'.format('ab', 1, 'é'|length) }}";
    assert_eq!(render(padded, &talk()).unwrap(), "    ab|1  |1");
    for source in [
        "{{ '{:>6}'.format('é') }}",
        "{{ '{:é>6}'.format('e') }}",
        "{{ '{a:>6}'.format(a='é') }}",
        "{{ '{0[a]:>6}'.format({'a': 'é'}) }}",
        "{{ '{:>9}'.format({'é': 1}) }}",
        "{{ '{} {:>6}'.format('e', 'é') }}",
        "{{ '{0[0][a]:>6}'.format([{'a': 'é'}]) }}",
    ] {
        let error = in_full(&render(source, &talk()).unwrap_err());
        assert!(error.contains("ljust"), "{source}: {error}");
    }
}
