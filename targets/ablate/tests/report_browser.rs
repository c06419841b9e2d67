//! The page in a browser: right side up on a desk, on a phone, in the dark and on paper.

use crate::support;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use curt_ablate::record::{Folder, Measure, read_records};
use curt_ablate::report::page;
use curt_ablate::run::run;
use curt_ablate::summary::Summary;
use flate2::read::ZlibDecoder;
use support::{MadeUp, Nature, asked, items, run_of};

/// Makes Chromium prefer the dark.
const DARK: &str = "--blink-settings=preferredColorScheme=0";
/// Least contrast of text against what is behind it: WCAG 2.2, success criterion 1.4.3 (level AA).
const CONTRAST: f64 = 4.5;
/// Width of A4 between Chromium's margins of 0.4 in, in CSS pixels of 1/96 in.
const PAPER_PX: u32 = 717;

/// The page of a made-up run.
fn made_up_page() -> String {
    let dir = tempfile::tempdir().unwrap();
    let settings = run_of(24, Measure::Replay);
    let items = items(24);
    let mut made_up = MadeUp::new(&settings, Nature::Mixed);
    let folder = Folder::new(dir.path());
    run(
        &settings,
        &asked(&items),
        &folder,
        false,
        &mut [&mut made_up],
        &mut |_| {},
    )
    .unwrap();
    let records = read_records(dir.path()).unwrap();
    page(&Summary::of(&records), &records)
}

/// A browser, a folder for what it reads and writes.
struct Desk {
    browser: PathBuf,
    dir: tempfile::TempDir,
}

impl Desk {
    /// None, noted as skipped, where there is no Chromium.
    fn of(test: &str) -> Option<Self> {
        let Some(browser) = chromium() else {
            skip(test, "no Chromium on this machine");
            return None;
        };
        let dir = tempfile::tempdir().unwrap();
        Some(Self { browser, dir })
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a page; its address.
    fn put(&self, name: &str, page: &str) -> String {
        std::fs::write(self.at(name), page).unwrap();
        format!("file://{}", self.at(name).display())
    }

    fn browse(&self, arguments: &[&str]) -> Vec<u8> {
        browse(&self.browser, &self.at("home"), arguments)
    }

    /// What `script`, run once `page` has loaded, returns as a string.
    fn evaluate(&self, page: &str, width: u32, flags: &[&str], script: &str) -> String {
        let told = format!(
            "<script>addEventListener('load', () => parent.told(String((() => {{ {script} }})())))</script>"
        );
        self.put("telling.html", &format!("{page}{told}"));
        let address = self.put(
            "frame.html",
            &format!(
                "<script>function told(text) {{ document.title = 'told ' + text }}</script>\
                 <iframe width={width} height=800 style='border:0' src=telling.html></iframe>"
            ),
        );
        let dom = self.browse(
            &[
                flags,
                &["--virtual-time-budget=3000", "--dump-dom", &address],
            ]
            .concat(),
        );
        let dom = String::from_utf8_lossy(&dom).into_owned();
        let told = dom
            .split("<title>told ")
            .nth(1)
            .and_then(|rest| rest.split("</title>").next());
        told.unwrap_or_else(|| panic!("nothing told: {dom}"))
            .to_string()
    }
}

/// Notes that `test` did not run, as the tests of the runtime do.
fn skip(test: &str, why: &str) {
    eprintln!("skipped: {test}: {why}");
    if let Some(log) = std::env::var_os("CURT_SKIP_LOG") {
        use std::io::Write;
        let mut log = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(log)
            .unwrap();
        writeln!(log, "{test}\t{why}").unwrap();
    }
}

fn chromium() -> Option<PathBuf> {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let dirs = std::env::var_os("PATH")?;
    std::env::split_paths(&dirs)
        .flat_map(|dir| names.map(|name| dir.join(name)))
        .find(|file| file.is_file())
}

fn browse(browser: &Path, home: &Path, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(browser)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--allow-file-access-from-files",
        ])
        .arg(format!("--user-data-dir={}", home.display()))
        .args(arguments)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

#[test]
fn a_browser_shows_it_on_a_desk_and_on_a_phone() {
    let Some(desk) = Desk::of("a_browser_shows_it_on_a_desk_and_on_a_phone") else {
        return;
    };
    let page = made_up_page();
    for width in [360, 390, 800, 1280] {
        // Nothing of it may stick out.
        let script = "return innerWidth + ' ' + document.documentElement.scrollWidth";
        let told = desk.evaluate(&page, width, &[], script);
        assert_eq!(told, format!("{width} {width}"));
    }
    let address = desk.put("report.html", &page);
    let shot = format!("--screenshot={}", desk.at("shot.png").display());
    desk.browse(&["--window-size=1280,1600", &shot, &address]);
    let image = std::fs::read(desk.at("shot.png")).unwrap();
    assert!(image.starts_with(b"\x89PNG"));
    // An empty page of this size is a PNG of about 10 KB.
    assert!(image.len() > 60_000, "{} bytes", image.len());
}

