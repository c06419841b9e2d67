//! The page as a person meets it: with a camera, a keyboard, a screen reader, on a desk and on a phone.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::browser::Browser;
use crate::example::{Asked, Example, Filmed, PATIENCE, video};

const DESK: (u32, u32) = (1280, 1000);
const PHONE: (u32, u32) = (390, 844);

const DONE: &str = "document.getElementById('card').dataset.state === 'done'";

/// The example, and a browser that is on its page and whose camera films `frames`.
fn open(test: &str, frames: &[Vec<u8>]) -> Option<(Example, Browser)> {
    let example = Example::start(test)?;
    let mut browser = Browser::start(test, frames)?;
    browser.screen(DESK.0, DESK.1, false);
    browser.open(&example.url("/"));
    Some((example, browser))
}

/// A sheet with a question that a glance answers; a second one whose answer to it is another.
fn two_sheets() -> ((Filmed, Asked), Filmed, String) {
    let mut sheets = video();
    let colors = |sheet: &Filmed| {
        let mut asked = sheet.asked.iter();
        asked.position(|it| it.kind == "common_color")
    };
    let first = sheets
        .iter()
        .position(|sheet| colors(sheet).is_some())
        .unwrap();
    let mut first = sheets.remove(first);
    let asked = first.asked.remove(colors(&first).unwrap());
    let other = |sheet: &Filmed| {
        let it = &sheet.asked[colors(sheet)?];
        (it.answer != asked.answer).then(|| it.answer.clone())
    };
    let second = sheets
        .iter()
        .position(|sheet| other(sheet).is_some())
        .unwrap();
    let answer = other(&sheets[second]).unwrap();
    ((first, asked), sheets.remove(second), answer)
}

fn ask(browser: &mut Browser, question: &str) -> String {
    browser.eval(&format!(
        "document.getElementById('question').value = {}",
        json!(question)
    ));
    browser.click("ask");
    browser.wait(DONE);
    browser.text("answer")
}

fn choose(browser: &mut Browser, id: &str, value: &str) {
    browser.eval(&format!(
        "(it => {{ it.value = '{value}'; it.dispatchEvent(new Event('change', {{bubbles: true}})) }})(document.getElementById('{id}'))"
    ));
}

#[test]
fn it_answers_about_a_sheet_and_about_a_camera_and_complains_of_nothing() {
    let test = "it_answers_about_a_sheet_and_about_a_camera_and_complains_of_nothing";
    let ((sheet, asked), ..) = two_sheets();
    let Some((example, mut browser)) = open(test, &sheet.frames) else {
        return;
    };
    // A sheet lies there from the beginning.
    let question = "How many shapes are yellow?";
    let answer = ask(&mut browser, question);
    let (_, direct) = example.ask(&frame(&mut browser), question, json!({}));
    assert_eq!(
        answer,
        direct["choices"][0]["message"]["content"].as_str().unwrap()
    );
    assert_eq!(answer, "3");
    assert_eq!(browser.text("asked-line"), question);
    let tokens = direct["usage"]["completion_tokens"].to_string();
    assert!(
        browser.text("badge").contains(&format!("{tokens} token")),
        "{}",
        browser.text("badge")
    );
    assert!(
        browser.text("bars").contains("estimate"),
        "{}",
        browser.text("bars")
    );

    // What always-full takes is measured when somebody asks.
    browser.click("measure");
    browser.wait("document.getElementById('bars').textContent.includes('measured')");

    browser.click("camera");
    browser.wait("document.getElementById('video').videoWidth > 0");
    assert_eq!(ask(&mut browser, &asked.question), asked.answer);
    browser.click("camera");
    browser.wait("document.getElementById('video').hidden");
    assert_eq!(
        ask(&mut browser, &asked.question),
        asked.answer,
        "the last frame stays"
    );

    // Several paths, some dropped.
    for (id, value) in [("format", "full"), ("n", "8"), ("keep", "2")] {
        choose(&mut browser, id, value);
    }
    ask(&mut browser, "What is the sum of all digits?");
    assert_eq!(
        browser.eval("document.querySelectorAll('#paths-rows tr').length"),
        8
    );
    let words = browser.text("paths-rows");
    assert_eq!(words.matches("dropped").count(), 6, "{words}");
    assert!(
        browser
            .text("paths-caption")
            .contains("6 dropped at the check, scored by"),
        "{}",
        browser.text("paths-caption")
    );
    assert_eq!(
        browser.eval("document.querySelectorAll('#paths-drawing circle').length"),
        8
    );

    // The cascade, held to a target.
    choose(&mut browser, "n", "1");
    choose(&mut browser, "format", "cascade");
    assert_eq!(
        browser.eval("document.getElementById('accuracy').options.length"),
        3
    );
    ask(&mut browser, "What is the sum of all digits?");
    assert!(
        browser.text("sections").contains("direct first"),
        "{}",
        browser.text("sections")
    );

    browser.eval("document.getElementById('question').value = ' '");
    browser.open(&example.url("/print.html").replace("print.html", ""));
    assert_eq!(browser.complaints, [""; 0]);
}

