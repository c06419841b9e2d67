//! Pictures of the page for the README, made where `CURT_SHOTS` names a folder for them.

use std::path::PathBuf;

use serde_json::json;

use crate::browser::Browser;
use crate::example::{Example, video};

/// Frames of the recording, and milliseconds between two.
const RECORDED: usize = 60;
const BETWEEN_MS: u64 = 160;

/// Writes the README's pictures where it is told to: `CURT_SHOTS=DIR cargo test -p camera-vqa --test suite shots`.
#[test]
fn shots_for_the_readme() {
    let test = "shots_for_the_readme";
    let Some(dir) = std::env::var_os("CURT_SHOTS").map(PathBuf::from) else {
        return;
    };
    let Some(example) = Example::start(test) else {
        return;
    };
    // Each sheet for some seconds: what is asked has time to be answered and seen.
    let film: Vec<Vec<u8>> = video()
        .iter()
        .take(5)
        .flat_map(|sheet| {
            sheet
                .frames
                .iter()
                .cycle()
                .take(80)
                .cloned()
                .collect::<Vec<_>>()
        })
        .collect();
    let Some(mut browser) = Browser::start(test, &film) else {
        return;
    };
    for (name, width, height) in [("desktop", 1280, 1040), ("phone", 390, 844)] {
        for dark in [false, true] {
            browser.screen(width, height, dark);
            browser.open(&example.url("/"));
            browser.eval(
                "for (const [id, value] of [['format', 'full'], ['n', '8'], ['keep', '2']]) {
                     const it = document.getElementById(id); it.value = value; it.dispatchEvent(new Event('change', {bubbles: true}))
                 }
                 document.getElementById('question').value = 'What is the sum of the yellow digits?';
                 document.getElementById('ask').click()",
            );
            browser.wait("document.getElementById('card').dataset.state === 'done'");
            browser.click("measure");
            browser.wait("document.getElementById('bars').textContent.includes('measured')");
            let scheme = if dark { "dark" } else { "light" };
            browser.shot(&dir.join(format!("{name}-{scheme}.webp")));
            if name == "phone" {
                browser.eval("document.getElementById('form').scrollIntoView()");
                browser.shot(&dir.join(format!("{name}-{scheme}-answer.webp")));
            }
        }
    }
    browser.screen(960, 760, false);
    browser.open(&example.url("/"));
    browser.eval("document.getElementById('question').value = 'How many shapes are blue?'");
    browser.click("camera");
    browser.wait("document.getElementById('video').videoWidth > 0");
    browser.click("continuous");
    for frame in 0..RECORDED {
        match frame {
            20 => drop(browser.eval("[...document.querySelectorAll('#presets button')].at(2).click()")),
            40 => drop(browser.eval("(it => { it.value = 'cascade'; it.dispatchEvent(new Event('change', {bubbles: true})) })(document.getElementById('format')); [...document.querySelectorAll('#presets button')].at(5).click()")),
            _ => {}
        }
        browser.shot(&dir.join(format!("run-{frame:03}.webp")));
        std::thread::sleep(std::time::Duration::from_millis(BETWEEN_MS));
    }
    assert_eq!(json!(browser.complaints), json!([]));
}