/// The lightness of the page, then the least contrast of a text and that text.
const READABILITY: &str = r"
    const rgb = text => text.match(/[\d.]+/g).map(Number);
    const light = ([r, g, b]) => [r, g, b].map(c => c / 255)
        .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
        .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = element => {
        for (; element; element = element.parentElement) {
            const colour = rgb(getComputedStyle(element).backgroundColor);
            if (colour.length === 3 || colour[3] === 1) return light(colour);
        }
        return 1;
    };
    document.querySelectorAll('details').forEach(details => details.open = true);
    let worst = [Infinity, ''];
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let node; (node = texts.nextNode());) {
        const element = node.parentElement;
        const box = element.getBoundingClientRect();
        if (!node.data.trim() || !box.width || element.closest('script, style, title')) continue;
        const style = getComputedStyle(element);
        const ink = light(rgb(element instanceof SVGElement ? style.fill : style.color));
        const paper = behind(element);
        const contrast = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
        if (contrast < worst[0]) worst = [contrast, node.data.trim().slice(0, 40)];
    }
    return behind(document.body).toFixed(3) + ' ' + worst[0].toFixed(2) + ' ' + worst[1];
";

#[test]
fn it_is_dark_where_that_is_preferred_and_readable_in_both() {
    let Some(desk) = Desk::of("it_is_dark_where_that_is_preferred_and_readable_in_both") else {
        return;
    };
    let page = made_up_page();
    for dark in [false, true] {
        let flags: &[&str] = if dark {
            &[DARK]
        } else {
            &["--blink-settings=preferredColorScheme=1"]
        };
        let told = desk.evaluate(&page, 1280, flags, READABILITY);
        let mut words = told.splitn(3, ' ');
        let mut number = || words.next().unwrap().parse::<f64>().unwrap();
        let (lightness, contrast) = (number(), number());
        // Paper is 1, and a page is dark below a tenth of that.
        assert_eq!(lightness < 0.1, dark, "{told}");
        assert!(!(0.1..=0.8).contains(&lightness), "{told}");
        assert!(contrast >= CONTRAST, "dark {dark}: {told}");
    }
}

/// What sticks out of the paper, or would have to be scrolled: none of it would be printed.
const CUT: &str = "
    document.querySelectorAll('details').forEach(details => details.open = true);
    const cut = [...document.querySelectorAll('body *')].filter(element => {
        const hides = getComputedStyle(element).overflowX !== 'visible';
        const right = element.getBoundingClientRect().right;
        return right > innerWidth + 1 || (hides && element.scrollWidth > element.clientWidth + 1);
    });
    return cut.length + ' ' + cut.slice(0, 3).map(element => element.outerHTML.slice(0, 60).replaceAll('<', '[')).join(' ');
";

#[test]
fn on_paper_it_is_whole_and_not_dark() {
    let Some(desk) = Desk::of("on_paper_it_is_whole_and_not_dark") else {
        return;
    };
    let page = made_up_page();
    // No flag lays a page out as on paper: here the rules for paper hold on the screen, at the width of paper.
    assert!(page.contains("@media print"));
    let as_printed = page.replace("@media print", "@media screen");
    let told = desk.evaluate(&as_printed, PAPER_PX, &[DARK], CUT);
    assert!(told.starts_with("0 "), "cut: {told}");
    // Without these rules it would be cut, and this would see it.
    let told = desk.evaluate(&page, PAPER_PX, &[DARK], CUT);
    assert!(!told.starts_with("0 "), "nothing is cut on the screen");

    let address = desk.put("report.html", &page);
    let to = format!("--print-to-pdf={}", desk.at("report.pdf").display());
    desk.browse(&[DARK, "--no-pdf-header-footer", &to, &address]);
    let pdf = std::fs::read(desk.at("report.pdf")).unwrap();
    let text = String::from_utf8_lossy(&pdf);
    let pages = text.matches("/Type /Page\n").count();
    // Six sections or more, of which no two large ones go on a page.
    assert!((3..=20).contains(&pages), "{pages} pages");
    let drawn = streams(&pdf);
    let fills: Vec<&str> = drawn.lines().filter(|line| line.ends_with(" rg")).collect();
    assert!(fills.len() > 20, "{} colours", fills.len());
    // Ink is black and paper is left alone, whatever the screen shows.
    for screens in ["--ink: #", "--page: #"] {
        let colour = printed(page.split(screens).nth(1).unwrap());
        assert!(
            !fills.iter().any(|line| line.contains(&colour)),
            "{screens}: {colour}"
        );
    }
    assert!(fills.iter().any(|line| line.ends_with("RG 0 0 0 rg")));
}

/// A colour of six hexadecimal digits as Chromium fills with it in a PDF.
fn printed(hex: &str) -> String {
    let channel = |at: usize| {
        let value = f64::from(u8::from_str_radix(&hex[at..at + 2], 16).unwrap()) / 255.0;
        let text = format!("{value:.4}");
        text.trim_start_matches('0')
            .trim_end_matches('0')
            .to_string()
    };
    format!("RG {} {} {} rg", channel(0), channel(2), channel(4))
}

/// The streams of a PDF that are packed by deflate, as text.
fn streams(pdf: &[u8]) -> String {
    const BEGIN: &[u8] = b"stream\n";
    let mut text = String::new();
    for (at, _) in pdf
        .windows(BEGIN.len())
        .enumerate()
        .filter(|(_, window)| *window == BEGIN)
    {
        let mut bytes = Vec::new();
        // What is packed otherwise, a font or the end of a stream, is no drawing.
        if ZlibDecoder::new(&pdf[at + BEGIN.len()..])
            .read_to_end(&mut bytes)
            .is_ok()
        {
            text += &String::from_utf8_lossy(&bytes);
        }
    }
    text
}