/// The picture that the page last asked about, as a JPEG file.
fn frame(browser: &mut Browser) -> Vec<u8> {
    use base64::Engine as _;
    let uri = browser.eval("document.getElementById('seen').src");
    let data = uri.as_str().unwrap().split_once(',').unwrap().1.to_owned();
    base64::engine::general_purpose::STANDARD
        .decode(data)
        .unwrap()
}

#[test]
fn asking_on_and_on_is_about_the_newest_frame_alone() {
    let test = "asking_on_and_on_is_about_the_newest_frame_alone";
    let ((first, asked), second, other) = two_sheets();
    // Each sheet for a second or two, in turn.
    let long = |sheet: &Filmed| {
        sheet
            .frames
            .iter()
            .cycle()
            .take(40)
            .cloned()
            .collect::<Vec<_>>()
    };
    let frames = [long(&first), long(&second)].concat();
    let Some((example, mut browser)) = open(test, &frames) else {
        return;
    };
    browser.click("camera");
    browser.wait("document.getElementById('video').videoWidth > 0");
    // Notes each answer with the frame that it is about, and how many questions were on their way at once.
    browser.eval(
        "window.told = []; window.most = 0; window.open = 0;
         const real = window.fetch;
         window.fetch = async (...all) => { open += 1; most = Math.max(most, open); try { return await real(...all) } finally { open -= 1 } };
         new MutationObserver(() => {
             if (document.getElementById('card').dataset.state === 'done')
                 told.push([document.getElementById('answer').textContent, document.getElementById('seen').src]);
         }).observe(document.getElementById('card'), {attributes: true, attributeFilter: ['data-state']}); 1",
    );
    browser.eval(&format!(
        "document.getElementById('question').value = {}",
        json!(asked.question)
    ));
    browser.click("continuous");
    browser.wait(&format!("told.length >= 12 && told.some(it => it[0] === '{}') && told.some(it => it[0] === '{other}')", asked.answer));
    assert_eq!(browser.eval("most"), 1, "never a queue");
    assert!(
        browser.text("facts").contains("/s"),
        "{}",
        browser.text("facts")
    );
    browser.click("continuous");
    let told = browser.eval("told");
    let told = told.as_array().unwrap();
    let mut right = 0;
    for it in told {
        let answer = it[0].as_str().unwrap();
        right += usize::from(answer == asked.answer || answer == other);
    }
    // A frame in which one sheet changes for the other may say anything.
    assert!(
        right * 10 >= told.len() * 9,
        "{right} of {} are right",
        told.len()
    );
    // The answer is to the frame that is shown with it: the server says the same of it.
    for it in told.iter().step_by(told.len() / 5) {
        use base64::Engine as _;
        let data = it[1]
            .as_str()
            .unwrap()
            .split_once(',')
            .unwrap()
            .1
            .to_owned();
        let picture = base64::engine::general_purpose::STANDARD
            .decode(data)
            .unwrap();
        let (_, again) = example.ask(&picture, &asked.question, json!({}));
        assert_eq!(again["choices"][0]["message"]["content"], it[0]);
    }
    assert_eq!(browser.complaints, [""; 0]);
}

#[test]
fn asking_anew_ends_what_was_asked_before() {
    let test = "asking_anew_ends_what_was_asked_before";
    let ((sheet, _), ..) = two_sheets();
    let Some((example, mut browser)) = open(test, &sheet.frames) else {
        return;
    };
    for (id, value) in [("format", "full"), ("n", "16")] {
        choose(&mut browser, id, value);
    }
    let before = example.metric("curt_generated_tokens_total");
    browser.eval("document.getElementById('question').value = 'What is the sum of all digits?'");
    // Anew before the first could have come to its end.
    browser.eval(
        "document.getElementById('ask').click();
         new Promise(done => setTimeout(done, 15)).then(() => {
             document.getElementById('n').value = '1';
             document.getElementById('question').value = 'What is the largest digit?';
             document.getElementById('ask').click();
         })",
    );
    browser.wait(DONE);
    assert_eq!(browser.text("asked-line"), "What is the largest digit?");
    let clock = Instant::now();
    while example.metric("curt_questions_total") < 1.0 || example.metric("curt_queue_length") > 0.0
    {
        assert!(clock.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(10));
    }
    let tokens = example.metric("curt_generated_tokens_total") - before;
    let shown = browser.text("badge");
    assert!(
        shown.contains(&format!("{tokens} token")),
        "{tokens} generated, {shown} shown"
    );

    // Escape ends it too, and the page says nothing of it.
    choose(&mut browser, "n", "16");
    browser.click("ask");
    browser.press("Escape");
    browser.wait("!document.getElementById('card').hasAttribute('aria-busy')");
    assert_eq!(
        browser.eval("document.getElementById('trouble').hidden"),
        true
    );
    assert_eq!(browser.complaints, [""; 0]);
}

#[test]
fn it_can_be_used_by_the_keyboard_alone() {
    let test = "it_can_be_used_by_the_keyboard_alone";
    let ((sheet, asked), ..) = two_sheets();
    let Some((_example, mut browser)) = open(test, &sheet.frames) else {
        return;
    };
    let mut order = Vec::new();
    loop {
        browser.press("Tab");
        let focused = browser.focused();
        // After the last it is the browser's own turn.
        let over = browser.eval("document.activeElement === document.body") == true;
        if over || order.contains(&focused) || order.len() > 60 {
            break;
        }
        // What has the keyboard is seen to have it.
        let outline = browser.eval("getComputedStyle(document.activeElement).outlineStyle");
        if focused != "file" {
            assert_ne!(outline, "none", "{focused}");
        }
        order.push(focused);
    }
    let place = |id: &str| {
        order
            .iter()
            .position(|it| it == id)
            .unwrap_or_else(|| panic!("no {id} in {order:?}"))
    };
    let wanted = [
        "Skip to the question",
        "camera",
        "file",
        "question",
        "ask",
        "continuous",
        "How many shapes are red?",
        "format",
        "n",
        "deadline",
    ];
    let places = wanted.map(place);
    assert!(places.is_sorted(), "{order:?}");

    let reach = |browser: &mut Browser, id: &str| {
        for _ in 0..60 {
            if browser.focused() == id {
                return;
            }
            browser.press("Tab");
        }
        panic!("{id} is not reached");
    };
    reach(&mut browser, "camera");
    browser.press("Enter");
    browser.wait("document.getElementById('video').videoWidth > 0");
    reach(&mut browser, "question");
    browser.eval("document.getElementById('question').select()");
    for letter in asked.question.chars() {
        browser.press(&letter.to_string());
    }
    browser.press("Enter");
    browser.wait(DONE);
    assert_eq!(browser.text("answer"), asked.answer);
    reach(&mut browser, "continuous");
    browser.press(" ");
    browser.wait("document.getElementById('continuous').getAttribute('aria-pressed') === 'true'");
    browser.press("Escape");
    browser.wait("document.getElementById('continuous').getAttribute('aria-pressed') === 'false'");
    assert_eq!(browser.complaints, [""; 0]);
}

#[test]
fn nobody_is_shut_out_and_nothing_sticks_out() {
    let test = "nobody_is_shut_out_and_nothing_sticks_out";
    let ((sheet, _), ..) = two_sheets();
    let Some((example, mut browser)) = open(test, &sheet.frames) else {
        return;
    };
    let axe = include_str!("axe/axe.min.js");
    for (width, height) in [DESK, PHONE] {
        for dark in [false, true] {
            browser.screen(width, height, dark);
            browser.open(&example.url("/"));
            ask(&mut browser, "What is the sum of all digits?");
            for (id, value) in [("format", "full"), ("n", "4"), ("keep", "1")] {
                choose(&mut browser, id, value);
            }
            ask(&mut browser, "What is the sum of all digits?");
            browser
                .eval("document.querySelectorAll('details').forEach(it => { it.open = true }); 1");
            let wide = browser.eval("document.documentElement.scrollWidth");
            assert_eq!(wide, width, "it sticks out at {width}");
            browser.eval(&format!("{axe}; 1"));
            let found = browser.eval(
                "axe.run(document, {resultTypes: ['violations']}).then(it => it.violations
                    .filter(fault => ['serious', 'critical'].includes(fault.impact))
                    .map(fault => fault.id + ': ' + fault.nodes.map(node => node.html + ' ' + node.failureSummary).join('; ')))",
            );
            assert_eq!(found, Value::Array(Vec::new()), "{width}, dark {dark}");
        }
    }
    let scheme = browser.eval("getComputedStyle(document.body).backgroundColor");
    browser.screen(PHONE.0, PHONE.1, false);
    assert_ne!(
        browser.eval("getComputedStyle(document.body).backgroundColor"),
        scheme
    );
    browser.call(
        "Emulation.setEmulatedMedia",
        json!({"features": [{"name": "prefers-reduced-motion", "value": "reduce"}]}),
    );
    assert_eq!(
        browser.eval("getComputedStyle(document.querySelector('.live span')).animationName"),
        "none"
    );
}

#[test]
fn a_picture_that_is_none_and_a_server_that_is_gone_are_told_in_words() {
    let test = "a_picture_that_is_none_and_a_server_that_is_gone_are_told_in_words";
    let ((sheet, _), ..) = two_sheets();
    let Some((example, mut browser)) = open(test, &sheet.frames) else {
        return;
    };
    browser.eval(
        "(() => { const data = new DataTransfer(); data.items.add(new File(['no'], 'x.png', {type: 'image/png'}));
          dispatchEvent(new DragEvent('drop', {dataTransfer: data, bubbles: true, cancelable: true})) })()",
    );
    browser.wait("document.getElementById('trouble').textContent.includes('no picture')");
    choose(&mut browser, "deadline", "0");
    browser.eval("document.getElementById('question').value = 'What is the largest digit?'");
    drop(example);
    browser.click("ask");
    browser.wait("document.getElementById('trouble').textContent.includes('does not answer')");
}
